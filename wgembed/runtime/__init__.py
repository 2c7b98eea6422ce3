"""The seam to the machine: everything that is a system call.

Each backend has the same modules; `system` below is the one that fits the interpreter. What is the same on both is
written once, in the modules beside this one, on top of it.

    system.clock     now() in ms of CLOCK_BOOTTIME, realtime()
    system.files     open, close, read, write, ioctl by descriptor; memory that is resident only where touched
    system.heap      keep_room, give_room: around the making of what stays
    system.poll      Poller: which descriptors are ready
    system.tun       read_batch, write_batch
    system.udp       UdpSocket: one family's socket, with GSO, GRO, source addresses; the parts of an address
    system.local     UNIX stream sockets
    system.notify    DirectoryWatch: names that come and go in a directory
    system.process   signals, children, log lines
    system.start     becoming the daemon, in the foreground or behind the user's back

What only commands need is in tool.py, which chooses likewise.
"""

import sys

if sys.implementation.name == "micropython":
    from . import micropython as system
else:
    from . import cpython as system

__all__ = ("system",)
