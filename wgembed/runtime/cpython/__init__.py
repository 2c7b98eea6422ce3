"""The machine through CPython's standard library, of which only light modules are loaded."""

from . import clib, clock, files, heap, inet, local, netlink, notify, poll, process, start, tun, udp

__all__ = ("clib", "clock", "files", "heap", "inet", "local", "netlink", "notify", "poll", "process", "start", "tun", "udp")
