"""What is concluded from the events of the protocol: two devices on a wire of the test."""

import pytest

from wgembed.daemon.watch.peer_events import SILENT_MS, PeerEvents
from wgembed.protocol.constants import REJECT_AFTER_TIME, REKEY_AFTER_TIME, SEND_LOST
from wgembed.runtime import abi, system
from wgembed.runtime.alarms import Alarms

from ..unit.harness import BACK, PACKET, pair

SECOND, MINUTE = 1_000, 60_000
OUTAGE_MS = 5 * MINUTE
# Silence is noticed after 15 to 20 s, and three initiations with their jitter must have no answer.
NOTICE_MS = 40 * SECOND


class Watched:
    """Two connected devices, and what is told of the peer b of device a. `is_cut`: nothing arrives."""

    def __init__(self, monkeypatch, **how):
        self.harness, self.a, self.b, self.peer, self.peer_a = pair(**how)
        self.told = []
        self.alarms = Alarms()
        monkeypatch.setattr(system.clock, "now", lambda: self.harness.now)
        monkeypatch.setattr(system.inet, "is_ipv6", lambda addr: False)
        self.a.send_errors = list
        self.events = PeerEvents(self.a.tables, self.alarms, OUTAGE_MS, self)
        self.a.tables.events = self.events
        self.is_cut = False
        self.loss = lambda: False
        self.harness.filter = lambda source, destination, datagram: [] if self.is_cut or self.loss() else [datagram]

    def on_event(self, action, peer, reason, since):
        assert peer is self.peer
        self.told.append((action, reason, self.harness.now - since))

    def on_handshake(self):
        pass

    def talk(self, ms, every=SECOND):
        end = self.harness.now + ms
        while self.harness.now < end:
            self.a.transmit(PACKET)
            if self.peer_a.current:
                self.b.transmit(BACK)
            self.wait(every)

    def wait(self, ms):
        self.harness.advance(ms)
        due = self.alarms.next()
        if due is not None and due <= self.harness.now:
            self.alarms.run(self.harness.now)

    @property
    def actions(self):
        return [action for action, _, _ in self.told]


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def test_up_down_outage_up(watched):
    watched.talk(10 * SECOND)
    assert watched.told == [("up", "handshake", 0)]
    watched.is_cut = True
    watched.talk(NOTICE_MS)
    action, reason, age = watched.told[1]
    assert (action, reason) == ("down", "no_answer") and 30 * SECOND < age < NOTICE_MS, "since the last packet that arrived"
    watched.talk(OUTAGE_MS - NOTICE_MS + 2 * SECOND)
    assert watched.told[2][:2] == ("outage", "no_answer") and abs(watched.told[2][2] - OUTAGE_MS) <= 2 * SECOND
    watched.talk(20 * MINUTE)
    assert len(watched.told) == 3 and watched.alarms.next() is None, "each is told once"
    watched.is_cut = False
    watched.talk(3 * MINUTE)
    assert watched.actions == ["up", "down", "outage", "up"] and watched.told[3][2] > 25 * MINUTE


def test_an_outage_is_noticed_without_traffic(watched):
    """One alarm, and none when the peer is up."""
    watched.talk(10 * SECOND)
    assert watched.alarms.next() is None
    watched.is_cut = True
    watched.talk(NOTICE_MS)
    watched.wait(OUTAGE_MS)
    assert watched.actions == ["up", "down", "outage"]


def test_a_silent_peer_is_not_down(watched):
    watched.talk(10 * SECOND)
    watched.is_cut = True
    watched.wait(30 * SECOND)  # the last keepalive of each
    watched.wait(24 * 60 * MINUTE)
    assert watched.actions == ["up"]
    # The first packet that is owed shows it: there is no session.
    watched.talk(25 * SECOND)
    assert watched.actions == ["up", "down"] and watched.told[1][2] < 25 * SECOND, "not since yesterday"


def test_a_persistent_keepalive_is_owed(watched):
    watched.a.device.set_persistent_keepalive(watched.peer, 25, watched.harness.now)
    watched.talk(10 * SECOND)
    watched.is_cut = True
    watched.wait(REJECT_AFTER_TIME + MINUTE)
    assert watched.actions == ["up", "down"], "when the session has ended"


def test_lost_initiations_beside_a_session(watched):
    """A rekey that fails for a while, or three lost datagrams, are no outage while data arrives."""
    watched.talk(10 * SECOND)
    watched.harness.filter = lambda source, destination, datagram: [] if datagram[0] in (1, 2) else [datagram]
    watched.talk(REKEY_AFTER_TIME + 30 * SECOND)
    assert watched.peer.unanswered >= 3 and watched.actions == ["up"]


def test_never_answered(watched):
    watched.is_cut = True
    watched.talk(25 * SECOND)
    assert watched.told[0][:2] == ("down", "no_answer") and SILENT_MS <= watched.told[0][2] < 25 * SECOND


def test_mismatch_of_preshared_keys(watched):
    watched.a.device.set_preshared_key(watched.peer, bytes(range(32)))
    watched.talk(MINUTE)
    assert watched.actions == ["key_mismatch", "down"] and watched.told[1][1] == "key_mismatch"
    watched.a.device.set_preshared_key(watched.peer, bytes(32))
    watched.talk(10 * SECOND)
    assert watched.actions[2:] == ["up"]


def test_a_peer_that_does_not_use_our_answers(monkeypatch):
    watched = Watched(monkeypatch)
    watched.a.device.set_preshared_key(watched.peer, bytes(range(32)))
    for _ in range(30):
        if watched.peer_a.addr:
            watched.b.transmit(BACK)
        watched.wait(SECOND)
    assert watched.told == [("key_mismatch", "key_mismatch", 0)]


@pytest.mark.parametrize("errno, reason", [(abi.ENETUNREACH, "no_route"), (abi.EPERM, "sending_fails")])
def test_datagrams_that_the_kernel_refuses(watched, errno, reason):
    watched.talk(10 * SECOND)
    watched.a.send = watched.a.send_run = lambda *arguments: SEND_LOST
    watched.is_cut = True
    watched.a.send_errors = lambda: [(errno, 4)]
    watched.talk(NOTICE_MS)
    assert watched.actions == ["up", "down"] and watched.told[1][1] == reason


def test_roamed_once_a_minute(watched):
    watched.talk(5 * SECOND)
    for number in range(30):
        watched.harness.nodes.pop(watched.b.addr)
        watched.b.addr = (f"b{number}", 51820)
        watched.harness.nodes[watched.b.addr] = watched.b
        watched.talk(5 * SECOND)
    assert watched.actions == ["up", "roamed", "roamed", "roamed"]


def test_a_removed_peer_is_forgotten(watched):
    watched.is_cut = True
    watched.talk(25 * SECOND)
    watched.a.device.remove_peer(watched.peer)
    watched.wait(OUTAGE_MS)
    assert watched.actions == ["down"] and watched.alarms.next() is None


def test_events_are_kept_as_without_it(watched):
    watched.talk(10 * SECOND)
    names = [event for event, _, _ in watched.a.tables.events.read(watched.peer.number)]
    assert names == [event for event, _, _ in watched.events.inner.read(watched.peer.number)] and names


def test_ten_percent_loss_for_a_day(watched):
    """No false alarm in a day."""
    watched.talk(10 * SECOND)
    count = [0]

    def loss():
        count[0] = (count[0] * 1103515245 + 12345) & 0x7FFFFFFF
        return count[0] >> 16 & 1023 < 102

    watched.loss = loss
    watched.talk(24 * 60 * MINUTE, every=5 * SECOND)
    assert watched.actions == ["up"]
