"""A Debian kernel in QEMU. Its WireGuard is the reference for all other implementations.

The guest is an initramfs of busybox and a few programs of this machine. It has two network cards: a tap in one of our
namespaces for the tests, and QEMU's user network for commands.
"""

import base64
import functools
import lzma
import re
import shlex
import shutil
import socket
import subprocess
import threading

from . import debian
from .need import Missing, NotInstalled, have, programs
from .net import Background, CommandFailed, Namespace, Process, Site, poll
from .patience import stretch

QEMU = "qemu-system-x86_64"
MODULES = ["virtio_pci", "virtio_net", "virtio_rng", "wireguard", "sch_netem"]
TOOLS = ["dash", "wg", "ip", "tc", "iperf3", "ping", "timeout"]
AGENT_PORT = 7
BOOT_WITHIN = 90
# an old CPU, because the plain C code of ChaCha20 is the fastest in emulation; virtio-rng gives random numbers for keys
MACHINE = [
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-no-reboot",
    "-M",
    "pc",
    "-accel",
    "tcg",
    "-cpu",
    "qemu64,+rdrand",
    "-smp",
    "1",
    "-m",
    "256M",
    "-device",
    "virtio-rng-pci",
]

# dash, because busybox's shell uses its own ip and ping instead of those in PATH
INIT = f"""#!/tools/dash
export PATH=/tools:/bin HOME=/root
/bin/busybox mkdir -p /proc /sys /dev /run /root /var /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
ln -s /run /var/run
ln -s /proc/self/fd/0 /dev/stdin
for module in $(cat /modules/order); do insmod /modules/$module; done
while ! [ -e /sys/class/net/eth1 ]; do sleep 0.1; done
ip link set lo up
ip link set eth1 up
ip addr add 10.0.2.15/24 dev eth1
nc -ll -p {AGENT_PORT} -e /agent &
echo "guest is up" > /dev/console
while :; do sleep 1000; done
"""

# one connection is one command: "SECONDS BASE64". The answer is its output, then 0x1e, then its exit code
AGENT = """#!/tools/dash
read -r seconds command
export command
timeout -k 1 $seconds dash -c "$(echo $command | base64 -d)" 2>&1 < /dev/null
printf '\\036%d\\n' $?
"""


@functools.cache
def prepare(package):
    """The kernel and the initramfs of the guest. They are made at first use. Raises Missing."""
    programs(QEMU, *TOOLS)
    if not have("busybox"):
        raise NotInstalled("busybox")
    image = debian.dependency(package, r"linux-image-\d\S+")
    root = debian.unpack(image, [image])
    kernel = next(root.glob("boot/vmlinuz-*"))
    initramfs = debian.cache() / f"{image}.initramfs"
    with debian.locked(initramfs.name):
        fresh = initramfs.with_name(initramfs.name + ".new")
        fresh.write_bytes(_archive(root))
        fresh.rename(initramfs)
    return kernel, initramfs


# ---- initramfs


def _archive(root):
    """The initramfs of the guest: a cpio archive (the "new ASCII" format, uncompressed)."""
    files = {"init": INIT.encode(), "agent": AGENT.encode(), "bin/busybox": _read(shutil.which("busybox"))}
    for tool in TOOLS:
        path = shutil.which(tool, path="/usr/bin:/bin:/usr/sbin:/sbin")
        files[f"tools/{tool}"] = _read(path)
        for library in _libraries(path):
            files[library.lstrip("/")] = _read(library)
    order = modules(root, MODULES, "wireguard")
    files |= {f"modules/{name}.ko": code for name, code in order.items()}
    files["modules/order"] = " ".join(f"{name}.ko" for name in order).encode()
    return cpio(files)


def cpio(files):
    """Return a cpio archive with these files, {path: bytes}, all of which are programs, and /dev/console."""
    directories = {"dev"} | {p for name in files for p in _parents(name)}
    entries = [(name, 0o040755, b"", 0) for name in sorted(directories)]
    entries += [(name, 0o100755, data, 0) for name, data in files.items()]
    # the kernel opens this file before anything is mounted
    entries.append(("dev/console", 0o020600, b"", 1))
    return b"".join(_entry(n, *entry) for n, entry in enumerate([*entries, ("TRAILER!!!", 0, b"", 0)], 1))


def _entry(inode, name, mode, data, minor):
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 5 if minor else 0, minor, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data):
    return data + bytes(-len(data) % 4)


def _parents(name):
    parts = name.split("/")[:-1]
    return {"/".join(parts[: n + 1]) for n in range(len(parts))}


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _libraries(program):
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=20).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def modules(root, wanted, needed):
    """These modules and their dependencies, in the order in which they must be loaded: {name: bytes}.

    Those that are built in are left out. Raises Missing if `needed` is not among the files.
    """
    paths = {p.name.split(".ko")[0].replace("-", "_"): p for p in root.rglob("*.ko*")}
    order = {}

    def add(name):
        if name in order or name not in paths:  # built in
            return
        code = paths[name].read_bytes()
        if paths[name].suffix == ".xz":
            code = lzma.decompress(code)
        for depends in re.findall(rb"\0depends=([^\0]*)\0", code):
            for other in depends.decode().replace("-", "_").split(","):
                add(other)
        order[name] = code

    for name in wanted:
        add(name)
    if needed not in order:
        raise Missing(f"{root} has no module {needed}")
    return order


# ---- guest


class Guest:
    """A running guest. Like a Namespace, it has run, spawn and ip."""

    def __init__(self, package):
        kernel, initramfs = prepare(package)
        self.host = Namespace()
        try:
            self.host.ip("tuntap", "add", "dev", "outer", "mode", "tap")
            self._qemu = Process(
                self.host.command(
                    QEMU,
                    *MACHINE,
                    "-kernel",
                    str(kernel),
                    "-initrd",
                    str(initramfs),
                    "-append",
                    "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 random.trust_cpu=on",
                    "-serial",
                    "stdio",
                    "-monitor",
                    "none",
                    "-netdev",
                    "tap,id=tests,ifname=outer,script=no,downscript=no",
                    "-device",
                    "virtio-net-pci,romfile=,netdev=tests,addr=10,mac=52:54:00:12:34:02",
                    "-netdev",
                    f"user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:{AGENT_PORT}-:{AGENT_PORT}",
                    "-device",
                    "virtio-net-pci,romfile=,netdev=control,addr=11",
                )
            )
            self._qemu.expect("guest is up", BOOT_WITHIN)
            poll(self._answers, 10, what="the guest's first answer")
        except BaseException:
            self.close()
            raise
        self.near, self.far = Site(self.host, "outer", 1), Site(self, "eth0", 2)

    def _answers(self):
        try:  # the agent listens a moment later
            return self.run("true", timeout=5, check=False)[0] == 0
        except OSError:
            return False

    def close(self):
        if hasattr(self, "_qemu"):
            self._qemu.stop()
        self.host.close()

    def console(self):
        return self._qemu.text()[-4000:]

    def tidy(self):
        """Remove everything that a test left."""
        self.run("sh", "-c", "killall -q iperf3 ping; for name in $(wg show interfaces); do ip link del $name; done")
        for site in (self.near, self.far):
            site.settle()

    def run(self, *argv, input=None, timeout=20, check=True):
        """Run a command to its end; return (exit code, output)."""
        timeout = int(stretch(timeout))
        command = GuestCommand(self, argv, input, timeout)
        code = command.wait(timeout + 5)
        if check and code:
            raise CommandFailed(f"{' '.join(argv)}: exit code {code}: {command.text()}")
        return code, command.text()

    def spawn(self, *argv, timeout):
        """Start a command that runs for at most `timeout` seconds."""
        return GuestCommand(self, argv, None, timeout)

    def ip(self, *args):
        return self.run("ip", *args)[1]


class GuestCommand(Background):
    """A command in the guest: one connection to its agent."""

    def __init__(self, guest, argv, input, timeout):
        line = shlex.join(argv)
        if input is not None:
            line = f"echo {base64.b64encode(input.encode()).decode()} | base64 -d | {line}"
        self._socket = guest.host.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(timeout + 10)
        self._socket.connect(("127.0.0.1", AGENT_PORT))
        self._socket.sendall(f"{timeout} {base64.b64encode(line.encode()).decode()}\n".encode())
        self._output, self._error = bytearray(), None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while chunk := self._socket.recv(65536):
                self._output += chunk
        except OSError as error:
            self._error = error
        self._socket.close()

    def running(self):
        return self._reader.is_alive()

    def text(self):
        return bytes(self._output).partition(b"\x1e")[0].decode(errors="replace")

    def wait(self, timeout):
        self._reader.join(timeout)
        if self._reader.is_alive():
            raise CommandFailed(f"no end within {timeout} s: {self.text()}")
        code = bytes(self._output).partition(b"\x1e")[2]
        if not code:
            raise ConnectionError(f"the guest did not answer: {self._error or 'connection closed'}")
        return int(code)

    def stop(self):
        """Close the connection. The command runs until its timeout."""
        if self.running():
            self._socket.shutdown(socket.SHUT_RDWR)
