"""Instructions that a packet costs, counted by valgrind: the same in every run, whatever else the machine does.

    python -m tests.bench.instructions [--json FILE] [CASE...]

Each case is run for two numbers of packets; what the larger one takes more is divided by how many more they are, and so
neither the start nor the end counts. The kernel's instructions are not seen. What is told is split by the object that the
instructions are in, and by the end: sending is read from the tunnel device, sealed and sent; receiving the rest.
With the C library, where it can be compiled, and in pure Python.
"""

import argparse
import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..lab import debian, fastpath, micropython
from ..lab.need import Missing, programs
from .figures import FASTPATH, PYTHON

PACKETS = 640, 6400
PROGRAM = Path(__file__).with_name("packets.py")
PARTS = "sending", "receiving"
OBJECTS = "interpreter", "libsodium", "fastpath", "libc", "others"
_NAMES = {
    "interpreter": ("python3", "libpython", "micropython"),
    "libsodium": ("libsodium", "_sodium"),
    "fastpath": ("fastpath",),
    "libc": ("libc.so", "libc-", "ld-linux"),
}
SOURCES = "/" + fastpath.SOURCE.name, "/primitives.h"
CPYTHON, MICROPYTHON = "CPython", "MicroPython"


@dataclass(frozen=True)
class Case:
    """What packets, and how large the tables are; `interpreters` that take such tables."""

    kind: str
    peers: int = 1
    prefixes: int = 1
    interpreters: tuple = (CPYTHON, MICROPYTHON)


CASES = {
    "TCP": Case("tcp"),
    "UDP64": Case("udp"),
    "TCP1000": Case("tcp", 1000, 10_000, (CPYTHON,)),
}


@functools.cache
def built():
    """Return the path of the C library, compiled as ever, but so that a profile names its source: see `objects`.

    Names are looked up at the end, when CPython has let go of the library: it must still be there.
    """
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return str(fastpath.compile_library(folder, "-g", "-Wl,-z,nodelete"))


def command(interpreter, path=PYTHON):
    """Return what runs a program with the package on this interpreter, and the environment for it.

    path  PYTHON or FASTPATH: what serves the packets
    """
    root = str(Path(__file__).parents[2])
    served = built() if path == FASTPATH else "0"
    environment = {**os.environ, "WGEMBED_FASTPATH": served, "PYTHONHASHSEED": "0"}
    if interpreter == CPYTHON:
        return [sys.executable], {**environment, "PYTHONPATH": root}
    return [*debian.micropython(), "-X", "heapsize=1M"], {**environment, "MICROPYPATH": str(micropython.compiled())}


@functools.cache
def count(interpreter, case, mode, packets, path=PYTHON):
    """Return the instructions of a run: {path of an object: number}."""
    programs("valgrind")
    program, environment = command(interpreter, path)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        arguments = [packets, case.kind, mode, case.peers, case.prefixes]
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        program = [*valgrind, *program, str(PROGRAM), *map(str, arguments)]
        done = subprocess.run(program, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{' '.join(program)}: {done.stderr[-2000:]}")
        with open(out) as file:
            return objects(file)


def objects(lines):
    """Return {path of an object: instructions} of a profile in callgrind's format; AssertionError if it does not add up.

    What is called through libffi, which moves the stack, is taken for a part of the caller: the C library's own is told by
    its source, whose path stands for the object then.
    """
    names, files, found = {}, {}, {}
    current, file, is_call, total = None, "", False, None
    for line in lines:
        first = line[:1]
        if first.isdigit() or first in ("+", "-", "*"):
            # After "calls=" stands what was called, which is counted where it happened.
            if not is_call:
                place = file if file.endswith(SOURCES) else current
                found[place] = found.get(place, 0) + int(line.split()[1])
            is_call = False
        elif line.startswith("ob="):
            number, _, name = line[3:].strip().partition(" ")
            current = names.setdefault(number, name)
        elif line.startswith("cob="):
            number, _, name = line[4:].strip().partition(" ")
            names.setdefault(number, name)
        elif line.startswith(("fl=", "fi=", "fe=")):
            number, _, name = line[3:].strip().partition(" ")
            file = files.setdefault(number, name)
        elif line.startswith(("cfi=", "cfl=")):
            number, _, name = line[4:].strip().partition(" ")
            files.setdefault(number, name)
        elif line.startswith("calls="):
            is_call = True
        elif line.startswith("totals:"):
            total = int(line.split()[1])
    if sum(found.values()) != total:
        raise AssertionError(f"{sum(found.values())} instructions in the objects, {total} in all")
    return found


def group(path):
    """Return which of OBJECTS the object at `path` is."""
    name = path.rpartition("/")[2]
    for known, beginnings in _NAMES.items():
        if name.startswith(beginnings):
            return known
    return "others"


def _per_packet(interpreter, case, mode, path):
    few, many = (count(interpreter, case, mode, packets, path) for packets in PACKETS)
    told = dict.fromkeys(OBJECTS, 0.0)
    for place in {*few, *many}:
        told[group(place)] += (many.get(place, 0) - few.get(place, 0)) / (PACKETS[1] - PACKETS[0])
    return told


def measure(interpreter, case, path=PYTHON):
    """Return the instructions of one packet: {part: {object: number}}."""
    sending, both = (_per_packet(interpreter, case, mode, path) for mode in ("send", "both"))
    return {"sending": sending, "receiving": {name: both[name] - sending[name] for name in OBJECTS}}


def row(column, seconds):
    """Return the figures of a column of the table: all objects together, of each case and part; None if it is not ours."""
    if column.interpreter is None:
        return None
    told = {}
    for name, case in CASES.items():
        if column.interpreter in case.interpreters:
            for part, numbers in measure(column.interpreter, case, column.path).items():
                told[f"{name}_{part}"] = sum(numbers.values())
    return told


def available():
    """Return the paths that the machine has; say what keeps the library out."""
    try:
        built()
    except Missing as missing:
        print(f"{FASTPATH} is left out: {missing}")
        return [PYTHON]
    return [PYTHON, FASTPATH]


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--json", type=Path)
    options.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    given = options.parse_args()
    unknown = {*given.cases} - {*CASES}
    if unknown:
        options.error(f"no case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    told = {}
    head = ["interpreter", "path", "case", "end", "all", *OBJECTS]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for path in available():
        for name in given.cases:
            for interpreter in CASES[name].interpreters:
                for part, numbers in measure(interpreter, CASES[name], path).items():
                    cells = [interpreter, path, name, part]
                    cells += [f"{n:,.0f}" for n in (sum(numbers.values()), *numbers.values())]
                    print("| " + " | ".join(cells) + " |", flush=True)
                    told[f"{interpreter} {path} {name} {part}"] = numbers
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
