"""Time."""

import sys
import time
from array import array

from . import libc

_CLOCK_MONOTONIC = 1
_CLOCK_BOOTTIME = 7
_is_64bit = sys.maxsize > 1 << 32

# How long may pass between two calls of now(), in ms; None: any time.
LONGEST_SLEEP_MS = None

if _is_64bit:
    _gettime = libc.func("i", "clock_gettime", "iP")
    # Unlike fields that are unpacked, the items of an array leave no garbage: this is asked several times a turn.
    _spec = array("l", (0, 0))
    # Kernels before 2.6.39 lack it. The other one stands still while the machine sleeps, which routers do not.
    _clock = _CLOCK_BOOTTIME if _gettime(_CLOCK_BOOTTIME, _spec) == 0 else _CLOCK_MONOTONIC

    def now():
        """Return milliseconds of a clock that goes on while the machine sleeps and is never set."""
        _gettime(_clock, _spec)
        return _spec[0] * 1000 + _spec[1] // 1_000_000

else:
    # What clock_gettime() fills in has two sizes on 32-bit machines, and nothing tells which the C library means.
    # ticks_ms() wraps; as long as it is asked once in six days, the sum of its steps does not.
    LONGEST_SLEEP_MS = 86_400_000
    _ticks = time.ticks_ms()
    _now = _ticks + 1

    def now():
        """Return milliseconds of a clock that is never set."""
        global _ticks, _now
        ticks = time.ticks_ms()
        _now += time.ticks_diff(ticks, _ticks)
        _ticks = ticks
        return _now


def realtime():
    """Return seconds and nanoseconds since 1970 of the clock that people set."""
    return divmod(time.time_ns(), 1_000_000_000)
