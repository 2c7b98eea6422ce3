"""Both ends of the first tunnel on one machine: the commands of the page do what the page says of them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from ..lab import net
from ..lab.need import need, programs

PAGE = (Path(__file__).parents[2] / "docs/first-tunnel.md").read_text()
SECTION = re.search(r"^## Without a router.*?(?=^## )", PAGE, re.M | re.S)[0]
KEY = r"[\w+/]{43}="
OWN = {name: net.unique("t") for name in ("router", "laptop")}
FAILED = """trap 'echo "failed: $BASH_COMMAND"' ERR\n"""


def blocks(text):
    """The blocks of code, without their indentation."""
    return [dedent(block) for block in re.findall(r"(?:^    .*\n)+", text, re.M)]


def named(commands):
    """The commands, with names for the namespaces that only this test has."""
    return re.sub(r"\b(router|laptop)\b(?!\.key)", lambda name: OWN[name[1]], commands)


def neutral(text):
    """What is printed, without what is another in each run."""
    return re.sub(r"(?<=192\.0\.2\.2:)\d+", "PORT", re.sub(KEY, "KEY", text))


@pytest.fixture
def type_in(tmp_path):
    """Run commands of the page in one folder, with separate names for namespaces; returns what a terminal shows."""
    need(programs, "ip", "ping", "bash")
    for folder in ("socket", "run", "state"):
        (tmp_path / folder).mkdir()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WGEMBED_SOCKET_DIR": f"{tmp_path}/socket",
        "WGEMBED_RUN_DIR": f"{tmp_path}/run",
        "WGEMBED_STATE_DIR": f"{tmp_path}/state",
    }

    def run(commands):
        done = subprocess.run(
            ["bash", "-c", FAILED + named(commands)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=60,
        )
        return done.stdout

    yield run
    run("for n in router laptop; do ip -n $n link delete wg0; ip -n $n link delete home; ip netns delete $n; done")


def test_both_ends_on_one_machine(type_in):
    *begin, test, wrong, shown, end = blocks(SECTION)
    assert type_in("".join(begin)) == ""
    tested = type_in(test)
    assert "failed" not in tested and " 0% packet loss" in tested
    assert len(re.findall(rf"^  {KEY}: up, handshake", tested, re.M)) == 2
    assert re.findall("failed: (.*)", type_in(wrong)) == [named(wrong.splitlines()[-1])]
    command, _, printed = shown.removeprefix("$ ").partition("\n")
    told = re.sub(r"failed: .*\n", "", type_in(command + "\n"))
    assert neutral(told) == neutral(printed.replace("LAPTOP_PUBLIC_KEY", "KEY").replace("OTHER_PUBLIC_KEY", "KEY"))
    assert type_in(end) == ""
