"""The seam to the machine: everything that is a system call.

Each backend has the same modules; `system` below is the one that fits the interpreter. What is the same on both is
written once, in the modules beside this one, on top of it.

    system.clock     now() in ms of CLOCK_BOOTTIME, realtime()
    system.files     open, close, read, write, ioctl by descriptor; memory that is resident only where touched
    system.heap      reserve, release: around the making of what stays
    system.poll      Poller: which descriptors are ready
    system.tun       read_batch, write_batch
    system.clib      Library: functions of a C library
    system.inet      addresses and their parts, ifindex, host names
    system.udp       UdpSocket: one family's socket, with GSO, GRO, source addresses
    system.local     UNIX stream sockets
    system.notify    DirectoryWatch: names that come and go in a directory
    system.process   signals, children, log lines
    system.start     becoming the daemon, in the foreground or behind the user's back

packets/fastpath.py is loaded where there is a C library for the packet path: `fastpath_library` tells. privileges.py is
loaded for as long as it takes to give up privileges.

What only commands need is in tool.py, which chooses likewise.
"""

import sys

if sys.implementation.name == "micropython":
    from . import micropython as system
else:
    from . import cpython as system

__all__ = ("drop_privileges", "fastpath_library", "system")


def drop_privileges(log):
    """Give up for good what the daemon does not need: see privileges.py, whose code is needed once and leaves again."""
    from . import privileges

    privileges.drop_privileges(log)
    del sys.modules[privileges.__name__], globals()["privileges"]


def fastpath_library():
    """Return the path of the C library for the packet path, or None.

    It is the file fastpath.so beside the package's modules, or what WGEMBED_FASTPATH names; 0 does without.
    """
    path = system.files.getenv("WGEMBED_FASTPATH")
    if path not in ("", "0", "1"):
        return path
    path = __file__.rsplit("/", 2)[0] + "/fastpath.so" if path != "0" else ""
    return path if path and system.files.exists(path) else None
