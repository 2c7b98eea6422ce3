"""The fuzz targets: on all inputs that are kept, and for a short while on new ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab.need import NotInstalled, need
from .samples import SAMPLES
from .targets import TARGETS

HERE = Path(__file__).parent
SECONDS = os.environ.get("WGEMBED_FUZZ_SECONDS", "6")


def fuzzer():
    """Missing if there is no atheris."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        raise NotInstalled("atheris") from None


@pytest.mark.parametrize("target", TARGETS)
def test_all_that_is_kept(target):
    kept = sorted((HERE / "corpus" / target).iterdir())
    assert len(kept) >= len(list(SAMPLES[target]()))
    for path in kept:
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_thinks_of(target, tmp_path):
    """For `WGEMBED_FUZZ_SECONDS`; a failing input is printed, and `python -m tests.fuzz.fuzz TARGET FILE` runs it again."""
    need(fuzzer)
    command = [sys.executable, "-m", "tests.fuzz.fuzz", target, tmp_path]
    command += [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        command, cwd=HERE.parents[1], capture_output=True, text=True, errors="replace", timeout=int(SECONDS) + 120
    )
    found = [path.read_bytes() for path in tmp_path.glob("crash-*")]
    assert done.returncode == 0 and not found, f"{found}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Done " in done.stderr, done.stderr[-3000:]


def test_what_is_wrong_is_found(tmp_path):
    """A target that refuses one byte: the fuzzer comes to it."""
    need(fuzzer)
    program = tmp_path / "wrong.py"
    program.write_text(
        "import sys, atheris\n"
        "@atheris.instrument_func\n"
        "def target(data):\n"
        "    if data[:1] == b'!':\n"
        "        raise AssertionError('found')\n"
        "atheris.Setup(sys.argv, target)\n"
        "atheris.Fuzz()\n"
    )
    command = [sys.executable, program, "-runs=100000", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode and "found" in done.stdout + done.stderr
