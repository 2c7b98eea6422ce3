"""How long a test waits for what is bound to happen: longer where the machine is slow, or busy with other things.

A wait that an event ends costs nothing for being long; one that is too short turns a busy machine into a failure. So this is
the one place that says how long is long enough: `stretch` takes the seconds that a quiet desktop core needs at the most, and
gives them times how much longer a piece of work takes here and now, and how many processes want each core.
"""

import os
import time

# What the work below takes on a quiet core of a desktop or a server of 2020 or later, in s; measured, and rounded down.
_REFERENCE_S = 0.008
_WORK = 400_000
_MOST = 10
# So long a measurement holds, in s.
_HOLDS_S = 2

_measured = (0.0, 1.0)


def _processes_a_core():
    """How many processes want each core: those of this moment, or the mean of the last minute if that is more."""
    with open("/proc/loadavg") as file:
        mean, _, _, now, _ = file.read().split()
    return max(float(mean), int(now.partition("/")[0])) / (os.cpu_count() or 1)


def factor():
    """Return how many times longer things take now: 1 to 10."""
    global _measured
    when, found = _measured
    now = time.monotonic()
    if now - when > _HOLDS_S:
        sum(range(_WORK))
        took = time.monotonic() - now
        # A busy machine is not busy at every moment: what was just found counts as well. And a short piece of work may
        # pass by others that compute all the time, which a longer one does not.
        found = min(max(1.0, took / _REFERENCE_S, _processes_a_core(), found / 2), _MOST)
        _measured = (now, found)
    return found


def stretch(seconds):
    """Return for how long to wait in place of `seconds`."""
    return seconds * factor()
