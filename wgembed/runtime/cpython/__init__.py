"""The machine through CPython's standard library, of which only light modules are loaded."""

from . import clock, files, heap, local, netlink, notify, poll, process, start, tun, udp

__all__ = ("clock", "files", "heap", "local", "netlink", "notify", "poll", "process", "start", "tun", "udp")
