"""Packet buffers, and the operations on a whole run of packets at once: pad and seal, open, find where a run ends.

These batch steps of the packet path (arena.py) exist in Python, one backend for each interpreter (runs.py), and optionally
in C (fastpath.py). They give the same bytes; the tests compare them. protocol.Device is given an arena and an inbox and
calls their methods; the sockets and tunnel devices of runtime/ read into them and write from them. No step knows a socket
or a clock, but for FastTunPort, which is the C library's version of runtime's TunPort.
"""
