"""Hooks of real daemons on both runtimes: what they are told, and what they cannot do to the tunnel."""

import os
import shutil
import time
from pathlib import Path

import pytest

from ..lab import net, traffic
from ..lab.router import rest, section

INSIDE = "10.77.0.2"
# Silence is noticed after 15 to 20 s, then three initiations must have no answer.
DOWN_S = 45
WRITES = """\
#!/bin/sh
{{ env | grep -E '^(ACTION|INTERFACE|PEER|PEER_NAME|ENDPOINT|REASON|SINCE|DURATION|HOTPLUG_TYPE)='; echo; }} >>{path}
"""


class Hooks:
    """A folder of hooks, and what they have written."""

    def __init__(self, folder):
        self.told = folder / "told"
        self.hotplug = folder / "hotplug"
        self.hotplug.mkdir()
        self.environment = {"WGEMBED_HOTPLUG_DIR": str(self.hotplug), "WGEMBED_HOOK_SECONDS": "3"}
        self._folder = folder

    def program(self, text=None, name="hook"):
        path = self._folder / name
        path.write_text(text or WRITES.format(path=self.told))
        path.chmod(0o755)
        return path

    def calls(self):
        """The environment of each call."""
        text = self.told.read_text() if self.told.exists() else ""
        return [dict(line.split("=", 1) for line in call.splitlines()) for call in text.split("\n\n") if call]

    def actions(self):
        return [call["ACTION"] for call in self.calls()]


@pytest.fixture
def hooks(tmp_path):
    return Hooks(tmp_path)


def started(harness, hooks, program=None, **options):
    pair = harness.pair(**hooks.environment)
    pair.start_far()
    sections = [section("globals", "globals", {"on_event": program, "outage_minutes": 1})] if program else []
    pair.router.start(*sections, pair.interface(), pair.peer(**{"description": "the hub", **options}))
    traffic.reach(harness.near.place, INSIDE)
    return pair


def test_up_down_outage_up(harness, hooks):
    """Both kinds of programs; the peer is killed and comes back."""
    (hooks.hotplug / "10-test").write_text(f'[ "$ACTION" = down ] && echo $HOTPLUG_TYPE $REASON >>{hooks.told}.hotplug\n')
    pair = started(harness, hooks, hooks.program())
    net.poll(lambda: hooks.actions() == ["up"], 5, what="the first call")
    [up] = hooks.calls()
    endpoint = f"192.0.2.2:{pair.far.port}"
    assert up == {
        "ACTION": "up", "INTERFACE": pair.name, "PEER": pair.far.key, "PEER_NAME": "the hub", "ENDPOINT": endpoint,
        "REASON": "handshake", "SINCE": up["SINCE"], "DURATION": "0", "HOTPLUG_TYPE": "wgembed",
    }  # fmt: skip
    assert abs(int(up["SINCE"]) - time.time()) < 30
    pair.far.stop()
    pings = harness.near.place.spawn(*traffic.ping_command(INSIDE, count=600, interval=1))
    net.poll(lambda: "down" in hooks.actions(), DOWN_S, what="the call for the outage")
    down = hooks.calls()[1]
    assert (down["ACTION"], down["REASON"], down["PEER"]) == ("down", "no_answer", pair.far.key)
    assert 15 <= int(down["DURATION"]) <= DOWN_S and abs(int(down["SINCE"]) + int(down["DURATION"]) - time.time()) < 15
    net.poll(lambda: hooks.actions() == ["up", "down", "outage"], 60, what="the call for the long outage")
    pair.start_far()
    net.poll(lambda: hooks.actions() == ["up", "down", "outage", "up"], 30, what="the call for the end")
    assert int(hooks.calls()[3]["DURATION"]) >= 60
    assert (hooks.told.parent / "told.hotplug").read_text() == "wgembed no_answer\n"
    pings.stop()
    assert "hook" not in pair.router.log()


def test_key_mismatch(harness, hooks):
    pair = harness.pair(**hooks.environment)
    pair.start_far()
    options = section("globals", None, {"on_event": hooks.program()})
    pair.router.start(options, pair.interface(), pair.peer(preshared_key=pair.keys.private, persistent_keepalive=1))
    net.poll(lambda: "down" in hooks.actions(), 30, what="the calls")
    assert [(call["ACTION"], call["REASON"]) for call in hooks.calls()] == [
        ("key_mismatch", "key_mismatch"), ("down", "key_mismatch"),
    ]  # fmt: skip
    assert pair.keys.private not in hooks.told.read_text()


def test_a_switch(harness, hooks):
    """The first endpoint comes to life, and is used when it has answered for a while."""
    pair = harness.pair(**hooks.environment)
    pair.start_far()
    endpoints = [f"192.0.2.99:{pair.far.port}", f"192.0.2.2:{pair.far.port}"]
    options = section("globals", None, {"on_event": hooks.program()})
    pair.router.start(options, pair.interface(), pair.peer(family=None, endpoint_host=endpoints, failback_time=12))
    traffic.reach(harness.near.place, INSIDE, within=15)
    harness.far.place.ip("addr", "add", "192.0.2.99/24", "dev", "outer")
    pings = harness.near.place.spawn(*traffic.ping_command(INSIDE, count=200, interval=1))
    net.poll(lambda: "switched" in hooks.actions(), 90, what="the call")
    pings.stop()
    switched = hooks.calls()[hooks.actions().index("switched")]
    assert switched["REASON"] == "answers_again" and switched["ENDPOINT"] == endpoints[0]
    assert "\tswitched\t" in (pair.router.run_directory / "history.run").read_text()
    assert "roamed" not in hooks.actions() and "down" not in hooks.actions()


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("#!/bin/sh\nsleep 1000 &\nsleep 1000\n", "did not end within 3 s, and was killed"),
        ("#!/bin/sh\nexit 7\n", "ended with the status 7"),
        ("#!/bin/sh\nwhile :; do echo flood; echo flood >&2; done\n", "did not end within 3 s, and was killed"),
        ("#!/bin/no-such-shell\n", "ended with the status 12"),
    ],
    ids=["hangs", "fails", "floods", "is missing"],
)
def test_bad_hooks_disturb_nothing(harness, hooks, text, sentence):
    pair = started(harness, hooks, hooks.program(text))
    pings = traffic.ping(harness.near.place, INSIDE, count=50, interval=0.1)
    assert pings.lost == 0
    net.poll(lambda: sentence in pair.router.log(), 10, what="a sentence in the log")
    assert pair.router.log().count("flood") == 0 and traffic.ping(harness.near.place, INSIDE).received
    # It would be the next one, and what it has started is gone.
    left = harness.near.place.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")[1]
    assert "sleep 1000" not in left and str(hooks.told.parent / "hook") not in left


def test_the_runner_dies(harness, hooks):
    pair = started(harness, hooks, hooks.program())
    net.poll(lambda: hooks.actions() == ["up"], 5)
    [runner] = children(pair.router.pid)
    os.kill(runner, 9)
    net.poll(lambda: "the program that runs hooks has ended" in pair.router.log(), 5)
    assert traffic.ping(harness.near.place, INSIDE).received
    assert children(pair.router.pid) == []


def test_the_runner_ends_with_the_daemon(harness, hooks):
    pair = started(harness, hooks, hooks.program())
    [runner] = children(pair.router.pid)
    pair.router.kill()
    net.poll(lambda: not os.path.exists(f"/proc/{runner}"), 5, what="the end of the runner")


def test_no_runner_without_hooks(harness, hooks):
    pair = started(harness, hooks)
    net.poll(lambda: children(pair.router.pid) == [], 5)
    assert "hook" not in pair.router.log()
    options = section("globals", None, {"on_event": hooks.program()})
    text = pair.router.reload(options, pair.interface(), pair.peer())
    assert "option on_event has no effect before a restart of the service" in text


def test_a_package_without_these_modules(harness, hooks, tmp_path):
    """The smallest package leaves them out: the tunnel works, and the log says what there is not."""
    if "micropython" not in " ".join(harness.command):
        pytest.skip("only the package for MicroPython is made smaller")
    where = harness.command.index("-C") + 1
    smaller = tmp_path / "smaller"
    shutil.copytree(harness.command[where], smaller)
    shutil.rmtree(smaller / "wgembed/daemon/watch")
    harness.command = [*harness.command[:where], str(smaller), *harness.command[where + 1 :]]
    pair = started(harness, hooks, hooks.program())
    assert "no history and no hooks, which are in the package wgembed-micropython-tools: no module" in pair.router.log()
    assert traffic.ping(harness.near.place, INSIDE).received


def test_no_wake_ups(harness, hooks, tmp_path):
    """With hooks and history, an idle tunnel sleeps."""
    hooks.environment["WGEMBED_SOCKET_DIR"] = str(tmp_path)
    pair = started(harness, hooks, hooks.program())
    rest(18)

    def quiet():
        before = pair.router.switches()
        rest(3)
        return pair.router.switches() == before

    net.poll(quiet, 20, what="three seconds without a wake-up")
    before = pair.router.switches()
    rest(8)
    assert pair.router.switches() == before


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        try:
            text = Path(f"/proc/{name}/stat").read_text() if name.isdigit() else ""
        except OSError:
            continue
        if text and int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(name))
    return found
