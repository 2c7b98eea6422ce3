"""The backend for MicroPython. It calls the C library with `ffi`."""

# `heap` must take the beginning of the heap before anything else is loaded.
from . import heap  # isort: skip
from . import clib, clock, files, inet, local, netlink, notify, poll, process, start, tun, udp

__all__ = ("clib", "clock", "files", "heap", "inet", "local", "netlink", "notify", "poll", "process", "start", "tun", "udp")
