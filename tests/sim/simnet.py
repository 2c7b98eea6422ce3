"""The network of the simulation, and who attacks through it.

Where it is calm, everything arrives within CALM_DELAY ms, in order or not. In a storm datagrams are lost, doubled,
delayed, damaged, marked as congested, held back for minutes. Addresses of those that move come and go.
"""

from wgembed import crypto
from wgembed.protocol import cookie
from wgembed.protocol.constants import INITIATION_SIZE, MESSAGE_TRANSPORT

CALM_DELAY = 40  # ms, at most
STORM_DELAY = 10_000
_HELD = 16
_RECORDED = 48


class Network:
    """Carries datagrams between the nodes.

    storm  whether the weather below counts
    """

    def __init__(self, sim):
        self.sim = sim
        self._where = {}  # address: node
        self._next_address = 0
        self.storm = False
        self.loss = self.double = self.late = self.damage = self.congested = 0  # of 1000 datagrams
        self.cut_off = None  # a node that nothing comes from or goes to
        self._recorded = []  # (source, destination, datagrams, stride), the last few: for replays
        self._handshakes = []
        self._held = []  # the same, of what the attacker did not let pass
        self.catch = False  # whether the attacker keeps packets in calm weather
        self.last_bad = 0  # when the last datagram of a storm arrives
        self.crossings = {}  # (from, to): the newest initiation's time of arrival

    def settle(self, node):
        """Give the node a new address; the old one is nobody's."""
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
        """The storm is over.

        What was held back is lost for good: an initiation that nobody saw is valid for long, and takes its receiver to an
        address where its sender may be no more.
        """
        self.storm = False
        self._held = []
        self.cut_off = None

    # Carrying

    def carry(self, node, addr, run, stride, tos):
        """Take `run`, datagrams of `stride` bytes of which the last may be shorter, from the node to `addr`."""
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
        # In a run of several the header stays whole, so that the watch knows which session it is of.
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
        """Keep what was lost; of many, some for long."""
        if len(self._held) == _HELD:
            self._held.pop(self.sim.random.below(_HELD))
        self._held.append(what)

    def _note_initiation(self, node, addr, arrives):
        """Count initiations that cross on the wire: each end answers the other's and gives up its own."""
        other = self._where.get(addr)
        if other is None:
            return
        if self.crossings.get((other.number, node.number), -1) >= self.sim.now:
            self.sim.counts.crossings += 1
            pair = (min(node.number, other.number), max(node.number, other.number))
            self.sim.crossed[pair] = self.sim.crossed.get(pair, 0) + 1
        self.crossings[node.number, other.number] = arrives

    def arrive(self, source, addr, run, stride, tos):
        """Hand the datagrams to who is at the address now."""
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

    # The attacker. He sees everything, may send from any address, and has no key.

    def replay(self, count):
        """Send again what was sent lately: packets from anywhere, handshakes from where they came."""
        below = self.sim.random.below
        for _ in range(count):
            ring = (self._recorded, self._handshakes)[below(2)]
            if not ring:
                continue
            source, addr, run, stride = ring[below(len(ring))]
            # A packet that is new, from elsewhere, moves the peer's endpoint. Of those who stay where they are the others
            # must not lose sight: nobody would tell them.
            node = self._where.get(source)
            if run[0] == MESSAGE_TRANSPORT and below(2) and not (node is not None and node.is_fixed):
                source = self.stranger()
            self._inject(source, self._astray(addr), run, stride)

    def release(self):
        """Let pass what was held back, however long ago."""
        held, self._held = self._held, []
        for source, addr, run, stride in held:
            self._inject(source, self._astray(addr), run, stride)

    def _astray(self, addr):
        """Return the address, or sometimes that of another device of the process, whose tables know the same indices."""
        node = self._where.get(addr)
        if node is None or len(node.machine.nodes) == 1 or self.sim.random.below(3):
            return addr
        return node.machine.nodes[self.sim.random.below(len(node.machine.nodes))].outside

    def flood(self, node, count):
        """Send the node, or all of its machine, handshake messages and nonsense, at once, from a few addresses."""
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
    """Initiations with a good mac1, some with a good mac2: made with the checker's own secret, as by who saw a reply."""

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
