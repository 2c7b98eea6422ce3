"""The child process that applies requests can fail to start, die, or hang. Each request gets an answer nevertheless."""

import os
import subprocess
import sys
from pathlib import Path

import pyroute2
import pytest

from wgembed.runtime import netconf, rtnetlink, system

from ..unit.support import Log

REQUESTS = [("add", ("address", 1, f"10.0.0.{number}", 32)) for number in range(3)]


class Loop:
    def watch(self, fd, handler):
        self.watched = fd

    def forget(self, fd):
        assert fd == self.watched


@pytest.fixture
def by_us(monkeypatch):
    """The requests that went to our rtnetlink, which answers EIO to all of them."""
    asked = []
    monkeypatch.setattr(netconf, "apply", lambda requests: asked.extend(requests) or [5] * len(requests))
    return asked


@pytest.fixture
def submitted(monkeypatch):
    """A function that returns the answers if the child runs this command in a shell."""

    def submit(script):
        monkeypatch.setattr(system.start, "pyroute2_command", lambda: (["/bin/sh", "-c", script], {}))
        conf, answers = netconf.NetConf(Loop(), Log()), []
        conf.submit(REQUESTS, answers.append)
        conf.after(lambda: answers.append("after"))
        conf.finish()
        return answers

    return submit


def test_a_child_that_does_it(submitted, by_us):
    assert submitted("while read -r line; do echo 0; done") == [[0, 0, 0], "after"]
    assert by_us == []


def test_what_a_child_has_done_before_it_died_is_done(submitted, by_us):
    """Otherwise its additions would already exist, and we would not remove them later."""
    assert submitted("echo 0; echo 17; kill -9 $$") == [[0, 17, 5], "after"]
    assert by_us == REQUESTS[2:]


def test_the_child_finds_this_package_without_its_folder_on_the_path(monkeypatch):
    """As after `pip install -e`, which leaves only a hook for imports."""
    monkeypatch.delenv("WGEMBED_PYROUTE2", raising=False)
    root = Path(netconf.__file__).parents[2]
    site = Path(pyroute2.__file__).parents[1]
    monkeypatch.setattr(sys, "path", [str(site), *(folder for folder in sys.path if Path(folder or ".").resolve() != root)])
    command, environment = system.start.pyroute2_command()
    done = subprocess.run(command, env=environment, input="", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_that_hangs(submitted, by_us, monkeypatch):
    monkeypatch.setattr(netconf, "_CHILD_TIMEOUT_MS", 100)
    assert submitted("echo 0; exec sleep 100") == [[0, 5, 5], "after"]


def test_no_process_can_be_made(submitted, by_us, monkeypatch):
    def refuse():
        raise OSError(12, "no memory")

    monkeypatch.setattr(sys.modules[system.process.__name__].os, "fork", refuse)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        assert submitted("exit 0") == [[5, 5, 5], "after"]
    assert len(os.listdir("/proc/self/fd")) == len(before), "no pipe is left"


def test_no_socket_can_be_had(monkeypatch):
    def refuse():
        raise OSError(24, "too many")

    monkeypatch.setattr(rtnetlink, "RtNetlink", refuse)
    assert netconf.apply(REQUESTS) == [24, 24, 24]


def test_a_record_that_was_cut_off():
    """Each beginning of a line has an answer, and no exception: the next start must not fail because of it."""
    line = "add route 198.51.100.1 32 77 192.0.2.1 0 254"
    for end in range(len("add route") + 1, len(line)):
        [answer] = netconf.apply([netconf.parse_request(line[:end].replace("add", "del", 1))])
        assert answer
