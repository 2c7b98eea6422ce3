"""All that is measured of wgembed beside other WireGuards in user space, as one table with the targets beside the figures.

    python -m tests.bench.table [--runs 5] [--seconds 5] [--rows ROW,...] [--json FILE] [PROGRAM...]

The programs take turns within a run, so that whatever else the machine does meets all of them alike. Told are medians and
spread; ratios are medians of those of the single runs. Programs that the machine lacks are left out.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ..lab import peers
from ..lab.need import Missing
from . import figures, floods, handshakes, instructions, memory, single, tunnels
from .figures import FASTPATH, PYTHON, Column, Figure, Target

CPYTHON, MICROPYTHON = "CPython", "MicroPython"
BOOKWORM, NEWEST = "wireguard-go", "wireguard-go-sid"

COLUMNS = {column.name: column for column in (
    Column(BOOKWORM, peers.WireguardGo),
    Column(NEWEST, peers.WireguardGoSid),
    Column("wgembed", peers.Wgembed, CPYTHON, PYTHON),
    Column("wgembed-micropython", peers.WgembedMicropython, MICROPYTHON, PYTHON),
    Column("wgembed-fastpath", peers.WgembedFast, CPYTHON, FASTPATH),
    Column("wgembed-micropython-fastpath", peers.WgembedMicropythonFast, MICROPYTHON, FASTPATH),
)}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A measurement and its figures.

    measure  a function of a column and the seconds that a stream takes: {key of a figure: value}, or None if there is
             nothing to be measured of this program
    once     there is no spread: one run is enough
    """

    measure: object
    figures: tuple
    once: bool = False


def _program(function, *more):
    return lambda column, seconds: function(column.kind, seconds, *more)


def _start(column, seconds):
    return {"ready": memory.starts(column.kind, 1)[0]}


def _configure(column, seconds):
    grown, took = memory.configured(tunnels.sized(column.kind, PEERS * 2), PEERS)
    return {"peer": grown, "took": took}


def _single(column, seconds):
    return single.spread(column.kind, SINGLE)


def _words(name):
    return name.replace("_", " ")


PEERS = 1000
# Round trips of single packets; `python -m tests.bench.single` makes a million.
SINGLE = 100_000
_RESIDENT = (Target(CPYTHON, "<=", 0.1, 0.1, NEWEST), Target(MICROPYTHON, "<=", 0.04, 0.04, NEWEST),
             Target(CPYTHON, "<=", 12, 12), Target(MICROPYTHON, "<=", 4, 4))  # fmt: skip
_LIKE_CPYTHON = Target(MICROPYTHON, ">=", 0.8, 0.9, CPYTHON)
# The same the other way round: what is to be at least 0.8 times as fast may cost 1.25 times as much.
_LIKE_CPYTHON_COST = Target(MICROPYTHON, "<=", 1.25, 1.11, CPYTHON)

ROWS = {
    "idle": Row(_program(tunnels.idle), (
        Figure("trip", "ping, idle tunnel, median", "ms", (Target(None, "<=", 1.0, 1.0, NEWEST),)),
        Figure("rss", "RSS, idle", "MB"),
        Figure("pss", "PSS, idle", "MB"),
    )),
    "tcp": Row(_program(tunnels.tcp), (
        Figure("rate", "TCP, one stream", "Mbit/s", (
            Target(CPYTHON, ">=", 0.5, 1.2, NEWEST), Target(CPYTHON, ">=", 1.5, 4, BOOKWORM), _LIKE_CPYTHON)),
        Figure("cost", "CPU of both ends, one stream", "ms/MB", (
            Target(CPYTHON, "<=", 1.9, 0.75, NEWEST), Target(CPYTHON, "<=", 0.45, 0.17, BOOKWORM), _LIKE_CPYTHON_COST)),
        Figure("rss", "RSS under load", "MB", _RESIDENT),
        Figure("pss", "PSS under load", "MB"),
    )),
    "tcp8": Row(_program(tunnels.tcp, 8), (
        Figure("rate", "TCP, eight streams", "Mbit/s"),
        Figure("cost", "CPU of both ends, eight streams", "ms/MB"),
    )),
    "loaded": Row(_program(tunnels.loaded), (
        Figure("trip", "ping beside a TCP stream, median", "ms"),
    )),
    "single": Row(_single, (
        Figure("half", "single packets, half of the round trips", "ms"),
        Figure("rare", "single packets, 99.99 % of the round trips", "ms"),
        Figure("most", "single packets, the longest round trip", "ms"),
        Figure("lost", "single packets, lost", ""),
    ), once=True),
    "udp64": Row(_program(tunnels.udp, 64), (
        Figure("rate", "UDP, 64 bytes", "packets/s", (Target(None, ">=", 1.0, 1.0, BOOKWORM),)),
        Figure("cost", "CPU of both ends, UDP, 64 bytes", "us/packet"),
        Figure("offered", "offered then, 64 bytes", "packets/s"),
    )),
    "udp1392": Row(_program(tunnels.udp, 1392), (
        Figure("rate", "UDP, 1392 bytes (full packets)", "packets/s"),
        Figure("cost", "CPU of both ends, UDP, 1392 bytes", "us/packet"),
        Figure("offered", "offered then, 1392 bytes", "packets/s"),
    )),
    "handshakes": Row(_program(handshakes.rate), (
        Figure("wall", "handshakes answered", "per second", (Target(CPYTHON, ">=", 1500, 1500),)),
        Figure("cpu", "handshakes answered", "per CPU second"),
    )),
    "flood": Row(_program(floods.initiations), (
        Figure("kept", "TCP kept under a flood of initiations", "%", (Target(None, ">=", 70, 70),)),
        Figure("sent", "bogus initiations sent then", "per second"),
        Figure("cookies", "cookies in answer", ""),
        Figure("grown", "RSS growth under the flood", "KB"),
    )),
    "floods": Row(_program(floods.every), tuple(
        figure for name in floods.KINDS for figure in (
            Figure(f"kept.{name}", f"TCP kept under {_words(name)}", "%", (Target(None, ">=", 70, 70),)),
            Figure(f"keys.{name}", f"new keys under {_words(name)}", "s"),
            Figure(f"grown.{name}", f"RSS growth under {_words(name)}", "KB"),
            Figure(f"sent.{name}", f"{_words(name)}, sent", "per second"),
        )
    )),
    "scale": Row(_program(tunnels.scale), tuple(
        Figure(f"peers_{count}", f"CPU per MB with {count:,} peers, {prefixes:,} prefixes", "x of one peer",
               (Target(None, "<=", 1.3, 1.3),) if count == PEERS else ())
        for count, prefixes in tunnels.SCALES[1:]
    )),
    "configure": Row(_configure, (
        Figure("took", f"{PEERS:,} peers through the control socket", "s", (Target(None, "<=", 0.5, 0.5),)),
        Figure("peer", "memory per configured peer", "KB", (Target(None, "<=", 5, 5),)),
    )),
    "start": Row(_start, (
        Figure("ready", "start until ready", "ms", (Target(CPYTHON, "<=", 150, 150), Target(MICROPYTHON, "<=", 60, 60))),
    )),
    "instructions": Row(instructions.row, tuple(
        Figure(f"{case}_{part}", f"instructions per packet, {case}, {part}", "") for case in instructions.CASES
        for part in instructions.PARTS
    ), once=True),
}  # fmt: skip


def machine():
    """Return what the figures depend on."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith(("model name", "Hardware", "cpu model"))]  # fmt: skip
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def available(names):
    """Return the columns of these names that the machine has; say what keeps the others out."""
    columns = []
    for name in names:
        try:
            COLUMNS[name].kind.prepare()
        except Missing as missing:
            print(f"{name} is left out: {missing}")
        else:
            columns.append(COLUMNS[name])
    return columns


class Runs:
    """What was measured: by row, figure and column, a value each run; None where a measurement failed."""

    def __init__(self, columns):
        self._columns = columns
        self.values = {}
        self.failures = []

    def take(self, name, row, runs, seconds):
        for number in range(1 if row.once else runs):
            for column in self._columns:
                try:
                    found = row.measure(column, seconds)
                except Missing as missing:
                    print(f"{name} is left out for {column.name}: {missing}")
                    continue
                except (AssertionError, OSError, subprocess.SubprocessError) as error:
                    self.failures.append(f"{name}, {column.name}, run {number + 1}: {error}")
                    print(self.failures[-1], file=sys.stderr, flush=True)
                    continue
                if found is None:
                    continue
                for key, value in found.items():
                    self.values.setdefault(name, {}).setdefault(key, {}).setdefault(column.name, {})[number] = value
                told = " ".join(f"{key} {figures.digits(value)}" for key, value in found.items())
                print(f"{name}, run {number + 1}, {column.name}: {told}", file=sys.stderr, flush=True)

    def complete(self, name):
        """Return {figure: {column: [values]}} of a row; a run that failed for one column counts for none."""
        row = self.values.get(name, {})
        told = {}
        for key, by_column in row.items():
            common = set.intersection(*(set(values) for values in by_column.values()))
            told[key] = {column: [values[number] for number in sorted(common)] for column, values in by_column.items()}
        return told


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--seconds", type=int, default=5, help="how long a stream takes")
    options.add_argument("--rows", default=",".join(ROWS), help="some of " + ", ".join(ROWS))
    options.add_argument("--json", type=Path)
    options.add_argument("programs", nargs="*", default=list(COLUMNS), metavar="PROGRAM")
    given = options.parse_args()
    names = given.rows.split(",")
    unknown = {*names} - {*ROWS} | {*given.programs} - {*COLUMNS}
    if unknown:
        options.error(f"no row or program: {', '.join(sorted(unknown))}")
    if given.seconds < 2:
        options.error("a stream takes two seconds at least")
    columns = available(given.programs)
    begin, load = datetime.datetime.now(), os.getloadavg()[0]
    taken = Runs(columns)
    for name in names:
        taken.take(name, ROWS[name], given.runs, given.seconds)
    about = {"date": begin.isoformat(timespec="minutes"), **machine(), "load_before": load, "load_after": os.getloadavg()[0],
             "runs": given.runs, "seconds": given.seconds}  # fmt: skip
    tell(about, taken, columns, names)
    if given.json:
        given.json.write_text(json.dumps(report(about, taken, columns, names), indent=1) + "\n")
    return 1 if taken.failures else 0


def tell(about, taken, columns, names):
    print("{date}, {cpu}, {cores} cores, Linux {kernel}, Python {python}; medians of {runs} runs, streams of {seconds} s; "
          "load average {load_before:.2f} before, {load_after:.2f} after\n".format(**about))  # fmt: skip
    print(figures.markdown(*_flat(taken, names), columns))
    for failure in taken.failures:
        print(f"failed: {failure}")


def _flat(taken, names):
    """Return the figures of the rows, and the runs, under keys that are unique."""
    shown, runs = [], {}
    for name in names:
        complete = taken.complete(name)
        for figure in ROWS[name].figures:
            key = f"{name}.{figure.key}"
            shown.append(Figure(key, figure.title, figure.unit, figure.targets))
            runs[key] = complete.get(figure.key, {})
    return shown, runs


def report(about, taken, columns, names):
    """Return what the table says, for machines."""
    shown, runs = _flat(taken, names)
    return {
        **about,
        "figures": [{
            "name": figure.key, "title": figure.title, "unit": figure.unit, "values": runs[figure.key],
            "medians": {column: statistics.median(values) for column, values in runs[figure.key].items() if values},
            "targets": [asdict(verdict) for verdict in figures.verdicts(figure, runs[figure.key], columns)],
        } for figure in shown],
        "failures": taken.failures,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
