"""The events of the simulation: cycles of storm, healing, work in calm weather, and idleness, for a number of days.

A cycle:
    storm   3 to 15 minutes of bad weather, attacks, crashes, moves, clock steps, changes of the configuration, and traffic;
            in a third of them, a node is then cut off for up to half an hour
    heal    the network works again: all pairs must exchange packets within the time that `_patience` computes
    work    traffic with pauses of all lengths: no packet may be lost, also when keys change
    idle    no traffic, or only persistent keepalives. Without keepalives, keys and timers must end
"""

from wgembed.protocol.constants import (
    DEFAULT_MTU,
    KEEPALIVE_TIMEOUT,
    NO_REPLY_JITTER_MAX,
    REJECT_AFTER_MESSAGES,
    REJECT_AFTER_TIME,
    REKEY_AFTER_MESSAGES,
    REKEY_TIMEOUT,
    REKEY_TIMEOUT_JITTER_MAX,
    RETRY_INTERVAL_MAX,
    UNDER_LOAD_TIME,
)
from wgembed.protocol.drops import RX_EXPIRED, RX_UNKNOWN_INDEX
from wgembed.protocol.timers import longest_jitter, retry_interval

from . import simcheck
from .simnet import CALM_DELAY
from .simulation import DAY, HEADERS, START, Simulation

MINUTE = 60_000
CYCLES = 4  # a day
_RETRY = REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER_MAX
_NOTICE = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + NO_REPLY_JITTER_MAX
_PROBE = 1_000
_LONGEST_RETRY = RETRY_INTERVAL_MAX * 3 // 2
# A handshake and a packet: three datagrams, and a turn of the loop for each handshake message.
_EXCHANGE = 4 * (CALM_DELAY + 2)
# After a change at the first end, the second end is changed within this time.
_LATER = 20_000


def _retry(peer):
    """Return the longest time in ms until the next initiation to a peer that does not answer."""
    return retry_interval(peer) + longest_jitter(peer)


class Scenario:
    """Runs the simulation. `failed` is the text of the Violation, if there was one."""

    def __init__(self, seed, devices=2, topology="hub", together=1, library=None, trace=None):
        self.sim = Simulation(seed, devices, topology, together, library, trace)
        self.below = self.sim.random.below
        self.sim.on_delivery = self._answer
        self._floating = {}  # (node, number): prefix
        for node in self.sim.nodes:
            for i in range(2):
                prefix = bytes((10, 1 + i, node.number, 0)), 24
                self.below(2)
                self._give(node, node.knows[self.below(len(node.knows))], prefix)
        # Less often, because these events cost much time.
        self._actions = (
            [self.talk] * 30 + [self.weather] * 6 + [self.spoof] * 3 + [self.stuff] * 2 + [self.strange] + [self.move] * 3
            + [self.crash] * 2 + [self.crash_within] * 2 + [self.step_clock] * 2 + [self.flood] * 2 + [self.replay] * 4
            + [self.release] * 2 + [self.jump] * 2 + [self.lose_sends] + [self.stall] + [self.cut_off]
            + [self.change_psk, self.change_key, self.remove, self.move_prefix, self.keepalive, self.down,
               self.change_mtu]
        )  # fmt: skip

    def run(self, days, on_day=None):
        """Run for this number of days. Violation if an invariant is violated."""
        sim = self.sim
        for cycle in range(max(1, int(days * CYCLES))):
            self.storm()
            self.heal()
            self.work()
            self.idle(START + (cycle + 1) * DAY // CYCLES)
            for machine in sim.machines:
                simcheck.check_frame(machine)
            if on_day is not None and cycle % CYCLES == CYCLES - 1:
                on_day(cycle // CYCLES + 1)

    # Phases

    def storm(self):
        sim = self.sim
        sim.net.storm = True
        sim.net.weather()
        sim.say("storm")
        end = sim.now + 3 * MINUTE + self.below(12 * MINUTE)
        while sim.now < end:
            sim.run(sim.now + 1 + self.below(6_000))
            self._actions[self.below(len(self._actions))]()
        if self.below(3) == 0:
            self._outage()
        # By then, changes at one end are made at the other, too, and all nodes are up again.
        sim.run(sim.now + _LATER + 1)
        for node in sim.nodes:
            node.crash_in = node.lost_sends = 0
            node.machine.restart()
            if not node.device.is_up:
                node.guarded(node.device.up, node.now)

    def _outage(self):
        """Cut a node off for so long that the others call it less often."""
        sim = self.sim
        node = self.node()
        sim.say("outage", node.number)
        end = sim.now + 2 * MINUTE + self.below(30 * MINUTE)
        while sim.now < end:
            sim.net.cut_off = node
            sim.run(sim.now + 1 + self.below(20_000))
            for known in node.knows:
                self.send(node, known.other, 1, self.below(100))
                self.send(known.other, node, 1, self.below(100))

    def heal(self):
        """Let the network work again. Check that all pairs exchange packets in both directions within the promised time."""
        sim = self.sim
        sim.net.clear()
        running = max([machine.stalled_until for machine in sim.machines]) + 1
        calm = max(sim.net.last_bad, sim.now + UNDER_LOAD_TIME + 100, running)
        sim.run(calm)
        sim.say("calm")
        sim.counts.heals += 1
        sim.crossed = {}
        begin, cookies = sim.now, sim.counts.cookies
        self._marks = {}
        waiting = []
        for a, b in sim.pairs:
            self._marks[a.number, b.number] = sim.last_number(a, b)
            self._marks[b.number, a.number] = sim.last_number(b, a)
            retry = self._next_call(a, b)
            sim.counts.backed_off += retry > REKEY_TIMEOUT * 3 // 2
            waiting.append((a, b, self._patience(a, b), retry))
        self._heard = {}
        while waiting:
            for a, b, _, _ in waiting:
                sim.run(sim.now + 1)
                self.send(a, b, 1, self.below(100))
                self.send(b, a, 1, self.below(100))
            sim.run(begin + ((sim.now - begin) // _PROBE + 1) * _PROBE)
            waiting = [w for w in waiting if not self._talk_again(w, begin, sim.counts.cookies - cookies)]
        # From now on no packet may be lost.
        self._caught = []
        self._before = {node.number: list(node.device.drops) for node in sim.nodes}
        self._unconfirmed = [(a.number, b.number) for a, b in sim.pairs if a.know(b).peer.next or b.know(a).peer.next]
        for pair in self._marks:
            self._marks[pair] = sim._last[pair]

    def _patience(self, a, b):
        """Return the time in ms within which both must exchange packets, if their initiations do not cross.

        An end without a key starts a handshake at its next packet, at most REKEY_TIMEOUT after its last handshake message,
        and then every REKEY_TIMEOUT and jitter; less often if the other end did not answer for long (backoff.py). If the
        other end has lost the key, an end must notice this first: its packets get no answer for KEEPALIVE_TIMEOUT and
        REKEY_TIMEOUT and jitter.
        """
        dead = self._sends_into_nothing(a, b) or self._sends_into_nothing(b, a)
        return (_NOTICE if dead else 0) + self._next_call(a, b) + _PROBE + _EXCHANGE

    def _next_call(self, a, b):
        """Return the time in ms within which one of both calls the other. One of them has the right address."""
        ends = (a.know(b).peer, b), (b.know(a).peer, a)
        return min([_retry(peer) for peer, other in ends if peer.addr == other.outside])

    def _sends_into_nothing(self, a, b):
        keypair = a.know(b).peer.current
        if keypair is None or not keypair.usable or a.now - keypair.birth >= REJECT_AFTER_TIME:
            return False
        peer, other = b.machine.tables.owner(keypair.header, 4)
        return other is None or peer is not b.know(a).peer or b.now - other.birth >= REJECT_AFTER_TIME

    def _talk_again(self, waiting, begin, cookies):
        a, b, patience, retry = waiting
        at = [self._heard.get((a.number, b.number)), self._heard.get((b.number, a.number))]
        crossed = self.sim.crossed.get((a.number, b.number), 0)
        extra = crossed + (1 if cookies else 0)
        limit = patience + extra * (min(2 * retry, _LONGEST_RETRY) + _PROBE)
        took = (self.sim.now if None in at else max(at)) - begin
        simcheck.want(
            took <= limit, "nodes %d and %d do not talk again after %d ms, promised %d" % (a.number, b.number, took, limit)
        )
        if None in at:
            return False
        if not extra and patience <= _RETRY + _PROBE + _EXCHANGE:
            self.sim.counts.slowest = max(self.sim.counts.slowest, took)
        return True

    def work(self):
        """Send traffic in calm weather, with pauses from milliseconds to minutes. Then check that no packet is missing."""
        sim = self.sim
        sim.say("work")
        end = sim.now + MINUTE + self.below(30 * MINUTE)
        while sim.now < end:
            sim.run(sim.now + 1 + self.below((100, 5_000, 30_000, 5 * MINUTE)[self.below(4)]))
            self.talk()
            if self.below(12) == 0:
                self._hold_back()
        sim.run(sim.now + MINUTE)
        for a, b in sim.pairs:
            for one, other in ((a, b), (b, a)):
                missing = sim.missing(one, other, self._marks[one.number, other.number])
                missing = [n for n in missing if (one.number, other.number, n) not in self._caught]
                simcheck.want(
                    len(missing) <= self._excused(a, b, other),
                    "lost in calm weather: packets", missing, "from", one.number, "to", other.number,
                )  # fmt: skip

    def _hold_back(self):
        """Deliver a packet when its key has just expired, or shortly before."""
        a, b = self.pair()
        self.sim.net.catch = True
        self.send(a, b, 1, 10)
        self.sim.net.catch = False
        self._caught.append((a.number, b.number, self.sim.last_number(a, b)))
        self.sim.run(self.sim.now + REJECT_AFTER_TIME - 10_000 + self.below(60_000))
        self.sim.net.release()

    def _excused(self, a, b, receiver):
        """Return how many packets in flight may be lost at the receiver when keys change.

        The key of an end does not begin at the same time as that of the other, so the last packets under a key can come too
        late. And if two initiations cross, an end can have a key that is never confirmed. Its next key then replaces the
        current one (noise.begin_session, as in Linux).
        """
        drops, before = receiver.device.drops, self._before[receiver.number]
        excused = drops[RX_EXPIRED] - before[RX_EXPIRED]
        if (a.number, b.number) in self._unconfirmed or self.sim.crossed.get((a.number, b.number)):
            excused += drops[RX_UNKNOWN_INDEX] - before[RX_UNKNOWN_INDEX]
        return excused

    def idle(self, until):
        """Run until the end of the cycle."""
        sim = self.sim
        if self.below(4):
            for node in sim.nodes:
                for known in node.knows:
                    self._set_keepalive(node, known, 0)
            sim.run(min(until, sim.now + 15 * MINUTE))
            if sim.now < until:
                for machine in sim.machines:
                    simcheck.check_silent(machine)
                before = sim.counts.datagrams
                sim.run(until)
                simcheck.want(sim.counts.datagrams == before, "an idle device sends")
        sim.run(until)

    # Traffic

    def send(self, a, b, count, size, source=None):
        """Let node a send packets to node b, in one batch, if a is running."""
        if a.is_running and self.sim.now >= a.machine.stalled_until and a.device.is_up:
            size = min(size, a.mtu - HEADERS)
            a.guarded(a.transmit, [self.sim.packet(a, b, size, source) for _ in range(count)])

    def _answer(self, sender, node, number):
        if number > self._marks_of(sender, node):
            self._heard.setdefault((sender.number, node.number), self.sim.now)
        if self.below(3) == 0:
            self.sim.after(1 + self.below(100), lambda: self.send(node, sender, 1, self.below(64)))

    _marks = _heard = {}

    def _marks_of(self, sender, node):
        return self._marks.get((sender.number, node.number), 1 << 62)

    def pair(self):
        """Return two nodes that are peers, in random order."""
        a, b = self.sim.pairs[self.below(len(self.sim.pairs))]
        return (a, b) if self.below(2) else (b, a)

    def node(self):
        return self.sim.nodes[self.below(len(self.sim.nodes))]

    def talk(self):
        a, b = self.pair()
        self.send(a, b, 1 + self.below((1, 4, 16)[self.below(3)]), self.below((40, 1300)[self.below(2)]))

    def spoof(self):
        """Send packets from the address of another node, of no node, or from a prefix that moves between the peers."""
        a, b = self.pair()
        kind = self.below(3)
        if kind == 0:
            source = self.node().inside4
        elif kind == 1:
            source = bytes((10, 1 + self.below(2), b.number, self.below(256)))
        else:
            source = bytes((10, 9, 9, self.below(256)))
        self.send(a, b, 1 + self.below(4), self.below(100), source)

    def stuff(self):
        """Send more packets than can wait for a handshake."""
        a, b = self.pair()
        for _ in range(2 + self.below(8)):
            self.send(a, b, 16 + self.below(16), self.below(600))

    def strange(self):
        """Send bytes that are not a packet, or a packet to an unknown destination."""
        node = self.node()
        if node.is_running and node.device.is_up:
            nowhere = b"\x45" + bytes(15) + b"\x0a\x63\0\1"
            node.guarded(node.transmit, [self.sim.bytes(1 + self.below(60)), nowhere, b"\x60" + bytes(39)])

    # Storm

    def weather(self):
        self.sim.net.weather()

    def move(self):
        """Give a node another address, and also the other nodes behind its NAT."""
        node = self.node()
        self.sim.say("moves", node.number)
        if node.is_fixed:
            node.local += 1
        else:
            self.sim.net.settle(node)
        if node.is_running and self.below(2):
            node.device.forget_sources()

    def crash(self):
        """Stop the daemon or the machine, and start it again within a minute."""
        machine = self.node().machine
        self.sim.say("crash", machine.number)
        machine.stop()
        if self.below(2):
            machine.reboot()
            if self.below(2):
                machine.wall = -self.sim.now  # no battery, so the clock shows 1970
        self.sim.counts.starts += 1
        self.sim.after(self.below(20_000), machine.restart)

    def crash_within(self):
        node = self.node()
        if node.is_running:
            node.crash_in = 1 + self.below(4)

    def step_clock(self):
        machine = self.node().machine
        step = (1_000, MINUTE, DAY, 1000 * DAY)[self.below(4)] // 1000 * (1 + self.below(1000))
        machine.wall += step if self.below(2) else -step
        self.sim.say("clock", machine.number, machine.wall)

    def flood(self):
        node = self.node()
        for i in range(1 + self.below(5)):
            count = 10 + self.below(150)
            self.sim.after(i * self.below(400), lambda count=count: self.sim.net.flood(node, count))

    def replay(self):
        self.sim.net.replay(1 + self.below(40))

    def release(self):
        self.sim.net.release()

    def jump(self):
        """Set the counter of a session just below a limit or far ahead, as after years of packets."""
        a, b = self.pair()
        peer = a.know(b).peer
        keypair = peer.current if peer is not None else None
        if keypair is None:
            return
        ahead = (keypair.counter + self.below(20_000), REKEY_AFTER_MESSAGES - 3, REJECT_AFTER_MESSAGES - 1 - self.below(8))
        keypair.counter = max(keypair.counter, ahead[self.below(3)])
        self.sim.wire.jump(a, keypair.header, keypair.counter)
        self.sim.say("counter", a.number, keypair.counter)
        self.send(a, b, 6, 10)

    def lose_sends(self):
        self.node().lost_sends = 1 + self.below(6)

    def stall(self):
        """Stall the process, or let the machine sleep."""
        node = self.node()
        node.machine.stalled_until = self.sim.now + self.below(30_000)
        self.sim.say("stall", node.number)

    def cut_off(self):
        node = self.sim.net.cut_off = self.node()
        self.sim.say("cut off", node.number)
        self.sim.after(self.below(3 * MINUTE), lambda: self._join(node))

    def _join(self, node):
        if self.sim.net.cut_off is node:
            self.sim.net.cut_off = None

    # Configuration, which changes at one end, and a little later at the other

    def _later(self, step):
        self.sim.after(self.below(_LATER), step)

    def change_psk(self):
        a, b = self.pair()
        psk = bytes(32) if self.below(3) == 0 else self.sim.bytes(32)
        self.sim.say("psk", a.number, b.number)
        self._set_psk(a, b, psk)
        # The value that the first end has by then, because it can have changed again.
        self._later(lambda: self._set_psk(b, a, a.know(b).psk))

    def _set_psk(self, node, other, psk):
        known = node.know(other)
        known.psk = psk
        if known.peer is not None:
            node.device.set_preshared_key(known.peer, psk)

    def change_key(self):
        node = self.node()
        self.sim.say("key", node.number)
        node.private, public = self.sim.key()
        node.old_publics = (node.old_publics + [node.public])[-8:]
        node.public = public
        if node.is_running:
            node.guarded(node.device.set_private_key, node.private, node.now)
        for other in [known.other for known in node.knows]:
            self._later(lambda other=other: self._learn_key(other, node))

    def _learn_key(self, node, other):
        """Configure the current key of the other node at `node`: a new peer with the allowed IPs of the old one."""
        known = node.know(other)
        self._forget(node, known)
        known.public = other.public
        self._enter(node, known)

    def remove(self):
        """Remove a peer, and add it again later."""
        a, b = self.pair()
        self.sim.say("remove", a.number, b.number)
        self._forget(a, a.know(b))
        self._later(lambda: self._enter(a, a.know(b)))

    def _forget(self, node, known):
        known.removed = True
        if known.peer is not None:
            peer, known.peer = known.peer, None
            node.guarded(node.device.remove_peer, peer)
            simcheck.check_frame(node.machine)

    def _enter(self, node, known):
        known.removed = False
        if node.is_running and known.peer is None:
            node.guarded(node.enter, known)

    def move_prefix(self):
        """Move a prefix from its peer to another."""
        node = self.node()
        owners = [known for known in node.knows if not known.removed and len(known.prefixes) > 2]
        if not owners:
            return
        owner = owners[self.below(len(owners))]
        to = node.knows[self.below(len(node.knows))]
        if to.removed or to is owner:
            return
        prefix = owner.prefixes.pop()
        self.sim.say("prefix", node.number, owner.other.number, to.other.number)
        self._give(node, to, prefix)

    def _give(self, node, known, prefix):
        known.prefixes.append(prefix)
        if known.peer is not None:
            node.device.allow(known.peer, prefix[0], prefix[1], node.now)

    def keepalive(self):
        a, b = self.pair()
        self._set_keepalive(a, a.know(b), 10 + self.below(50) if self.below(2) else 0)

    def _set_keepalive(self, node, known, seconds):
        known.keepalive = seconds
        if known.peer is not None:
            node.guarded(node.device.set_persistent_keepalive, known.peer, seconds, node.now)

    def change_mtu(self):
        """Change the MTU of the tunnel device. Packets that wait for a key can be longer."""
        node = self.node()
        node.mtu = (1280 + self.below(DEFAULT_MTU - 1280), 576, DEFAULT_MTU)[self.below(3)]
        node.mtu_since = self.sim.now
        self.sim.say("mtu", node.number, node.mtu)
        if node.is_running:
            node.device.mtu = node.mtu

    def down(self):
        """Set the interface down, and up again."""
        node = self.node()
        if node.is_running:
            self.sim.say("down", node.number)
            node.guarded(node.device.down)
            self._later(lambda: self._up(node))

    def _up(self, node):
        if node.is_running and not node.device.is_up:
            node.guarded(node.device.up, node.now)
