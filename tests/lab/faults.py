"""System calls that fail: `tests/faults/faults.c`, preloaded into a process, and the file with the calls that must fail."""

import contextlib
import errno
import functools
import mmap
import re
import struct
import subprocess
from pathlib import Path

from . import fastpath

SOURCE = Path(__file__).parents[1] / "faults/faults.c"
_TEXT = SOURCE.read_text()
# {function: the names of its errors}, in the order of the table in the file
FUNCTIONS = {
    name: [error.strip() for error in rest.split(",") if error.strip()]
    for name, rest in re.findall(r"^    F\((\w+)([^)]*)\)", _TEXT, re.M)
}
_MOST = int(re.search(r"ERRORS_MOST = (\d+)", _TEXT)[1])
_FIELDS = "Q6I"
_CHOSEN, _RATE, _RANDOM, _NTH, _SEEN, _ERROR, _FILES = 0, 8, 12, 16, 20, 24, 28
_COUNTS = struct.calcsize(_FIELDS)


@functools.cache
def library():
    """Return the path of the compiled library."""
    return str(fastpath.once("faults", SOURCE, _compile) / "faults.so")


def _compile(folder):
    command = [fastpath.compiler(), "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared"]
    subprocess.run([*command, "-o", folder / "faults.so", SOURCE, "-ldl"], check=True)


class Faults:
    """The system calls that fail in processes with `environment`. At first no call fails."""

    def __init__(self, path, seed=1):
        self._size = _COUNTS + 4 * _MOST * len(FUNCTIONS)
        with open(path, "w+b") as file:
            file.write(bytes(self._size))
            file.flush()
            self._memory = mmap.mmap(file.fileno(), self._size)
        self._put("I", _RANDOM, (seed * 2654435761 + 1) & 0xFFFFFFFF or 1)
        self.environment = {"LD_PRELOAD": library(), "FAULTS": str(path)}

    def _put(self, form, at, value):
        struct.pack_into(form, self._memory, at, value)

    def _choose(self, functions):
        numbers = list(FUNCTIONS)
        self._put("Q", _CHOSEN, sum(1 << numbers.index(name) for name in functions))

    def often(self, functions, rate, error=0, files=False):
        """From now on one call in `rate` of these functions fails, with `error` or any error of the table.

        files  `open` fails only for writing, so that modules can still be read, and `write` only for files
        """
        self.none()
        self._choose(functions)
        self._put("i", _ERROR, error)
        self._put("I", _FILES, files)
        self._put("I", _RATE, rate)

    def once(self, functions, nth):
        """Only the nth call of these functions fails, counted from 1 from now on."""
        self.none()
        self._put("i", _ERROR, 0)
        self._put("I", _FILES, 1)
        self._put("I", _SEEN, 0)
        self._put("I", _NTH, nth)
        self._choose(functions)

    def none(self):
        self._put("Q", _CHOSEN, 0)
        self._put("I", _RATE, 0)
        self._put("I", _NTH, 0)

    @contextlib.contextmanager
    def while_(self, functions, rate, **options):
        """As `often`, until this context ends."""
        self.often(functions, rate, **options)
        yield
        self.none()

    def counts(self):
        """Return how often each function failed, and with which error: {(function, name of the error): times}."""
        found = {}
        for i, (name, names) in enumerate(FUNCTIONS.items()):
            for j, error in enumerate(names):
                (times,) = struct.unpack_from("I", self._memory, _COUNTS + 4 * (i * _MOST + j))
                if times:
                    found[name, error] = times
        return found

    @property
    def total(self):
        return sum(self.counts().values())

    def close(self):
        self._memory.close()


def number(name):
    """Return the errno for a name in the table."""
    return getattr(errno, name)
