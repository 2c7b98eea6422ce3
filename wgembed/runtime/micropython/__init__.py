"""The machine through MicroPython's `ffi`: the C library, called directly."""

# The heap's beginning is taken before anything else is loaded.
from . import heap  # isort: skip
from . import clib, clock, files, inet, local, netlink, notify, poll, process, start, tun, udp

__all__ = ("clib", "clock", "files", "heap", "inet", "local", "netlink", "notify", "poll", "process", "start", "tun", "udp")
