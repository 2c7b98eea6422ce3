"""A router and a hub with two addresses, in simulated weeks of outages and loss: the tunnel heals, and does not flap.

Devices, timers, endpoints and their choice are the real ones. The network loses datagrams, and cuts addresses off.
"""

import pytest

from wgembed.daemon.endpoint_list import EndpointList
from wgembed.daemon.router_interface import RouterInterface
from wgembed.protocol.constants import KEEPALIVE_TIMEOUT, NO_REPLY_JITTER_MAX, REKEY_TIMEOUT
from wgembed.protocol.timers import longest_jitter, retry_interval
from wgembed.runtime import system
from wgembed.runtime.alarms import Alarms

from ..unit.harness import A4, B4, BACK, PACKET, Harness
from ..unit.support import Random

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
FIRST, SECOND_ADDRESS = ("192.0.2.2", 51820), ("192.0.2.3", 51820)
STEP = 5 * SECOND
NOTICE = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + NO_REPLY_JITTER_MAX


class Log:
    def __init__(self):
        self.lines = []

    def note(self, line):
        self.lines.append(line)


class World(Harness):
    """Node a is the router, node b the hub. `down` are the addresses that are cut off, `loss` is for 1000 datagrams."""

    def __init__(self, seed, monkeypatch, failback_s=300):
        super().__init__()
        monkeypatch.setattr(system.clock, "now", lambda: self.now)
        self.random = Random(seed)
        self.down = ()
        self.loss = 0
        self.alarms = Alarms()
        self.log = Log()
        self.a, self.b = self.node("a"), self.node("b")
        self.a.addr = ("198.51.100.1", 51820)
        self.nodes = {self.a.addr: self.a, FIRST: self.b, SECOND_ADDRESS: self.b}
        self.peer = self.a.add(self.b, ((B4, 32),), endpoint=False)
        self.hub_peer = self.b.add(self.a, ((A4, 32),), endpoint=False)
        self.interface, self._router, self.tables = self, self, self.a.tables
        self.device = self.a.device
        hosts = [FIRST, SECOND_ADDRESS]
        self.endpoint = EndpointList(self.b.public, hosts, failback_s, self, None, self.alarms)
        self.a.unanswered = lambda peer: self.endpoint.unanswered(peer.attempts)
        self.a.trial_answered = lambda peer, now: self.endpoint.on_trial_answered(now)
        self.a.source = self._source
        self.filter = self._weather
        self.endpoint.start()

    # In place of the router

    on_endpoint = RouterInterface.on_endpoint

    def follow_soon(self, delay):
        pass

    def on_spare_endpoint(self, endpoint):
        pass

    def on_switched(self, public_key, reason):
        pass

    def _source(self, peer, is_new):
        if is_new:
            self.endpoint.on_source(peer)
        return peer.called_at

    # The network

    def _weather(self, source, destination, datagram):
        place = destination if destination in (FIRST, SECOND_ADDRESS) else source
        return [] if place in self.down or self.random.below(1000) < self.loss else [datagram]

    def carry(self, source, destination, datagram, tos):
        """The hub sends from the address that the last datagram came to, as a sticky source does."""
        if source == self.b.addr:
            source = getattr(self, "came_to", FIRST)
        super().carry(source, destination, datagram, tos)

    def arrives(self, destination):
        if destination in (FIRST, SECOND_ADDRESS):
            self.came_to = destination

    def talk(self, ms):
        """Let both send a packet every few seconds. Return the ms until both have got one, or None."""
        begin = self.now
        del self.a.got[:], self.b.got[:]
        healed = None
        while self.now < begin + ms:
            self.a.transmit(PACKET)
            if self.hub_peer.addr:
                self.b.transmit(BACK)
            end = self.now + min(STEP, begin + ms - self.now)
            while self.now < end:
                due = self.alarms.next()
                self.advance(min(max(due - self.now, 1), end - self.now) if due is not None else end - self.now)
                self.alarms.run(self.now)
                self.settle()
            if healed is None and self.a.got and self.b.got:
                healed = self.now - begin
        return healed

    def promise(self):
        """Return within how many ms both talk, if an address works and no datagram is lost.

        Silence is noticed, and each address is tried, at the interval that the peer is called at.
        """
        return NOTICE + 2 * (retry_interval(self.peer) + longest_jitter(self.peer) + REKEY_TIMEOUT) + 2 * STEP

    @property
    def switches(self):
        return self.endpoint.failback.switches


@pytest.mark.parametrize("seed", range(1, 4))
def test_weeks_of_outages(monkeypatch, seed):
    """Each time that an address works, the tunnel heals in time."""
    world = World(seed, monkeypatch)
    below = world.random.below
    end = world.now + 4 * DAY
    heals = 0
    while world.now < end:
        world.down = [(), (FIRST,), (SECOND_ADDRESS,), (FIRST, SECOND_ADDRESS)][below(4)]
        world.loss = 0
        limit = world.promise()
        healed = world.talk(limit)
        if len(world.down) < 2:
            assert healed is not None, (world.now, world.down, limit)
            heals += 1
        world.loss = (0, 0, 50, 200)[below(4)]
        world.talk((MINUTE, 10 * MINUTE, HOUR)[below(3)])
    world.down, world.loss = (), 0
    world.talk(6 * HOUR)
    assert heals > 50 and world.peer.addr == FIRST, "in the end, the preferred address is used"


@pytest.mark.parametrize("loss, most", [(10, 2), (50, 10), (100, 30)])
def test_loss_is_no_outage(monkeypatch, loss, most):
    """Both addresses work, and lose datagrams in both directions: the switches of a week."""
    world = World(9, monkeypatch)
    world.talk(MINUTE)
    world.loss = loss
    world.talk(7 * DAY)
    assert world.switches <= most, world.switches


@pytest.mark.parametrize("up, down, most", [(10, 5, 20), (60, 5, 340), (3, 3, 3)])
def test_an_address_that_comes_and_goes(monkeypatch, up, down, most):
    """In minutes: the switches of a week. Used each time that it is up, they would be 1344, 310 and 3360."""
    world = World(10, monkeypatch)
    world.talk(MINUTE)
    end = world.now + 7 * DAY
    while world.now < end:
        world.down = (FIRST,)
        assert world.talk(down * MINUTE) is not None
        world.down = ()
        assert world.talk(up * MINUTE) <= STEP, "a return loses nothing"
    assert world.switches <= most, world.switches


def test_without_traffic_nothing_wakes_up(monkeypatch):
    world = World(11, monkeypatch)
    world.talk(MINUTE)
    world.down = (FIRST,)
    world.talk(5 * MINUTE)
    assert world.peer.addr == SECOND_ADDRESS and world.alarms.next() is not None
    for _ in range(200):
        world.advance(5 * SECOND)
        world.alarms.run(world.now)
    assert world.alarms.next() is None and world.a.tables.timers.next() is None
