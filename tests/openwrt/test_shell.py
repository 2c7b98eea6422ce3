"""Every shell script of the tree: read by shellcheck, and by the shell that routers have."""

import re
import subprocess
from pathlib import Path

import pytest

from ..lab.need import need, programs

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "init.d", "package", "tests", "wgembed")
# The first line says so: what runs it, or, in what is only read by others, which dialect it is.
SHELL = re.compile(rb"#!.*\b(sh|bash|rc\.common)\b|# shellcheck shell=")


def first_line(path):
    with path.open("rb") as file:
        return file.readline()


def name_of(path):
    return path.relative_to(ROOT).as_posix()


FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
SCRIPTS = [path for path in FILES if SHELL.match(first_line(path))]
FOR_ROUTERS = [path for path in SCRIPTS if b"bash" not in first_line(path)]


def test_the_scripts_are_found():
    found = set(map(name_of, SCRIPTS))
    assert {".ci/run", "init.d/wgembed", "package/files/launch.sh", "package/files/wgembed.defaults"} <= found


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_shellcheck(path):
    need(programs, "shellcheck")
    dialect = ["--shell=dash"] if path in FOR_ROUTERS else []
    done = subprocess.run(["shellcheck", "--external-sources", *dialect, path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FOR_ROUTERS, ids=name_of)
def test_syntax_for_ash(path):
    need(programs, "busybox")
    done = subprocess.run(["busybox", "ash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
