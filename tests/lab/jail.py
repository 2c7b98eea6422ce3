"""Run a command as OpenWrt's ujail does: python -m tests.lab.jail HOLDER INSTANCE COMMAND...

HOLDER is the pid of a process in the router. INSTANCE is the instance for procd, in JSON: `jail` with its mounts, the paths
of `capabilities` and of `seccomp`, `no_new_privs`. The command sees the mounts and a few devices. It is the first process of
a separate process namespace, has only these capabilities, and can make only the listed system calls. In contrast to ujail,
this program does not find the libraries that a program needs.
"""

import ctypes
import json
import os
import signal
import struct
import sys

from . import seccomp

NEWNS, NEWIPC, NEWPID = 0x20000, 0x8000000, 0x20000000
READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 32, 4096, 16384, 1 << 18
NO_NEW_PRIVS, DROP_BOUNDING, SET_SECUREBITS, AMBIENT, AMBIENT_RAISE = 38, 24, 28, 47, 2
NOROOT_AND_LOCKED, DIE_WITH_PARENT = 3, 1
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# Debian's loader; ujail reads its name from the program.
LOADER = "/lib64/ld-linux-x86-64.so.2"
FORWARDED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, kind, flags, data=None):
    checked(libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data))


def enter(holder):
    """Enter the router: its network, its mounts, its root."""
    paths = [os.open(f"/proc/{holder}/{name}", os.O_RDONLY) for name in ("ns/net", "ns/mnt", "root")]
    checked(libc.setns(paths[0], 0))
    checked(libc.setns(paths[1], 0))
    os.fchdir(paths[2])
    os.chroot(".")
    for path in paths:
        os.close(path)


def bind(source, root, writable):
    target = root + source
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            open(target, "x").close()
    mount(source, target, None, BIND)
    mount(source, target, None, BIND | REMOUNT | (0 if writable else READ_ONLY))


def close_in(mounts, program):
    """Make a root that has only the mounts."""
    checked(libc.unshare(NEWNS))
    mount("none", "/", None, RECURSIVE | PRIVATE)
    root = "/tmp/jail"
    os.makedirs(root, exist_ok=True)
    mount("tmpfs", root, "tmpfs", 0)
    os.makedirs(root + "/proc")
    mount("proc", root + "/proc", "proc", 0)
    mount(root + "/proc/sys", root + "/proc/sys", None, BIND)
    mount(root + "/proc/sys", root + "/proc/sys", None, BIND | REMOUNT | READ_ONLY)
    paths = dict.fromkeys([program, LOADER, "/etc/resolv.conf", *(f"/dev/{name}" for name in DEVICES)], "0")
    for path in DEVICES:
        paths[f"/dev/{path}"] = "1"
    for path, writable in sorted({**paths, **mounts}.items()):
        if os.path.exists(path):
            bind(path, root, writable == "1")
    mount(root, root, None, REMOUNT | READ_ONLY)
    os.chroot(root)
    os.chdir("/")


def drop_capabilities(names):
    """Keep only these capabilities, also in all programs that are run later."""
    numbers = [CAPABILITIES[name] for name in names]
    for number in range(64):
        if number not in numbers and libc.prctl(DROP_BOUNDING, number, 0, 0, 0) < 0:
            break
    checked(libc.prctl(SET_SECUREBITS, NOROOT_AND_LOCKED, 0, 0, 0))
    bits = sum(1 << number for number in numbers)
    header, sets = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", bits, bits, bits, 0, 0, 0)
    checked(libc.capset(header, sets))
    for number in numbers:
        checked(libc.prctl(AMBIENT, AMBIENT_RAISE, number, 0, 0))


def main(holder, instance, command):
    known = seccomp.numbers() if "seccomp" in instance else None  # with a compiler, which the router does not have
    enter(holder)
    with open(instance["capabilities"]) as file:
        names = json.load(file)["bounding"]
    listed = seccomp.program(instance["seccomp"], known) if known else None
    checked(libc.unshare(NEWPID | NEWIPC))
    child = os.fork()
    if child == 0:
        close_in(instance["jail"]["mount"], command[0])
        drop_capabilities(names)
        if instance.get("no_new_privs"):
            checked(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
        checked(libc.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0))
        if listed:
            seccomp.install(listed)
        os.execve(command[0], command, os.environ)
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 255)


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:])
