"""The tests of this folder on MicroPython."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]

# Two devices with all buffers, twice, and the larger buffers of the C library. Freed memory is not compacted.
HEAP = "6M"


@pytest.fixture(scope="module")
def micropython():
    return need(debian.micropython)


def run(command, *arguments, cwd=ROOT):
    command = [*command, "-X", f"heapsize={HEAP}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)


def test_unit_tests_under_micropython(micropython):
    done = run(micropython, "-m", "tests.unit.run")
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed = done.stdout.split()[-4::2]
    assert failed == "0"
    assert int(passed) > 100


def test_unit_tests_without_pytest():
    """In one process, with a garbage collection before each test. No other run of the tests does this."""
    done = run([sys.executable], "-m", "tests.unit.run")
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr


def test_the_runner_reports_a_failure(micropython, tmp_path):
    folder = tmp_path / "tests/unit"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text("def test_good():\n    pass\n\n\ndef test_bad():\n    assert not 1\n")
    (folder / "test_not_here.py").write_text("import pytest\n")
    shutil.copy(ROOT / "tests/unit/run.py", folder)
    done = run(micropython, "-m", "tests.unit.run", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED test_it.test_bad" in done.stdout
    assert "line 6" in done.stdout + done.stderr
    assert "skipped test_not_here" in done.stdout
    assert done.stdout.endswith("1 passed, 1 failed\n")


def test_libsodium_is_initialised_before_use(micropython):
    # Without sodium_init() every call would use the slowest code, and no other test would find it.
    again = "crypto._micropython._lib.func('i', 'sodium_init', '')()"
    done = run(micropython, "-c", f"import sys; sys.path.insert(0, '.'); from wgembed import crypto; print({again})")
    assert done.stdout == "1\n", done.stdout + done.stderr


ALONE = """
import _blake2
from _blake2 import test_blake2
names = [name for name in dir(test_blake2) if name.startswith("test_")]
for name in names:
    getattr(test_blake2, name)()
print(len(names), _blake2.blake2s(b"abc").digest().hex()[:8])
"""


def test_the_shim_stands_alone(micropython, tmp_path):
    """As micropython-lib installs it: one folder with its tests, and no other files of ours."""
    shutil.copytree(ROOT / "wgembed/crypto/_blake2", tmp_path / "_blake2")
    done = subprocess.run([*micropython, "-c", ALONE], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout == "8 508c5e8c\n", done.stdout + done.stderr
    # The manifest names a package, which must be beside the folder of the manifest.
    taken = []
    manifest = compile((tmp_path / "_blake2/manifest.py").read_text(), "manifest.py", "exec")
    exec(manifest, {"metadata": lambda **_: None, "package": lambda name, base_path: taken.append((name, base_path))})
    assert taken == [("_blake2", "..")] and (tmp_path / "_blake2" / taken[0][1] / "_blake2/__init__.py").is_file()
