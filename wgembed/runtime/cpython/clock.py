"""Time."""

from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime_ns

_clock = CLOCK_BOOTTIME
try:
    clock_gettime_ns(_clock)
except OSError:
    # Kernels before 2.6.39. CLOCK_MONOTONIC stops while the machine sleeps, but routers do not sleep.
    _clock = CLOCK_MONOTONIC

# The longest allowed time between two calls of now(), in ms; None: no limit.
LONGEST_SLEEP_MS = None


def now():
    """Return the milliseconds of a clock that runs while the machine sleeps and cannot be set."""
    return clock_gettime_ns(_clock) // 1_000_000


def realtime():
    """Return the time of day: seconds and nanoseconds since 1970."""
    return divmod(clock_gettime_ns(CLOCK_REALTIME), 1_000_000_000)
