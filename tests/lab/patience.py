"""How long a test waits for an event: longer if the machine is slow or busy.

A long limit costs nothing if an event ends the wait, but a short limit makes a test fail on a busy machine. So only this
module decides how long is enough. `stretch` takes the most seconds that a quiet desktop core needs. It multiplies them by
the slowness of this machine, measured with a piece of work, and by the number of processes for each core.
"""

import os
import time

# The time of the work below on a quiet core of a desktop or a server of 2020 or later, in s; measured, and rounded down.
_REFERENCE_S = 0.008
_WORK = 400_000
_MOST = 10
# How long a measurement is valid, in s.
_HOLDS_S = 2

_measured = (0.0, 1.0)


def _processes_a_core():
    """The number of running processes for each core: now, or the mean of the last minute if that is larger."""
    with open("/proc/loadavg") as file:
        mean, _, _, now, _ = file.read().split()
    return max(float(mean), int(now.partition("/")[0])) / (os.cpu_count() or 1)


def factor():
    """Return the factor by which work takes longer now: 1 to 10."""
    global _measured
    when, found = _measured
    now = time.monotonic()
    if now - when > _HOLDS_S:
        sum(range(_WORK))
        took = time.monotonic() - now
        # A busy machine is not busy at every moment, so the last measurements count, too. And a short piece of work
        # can be done before other busy processes run, but a longer one cannot.
        found = min(max(1.0, took / _REFERENCE_S, _processes_a_core(), found / 2), _MOST)
        _measured = (now, found)
    return found


def stretch(seconds):
    """Return the seconds to wait on this machine, for `seconds` on a quiet one."""
    return seconds * factor()
