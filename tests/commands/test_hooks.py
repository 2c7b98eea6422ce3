"""The hooks of wg-quick's files, in the shells of routers: bash, BusyBox's ash, and dash, which has no `pipefail`."""

import subprocess

import pytest

from wgembed.commands import hooks
from wgembed.config import wg_quick

from ..lab.need import need, programs

SHELLS = [("bash",), ("busybox", "ash"), ("dash",)]
FILE = """[Interface]
Address = 10.7.0.1/24, fd77::1/64
MTU = 1400
Table = it's
SaveConfig = True
DNS = 10.7.0.2, example.org, fd77::2, 1.example
"""


def run(shell, hook):
    """Run the hook in the shell; return its exit status and output."""
    need(programs, shell[0])
    variables = hooks.variables(wg_quick.parse(FILE), "wg0", "/etc/wireguard/wg0.conf")
    text = hooks.script(hook, variables, shell[0] == "bash")
    done = subprocess.run([*shell, "-c", text, "wgembed"], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[-1])
def test_a_command_that_fails_ends_the_hook(shell):
    assert run(shell, "false; echo on")[1] == "" and run(shell, "false; echo on")[0] != 0
    assert run(shell, "exit 7; echo on") == (7, "")
    assert run(shell, "if false; then :; fi; false || echo on") == (0, "on\n")
    assert run(shell, "") == (0, "")
    status, printed = run(shell, "echo (")
    assert status != 0 and printed == ""


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[-1])
def test_a_pipeline_that_fails_ends_the_hook(shell):
    # dash before 0.5.13 has no pipefail; hooks run in it without.
    has_pipefail = not subprocess.run([*shell, "-c", "set -o pipefail"], capture_output=True).returncode
    assert has_pipefail or shell == ("dash",)
    status, printed = run(shell, "false | cat; echo on")
    assert (status != 0, printed) == ((True, "") if has_pipefail else (False, "on\n"))


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[-1])
def test_variables(shell):
    names = "INTERFACE CONFIG_FILE PROGRAM MTU TABLE SAVE_CONFIG ADDRESSES DNS DNS_SEARCH LC_ALL"
    expected = "wg0 /etc/wireguard/wg0.conf wgembed 1400 it's 1 10.7.0.1/24 10.7.0.2 example.org C"
    lines = "; ".join('echo "$%s"' % name for name in names.split())
    assert run(shell, lines)[1].split("\n") == [*expected.split(), ""]


def test_lists_of_bash():
    hook = 'echo "${ADDRESSES[@]}" "${DNS[@]}" "${DNS_SEARCH[@]}"'
    assert run(("bash",), hook)[1] == "10.7.0.1/24 fd77::1/64 10.7.0.2 fd77::2 example.org 1.example\n"


@pytest.mark.parametrize(
    "word,is_server", [("10.0.0.1", True), ("fd00::1", True), ("example.org", False), ("1.example", False)]
)
def test_servers_and_search_domains(word, is_server):
    assert hooks.is_server(word) == is_server
