"""These tests again on big-endian and on 32-bit machines."""

import os
import subprocess
from pathlib import Path

import pytest

from ..lab import fastpath, foreign
from ..lab.need import need, programs
from . import fastlib

HERE = Path(__file__).parent
COMPILERS = {"s390x": "s390x-linux-gnu-gcc", "armhf": "arm-linux-gnueabihf-gcc"}
# What compiles for this machine, needs its kernel or starts its programs
LEFT_OUT = (
    "test_again.py", "test_build.py", "test_foreign.py", "test_forwarding.py", "test_loading.py", "test_sanitizers.py",
    "test_tun.py",
)  # fmt: skip

pytestmark = pytest.mark.skipif(fastlib.GIVEN in os.environ, reason="these are such tests already")


@pytest.mark.parametrize("architecture", COMPILERS)
def test_the_tests_again(architecture, tmp_path, monkeypatch):
    need(programs, COMPILERS[architecture])
    monkeypatch.setenv("CC", COMPILERS[architecture])
    library = fastpath.compile_library(tmp_path)
    # pytest is the one that runs here; the extensions of that machine come before those of this one.
    folders = os.pathsep.join([str(fastlib.ROOT), str(Path(pytest.__file__).parents[1])])
    python = need(foreign.python, architecture)
    command = [f"{word}:{folders}" if word.startswith("PYTHONPATH=") else word for word in python]
    command += ["-m", "pytest", "-q", "-p", "no:cacheprovider", HERE, *(f"--ignore={HERE / name}" for name in LEFT_OUT)]
    environment = dict(os.environ, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTHONDONTWRITEBYTECODE="1")
    environment[fastlib.GIVEN] = str(library)
    done = subprocess.run(command, cwd=fastlib.ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
