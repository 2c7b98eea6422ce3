"""Every shell script of the tree: read by shellcheck, and by the shell that routers have."""

import re
import subprocess
from pathlib import Path

import pytest

from lab.need import need, programs

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "init.d", "package", "tests", "wgembed")
# The first line says so: what runs it, or, in what is only read by others, which dialect it is.
SHELL = re.compile(rb"#!.*\b(sh|bash|rc\.common)\b|# shellcheck shell=")


def scripts():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and SHELL.match(path.open("rb").readline()):
                yield path


def test_the_scripts_are_found():
    found = {path.relative_to(ROOT).as_posix() for path in scripts()}
    assert {".ci/run", "init.d/wgembed", "package/files/launch.sh", "package/files/wgembed.defaults"} <= found


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shellcheck(path):
    need(programs, "shellcheck")
    dialect = [] if b"bash" in path.open("rb").readline() else ["--shell=dash"]
    done = subprocess.run(["shellcheck", "--external-sources", *dialect, path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_syntax_for_ash(path):
    need(programs, "busybox")
    if b"bash" in path.open("rb").readline():
        pytest.skip("for bash")
    done = subprocess.run(["busybox", "ash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
