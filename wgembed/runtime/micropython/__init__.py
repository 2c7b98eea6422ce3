"""The machine through MicroPython's `ffi`: the C library, called directly."""

from . import clock, files, local, netlink, notify, poll, process, start, tun, udp

__all__ = ("clock", "files", "local", "netlink", "notify", "poll", "process", "start", "tun", "udp")
