"""The library under AddressSanitizer and UndefinedBehaviorSanitizer: these tests again, and the fuzz targets."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import fastpath
from ..lab.need import NotInstalled, need
from . import fastlib

HERE = Path(__file__).parent
TARGETS = ("read", "write", "open", "seal", "primitives")
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WRONG = """
import sys
from tests.fastpath import fastlib
fast = fastlib.Fastpath(sys.argv[1])
fast.state.stride = len(fast.arena.buffer)
fast.seal(1, 2, bytes(32), bytes(8), 0, 1420)
"""


def runtime():
    """Return the path of the sanitizer's library, which Python must load first; NotInstalled if it is not there."""
    compiler = fastpath.compiler()
    for name in ("libasan.so", "libclang_rt.asan-x86_64.so"):
        found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        if os.path.isabs(found):
            return found
    raise NotInstalled(f"sanitizers of {os.path.basename(compiler)}")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What a Python with the sanitized library runs in."""
    if fastlib.GIVEN in os.environ:
        pytest.skip("these are such tests already")
    preloaded = need(runtime)
    library = fastpath.compile_library(tmp_path_factory.mktemp("sanitized"), *SANITIZE)
    return dict(
        os.environ, LD_PRELOAD=preloaded, ASAN_OPTIONS="detect_leaks=0", PYTHONMALLOC="malloc",
        PYTHONPATH=str(fastlib.ROOT), PYTHONDONTWRITEBYTECODE="1", **{fastlib.GIVEN: str(library)},
    )  # fmt: skip


def test_the_tests_again(environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE]
    command += [f"--ignore={HERE / name}" for name in ("test_forwarding.py", "test_tun.py")]
    done = subprocess.run(command, cwd=fastlib.ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


def test_what_is_wrong_is_seen(environment):
    command = [sys.executable, "-c", WRONG, environment[fastlib.GIVEN]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode and "AddressSanitizer" in done.stderr, done.stderr


@pytest.fixture(scope="module", params=TARGETS)
def target(request, tmp_path_factory):
    """The driver of a fuzz target."""
    if fastlib.GIVEN in os.environ:
        pytest.skip("these are such tests already")
    need(runtime)
    path = tmp_path_factory.mktemp("fuzz") / request.param
    command = [fastpath.compiler(), *fastpath.STRICT, *SANITIZE, "-DFUZZ_DRIVER", "-o", path]
    done = subprocess.run(
        [*command, fastlib.ROOT / "fastpath" / f"fuzz_{request.param}.c"], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return path


def test_fuzz(target):
    done = subprocess.run([target, "-runs=15000", "-seed=1"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "15000 runs\n"), done.stderr


def test_fuzz_of_a_file(target, tmp_path):
    for size in (0, 1, 3, 1000):
        (tmp_path / str(size)).write_bytes(random.Random(size).randbytes(size))
    done = subprocess.run([target, *tmp_path.iterdir()], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert subprocess.run([target, tmp_path / "nothing"], capture_output=True, timeout=100).returncode == 1
