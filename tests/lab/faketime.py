"""Another time of day for one process, by libfaketime.

The library is preloaded without its wrapper, `faketime`, which refuses to start where a killed process that had the same id
once left its file in /dev/shm; the library takes such a file over.
"""

import os
import re
from pathlib import Path

from .need import NotInstalled

_LEFT = re.compile(r"(?:sem\.)?faketime_(?:sem|shm)_(\d+)")


def preloaded():
    """Return the path of the library."""
    for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1"):
        if path.is_file():
            return str(path)
    raise NotInstalled("libfaketime")


def environment(when):
    """Return what a process must have in its environment for this time: '+5', '-5' or '@2020-01-01 00:00:00'.

    The clocks that count from the machine's start are left alone.
    """
    return {"LD_PRELOAD": preloaded(), "FAKETIME": when, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def sweep():
    """Remove what processes left that were killed."""
    for path in Path("/dev/shm").iterdir():
        left = _LEFT.fullmatch(path.name)
        if left and not os.path.exists(f"/proc/{left[1]}"):
            path.unlink(missing_ok=True)
