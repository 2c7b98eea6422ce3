"""Time."""

import sys
import time
from array import array

from . import libc

_CLOCK_MONOTONIC = 1
_CLOCK_BOOTTIME = 7
_is_64bit = sys.maxsize > 1 << 32

# The longest allowed time between two calls of now(), in ms; None: no limit.
LONGEST_SLEEP_MS = None

if _is_64bit:
    _gettime = libc.func("i", "clock_gettime", "iP")
    # The items of an array leave no garbage, unlike unpacked fields, and this is called several times in each turn.
    _spec = array("l", (0, 0))
    # Kernels before 2.6.39 lack CLOCK_BOOTTIME. CLOCK_MONOTONIC stops while the machine sleeps, but routers do not sleep.
    _clock = _CLOCK_BOOTTIME if _gettime(_CLOCK_BOOTTIME, _spec) == 0 else _CLOCK_MONOTONIC

    def now():
        """Return the milliseconds of a clock that runs while the machine sleeps and cannot be set."""
        _gettime(_clock, _spec)
        return _spec[0] * 1000 + _spec[1] // 1_000_000

else:
    # On 32-bit machines struct timespec has two possible sizes, and the size in the C library is not known here.
    # ticks_ms() wraps, but the sum of its steps does not, if now() is called at least once in six days.
    LONGEST_SLEEP_MS = 86_400_000
    _ticks = time.ticks_ms()
    _now = _ticks + 1

    def now():
        """Return the milliseconds of a clock that cannot be set."""
        global _ticks, _now
        ticks = time.ticks_ms()
        _now += time.ticks_diff(ticks, _ticks)
        _ticks = ticks
        return _now


def realtime():
    """Return the time of day: seconds and nanoseconds since 1970."""
    return divmod(time.time_ns(), 1_000_000_000)
