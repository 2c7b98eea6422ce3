"""Time."""

from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime_ns

_clock = CLOCK_BOOTTIME
try:
    clock_gettime_ns(_clock)
except OSError:
    # Kernels before 2.6.39. This one stands still while the machine sleeps, which routers do not.
    _clock = CLOCK_MONOTONIC

# How long may pass between two calls of now(), in ms; None: any time.
LONGEST_SLEEP_MS = None


def now():
    """Return milliseconds of a clock that goes on while the machine sleeps and is never set."""
    return clock_gettime_ns(_clock) // 1_000_000


def realtime():
    """Return seconds and nanoseconds since 1970 of the clock that people set."""
    return divmod(clock_gettime_ns(CLOCK_REALTIME), 1_000_000_000)
