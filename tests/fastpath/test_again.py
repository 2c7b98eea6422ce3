"""The tests of the protocol's packet path once more, with the C library under it, on both runtimes."""

import os
import subprocess
import sys

import pytest

from . import fastlib

pytestmark = pytest.mark.skipif(fastlib.GIVEN in os.environ, reason="these tests look at Python")


@pytest.mark.parametrize("tests", ["tests/unit", "tests/daemon/test_daemon.py", "tests/daemon/test_up.py"])
def test_these(library, tests):
    """Those for MicroPython are among them."""
    environment = {**os.environ, "WGEMBED_FASTPATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]
    done = subprocess.run(command, cwd=fastlib.ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout and "failed" not in done.stdout
