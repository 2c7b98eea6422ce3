"""A laboratory of real WireGuard peers.

Network namespaces stand for the machines, `debian` has the programs, `qemu` a Linux kernel, `peers` gives
them all one face, `traffic` and `wire` say what went through. Whatever a test starts ends with it.
"""
