"""A laboratory of real WireGuard peers.

Network namespaces are the machines. `debian` has the programs, `qemu` a Linux kernel, `peers` gives all of them the same
interface, `traffic` and `wire` show what went through. Everything that a test starts ends with the test.
"""
