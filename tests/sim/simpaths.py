"""A router with several ways to a network: endpoints of hubs with one key, or hubs with different keys as backups.

    python -m tests.sim.simpaths [SEED [SEEDS [DAYS]]]

runs the long mixture of events, one seed after the other, and prints what happened. Devices, timers, endpoints, groups,
order and pings are the real ones. Each way has a delay and a loss. It can be cut off before the hub, in one direction or in
both, or behind it: then the hub answers handshakes, but nothing in its network.
"""

import sys
from heapq import heappop, heappush
from types import SimpleNamespace

from wgembed import crypto
from wgembed.daemon import ping_check
from wgembed.daemon.endpoint_list import EndpointList
from wgembed.daemon.endpoints import Endpoint
from wgembed.daemon.fastest import Fastest
from wgembed.daemon.peer_group import PeerGroup
from wgembed.daemon.ping_check import PingCheck
from wgembed.daemon.router_interface import RouterInterface
from wgembed.protocol import timers
from wgembed.protocol.constants import KEEPALIVE_TIMEOUT, NO_REPLY_JITTER_MAX, REKEY_AFTER_TIME, REKEY_TIMEOUT
from wgembed.protocol.timers import expire_timers, longest_jitter, retry_interval
from wgembed.runtime import system
from wgembed.runtime.alarms import Alarms

from ..unit.harness import A4, START, Node, ipv4
from ..unit.support import Random
from .simulation import Entropy

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NETWORK = b"\x0a\x09\0\0", 16
SERVER = b"\x0a\x09\0\7"  # answers data
ADDRESS = b"\x0a\x09\0\1"  # answers pings
ROUTER = ("198.51.100.1", 51820)
STEP = 2 * SECOND
# Silence is noticed, and the pings of one way are missing.
NOTICE = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + NO_REPLY_JITTER_MAX
PINGS = 15 * SECOND


class Path:
    """A way to a hub, which has this address."""

    def __init__(self, number):
        self.addr = ("192.0.2.%d" % (number + 2), 51820)
        self.delay = 10
        self.loss = 0  # of 1000
        self.is_cut = self.is_deaf = self.is_cut_behind = False

    @property
    def works(self):
        return not (self.is_cut or self.is_deaf or self.is_cut_behind)


class Hub(Node):
    """It answers what comes out of the tunnel, in place of the network behind it."""

    path = None

    def deliver(self, view, packets, lengths, count):
        answers = []
        for i in range(count):
            packet = bytes(view[packets[i] : packets[i] + lengths[i]])
            if packet[9] == 1 and packet[16:20] == ADDRESS and not self.harness.is_address_dead:
                reply = bytes((0,)) + packet[21:22] + packet[22:]
                answers.append(ipv4(ADDRESS, A4, reply, protocol=1))
            elif packet[9] == 17:
                answers.append(ipv4(SERVER, A4, packet[20:]))
        self.device.inbox.clear()
        if self.path.is_cut_behind:
            return
        for answer in answers:
            self.harness.later(lambda answer=answer: self.transmit(answer), 1)


class World:
    """kind  "listed" or "fastest" for endpoints of hubs with one key, "backup" for hubs with different keys

    pings  whether ping_check is set. `interval_s` is ping_interval
    """

    def __init__(self, seed, monkeypatch, kind, paths=2, pings=True, interval_s=0, failback_s=300, keepalive=0):
        self.now = START
        monkeypatch.setattr(system.clock, "now", lambda: self.now)
        monkeypatch.setattr(crypto, "random_fill", Entropy(seed).fill)
        timers._used = len(timers._drawn)
        self.kind = kind
        self.random = Random(seed)
        self.alarms = Alarms()
        self.log = SimpleNamespace(lines=[], note=lambda text: self.log.lines.append(text))
        self.is_address_dead = False
        self.paths = [Path(number) for number in range(paths)]
        self._events, self._count = [], 0
        self.nodes = {}
        self.router = Node(self, "a")
        self.router.addr = ROUTER
        self.nodes[ROUTER] = self.router
        self.answered = []  # numbers of packets
        self.router.deliver = self._deliver
        self.device, self.tables = self.router.device, self.router.tables
        self.arena = self.device.arena
        self.interface, self._router = self, self
        self.config = SimpleNamespace(addresses=[(A4, 24)])
        self.hubs = [self._hub(path) for path in self.paths]
        self._number = 0
        self.endpoints, self.groups = {}, []
        configs = self._configs(failback_s, interval_s if pings else None, keepalive)
        self.router.unanswered = self.on_unanswered
        self.router.trial_answered = self.on_trial_answered
        self.router.source = self._source
        for config in configs:
            self._add(config, keepalive)
        if kind == "backup":
            self.groups.append(PeerGroup(configs, self, self.alarms))
        for endpoint in self.endpoints.values():
            endpoint.start()

    def on_switched(self, public_key, reason):
        """Do nothing: there are no hooks."""

    def _hub(self, path):
        hub = Hub(self, path.addr[0])
        hub.addr, hub.path = path.addr, path
        self.nodes[path.addr] = hub
        if self.kind != "backup" and len(self.nodes) > 2:
            first = self.nodes[self.paths[0].addr]
            hub.private, hub.public = first.private, first.public
            hub.device.set_private_key(hub.private, self.now)
        hub.known = hub.add(self.router, ((A4, 32),), endpoint=False)
        return hub

    def _configs(self, failback_s, interval_s, keepalive):
        count = len(self.hubs) if self.kind == "backup" else 1
        configs = []
        for hub in self.hubs[:count]:
            hosts = [path.addr for path in self.paths] if count == 1 else []
            configs.append(SimpleNamespace(
                public_key=hub.public, hosts=hosts, host=hub.addr[0], port=hub.addr[1], failback=failback_s, order="",
                ping=None if interval_s is None else ADDRESS, ping_interval=interval_s, has_backup=count > 1,
                allowed_ips=[NETWORK],
            ))  # fmt: skip
        return configs

    def _add(self, config, keepalive):
        peer = self.device.add_peer(config.public_key)
        self.device.set_persistent_keepalive(peer, keepalive, self.now)
        key = config.public_key
        if not config.hosts:
            self.endpoints[key] = Endpoint(key, config.host, config.port, self, None)
            return
        self.device.allowed.insert(*NETWORK, peer.number)
        kind = Fastest if self.kind == "fastest" else EndpointList
        made = self.endpoints[key] = kind(key, config.hosts, config.failback, self, None, self.alarms)
        if config.ping:
            find = lambda: self.device.find(key)  # noqa: E731
            made.ping = PingCheck(
                config.ping, config.ping_interval, self, self.alarms, len(config.hosts), find, made.ping_failed
            )

    # In place of the router

    on_endpoint = RouterInterface.on_endpoint
    on_unanswered = RouterInterface.on_unanswered
    on_trial_answered = RouterInterface.on_trial_answered
    group_of = RouterInterface.group_of

    def follow_soon(self, delay):
        pass

    def on_spare_endpoint(self, endpoint):
        pass

    def _source(self, peer, is_new):
        if is_new:
            self.endpoints[peer.public_key].on_source(peer)
            group = self.group_of(peer.public_key)
            if group is not None:
                group.on_source(peer)
        return peer.called_at

    # The interface's deliver, which pings replace

    def deliver(self, view, packets, lengths, count):
        for i in range(count):
            packet = bytes(view[packets[i] : packets[i] + lengths[i]])
            if packet[9] == 17 and packet[12:16] == SERVER:
                self.answered.append(int.from_bytes(packet[20:28], "big"))
        self.device.inbox.clear()

    def _deliver(self, view, packets, lengths, count):
        self.deliver(view, packets, lengths, count)

    # The network

    def carry(self, source, destination, datagram, tos):
        outside = destination if source == ROUTER else source
        [path] = [one for one in self.paths if one.addr == outside]
        if path.is_cut or self.random.below(1000) < path.loss or path.is_deaf and source == ROUTER:
            return
        node = self.nodes[destination]
        delay = path.delay + self.random.below(max(path.delay // 10, 1))
        self.later(lambda: node.receive(datagram, source, "src", tos), delay)

    def later(self, step, delay):
        self._count += 1
        heappush(self._events, (self.now + delay, self._count, step))

    def settle(self):
        """Do nothing: datagrams take their time."""

    def advance(self, ms):
        end = self.now + ms
        while True:
            due = [node.tables.timers.next() for node in self.nodes.values()] + [self.alarms.next()]
            if self._events:
                due.append(self._events[0][0])
            at = min([one for one in due if one is not None], default=end + 1)
            if at > end:
                break
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heappop(self._events)[2]()
            for node in self.nodes.values():
                expire_timers(node.tables, self.now)
            self.alarms.run(self.now)
        self.now = end

    # What tests do and ask

    def send(self):
        self._number += 1
        self.router.transmit(ipv4(A4, SERVER, self._number.to_bytes(8, "big")))

    def talk(self, ms, step=STEP):
        """Send a packet every two seconds. Return the ms until one of them was answered, or None."""
        begin, first, healed = self.now, self._number + 1, None
        del self.answered[:]
        while self.now < begin + ms:
            self.send()
            self.advance(min(step, begin + ms - self.now))
            if healed is None and any(number >= first for number in self.answered):
                healed = self.now - begin
            del self.answered[:]
        return healed

    def idle(self, ms):
        self.advance(ms)

    @property
    def failback(self):
        return self.groups[0].failback if self.groups else self.endpoints[self.hubs[0].public].failback

    @property
    def switches(self):
        return self.failback.switches

    @property
    def in_use(self):
        return self.failback.in_use

    def ping(self):
        """Return the PingCheck."""
        return self.groups[0].ping if self.groups else self.endpoints[self.hubs[0].public].ping

    def promise(self):
        """Return within how many ms data is answered, if a way works and loses nothing.

        Each way that does not work can cost the notice of silence or the pings, and an attempt at the current interval.
        Pings begin after the next handshake, if there was no traffic before.
        """
        peers = [self.device.find(key) for key in {hub.public for hub in self.hubs}]
        call = max(retry_interval(peer) + longest_jitter(peer) + REKEY_TIMEOUT for peer in peers)
        check, rest = self.ping(), 0
        if check:
            # The rest that is not over, and another one, if a round of all ways ends before the good one is tried.
            rest = max(check._rest_until - self.now, 0)
            if check.switches:
                rest += min(ping_check._REST_MS << min(check.switches // len(self.paths), 6), HOUR)
        return REKEY_AFTER_TIME + NOTICE + (len(self.paths) + 1) * (call + PINGS) + rest + 2 * STEP


KINDS = "listed", "fastest", "backup"


def mixture(seed, monkeypatch, days, kind):
    """Outages of all kinds, loss, delays and pauses, for this number of days. AssertionError if the tunnel does not heal.

    Return the World and the number of heals.
    """
    world = World(
        seed, monkeypatch, kind, paths=2 + seed % 2, keepalive=(0, 25)[seed // 2 % 2], interval_s=(0, 20)[seed % 2]
    )
    below = world.random.below
    end, heals = world.now + int(days * DAY), 0
    while world.now < end:
        world.is_address_dead = False
        for path in world.paths:
            path.loss = 0
            path.delay = (2, 10, 40, 200)[below(4)]
            fault = below(6)
            path.is_cut, path.is_deaf, path.is_cut_behind = fault == 0, fault == 1, fault == 2
        limit = world.promise()
        healed = world.talk(limit)
        works = any(path.works for path in world.paths)
        if works:
            assert healed is not None, "seed %d, %s, at %d s: no answer within %d s" % (
                seed,
                kind,
                (world.now - START) // 1000,
                limit // 1000,
            )
            heals += 1
        for path in world.paths:
            path.loss = (0, 0, 20, 100)[below(4)]
        world.is_address_dead = below(8) == 0
        before = world.switches
        world.talk((MINUTE, 10 * MINUTE, 30 * MINUTE)[below(3)], 5 * SECOND)
        assert world.switches - before < 40 or not works, "seed %d, %s: it flaps" % (seed, kind)
        world.idle((0, MINUTE, 20 * MINUTE)[below(3)])
    return world, heals


def main(arguments):
    first, count, days = ([int(word) for word in arguments] + [1, 1, 30][len(arguments) :])[:3]
    for seed in range(first, first + count):
        for kind in KINDS:
            patch = SimpleNamespace(setattr=setattr)
            world, heals = mixture(seed, patch, days, kind)
            print("seed %d, %s: %d heals, %d switches in %d days" % (seed, kind, heals, world.switches, days))


if __name__ == "__main__":
    main(sys.argv[1:])
