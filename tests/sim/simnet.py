"""The network of the simulation, and the attacker.

In calm weather, all datagrams arrive within CALM_DELAY ms, in any order. In a storm, datagrams are lost, duplicated,
delayed, damaged, marked with CE, or held back for minutes. The addresses of moving nodes change.
"""

from wgembed import crypto
from wgembed.protocol import cookie
from wgembed.protocol.constants import INITIATION_SIZE, MESSAGE_TRANSPORT

CALM_DELAY = 40  # the longest delay in ms
STORM_DELAY = 10_000
_HELD = 16
_RECORDED = 48


class Network:
    """Carries datagrams between the nodes.

    storm  whether there is a storm; then the probabilities below are used
    """

    def __init__(self, sim):
        self.sim = sim
        self._where = {}  # address: node
        self._next_address = 0
        self.storm = False
        self.loss = self.double = self.late = self.damage = self.congested = 0  # for 1000 datagrams
        self.cut_off = None  # a node without any traffic
        self._recorded = []  # the last few (source, destination, datagrams, stride), for replays
        self._handshakes = []
        self._held = []  # the same, for datagrams that the attacker held back
        self.catch = False  # whether the attacker holds packets back in calm weather
        self.last_bad = 0  # the time when the last datagram of a storm arrives
        self.crossings = {}  # (from, to): the arrival time of the newest initiation

    def settle(self, node):
        """Give the node a new address. No node has the old one then."""
        self._where.pop(node.outside, None)
        self._next_address += 1
        ip = 0xC0000000 + self._next_address * 0x101
        node.outside = (node.number & 1) << 60 | ip << 16 | 1024 + self.sim.random.below(60_000)
        node.local += 1
        self._where[node.outside] = node

    def weather(self):
        """Change the weather of a storm."""
        below = self.sim.random.below
        worst = (50, 300, 1000)[below(3)]
        self.loss, self.double, self.late = below(worst), below(worst), below(worst)
        self.damage, self.congested = below(worst // 3 + 1), below(worst // 3 + 1)

    def clear(self):
        """End the storm.

        The datagrams that were held back are lost. An initiation that no node received stays valid for long, and it would
        move the endpoint to an address that the sender may have left.
        """
        self.storm = False
        self._held = []
        self.cut_off = None

    # Carrying

    def carry(self, node, addr, run, stride, tos):
        """Send `run` from the node to `addr`: datagrams of `stride` bytes, of which the last can be shorter."""
        sim = self.sim
        sim.counts.datagrams += 1
        sim.note(b"s", node.number, run)
        source = node.outside
        if run[0] == MESSAGE_TRANSPORT:
            self._keep(self._recorded, (source, addr, run, stride))
        else:
            self._keep(self._handshakes, (source, addr, run, stride))
        if self.catch and run[0] == MESSAGE_TRANSPORT:
            self._hold((source, addr, run, stride))
            return
        if not self.storm:
            delay = 1 + sim.random.below(CALM_DELAY)
            if run[0] == 1 and len(run) == INITIATION_SIZE:
                self._note_initiation(node, addr, sim.now + delay)
            sim.after(delay, lambda: self.arrive(source, addr, run, stride, tos))
            return
        self._carry_in_storm(node, addr, run, stride, tos)

    def _carry_in_storm(self, node, addr, run, stride, tos):
        sim, source = self.sim, node.outside
        below = sim.random.below
        if self.cut_off is node or below(1000) < self.loss:
            if below(4) == 0:
                self._hold((source, addr, run, stride))
            return
        for _ in range(1 + (below(1000) < self.double) + 2 * (below(2000) < self.double)):
            delay = 1 + below(CALM_DELAY)
            if below(1000) < self.late:
                delay += below(STORM_DELAY)
            piece = self._damaged(run, stride) if below(1000) < self.damage else run
            mark = tos | 3 if below(1000) < self.congested else tos
            self.last_bad = max(self.last_bad, sim.now + delay)
            sim.after(delay, lambda piece=piece, mark=mark: self.arrive(source, addr, piece, stride, mark))

    def _damaged(self, run, stride):
        below = self.sim.random.below
        # In a run of several datagrams the header is not damaged, because the check needs the session.
        if len(run) > stride:
            at = below(len(run) // stride) * stride + 16 + below(16)
            return run[:at] + bytes((run[at] ^ 1 << below(8),)) + run[at + 1 :]
        if below(4) == 0:
            return run[: 1 + below(len(run))]
        if below(8) == 0:
            return run + bytes(1 + below(40))
        at = below(len(run))
        return run[:at] + bytes((run[at] ^ 1 << below(8),)) + run[at + 1 :]

    def _keep(self, ring, what):
        ring.append(what)
        if len(ring) > _RECORDED:
            ring.pop(0)

    def _hold(self, what):
        """Keep lost datagrams for the attacker, some of them for long."""
        if len(self._held) == _HELD:
            self._held.pop(self.sim.random.below(_HELD))
        self._held.append(what)

    def _note_initiation(self, node, addr, arrives):
        """Count initiations that cross on the wire: each end answers the other one and drops its own handshake."""
        other = self._where.get(addr)
        if other is None:
            return
        if self.crossings.get((other.number, node.number), -1) >= self.sim.now:
            self.sim.counts.crossings += 1
            pair = (min(node.number, other.number), max(node.number, other.number))
            self.sim.crossed[pair] = self.sim.crossed.get(pair, 0) + 1
        self.crossings[node.number, other.number] = arrives

    def arrive(self, source, addr, run, stride, tos):
        """Deliver the datagrams to the node that has the address now."""
        node = self._where.get(addr)
        if node is None or not node.is_running or node is self.cut_off and self.storm:
            return
        sim = self.sim
        stalled = node.machine.stalled_until - sim.now
        if stalled > 0:
            sim.after(stalled, lambda: self.arrive(source, addr, run, stride, tos))
            return
        if not node.device.is_up:
            return
        node.guarded(node.receive, run, min(stride, len(run)), source, tos)

    # The attacker. He sees all datagrams, can send from any address, and has no key.

    def replay(self, count):
        """Replay recent datagrams: packets from any address, handshake messages from their original address."""
        below = self.sim.random.below
        for _ in range(count):
            ring = (self._recorded, self._handshakes)[below(2)]
            if not ring:
                continue
            source, addr, run, stride = ring[below(len(ring))]
            # A fresh packet from another address moves the peer's endpoint. This must not happen for a node that does not
            # move, because its peers would not learn the right address again.
            node = self._where.get(source)
            if run[0] == MESSAGE_TRANSPORT and below(2) and not (node is not None and node.is_fixed):
                source = self.stranger()
            self._inject(source, self._astray(addr), run, stride)

    def release(self):
        """Deliver datagrams that were held back, also for a long time."""
        held, self._held = self._held, []
        for source, addr, run, stride in held:
            self._inject(source, self._astray(addr), run, stride)

    def _astray(self, addr):
        """Return the address, or sometimes that of another device of the same process, which shares the table of indices."""
        node = self._where.get(addr)
        if node is None or len(node.machine.nodes) == 1 or self.sim.random.below(3):
            return addr
        return node.machine.nodes[self.sim.random.below(len(node.machine.nodes))].outside

    def flood(self, node, count):
        """Flood the node, or all nodes of its machine, with handshake messages and random bytes, from a few addresses."""
        below = self.sim.random.below
        self.sim.counts.floods += 1
        sources = [self.stranger() for _ in range(1 + below(6))]
        nodes = [node] if len(node.machine.nodes) == 1 or below(2) else node.machine.nodes
        makers = [Cookies(self, node, sources) for node in nodes]
        for _ in range(count):
            source = sources[below(len(sources))]
            cookies = makers[below(len(makers)) if len(makers) > 1 else 0]
            node = cookies.node
            kind = below(8)
            if kind == 0:
                datagram = self.sim.bytes(1 + below(200))
            elif kind == 1:
                datagram = bytes((1 + below(4), 0, 0, 0)) + self.sim.bytes(60 + below(100))
            elif kind == 2:
                datagram = b"\3\0\0\0" + self.sim.bytes(60)
            elif kind == 3:
                datagram = b"\2\0\0\0" + self.sim.bytes(56)
                datagram += crypto.blake2s(16, cookie.mac1_key(node.public), datagram) + bytes(16)
            else:
                datagram = cookies.initiation(source)
            self._inject(source, node.outside, datagram, len(datagram))

    def stranger(self):
        return 0x0A000000 + self.sim.random.below(1 << 16) << 16 | 1024 + self.sim.random.below(60_000)

    def _inject(self, source, addr, run, stride):
        self.sim.counts.attacks += 1
        self.last_bad = max(self.last_bad, self.sim.now + 2)
        self.sim.after(1 + self.sim.random.below(2), lambda: self.arrive(source, addr, run, stride, 0))


class Cookies:
    """Initiations with a right mac1, some with a right mac2, made with the checker's secret, as if from a cookie reply."""

    def __init__(self, net, node, sources):
        self._net = net
        self.node = node
        self._mac1_key = cookie.mac1_key(node.public)
        checker = node.device.checker if node.is_running else None
        self._cookies = {}
        if checker is not None and checker._secret_birth is not None:
            for source in sources:
                self._cookies[source] = crypto.blake2s(16, checker._secret, node.address_bytes(source))

    def initiation(self, source):
        body = b"\1\0\0\0" + self._net.sim.bytes(112)
        body += crypto.blake2s(16, self._mac1_key, body)
        known = self._cookies.get(source)
        return body + (crypto.blake2s(16, known, body) if known else bytes(16))
