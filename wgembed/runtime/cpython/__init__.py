"""The backend for CPython, with the standard library. It only loads modules that need little memory."""

from . import clib, clock, files, heap, inet, local, netlink, notify, poll, process, start, tun, udp

__all__ = ("clib", "clock", "files", "heap", "inet", "local", "netlink", "notify", "poll", "process", "start", "tun", "udp")
