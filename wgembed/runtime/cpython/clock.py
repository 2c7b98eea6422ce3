"""Time."""

from time import CLOCK_BOOTTIME, CLOCK_REALTIME, clock_gettime_ns


def now():
    """Return milliseconds of a clock that goes on while the machine sleeps and is never set."""
    return clock_gettime_ns(CLOCK_BOOTTIME) // 1_000_000


def realtime():
    """Return seconds and nanoseconds since 1970 of the clock that people set."""
    return divmod(clock_gettime_ns(CLOCK_REALTIME), 1_000_000_000)
