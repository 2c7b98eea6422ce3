"""The list of system calls that OpenWrt's jail may be given: it suffices, and nothing is on it that nobody needs.

    python -m pytest tests/router/test_seccomp.py

measures with strace what a router calls that does all that it can, and compares; what the list lacks is in the failure.
"""

import re
import signal
import subprocess
import sys

import pytest

from ..daemon.test_daemon import ask
from ..lab import fastpath, micropython, net, seccomp, traffic
from ..lab.need import need, programs
from ..lab.router import Keys, interface, peer
from .test_netifd import LOST, Served, of

HEAP = "1M"

# What another C library (OpenWrt has musl) or another architecture calls in place of what is called here.
EQUALS = {
    "accept4": "accept",
    "access": "faccessat faccessat2",
    "arch_prctl": "set_thread_area set_tls",
    "clone": "clone3 fork vfork",
    "dup2": "dup dup3",
    "epoll_create1": "epoll_create",
    "epoll_wait": "epoll_pwait epoll_pwait2",
    "exit_group": "exit",
    "fchmod": "fchmodat",
    "fchown": "fchown32",
    "fcntl": "fcntl64",
    "fstat": "fstat64 fstatat64 lstat lstat64 stat stat64 statx",
    "futex": "futex_time64",
    "getdents64": "getdents",
    "lseek": "_llseek",
    "mkdir": "mkdirat",
    "mmap": "mmap2",
    "openat": "open",
    "pipe2": "pipe",
    "poll": "_newselect ppoll ppoll_time64 pselect6 pselect6_time64 select",
    "prlimit64": "getrlimit setrlimit ugetrlimit",
    "readlink": "readlinkat",
    "recvfrom": "recv",
    "rename": "renameat renameat2",
    "rt_sigaction": "sigaction",
    "rt_sigprocmask": "sigprocmask",
    "sendto": "send",
    "signalfd4": "signalfd",
    "socket": "socketcall",
    "unlink": "unlinkat",
    "wait4": "waitid waitpid",
}
# Needed, and not seen in every run: what happens without the kernel's help for clocks, what follows a signal, an error or a
# name that is not found, what allocators do when there is much, directories that are made.
SELDOM = (
    "cacheflush", "chmod", "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "gettimeofday", "getuid",
    "getuid32", "mremap", "nanosleep", "restart_syscall", "rt_sigreturn", "sched_yield", "sigaltstack", "sigreturn",
    "tgkill", "time", "tkill",
)  # fmt: skip
# What musl 1.2.3 calls where glibc asks no kernel: measured by hand, under a CPython and a MicroPython built with it.
MUSL = ("clock_getres", "membarrier")
# What is worth most to whoever gets hold of the daemon.
NEVER = (
    "add_key", "bpf", "chroot", "delete_module", "finit_module", "init_module", "kexec_load", "keyctl", "mount",
    "open_by_handle_at", "open_tree", "pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "reboot", "setns",
    "sethostname", "swapon", "symlink", "umount2", "unshare", "userfaultfd",
)  # fmt: skip


@pytest.fixture(params=["cpython", "rtnetlink", "fastpath", "micropython"])
def command(request):
    return need(micropython.command, HEAP) if request.param == "micropython" else [sys.executable, "-m", "wgembed"]


@pytest.fixture
def environment(request):
    """Who carries out changes of the network, and who serves the packets."""
    runtime = request.node.callspec.params["command"]
    if runtime == "fastpath":
        return {"WGEMBED_FASTPATH": str(need(fastpath.built))}
    return {"WGEMBED_PYROUTE2": "0"} if runtime == "rtnetlink" else {}


def live(harness, prefix, environment, with_outage=False):
    """All that a router does in its life: names, routes, traffic, reloads, new keys, control, status, an end."""
    near, far = harness.near.place, harness.far.place
    names = harness.names()
    names.set("far.test 192.0.2.2 2001:db8::2\n")
    pair = harness.pair(prefix=[*names.prefix, *prefix], **environment)
    router, name = pair.router, pair.name
    pair.start_far()
    named = pair.peer(None, endpoint_host="far.test", endpoint_port=pair.far.port, route_allowed_ips=1)
    router.start(pair.interface(private_key="generate"), named, within=40)
    # A key was made; the other end does not know it. Then the one that it knows, and a file.
    (router.folder / "key").write_text(pair.keys.private + "\n")
    told = router.reload(pair.interface(private_key_file=router.folder / "key", private_key=""), named, within=20)
    assert "applied" in told
    traffic.reach(near, "10.77.0.2", within=30)
    assert traffic.ping(far, "fd77::1").received and traffic.ping(near, "10.77.0.2", size=1300).received
    for reverse in (False, True):
        assert traffic.tcp(near, far, "10.77.0.2", "4M", reverse=reverse) > 1 << 20
    # Another link, all routes, a mark, a port below 1024, a MTU
    everything = pair.peer(None, endpoint_host="far.test", endpoint_port=pair.far.port, route_allowed_ips=1,
                           allowed_ips=["0.0.0.0/0", "::/0"])  # fmt: skip
    other = net.unique("r")
    told = router.reload(pair.interface(nohostroute=1, listen_port=443, mtu=1380), everything,
                         interface(other, private_key=Keys().private, addresses="10.98.0.1/24"), within=20)  # fmt: skip
    assert "applied" in told
    traffic.reach(near, "10.77.0.2", within=30)
    near.ip("link", "del", other)
    net.poll(lambda: near.run("ip", "link", "show", other, check=False)[0] == 0, 20, what="the link, again")
    # New sessions, from both sides
    for _ in range(2):
        pair.far.restart()
        pair.far.tool("set", pair.far.interface, "peer", pair.keys.public, "endpoint", harness.near.endpoint(4, 443))
        traffic.reach(far, "10.77.0.1", within=30)
    # The control socket
    text = f"set=1\npublic_key={Keys().raw.hex()}\nallowed_ip=10.1.0.0/16\n\n"
    assert ask(name, text) == "errno=0\n\n" and ask(name, "get=1\n\n").endswith("errno=0\n\n")
    assert "listen_port=443\n" in ask(name, "status=1\n\n")
    assert near.run("wg", "set", name, "fwmark", "0x55")[0] == 0
    # A mistake, a port that is taken, a name that is gone
    router.reload("config nonsense", within=20)
    names.set("far.test 192.0.2.2\n")
    router.reload(pair.interface(), named, within=20)
    traffic.reach(near, "10.77.0.2", within=30)
    near.ip("link", "set", name, "down")
    near.ip("link", "set", name, "up")
    traffic.reach(near, "10.77.0.2", within=30)
    if with_outage:  # and what `diagnose` says of it
        pair.far.stop()
        pings = near.spawn(*traffic.ping_command("10.77.0.2", count=100, interval=1))
        pending = router.run_directory / "history.run"
        net.poll(lambda: b"\tdiagnosis\t" in pending.read_bytes(), 60, every=1, what="the reason of the outage")
        pings.stop()
    assert router.running()
    told = router.log()
    router.stop()
    assert "Traceback" not in router.log() and "cannot drop privileges" not in router.log()
    # What was asked for of a link that the test has taken away could not be had.
    return [line for line in told.splitlines() if other not in line]


def test_the_list_suffices(harness, environment):
    """Under a filter of the kernel's that ends the process for anything else."""
    need(seccomp.prepare)
    prefix = [sys.executable, "-I", "-S", seccomp.__file__, str(seccomp.LIST)]
    with_outage = not environment  # it does not depend on how the daemon changes the network, or on the library
    assert not [line for line in live(harness, prefix, environment, with_outage) if "cannot" in line]


def test_the_filter_filters(tmp_path):
    """What is not on the list ends the process, in a child as well; what is, does not."""
    need(seccomp.prepare)
    prefix = [sys.executable, "-I", "-S", seccomp.__file__, str(seccomp.LIST)]
    code = "import os; os.getpid(); {}; print('alive')"
    for call, outcome in (("0", 0), ("os.mkfifo('x')", -signal.SIGSYS), ("os.symlink('a', 'b')", -signal.SIGSYS),
                          ("os.chroot('/')", -signal.SIGSYS), ("os.sync()", -signal.SIGSYS)):  # fmt: skip
        done = subprocess.run([*prefix, sys.executable, "-S", "-c", code.format(call)], cwd=tmp_path, capture_output=True)
        assert done.returncode == outcome, call


SEEN = set()


def calls_in(record):
    """The calls that strace recorded, without those of the runner of hooks, a shell: there is none in the jail."""
    called, outside = set(), set()
    for line in record.read_text(errors="replace").splitlines():
        pid, _, rest = line.partition(" ")
        if "hooks.sh" in rest and "execve(" in rest:
            outside.add(pid)
        if pid in outside:
            child = re.search(r"(?:clone3?|v?fork)\b.* = (\d+)$", rest)
            outside.update(child.groups() if child else ())
        elif call := re.match(r" *(\w+)\(", rest):
            called.add(call[1])
    return called


def test_what_is_called_is_on_the_list(harness, environment, tmp_path):
    need(programs, "strace")
    record = tmp_path / "calls"
    live(harness, ["strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", str(record)], environment)
    called = calls_in(record)
    SEEN.update(called)
    assert len(called) > 40
    assert sorted(called - set(seccomp.names())) == [], "add it to package/files/wgembed.seccomp.json"


def test_what_is_called_for_netifd_is_on_the_list(harness, tmp_path):
    """Without the program that the protocol handler gives, which has calls of its own."""
    need(programs, "strace")
    record = tmp_path / "calls"
    harness.command = ["strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", str(record), *harness.command]
    pair = harness.pair()
    pair.start_far()
    served = Served(harness, pair)
    try:
        served.environment.pop("WGEMBED_ENDPOINT_HOOK")
        assert served.start(of(served), pair.peer()) == "ready"
        served.raise_()
        traffic.reach(served.place, "10.77.0.2")
        served.renew(of(served), pair.peer(), peer(served.name, public_key=Keys().public, allowed_ips="10.99.0.0/16"))
        served.place.ip("link", "del", served.name)
        assert served.child.wait(5) == LOST
    finally:
        served.close()
    called = calls_in(record)
    assert len(called) > 30
    assert sorted(called - set(seccomp.names())) == [], "add it to package/files/wgembed.seccomp.json"


def test_nothing_is_on_the_list_that_nobody_calls():
    """After the tests above: each name was seen here, or is another C library's for one that was."""
    listed = seccomp.names()
    assert listed == sorted(set(listed)), "in order, and each once"
    assert not set(NEVER) & set(listed)
    assert set(MUSL) <= set(listed)
    if not SEEN:
        pytest.skip("nothing was measured in this run")
    others = {name for call in SEEN for name in EQUALS.get(call, "").split()}
    assert sorted(set(listed) - SEEN - others - set(SELDOM) - set(MUSL)) == []
