"""`wgembed run` as on an old kernel: old_kernel.py LOG THING,THING,... run --config-dir DIR

Each THING names calls that an old kernel refuses. This program refuses them with the error of such a kernel, and writes a
line to LOG each time. It runs on CPython and MicroPython. On MicroPython the compiled package is in the working directory.
"""

import errno
import sys

_EPERM, _EIO, _EINVAL, _ENOSYS, _ENOPROTOOPT, _EAFNOSUPPORT = 1, 5, 22, 38, 92, 97
_AF_INET6 = 10
_CLOCK_BOOTTIME = 7

# For each thing: the call, its argument, and the error.
THINGS = {
    "gso": [("setsockopt", (17, 103), _ENOPROTOOPT)],
    "gro": [("setsockopt", (17, 104), _ENOPROTOOPT)],
    # The kernel has it, but the driver does not, or the segment does not fit.
    "gso-driver": [("sendmsg", (17, 103), _EIO)],
    "gso-size": [("sendmsg", (17, 103), _EINVAL)],
    "pktinfo": [("setsockopt", (0, 8), _ENOPROTOOPT)],
    "pktinfo6": [("setsockopt", (41, 49), _ENOPROTOOPT)],
    "pktinfo-send": [("sendmsg", (0, 8), _EINVAL)],
    "pktinfo6-send": [("sendmsg", (41, 50), _EINVAL)],
    "recvtos": [("setsockopt", (0, 13), _ENOPROTOOPT)],
    "recvtclass": [("setsockopt", (41, 66), _ENOPROTOOPT)],
    "tos": [("sendmsg", (0, 1), _EINVAL)],
    "tclass": [("sendmsg", (41, 67), _EINVAL)],
    "mtu-discover": [("setsockopt", (0, 10), _ENOPROTOOPT), ("setsockopt", (41, 23), _ENOPROTOOPT)],
    "buffers": [("setsockopt", (1, 32), _ENOPROTOOPT), ("setsockopt", (1, 33), _ENOPROTOOPT)],
    "mark": [("setsockopt", (1, 36), _ENOPROTOOPT)],
    "ipv6": [("socket", _AF_INET6, _EAFNOSUPPORT)],
    "boottime": [("clock_gettime", _CLOCK_BOOTTIME, _EINVAL)],
    "inotify": [("inotify_init1", None, _ENOSYS)],
    "memfd": [("memfd_create", None, _ENOSYS)],
    "no-new-privs": [("prctl", 38, _EINVAL)],
    "dumpable": [("prctl", 4, _EINVAL)],
    "bounding": [("prctl", 24, _EPERM)],
    "capset": [("capset", None, _EPERM)],
    "capget": [("capget", None, _EINVAL)],
    "rlimit": [("setrlimit", None, _EPERM)],
}


class Kernel:
    """The things that are refused."""

    def __init__(self, log, things):
        self._log = log
        self._refused = {}
        for thing in things:
            for call, what, number in THINGS[thing]:
                self._refused[call, what] = (thing, number)

    def error(self, call, what=None):
        """Return the error for this call and write it to the log; 0 if the call is allowed."""
        thing, number = self._refused.get((call, what), ("", 0))
        if number:
            with open(self._log, "a") as log:
                log.write(thing + "\n")
        return number

    def ask(self, call, what=None):
        number = self.error(call, what)
        if number:
            raise OSError(number, "refused")


def change_cpython(kernel):
    """Check each call of the interpreter's modules first."""
    import _socket
    import posix
    import time

    class Socket(_socket.socket):
        def __init__(self, *arguments):
            kernel.ask("socket", arguments[0])
            super().__init__(*arguments)

        def setsockopt(self, level, name, value):
            kernel.ask("setsockopt", (level, name))
            super().setsockopt(level, name, value)

        def sendmsg(self, buffers, control=(), *more):
            for level, kind, _ in control:
                kernel.ask("sendmsg", (level, kind))
            return super().sendmsg(buffers, control, *more)

    def asking(module, name, call, which):
        function = getattr(module, name)

        def asked(*arguments):
            kernel.ask(call, arguments[which] if which is not None else None)
            return function(*arguments)

        setattr(module, name, asked)

    _socket.socket = Socket
    asking(posix, "memfd_create", "memfd_create", None)
    asking(time, "clock_gettime_ns", "clock_gettime", 0)


def change_library(kernel):
    """Check the calls of the C library that the package itself makes first."""
    from wgembed.runtime.cpython import clib, notify

    class Library(clib.Library):
        def function(self, result, name, arguments):
            function, which = super().function(result, name, arguments), FakeLibrary.WHICH.get(name)
            return asking_library(kernel, function, name, which, set_errno) if which else function

    clib.Library = Library

    init, error = notify._init, notify._errno

    def asked(flags):
        number = kernel.error("inotify_init1")
        notify._errno = (lambda: number) if number else error
        return -1 if number else init(flags)

    notify._init = asked


class FakeFfi:
    """Replaces the module `ffi`: its functions of the C library check each call first."""

    def __init__(self, real, kernel):
        self._real = real
        self._kernel = kernel

    def open(self, name):
        return FakeLibrary(self._real.open(name), self._kernel)


class FakeLibrary:
    WHICH = {
        "socket": lambda family, *_: [family],
        "setsockopt": lambda _, level, name, *more: [(level, name)],
        "sendmsg": lambda _, header, *more: control_messages(header),
        "inotify_init1": lambda *_: [None],
        "clock_gettime": lambda clock, *_: [clock],
        "prctl": lambda option, *_: [option],
        "capset": lambda *_: [None],
        "capget": lambda *_: [None],
        "setrlimit": lambda *_: [None],
    }

    def __init__(self, real, kernel):
        self._real = real
        self._kernel = kernel
        self.var = real.var

    def func(self, result, name, arguments):
        function, which = self._real.func(result, name, arguments), self.WHICH.get(name)
        return self._asking(function, name, which) if which else function

    def _asking(self, function, name, which):
        import os

        return asking_library(self._kernel, function, name, which, os.errno)


def set_errno(number):
    import _cffi_backend

    _cffi_backend.set_errno(number)


def asking_library(kernel, function, name, which, fail):
    """The function of the C library, with a check before. It reports a refusal with fail(errno)."""

    def asked(*arguments):
        for what in which(*arguments):
            number = kernel.error(name, what)
            if number:
                fail(number)
                return -1
        return function(*arguments)

    return asked


def control_messages(header):
    """Return level and type of each control message in a struct msghdr."""
    from struct import calcsize, unpack_from

    import uctypes

    word = calcsize("P")
    pointer, length = unpack_from("PL", header, 4 * word)
    if not length:
        return []
    data, at, found = uctypes.bytearray_at(pointer, length), 0, []
    while at < length:
        size, level, kind = unpack_from("Lii", data, at)
        found.append((level, kind))
        at += (size + word - 1) // word * word
    return found


def main(log, things, *command):
    kernel = Kernel(log, things.split(","))
    if sys.implementation.name == "micropython":
        import ffi

        sys.modules["ffi"] = FakeFfi(ffi, kernel)
        sys.path[0] = ""
        from wgembed.__main__ import main

        return main(list(command))
    import os

    if "WGEMBED_PATH" not in os.environ:
        from wgembed.runtime.cpython import start

        argv, environment = start.command_for("route", command[-1], "")
        argv[-4:-3] = [__file__, log, things]
        os.execve(argv[0], argv, environment)
    change_cpython(kernel)
    sys.path[:1] = os.environ["WGEMBED_PATH"].split(":")
    change_library(kernel)
    from wgembed import daemon_entry

    sys.argv = ["daemon_entry"] + list(command)
    return daemon_entry.main()


if __name__ == "__main__":
    assert errno.EADDRINUSE == 98, "the numbers above are not those of MIPS"
    sys.exit(main(*sys.argv[1:]))
