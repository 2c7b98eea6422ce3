"""Another time of day for one process, with libfaketime.

The library is preloaded without its wrapper `faketime`. The wrapper does not start if a killed process with the same id left
its file in /dev/shm. The library uses such a file.
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
    """Return the environment variables that give a process this time: '+5', '-5' or '@2020-01-01 00:00:00'.

    The clocks that count from the start of the machine do not change.
    """
    return {"LD_PRELOAD": preloaded(), "FAKETIME": when, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def sweep():
    """Remove the files that killed processes left."""
    for path in Path("/dev/shm").iterdir():
        left = _LEFT.fullmatch(path.name)
        if left and not os.path.exists(f"/proc/{left[1]}"):
            path.unlink(missing_ok=True)
