"""`.ci/run` installs every program that a test asks for: a machine where somebody has worked has more than a fresh one."""

import ast
from pathlib import Path

from .lab.need import BROUGHT_BY

ROOT = Path(__file__).parents[1]
# Tests that are run only when a variable asks for them, and a test of this very question
OUTSIDE = {"tests/lab/luci.py", "tests/lab/scripts.py", "tests/test_need.py"}
# Every Debian system has these, or gcc brings them.
THERE = {"apt", "bash", "binutils", "coreutils", "dpkg", "libc-bin", "mount", "util-linux"}


def asked_for(tree):
    """Yield the programs in calls of `programs`, also as need(programs, ...)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(
            (each.id if isinstance(each, ast.Name) else getattr(each, "attr", "")) == "programs"
            for each in (node.func, *node.args[:1])
        ):
            yield from (each.value for each in node.args if isinstance(each, ast.Constant))


def test_all_programs_are_installed():
    installed = set((ROOT / ".ci/run").read_text().split())
    found = {}
    for path in ROOT.glob("tests/**/*.py"):
        name = path.relative_to(ROOT).as_posix()
        for program in asked_for(ast.parse(path.read_text())) if name not in OUTSIDE else ():
            found.setdefault(program, name)
    assert {"nft", "wg", "ip", "valgrind"} <= found.keys()
    missing = {
        package: name
        for program, name in found.items()
        for package in BROUGHT_BY.get(program, program).split()
        if package not in installed | THERE
    }
    assert not missing
