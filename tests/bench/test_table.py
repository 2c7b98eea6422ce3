"""The table is measured and told: a short run of the cheapest rows, and the program that valgrind looks at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import peers
from ..lab.need import need
from . import instructions, table
from .figures import FASTPATH, PYTHON

ROOT = Path(__file__).parents[2]
TABLE = [sys.executable, "-m", "tests.bench.table"]


@pytest.mark.parametrize("name", ["wgembed", "wgembed-fastpath"])
def test_table(tmp_path, name):
    need(table.COLUMNS[name].kind.prepare)
    file = tmp_path / "table.json"
    options = ["--runs", "2", "--seconds", "2", "--rows", "start,configure", "--json", str(file), name]
    done = subprocess.run([*TABLE, *options], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"|  | {name} | targets |" in done.stdout
    assert "| start until ready, ms | " in done.stdout
    told = json.loads(file.read_text())
    assert {"date", "cpu", "cores", "kernel", "load_before", "load_after"} <= told.keys() and not told["failures"]
    ready = next(figure for figure in told["figures"] if figure["name"] == "start.ready")
    assert len(ready["values"][name]) == 2
    assert [(target["column"], target["wanted"]) for target in ready["targets"]] == [(name, 150)]


def test_columns_are_what_they_say():
    """The interpreter and the path of a column are those of its program."""
    for column in table.COLUMNS.values():
        kind = column.kind
        assert kind.name == column.name
        assert (column.path is not None) == (column.interpreter is not None) == issubclass(kind, peers.Wgembed)
        assert (column.path == FASTPATH) == issubclass(kind, peers.Fast)
        assert (column.interpreter == table.MICROPYTHON) == issubclass(kind, peers.WgembedMicropython)


def test_an_unknown_row_is_refused():
    done = subprocess.run([*TABLE, "--rows", "start,nosuch"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nosuch" in done.stderr


@pytest.fixture(params=[instructions.CPYTHON, instructions.MICROPYTHON])
def interpreter(request):
    need(instructions.command, request.param)
    return request.param


@pytest.fixture(params=[PYTHON, FASTPATH])
def path(request):
    if request.param == FASTPATH:
        need(instructions.built)
    return request.param


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("mode", ["send", "both"])
def test_packets_pass(interpreter, path, kind, mode):
    command, environment = instructions.command(interpreter, path)
    arguments = ["128", kind, mode, "3", "9"]
    done = subprocess.run([*command, instructions.PROGRAM, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_instructions_are_counted(path):
    found = need(instructions.count, instructions.MICROPYTHON, instructions.CASES["TCP"], "both", 64, path)
    grouped = {instructions.group(place) for place, number in found.items() if number > 64 * 100}
    assert {"interpreter", "libsodium", "libc"} <= grouped
    assert ("fastpath" in grouped) == (path == FASTPATH)


def test_the_library_costs_the_same_on_both_interpreters():
    """It does the same there; if a profile told it badly, it would look different."""
    need(instructions.built)
    told = []
    for interpreter in (instructions.CPYTHON, instructions.MICROPYTHON):
        found = need(instructions.count, interpreter, instructions.CASES["TCP"], "both", 64, FASTPATH)
        told.append(sum(number for place, number in found.items() if instructions.group(place) == "fastpath"))
    assert told[0] == pytest.approx(told[1], rel=0.01)
