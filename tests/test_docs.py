"""What the documentation says about tests is true: those that it names exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"`([\w./-]*test_\w+\.py|(?=::))(?:::(\w+))?`")


def names_in(path):
    """The names of the tests in a file."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def files(name):
    """The files that a name means: a path from the root, or a file's name alone, or its tail."""
    return [path for path in (ROOT / "tests").rglob("test_*.py") if path.as_posix().endswith("/" + name)]


def missing(text):
    """The tests that are named in the text and do not exist."""
    wanted, lost = "", []
    for file, test in NAME.findall(text):
        # `::name` is in the file that was named before it.
        wanted = file or wanted
        found = files(wanted)
        if not found or (test and not any(test in names_in(path) for path in found)):
            lost.append(f"{wanted}::{test}" if test else wanted)
    return lost


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_named_tests_exist(page):
    assert missing(page.read_text()) == []


def test_the_check_finds_what_is_missing():
    text = "`tests/test_docs.py::test_named_tests_exist`, `::missing`, `::test_nowhere` and `test_no_such.py`"
    assert missing(text) == ["tests/test_docs.py::test_nowhere", "test_no_such.py"]
    assert NAME.search((ROOT / "docs/others-bugs.md").read_text())
