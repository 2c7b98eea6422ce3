"""Newer interpreters and libsodiums, of Debian's suites: the unit tests, and on MicroPython the daemon and the router."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import suites
from ..lab.need import need, privileges

ROOT = Path(__file__).parents[2]
HEAP = ["-X", "heapsize=6M"]


@pytest.fixture(params=suites.SUITES)
def suite(request):
    return request.param


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
def test_unit_tests(suite, kind):
    command = need(suites.python, suite) if kind == "cpython" else [*need(suites.micropython, suite), *HEAP]
    done = subprocess.run([*command, "-m", "tests.unit.run"], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed = done.stdout.split()[-4::2]
    assert int(passed) > 200 and failed == "0"


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
def test_the_version(suite, kind):
    """The interpreter and libsodium are those of the suite."""
    command = need(suites.python, suite) if kind == "cpython" else need(suites.micropython, suite)
    done = subprocess.run([*command, "-m", "wgembed", "version"], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "libsodium 1.0." in done.stdout and ("MicroPython" in done.stdout) == (kind == "micropython")


def test_the_daemon_and_the_router_on_the_newest_micropython():
    """The tests of both, in another pytest whose MicroPython is that of sid."""
    need(privileges)
    command = [*need(suites.micropython, "sid")]
    files = ["tests/daemon/test_daemon.py", "tests/daemon/test_micropython.py", "tests/router/test_run.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "micropython and not micropython32", *files],
        env=dict(os.environ, WGEMBED_MICROPYTHON=shlex.join(command)), capture_output=True, text=True, timeout=900, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
