"""Packet buffers, and the operations on a whole run of packets: pad and seal, open, find the end of a run.

These batch steps of the packet path (arena.py) exist in Python, with one backend for each interpreter (runs.py), and
optionally in C (fastpath.py). All give the same bytes, and the tests compare them. protocol.Device gets an arena and an
inbox, and calls their methods. The sockets and tunnel devices of runtime/ read packets into them and write packets from
them. No step uses a socket or a clock, except FastTunPort, the TunPort of the C library.
"""
