"""What the daemon gives up: by what the kernel says of the process, and by what others can and cannot do to it."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ..lab import micropython, net, old_kernel
from ..lab.need import need, programs
from ..lab.router import Keys, Router, interface, peer

NEEDED = 1 << 10 | 1 << 12 | 1 << 13  # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW
CONFINED = (
    "privileges dropped: umask 077, no core file, not dumpable, no new privileges, "
    "bounding set of net_admin, net_bind_service, net_raw, no other capabilities\n"
)
NOBODY = 65534


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def assert_confined(pid):
    told = status(pid)
    sets = {name: int(told[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert sets == {"CapInh": 0, "CapPrm": NEEDED, "CapEff": NEEDED, "CapBnd": NEEDED, "CapAmb": 0}
    assert told["NoNewPrivs"] == "1" and told["Umask"] == "0077"
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == ("-500\n" if can_be_spared() else "0\n")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert limits.split("Max core file size")[1].split()[:2] == ["0", "0"]
    # Another process of root's that has no more capabilities than the daemon must not read its memory.
    assert not can_read_memory(pid), "it is dumpable"


def can_be_spared():
    """Whether root may ask for it here: in a container without CAP_SYS_RESOURCE, the machines of tests/machines see it."""
    return bool(int(status("self")["CapEff"], 16) & 1 << 24)


def can_read_memory(pid):
    """Whether root without CAP_SYS_PTRACE, but with all that the daemon has, may open its memory."""
    need(programs, "setpriv")
    kept = "-all,+net_admin,+net_bind_service,+net_raw"
    command = ["setpriv", "--bounding-set", kept, "--inh-caps", "-all", "head", "-c0", f"/proc/{pid}/mem"]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_the_check_of_memory_tells_the_difference():
    command = "import os, sys; os.write(1, b'.'); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    kept = "-all,+net_admin,+net_bind_service,+net_raw"
    bounded = subprocess.Popen(
        ["setpriv", "--bounding-set", kept, "--inh-caps", "-all", sys.executable, "-c", command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout.read(1) == bounded.stdout.read(1) == b"."
        assert can_read_memory(bounded.pid), "of one that is dumpable"
        assert not can_read_memory(child.pid), "it has more capabilities"
    finally:
        for one in (child, bounded):
            one.stdin.close()
            one.wait(5)
            one.stdout.close()


@pytest.fixture
def name():
    return net.unique("c")


def test_daemon_for_one_interface(namespace, name, command):
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    child.expect("ready", 10)
    assert_confined(child.pid)
    assert CONFINED in child.text() and "cannot drop privileges" not in child.text()


def test_daemon_in_the_background(namespace, name, command, tmp_path):
    """Its umask is its own, and so is what is left to the caller."""
    sockets = tmp_path / "sockets"
    environment = ("env", f"WGEMBED_SOCKET_DIR={sockets}")
    namespace.run("sh", "-c", 'umask 077 && exec "$@"', "-", *environment, *command, name)
    # Whoever has the socket is the daemon.
    pid = holder(sockets / f"{name}.sock")
    try:
        assert_confined(pid)
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o755, "wg-quick has a umask of 077"
        assert stat.S_IMODE((sockets / f"{name}.sock").stat().st_mode) == 0o600
    finally:
        os.kill(pid, signal.SIGTERM)
    net.poll(lambda: not (sockets / f"{name}.sock").exists(), 5, what="the end of the daemon")


def holder(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


@pytest.fixture
def router(namespace, tmp_path, command):
    # More than the daemon's usual heap: whole configurations are read.
    command = [word.replace("heapsize=512K", "heapsize=1M") for word in command]
    router = Router(namespace, tmp_path, command)
    yield router
    print(router.log())


@pytest.mark.parametrize("pyroute2", ["1", "0"])
def test_router(router, namespace, name, pyroute2, command):
    """Its children are confined, and what the network needs is done all the same; so it is after a reload."""
    if pyroute2 == "0":
        router.environment["WGEMBED_PYROUTE2"] = "0"
    keys, other = Keys(), Keys()

    def one(**options):
        return interface(name, private_key=keys.private, **{"addresses": "10.99.0.1/24", **options})

    network = {"allowed_ips": "10.99.1.0/24", "route_allowed_ips": 1}
    router.start(one(), peer(name, public_key=other.public, **network))
    assert_confined(router.pid)
    assert CONFINED in router.log() and "cannot drop privileges" not in router.log()
    assert name in namespace.ip("route", "get", "10.99.1.1")
    # A port that needs a capability, a mark, another interface: all in mid-run.
    more = Keys(), net.unique("c")
    told = router.reload(
        one(listen_port=443, fwmark="0x77", addresses="10.99.2.1/24", mtu=1300),
        peer(name, public_key=other.public, **network),
        interface(more[1], private_key=more[0].private, addresses="10.99.3.1/24"),
    )
    assert "applied" in told and "ERROR" not in router.log()
    assert router.dump(name)[0][2:] == ["443", "0x77"] and router.mtu(name) == 1300
    assert "10.99.2.1/24" in namespace.ip("addr", "show", name)
    # The link is taken away by somebody, and made again.
    namespace.ip("link", "del", more[1])
    net.poll(lambda: "10.99.3.1/24" in namespace.run("ip", "addr", "show", more[1], check=False)[1], 10)


CHILD = """
from wgembed.runtime import abi, system
system.files.write_file(abi.OOM_SCORE_ADJ, "300")
pid, fd = system.process.spawn_program(["/bin/cat", abi.OOM_SCORE_ADJ])
poller = system.poll.Poller()
poller.watch(fd, system.poll.IN)
list(poller.wait(5000))
print(system.files.read_ready(fd, 100))
system.process.end(pid)
"""


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_what_the_daemon_starts_is_not_spared(interpreter):
    command = [sys.executable] if interpreter == "cpython" else need(micropython.command)[:-2]
    done = subprocess.run([*command, "-c", CHILD], capture_output=True, text=True, timeout=20)
    assert done.stdout == "b'0\\n'\n", done.stderr


def test_a_router_bound_to_a_link(router, namespace, name):
    namespace.ip("link", "add", "out0", "type", "veth", "peer", "name", "out1")
    namespace.ip("link", "set", "out0", "up")
    options = {"private_key": Keys().private, "nohostroute": 1, "tunlink": "out0"}
    router.start(interface(name, **options))
    assert "cannot bind" not in router.log()
    net.poll(lambda: "%out0:" in namespace.run("ss", "-Hlun")[1], 5, what="a socket that is bound to the link")


# What others may do


def test_modes_of_what_the_router_makes(namespace, name, command, tmp_path):
    """Whatever the umask of who starts it."""
    key_file = tmp_path / "state/key"
    umask = ("sh", "-c", 'umask 000 && exec "$@"', "-")
    command = [word.replace("heapsize=512K", "heapsize=1M") for word in command]
    router = Router(namespace, tmp_path, command, umask, WGEMBED_SOCKET_DIR=str(tmp_path / "sockets"))
    router.start(interface(name, private_key_file=key_file, addresses="10.99.0.1/24"))
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes["sockets"] == 0o755
    assert modes["sockets/" + name + ".sock"] == 0o600
    assert modes["state/key"] == 0o600 and len(key_file.read_text()) == 45
    for path in [path for path in modes if path.startswith("run/")]:
        assert not modes[path] & 0o077, path


@pytest.fixture
def open_folder():
    """A folder that everybody may look into, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def attempt(code, user):
    """Run the code in a process of this user's own; returns what came of it."""
    # The interpreter itself may stand where only root gets.
    become = f"import os, socket; os.setgroups([]); os.setgid({user}); os.setuid({user})\n"
    done = subprocess.run([sys.executable, "-c", become + code], capture_output=True, text=True)
    return "done" if not done.returncode else done.stderr.splitlines()[-1]


def test_a_stranger_on_the_machine_gets_nowhere(router, name, open_folder):
    """Neither through the control socket nor by the files: a real process of nobody's."""
    path, key_file = open_folder / f"sockets/{name}.sock", open_folder / "key"
    router.environment["WGEMBED_SOCKET_DIR"] = str(path.parent)
    router.start(interface(name, private_key_file=key_file, addresses="10.99.0.1/24"))
    harmless = (
        f"socket.socket(socket.AF_UNIX).connect({str(path)!r})",
        f"open({str(key_file)!r})",
        f"open('/proc/{router.pid}/mem')",
        f"open('/proc/{router.pid}/environ')",
        f"os.kill({router.pid}, 0)",
    )
    for code in (*harmless, f"os.unlink({str(path)!r})", f"os.rename({str(path)!r}, {str(path) + 'x'!r})"):
        assert attempt(code, NOBODY).startswith("PermissionError"), code
    for code in harmless:
        assert attempt(code, 0) == "done", "root may"
    assert router.running() and path.is_socket()


# Kernels that cannot


@pytest.mark.parametrize("runtime", ["cpython", "micropython"])
@pytest.mark.parametrize("thing,sentence", [
    ("no-new-privs", "(no new privileges): Invalid argument (22)"),
    ("dumpable", "(not dumpable): Invalid argument (22)"),
    ("bounding", "(bounding set of net_admin, net_bind_service, net_raw): Operation not permitted (1)"),
    ("capset", "(no other capabilities): Operation not permitted (1)"),
    ("capget", "(no other capabilities): Invalid argument (22)"),
    ("rlimit", "(no core file): Operation not permitted (1)"),
])  # fmt: skip
def test_what_the_kernel_lacks_is_told_and_gone_without(namespace, tmp_path, runtime, thing, sentence):
    if runtime == "cpython":
        interpreter = [sys.executable]
    else:
        whole = need(micropython.command, "1M")
        interpreter = whole[: whole.index("-m")]
    router = Router(namespace, tmp_path, [*interpreter, old_kernel.__file__, str(tmp_path / "refused"), thing])
    name = net.unique("c")
    router.start(interface(name, private_key=Keys().private, addresses="10.99.0.1/24"))
    assert (tmp_path / "refused").read_text().split()[0] == thing
    assert router.log().count("cannot drop privileges") == 1 and f"cannot drop privileges {sentence}\n" in router.log()
    net.poll(lambda: "10.99.0.1/24" in namespace.ip("addr", "show", name), 5)
