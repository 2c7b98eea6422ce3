"""Names of endpoints, with lookups that end when the test says so."""

import pytest

from wgembed.daemon import endpoints as names_module
from wgembed.daemon.endpoints import Names
from wgembed.runtime import system
from wgembed.runtime.alarms import Alarms


class Loop:
    def watch(self, fd, handler):
        pass

    def forget(self, fd):
        pass


class Log:
    def note(self, text):
        pass

    error = note


class Lookup:
    """One that is silent. All there have been are in `made`."""

    made = []
    fd = 99

    def __init__(self, name):
        self.ended = False
        self.made.append(self)

    def finish(self):
        self.ended = True
        return []


@pytest.fixture
def harness(monkeypatch):
    class Harness:
        now = 1000
        alarms = Alarms()
        names = Names(Loop(), alarms, Log())

        def wait(self, ms):
            self.now += ms
            self.alarms.run(self.now)

    harness = Harness()
    Lookup.made = []
    monkeypatch.setattr(names_module, "Lookup", Lookup)
    monkeypatch.setattr(system.clock, "now", lambda: harness.now)
    return harness


@pytest.mark.parametrize("again", [lambda names: names.again("a.test"), lambda names: names.all_again()])
def test_a_silent_lookup_is_ended_though_it_was_asked_for_again(harness, again):
    harness.names.want("a.test", object())
    harness.wait(5000)
    again(harness.names)
    assert len(Lookup.made) == 1
    harness.wait(7000)
    assert Lookup.made[0].ended
    harness.wait(1000)
    assert len(Lookup.made) == 2
