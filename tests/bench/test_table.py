"""The table is measured and told: a short run of the cheapest rows, and the program that valgrind looks at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import instructions
from lab import peers
from lab.need import need

FOLDER = Path(__file__).parent


def test_table(tmp_path):
    need(peers.Wgembed.prepare)
    file = tmp_path / "table.json"
    options = ["--runs", "2", "--seconds", "2", "--rows", "start,configure", "--json", str(file), "wgembed"]
    done = subprocess.run([sys.executable, FOLDER / "table.py", *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "|  | wgembed | targets |" in done.stdout
    assert "| start until ready, ms | " in done.stdout
    told = json.loads(file.read_text())
    assert {"date", "cpu", "cores", "kernel", "load_before", "load_after"} <= told.keys() and not told["failures"]
    ready = next(figure for figure in told["figures"] if figure["name"] == "start.ready")
    assert len(ready["values"]["wgembed"]) == 2
    assert [(target["column"], target["wanted"]) for target in ready["targets"]] == [("wgembed", 150)]


def test_an_unknown_row_is_refused():
    done = subprocess.run([sys.executable, FOLDER / "table.py", "--rows", "start,nosuch"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "nosuch" in done.stderr


@pytest.fixture(params=[instructions.CPYTHON, instructions.MICROPYTHON])
def interpreter(request):
    need(instructions.command, request.param)
    return request.param


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("mode", ["send", "both"])
def test_packets_pass(interpreter, kind, mode):
    command, environment = instructions.command(interpreter)
    arguments = ["128", kind, mode, "3", "9"]
    done = subprocess.run([*command, instructions.PROGRAM, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_instructions_are_counted():
    found = need(instructions.count, instructions.MICROPYTHON, instructions.CASES["TCP"], "both", 64)
    grouped = {instructions.group(path) for path, number in found.items() if number > 64 * 100}
    assert {"interpreter", "libsodium", "libc"} <= grouped
