"""A router like OpenWrt: a root with BusyBox and the files of tests/openwrt/root, in separate namespaces.

Opkg installs the packages under test into it, and lab.procd runs its services. Its only Python is the one that `fit`
installs.
"""

import base64
import contextlib
import functools
import hashlib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
from pathlib import Path

from . import debian, foreign, leftovers, net, peers, procd, traffic
from .need import programs
from .patience import stretch

STUBS = Path(__file__).parents[1] / "openwrt/root"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
FOLDERS = ("etc/config", "etc/init.d", "etc/uci-defaults", "lib", "lib64", "proc", "root", "sbin", "sys", "dev/net",
           "tmp/run", "tmp/lock", "usr/bin", "usr/lib/opkg/info", "usr/sbin", "bin")  # fmt: skip
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun")
NEAR_PORT, FAR_PORT = 51820, 51821
CONFIG = """
config globals 'globals'
	option log_level 'verbose'

config interface 'wg0'
	option private_key_file '/etc/wgembed/wg0.key'
	option listen_port '{port}'
	list addresses '10.77.0.1/24'
	list addresses 'fd77::1/64'

config wireguard_wg0
	option description 'far'
	option public_key '{key}'
	option endpoint_host 'far.example'
	option endpoint_port '{far_port}'
	list allowed_ips '10.77.0.2/32'
	list allowed_ips 'fd77::2/128'
	list allowed_ips '10.99.0.0/16'
	option route_allowed_ips '1'
"""
ONE_MORE = """
config wireguard_wg0
	option description 'one more'
	option public_key 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='
	list allowed_ips '10.77.0.3/32'
"""
LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
# The work of the kernel and netifd before the first service starts.
ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
for device; do mount --bind "/dev/$device" "$root/dev/$device"; done
exec chroot "$root" /bin/busybox sleep 100000
"""


@functools.cache
def interpreter(variant):
    """The folder with the unpacked interpreter of a variant, and its libraries."""
    if variant == "micropython":
        debian.micropython_of_trixie()
        return debian.cache() / "debian/micropython-trixie"
    return debian.unpack("openwrt-python3", foreign.PYTHON, "bookworm")


def prepare():
    programs("busybox", "unshare", "nsenter", "chroot")


class Router:
    """A router in a lab.net.Namespace. `root` is its file system, `messages` its log."""

    environment = {"PATH": PATH}

    def __init__(self, namespace, devices=DEVICES):
        self.namespace = namespace
        # The name is short, because the path of a socket has a limit.
        self._folder = leftovers.folder("wrt")
        self.root = self._folder / "r"
        self.messages = self.root / "tmp/messages"
        self._lay_out(devices)
        self._holder = subprocess.Popen(
            namespace.command("unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", self.root, *devices)
        )
        self._syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._syslog.bind(str(self.root / "dev/log"))
        threading.Thread(target=self._keep_log, daemon=True).start()
        self.procd = procd.Procd(self)
        self.opkg = Opkg(self)
        # Before the holder has changed its root, commands would be those of this machine.
        mark = f"etc/{self._folder.name}"
        (self.root / mark).touch()
        net.poll(lambda: self.run("test", "-e", f"/{mark}", check=False)[0] == 0, 5, what="the router")
        (self.root / mark).unlink()

    def close(self):
        self.procd.close()
        self._holder.kill()
        self._holder.wait()
        self._end_strays()
        with contextlib.suppress(OSError):
            self._syslog.shutdown(socket.SHUT_RDWR)
        self._syslog.close()
        shutil.rmtree(self._folder)

    def _end_strays(self):
        """The processes that were started in the background. No other process has this root."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "root") == str(self.root):
                    os.kill(int(process.name), signal.SIGKILL)

    def _keep_log(self):
        """The lines of `logger`, as `logread` shows them."""
        while True:
            try:
                said = self._syslog.recv(4096)
            except OSError:
                return
            if not said:
                return
            priority, text = re.match(rb"<(\d+)>(?:\w+ +\d+ [\d:]+ )?(.*)", said, re.DOTALL).groups()
            self.log(f"daemon.{LEVELS[int(priority) & 7]}: {text.decode().strip(chr(0) + chr(10))}")

    def _lay_out(self, devices):
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "var").symlink_to("tmp")
        (self.root / "etc/resolv.conf").symlink_to("/tmp/resolv.conf")
        (self.root / "tmp/resolv.conf").write_text("nameserver 127.0.0.1\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        for device in devices:
            (self.root / "dev" / device).touch()
        shutil.copy(shutil.which("busybox"), self.root / "bin/busybox")
        applets = subprocess.run(["busybox", "--list-full"], capture_output=True, text=True, check=True).stdout
        for applet in applets.split():
            path = self.root / applet
            if path != self.root / "bin/busybox" and path.parent.is_dir():
                path.symlink_to("/bin/busybox")
        shutil.copytree(STUBS, self.root, dirs_exist_ok=True)

    # -- the content of the router

    def fit(self, variant):
        """Install the interpreter that a variant needs, as its package would do."""
        subprocess.run(["cp", "-a", f"{interpreter(variant)}/.", self.root], check=True)
        if variant == "micropython":
            shutil.rmtree(self.root / "lib64")
            (self.root / "lib64").symlink_to("usr/lib64")
        else:
            (self.root / "usr/bin/python3").symlink_to("python3.11")

    def put_ujail(self):
        """From now on services run in a jail."""
        (self.root / "sbin/ujail").write_text("")
        (self.root / "sbin/ujail").chmod(0o755)

    def configure(self, text):
        """Replace /etc/config/wgembed, as `uci commit` does."""
        fresh = self.root / "etc/config/.wgembed.uci"
        fresh.write_text(text)
        fresh.chmod(0o600)
        fresh.rename(self.root / "etc/config/wgembed")

    def add_host(self, name, address):
        with open(self.root / "etc/hosts", "a") as hosts:
            hosts.write(f"{address} {name}\n")

    def log(self, line):
        with open(self.messages, "a") as log:
            log.write(line + "\n")

    def logged(self):
        return self.messages.read_text() if self.messages.exists() else ""

    # -- actions in the router

    def command(self, *argv):
        return ["nsenter", f"--target={self._pid()}", "--mount", "--net", "--root", "--wd", "--", *argv]

    def around(self):
        """Return what makes the rest of a command run in the router's namespaces, with this machine's files."""
        return ["nsenter", f"--target={self._pid()}", "--mount", "--net", "--"]

    def jailed(self, config, argv):
        """Return the command that runs `command` in a jail. Its first process is the keeper of the jail."""
        return procd.jailed(self._pid(), config, argv)

    def _pid(self):
        return self._holder.pid

    def run(self, *argv, input=None, check=True, timeout=30):
        """Run a command to its end; returns (exit code, output)."""
        done = subprocess.run(self.command(*argv), input=input, env=self.environment, timeout=stretch(timeout), text=True,
                              stdin=None if input is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{argv}: exit code {done.returncode}: {done.stdout}\n{self.logged()}")
        return done.returncode, done.stdout

    def service(self, verb, **options):
        """`/etc/init.d/wgembed VERB`."""
        return self.run("/etc/init.d/wgembed", verb, **options)

    def boot(self):
        """Start the router, after the packages are installed."""
        for script in sorted((self.root / "etc/uci-defaults").iterdir()):
            if self.run("sh", "-c", f". /etc/uci-defaults/{script.name}", check=False)[0] == 0:
                script.unlink()
        for link in sorted((self.root / "etc/rc.d").glob("S*")):
            self.run(f"/etc/rc.d/{link.name}", "boot")

    def reach(self, address, within=15):
        """Ping until an answer comes. Before the interface is up, a ping fails."""
        command = traffic.ping_command(address, count=1, patience=1)
        net.poll(lambda: self.namespace.run(*command, check=False)[0] == 0, within, what=f"an answer from {address}")

    def ask(self, text="get=1", interface="wg0"):
        """Return the answer of the interface's control socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.root / f"tmp/run/wireguard/{interface}.sock"))
            client.sendall(text.encode() + b"\n\n")
            answer = b""
            while not answer.endswith(b"\n\n"):
                answer += client.recv(65536)
        return answer.decode()

    def daemon(self):
        """The pid of the daemon, in this machine's process namespace."""
        instance = self.procd.instance()
        if instance is None or not instance.running:
            return None
        children = Path(f"/proc/{instance.pid}/task/{instance.pid}/children").read_text().split()
        return int(children[0]) if "jail" in instance.config and children else instance.pid

    def kill(self):
        os.kill(self.daemon(), signal.SIGKILL)


class Opkg:
    """Installs, upgrades and removes .ipk files, with only the functions that these need, and without dependencies."""

    def __init__(self, router):
        self._router, self._root = router, router.root
        self._info = self._root / "usr/lib/opkg/info"

    def install(self, package):
        control, data = _members(package)
        name = _field(control["control"][0], "Package")
        listed = self._info / f"{name}.list"
        upgrade = listed.exists()
        before = listed.read_text().split() if upgrade else []
        settings = [place.decode() for place in control.get("conffiles", (b"",))[0].split()]
        # A file that the user changed stays. The file of the package is written beside it.
        kept = {place for place in settings if (self._root / place[1:]).exists() and self._changed(name, place)}
        if upgrade:
            self._script(name, "prerm", "upgrade", upgrade=True)
        for place, (content, mode) in data.items():
            self._write(place + ("-opkg" if "/" + place in kept else ""), content, mode)
        for place in before:
            if place[1:] not in data:
                (self._root / place[1:]).unlink(missing_ok=True)
        for old in self._info.glob(f"{name}.*"):
            old.unlink()
        for member, (content, mode) in control.items():
            self._write(f"usr/lib/opkg/info/{name}.{member}", content, mode)
        self._write(f"usr/lib/opkg/info/{name}.sums", _sums(settings, data), 0o644)
        listed.write_text("".join(f"/{place}\n" for place in data))
        self._script(name, "postinst", "configure", upgrade)
        return name

    def remove(self, name):
        self._script(name, "prerm", "remove")
        kept = {place for place in self._settings(name) if self._changed(name, place)}
        for place in (self._info / f"{name}.list").read_text().split():
            if place not in kept:
                (self._root / place[1:]).unlink(missing_ok=True)
        for file in self._info.glob(f"{name}.*"):
            file.unlink()

    def _settings(self, name):
        listed = self._info / f"{name}.conffiles"
        return listed.read_text().split() if listed.exists() else []

    def _changed(self, name, place):
        """Whether the file differs from the one in the package."""
        sums = self._info / f"{name}.sums"
        known = dict(line.split() for line in sums.read_text().splitlines()) if sums.exists() else {}
        return _sum((self._root / place[1:]).read_bytes()) != known.get(place)

    def _write(self, place, content, mode):
        path = self._root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file is replaced, not overwritten, because it can be in use.
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(content)
        fresh.chmod(mode)
        fresh.rename(path)

    def _script(self, name, script, argument, upgrade=False):
        path = f"/usr/lib/opkg/info/{name}.{script}"
        self._router.run("env", f"PKG_UPGRADE={int(upgrade)}", path, argument, timeout=60)


def _members(package):
    """Return {path: (bytes, mode)} of the control files and of the data files."""
    outer = _unpack(Path(package).read_bytes())
    return _unpack(outer["control.tar.gz"][0]), _unpack(outer["data.tar.gz"][0])


def _unpack(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name.removeprefix("./"): (archive.extractfile(member).read(), member.mode)
                for member in archive if member.isfile()}  # fmt: skip


def _field(control, name):
    return dict(line.split(": ", 1) for line in control.decode().splitlines())[name]


def _sum(data):
    return hashlib.sha256(data).hexdigest()


def _sums(settings, data):
    return "".join(f"{place} {_sum(data[place[1:]][0])}\n" for place in settings).encode()


class Site:
    """The installed router, `near`, and a machine with wireguard-go, `far`, on one network."""

    def __init__(self, router, far):
        self.router, self.near, self.far = router, router.namespace, far.place
        self.peer = peers.WireguardGo(far, FAR_PORT)
        self.peer.addresses = ["10.77.0.2/24", "fd77::2/64"]

    def begin(self):
        self.peer.start()
        key = (self.router.root / "etc/wgembed/wg0.pub").read_text().strip()
        private = base64.b64encode(self.peer.private).decode()
        self.peer.load(
            f"[Interface]\nPrivateKey = {private}\nListenPort = {FAR_PORT}\n"
            f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.77.0.1/32, fd77::1/128\n"
        )
        self.peer.raise_()
        self.router.add_host("far.example", self.peer.site.outer[4])

    def configure(self, more=""):
        """Give the router its configuration, and `more`."""
        self.router.configure(CONFIG.format(key=self.peer.key, port=NEAR_PORT, far_port=FAR_PORT) + more)
