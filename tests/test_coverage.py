"""How much of the protocol the unit tests alone run."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WANTED = 95  # percent of the branches and statements


def test_the_unit_tests_take_every_branch_of_the_protocol_but_a_few(tmp_path):
    """In pure Python, on CPython alone: what the C library does is not counted, and MicroPython counts nothing."""
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage"), "WGEMBED_FASTPATH": "0"}
    coverage = [sys.executable, "-m", "coverage"]
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    ignored = ["--ignore=tests/unit/test_under_micropython.py"]
    run = [*coverage, "run", *pytest, *ignored]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    told = subprocess.run([*coverage, "report"], cwd=ROOT, env=environment, capture_output=True, text=True).stdout
    total = re.search(r"^TOTAL .* (\d+)%$", told, re.M)
    assert total and int(total[1]) >= WANTED, told
