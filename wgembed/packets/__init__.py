"""Where packets stand, and what is done to a run of them at once: pad and seal, open, find what belongs together.

The batch steps of the packet path (arena.py) exist twice: in Python, one backend an interpreter (runs.py), and by the
optional C library (fastpath.py). They give the same bytes; the tests compare them. No step knows a socket or a clock.
protocol.Device is given an arena and an inbox and calls their methods; the sockets and tunnel devices of runtime/ read
into them and write from them.
"""
