"""The man page: without mistakes in the language of manuals, and complete."""

import re
import subprocess

import pytest

from wgembed.commands import verbs
from wgembed.commands.usage import usage

from ..lab import debian
from ..lab.need import need
from .cli_harness import ROOT

PAGE = ROOT / "docs/wgembed.8"
# What mandoc of a distribution knows of other pages and of the system's name is not ours to mend.
NOT_OURS = re.compile(r"referenced manual not found|operating system explicitly specified|unknown manual")


def mandoc():
    return str(debian.unpack("mandoc", ["mandoc"]) / "usr/bin/mandoc")


def test_lint():
    done = subprocess.run([need(mandoc), "-T", "lint", "-W", "style", PAGE], capture_output=True, text=True, timeout=30)
    assert [line for line in done.stdout.splitlines() if not NOT_OURS.search(line)] == []


@pytest.mark.parametrize("word", [*verbs(), *re.findall(r"\bWG\w+|\bLOG_LEVEL", usage())])
def test_all_is_in_it(word):
    assert re.search(rf"\b{word}\b", PAGE.read_text())
