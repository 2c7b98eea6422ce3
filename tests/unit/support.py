"""The common functions of the tests for both runtimes. They do not use pytest, which MicroPython does not have."""

import gc
import struct

from wgembed.protocol.memory import alloc


def raises(expected, function, *args):
    """Call the function and return the exception, which must be `expected`."""
    try:
        function(*args)
    except expected as error:
        return error
    raise AssertionError("nothing was raised")


class Log:
    """A log that keeps its lines."""

    def __init__(self):
        self.lines = []

    def error(self, text):
        self.lines.append(text)

    verbose = error


class Random:
    """Pseudo-random numbers, the same in every run and on every machine (a linear congruential generator)."""

    def __init__(self, seed):
        self._state = seed * 2654435761 + 1 & 0xFFFFFFFF

    def below(self, limit):
        """Return a number from 0 to `limit` - 1."""
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        # The low bits of this generator have short periods.
        return (self._state >> 8) * limit >> 24

    def bytes(self, count):
        return bytes([self.below(256) for _ in range(count)])


class Storage:
    """An `alloc` for tables (see memory.py) that counts the allocated bytes."""

    def __init__(self):
        self.bytes = 0

    def alloc(self, typecode, count):
        self.bytes += count * struct.calcsize(typecode)
        return alloc(typecode, count)


def memory_in_use():
    """Return the bytes of the heap that are in use; 0 if the runtime does not know."""
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


def allocated(function):
    """Return how many bytes `function(1000)` allocates more than `function(1)`; 0 if the runtime does not know.

    `function(n)` repeats an operation n times, which must not allocate.
    """
    if not hasattr(gc, "mem_alloc"):
        return 0
    function(1)
    used = []
    for count in (1, 1000):
        gc.collect()
        before = gc.mem_alloc()
        function(count)
        used.append(gc.mem_alloc() - before)
    return used[1] - used[0]
