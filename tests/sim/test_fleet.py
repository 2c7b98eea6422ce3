"""Ten thousand routers lose their hub, which comes back: how often they call it, and how soon all of them are answered.

The timers and the back-off are the real ones, for ten thousand peers of one device. Each peer is the hub as seen by another
router. The cryptography is left out, because only the times matter.
"""

import random

import pytest

from wgembed import crypto
from wgembed.protocol import backoff, cookie, noise, timers
from wgembed.protocol.constants import MAX_QUEUED_HANDSHAKES, REKEY_TIMEOUT, REKEY_TIMEOUT_JITTER_MAX, SEND_OK
from wgembed.protocol.device import Device
from wgembed.protocol.peers import Tables

from ..unit.harness import START, Arena, Inbox

ROUTERS = 10_000
SECOND, MINUTE = 1_000, 60_000


class Fleet:
    """The routers, and a hub that handles `rate` initiations a second and keeps 128 in its queue. It drops the others."""

    def __init__(self, rate, monkeypatch):
        self.now = START
        self._rate = rate
        self._queue = []
        self.calls = {}  # second: initiations that arrived
        self.answered = self.dropped = 0
        self.is_up = True
        draw = random.Random(5)
        monkeypatch.setattr(crypto, "random_fill", lambda buf: buf.__setitem__(slice(None), draw.randbytes(len(buf))))
        monkeypatch.setattr(timers, "_used", len(timers._drawn))
        monkeypatch.setattr(noise, "create_initiation", lambda identity, peer, out, timestamp: True)
        monkeypatch.setattr(cookie, "add_macs", lambda peer, message, now: None)
        self.tables = Tables(ROUTERS, staged=512)
        self._device = Device(self.tables, Arena(1420), Inbox(), self, 8, 8)
        self._device.is_up = True
        self._draw = draw
        for number in range(ROUTERS):
            peer = self.tables.allocate()
            peer.device = self._device
            peer.addr = number
            peer.persistent_keepalive = 25

    tests_segments = 0

    def realtime(self):
        return self.now // SECOND, 0

    def send(self, addr, src, buf, size, tos):
        second = self.now // SECOND
        self.calls[second] = self.calls.get(second, 0) + 1
        if self.is_up:
            if len(self._queue) < MAX_QUEUED_HANDSHAKES:
                self._queue.append(addr)
            else:
                self.dropped += 1
        return SEND_OK

    def unanswered(self, peer):
        """Do nothing, because the hub has one address."""

    def lose(self):
        """All routers have sent data in the last second, and get no answer."""
        for number in range(ROUTERS):
            self.tables.timers.data_sent(self.tables.peer(number), self.now + self._draw.randrange(SECOND))

    def run(self, until):
        """Let the time pass in ms. The hub answers in turn, at its rate."""
        credit = 0
        while self.now < until:
            self.now += 10
            timers.expire_timers(self.tables, self.now)
            credit = min(credit + self._rate / 100, max(len(self._queue), 1))
            while self.is_up and self._queue and credit >= 1:
                credit -= 1
                peer = self.tables.peer(self._queue.pop(0))
                if peer.persistent_keepalive:
                    self.answered += 1
                    peer.persistent_keepalive = 0
                    self.tables.timers.stop(peer)
            if self.answered == ROUTERS:
                return


def restart(monkeypatch, rate, outage_s):
    """Return (the fleet, the time in s until all were answered, the most calls in a second after the return)."""
    fleet = Fleet(rate, monkeypatch)
    fleet.is_up = False
    fleet.lose()
    fleet.run(START + outage_s * SECOND)
    fleet.is_up = True
    fleet.calls.clear()
    fleet.run(fleet.now + 20 * MINUTE)
    assert fleet.answered == ROUTERS
    return fleet, (fleet.now - START) / SECOND - outage_s, max(fleet.calls.values())


@pytest.mark.parametrize("outage_s, most", [(5, 2_500), (60, 2_500), (200, 800), (600, 250), (3600, 250)])
def test_a_slow_hub_answers_all_within_five_minutes(monkeypatch, outage_s, most):
    fleet, took_s, calls = restart(monkeypatch, 200, outage_s)
    assert took_s < 300, "answered within five minutes"
    assert calls <= most, "calls in a second"


@pytest.mark.parametrize("outage_s, rate", [(5, 2_500), (600, 250)])
def test_a_hub_is_never_called_faster_than_it_answers(monkeypatch, outage_s, rate):
    fleet, took_s, calls = restart(monkeypatch, rate, outage_s)
    assert calls <= rate and fleet.dropped == 0 and took_s < 100


def test_as_linux_all_would_call_in_two_seconds(monkeypatch):
    """So the other tests can fail."""
    for module in (timers, backoff):
        monkeypatch.setattr(module, "retry_interval", lambda peer: REKEY_TIMEOUT)
    monkeypatch.setattr(timers, "longest_jitter", lambda peer: REKEY_TIMEOUT_JITTER_MAX)
    monkeypatch.setattr(timers, "NO_REPLY_JITTER_MAX", REKEY_TIMEOUT_JITTER_MAX)
    fleet, took_s, calls = restart(monkeypatch, 200, 5)
    assert calls > 7_000
