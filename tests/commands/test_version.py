"""`wgembed version`: the whole line, on both interpreters, with and without libsodium and the C library."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wgembed import __version__

from ..lab import fastpath
from ..lab.need import need

ROOT = Path(__file__).parents[2]
INTERPRETER = {
    "cpython": "CPython " + sys.version.split()[0].replace("+", r"\+"),
    "micropython": r"MicroPython 1\.\d+\.\d+\S*",
}
LIBSODIUM = r"libsodium (of PyNaCl )?1\.\d+\.\d+"


def printed(command, **environment):
    environment = {**os.environ, **environment}
    done = subprocess.run([*command, "version"], capture_output=True, text=True, timeout=30, cwd=ROOT, env=environment)
    assert done.returncode == 0 and not done.stderr
    return done.stdout


def line(kind, libsodium, library):
    return rf"wgembed {re.escape(__version__)} \({INTERPRETER[kind]}, {libsodium}, {library}\)\n"


@pytest.fixture
def kind(request):
    return request.node.callspec.params["command"]


def test_without_the_c_library(command, kind):
    assert re.fullmatch(line(kind, LIBSODIUM, "no C library"), printed(command, WGEMBED_FASTPATH="0"))


def test_with_the_c_library(command, kind):
    library = str(need(fastpath.built))
    assert re.fullmatch(line(kind, LIBSODIUM, r"C library abi \d+"), printed(command, WGEMBED_FASTPATH=library))


def test_with_a_library_of_another_program(command, kind, tmp_path):
    (tmp_path / "other.so").write_bytes(b"\x7fELF")
    told = printed(command, WGEMBED_FASTPATH=str(tmp_path / "other.so"))
    assert re.fullmatch(line(kind, LIBSODIUM, "a C library that cannot be loaded"), told)


def test_without_libsodium():
    """-S: Python does not find PyNaCl. On MicroPython, tests/openwrt/test_router.py tries it."""
    told = printed([sys.executable, "-S", "-m", "wgembed"], WGEMBED_FASTPATH="0")
    assert re.fullmatch(line("cpython", "no libsodium", "no C library"), told)
