"""Deterministic simulation of WireGuard devices: a clock that jumps from event to event, and random numbers from one seed.

The random numbers of the protocol (ephemeral keys, indices, cookies, jitter) also come from the seed. So a seed gives the
same run, bit for bit, on every machine and interpreter. `digest` is a hash of everything that was sent, delivered and done.
simscenario.py has the events, simcheck.py the invariants.
"""

import hashlib
from heapq import heappop, heappush
from struct import pack

from wgembed import crypto
from wgembed.daemon import timestamps
from wgembed.packets.arena import Arena, Inbox
from wgembed.protocol import timers
from wgembed.protocol.memory import alloc
from wgembed.protocol.timers import expire_timers

from ..unit.harness import ipv4, ipv6
from ..unit.support import Random
from . import simcheck
from .simmachine import Machine
from .simnet import Network
from .simnode import Known, Node

START = 1_000_000_000
DAY = 86_400_000
HEADERS = 40 + 10  # the headers of a packet, at most, and its number
_OUTSTANDING = 2048  # packets of one direction that can still arrive; fewer can wait anywhere


class Counts:
    """The counts for the report."""

    NAMES = (
        "events", "datagrams", "transport", "initiations", "responses", "cookies", "packets", "delivered", "floods",
        "attacks", "passed_limiter", "crossings", "starts", "heals", "backed_off", "checks", "slowest",
    )  # fmt: skip

    def __init__(self):
        for name in self.NAMES:
            setattr(self, name, 0)

    def as_text(self):
        return ", ".join(["%s %d" % (name, getattr(self, name)) for name in self.NAMES])


class Files:
    """The files of the machines, in memory, by name. It replaces `system.files`."""

    def __init__(self):
        self._held = {}

    def read_file(self, path):
        if path not in self._held:
            raise OSError(2)
        return self._held[path]

    def write_new(self, path, data):
        self._held[path] = data

    def remove(self, path):
        self._held.pop(path, None)


class Entropy:
    """Replaces the random generator of the system: BLAKE2s of the seed and a counter."""

    def __init__(self, seed):
        self._key = pack("<Q", seed) + bytes(24)
        self._count = 0

    def fill(self, buf):
        done = 0
        while done < len(buf):
            self._count += 1
            part = crypto.blake2s(32, self._key, pack("<Q", self._count))[: len(buf) - done]
            buf[done : done + len(part)] = part
            done += len(part)


class Simulation:
    """`devices` nodes in a topology, "hub" or "mesh". The seed decides the rest.

    In a hub, all other nodes have only node 0 as a peer, and they move. In a mesh, all nodes are peers of each other, and
    every third one moves. Two moving nodes are not peers, because neither could learn the address of the other.

    together  how many nodes share a machine, as devices of one process
    library   the path of the C library for the packet path, or None
    """

    def __init__(self, seed, devices=2, topology="hub", together=1, library=None, trace=None):
        self.seed = seed
        self.now = START
        self.random = Random(seed)
        self.counts = Counts()
        self.files = Files()
        self.wire = simcheck.Wire(self)
        self.net = Network(self)
        self.crossed = {}
        self._library = library
        self._trace = trace
        self._queue = []
        self._number = 0
        self._digest = hashlib.sha256()
        self._entropy = Entropy(seed)
        self._sent = {}  # (from, to): {number: packet}
        self._last = {}  # (from, to): the last number
        self.on_delivery = None
        self._saved = crypto.random_fill, timestamps.system
        crypto.random_fill = self._entropy.fill
        timestamps.system = self
        timers._used = len(timers._drawn)
        self.machines = [Machine(self, i) for i in range((devices + together - 1) // together)]
        self.nodes = [
            Node(self, self.machines[i // together], i, not i if topology == "hub" else i % 3 != 2) for i in range(devices)
        ]
        self.pairs = []
        for node in self.nodes:
            self.net.settle(node)
        for a in self.nodes:
            for b in self.nodes[a.number + 1 :]:
                if (a.number == 0 or topology != "hub") and (a.is_fixed or b.is_fixed):
                    self._introduce(a, b)
        for machine in self.machines:
            machine.start()

    def close(self):
        """Restore the functions that were replaced."""
        crypto.random_fill, timestamps.system = self._saved

    def _introduce(self, a, b):
        self.pairs.append((a, b))
        a.knows.append(Known(b, b.outside if b.is_fixed else None))
        b.knows.append(Known(a, a.outside if a.is_fixed else None))

    def key(self):
        """Return a private key and its public key."""
        private, public = bytearray(32), bytearray(32)
        crypto.random_fill(private)
        private[0] &= 248
        private[31] = private[31] & 127 | 64
        crypto.x25519_base(public, private)
        return bytes(private), bytes(public)

    def packet_memory(self):
        """Return (arena, inbox, an object that must live as long as they do) for a process."""
        if self._library is None:
            return Arena(1420), Inbox(), None
        from wgembed.packets.fastpath import Fastpath
        from wgembed.runtime import system

        fastpath = Fastpath(self._library, system.clib.Library, alloc)
        return fastpath.arena, fastpath.inbox, fastpath

    # A log for Timestamps

    def verbose(self, text):
        raise simcheck.Violation(text)

    error = verbose

    # Time

    def after(self, ms, step):
        """Call the function after this number of ms."""
        self._number += 1
        heappush(self._queue, (self.now + ms, self._number, step))

    def run(self, until):
        """Run all events up to this time."""
        queue, counts = self._queue, self.counts
        while queue and queue[0][0] <= until:
            at, _, step = heappop(queue)
            self.now = at
            counts.events += 1
            step()
        self.now = until

    def touched(self, machine):
        """Check the machine after an event, and set the time of its next wake-up."""
        if not machine.is_running:
            return
        self.counts.checks += 1
        simcheck.check(machine)
        wake = machine.tables.timers.next()
        if wake is None:
            return
        wake = max(wake + machine.booted, self.now)
        if machine.wakes_at is None or wake < machine.wakes_at:
            machine.wakes_at = wake
            life = machine.life
            self.after(wake - self.now, lambda: self._wake(machine, life, wake))

    def _wake(self, machine, life, at):
        if life != machine.life or machine.wakes_at != at or not machine.is_running:
            return
        if self.now < machine.stalled_until:
            machine.wakes_at = later = machine.stalled_until
            self.after(later - self.now, lambda: self._wake(machine, life, later))
            return
        machine.wakes_at = None
        machine.guarded(self._fire, machine)

    def _fire(self, machine):
        expire_timers(machine.tables, machine.now)
        simcheck.check_fired(machine)
        wake = machine.tables.timers.next()
        simcheck.want(wake is None or wake > machine.now, "woken, the device wants to be woken at once")

    # Chance and record

    def bytes(self, count):
        """Return this number of random bytes."""
        out = bytearray(count)
        self._entropy.fill(out)
        return bytes(out)

    def note(self, kind, number, data):
        self._digest.update(kind + pack("<QB", self.now, number))
        self._digest.update(data)

    def say(self, what, *more):
        """Add an action on the nodes to the trace and the digest."""
        text = " ".join([what] + [str(m) for m in more])
        self.note(b"e", 0, text.encode())
        if self._trace:
            self._trace("%.3f %s" % ((self.now - START) / 1000, text))

    def digest(self):
        return "".join(["%02x" % b for b in self._digest.digest()[:16]])

    # Packets

    def packet(self, a, b, size, source=None):
        """Make the next packet from node a to node b. Its payload has its number. `source` replaces its source address."""
        pair = a.number, b.number
        number = self._last[pair] = self._last.get(pair, 0) + 1
        payload = pack("<BBQ", a.number, b.number, number) + b"\x55" * size
        if number & 3:
            packet = ipv4(source or a.inside4, b.inside4, payload)
        else:
            packet = ipv6(a.inside6, b.inside6, payload)
        self.counts.packets += 1
        sent = self._sent.setdefault(pair, {})
        sent[number] = packet
        if len(sent) > _OUTSTANDING + 256:
            self._sent[pair] = {n: p for n, p in sent.items() if n > number - _OUTSTANDING}
        return packet

    def delivered(self, node, packet):
        """Receive an IP packet that a device delivers to its tunnel."""
        self.counts.delivered += 1
        self.note(b"d", node.number, packet)
        header, same = (20, 12) if packet[0] >> 4 == 4 else (40, 8)
        source = packet[12:16] if header == 20 else packet[8:24]
        payload = packet[header:]
        simcheck.want(len(payload) >= 10, "delivered what nobody sent")
        number = int.from_bytes(payload[2:10], "little")
        sent = self._sent.get((payload[0], payload[1]), {}).pop(number, None)
        simcheck.want(sent is not None, "delivered twice, or never sent: packet", number, "from", payload[0])
        # Compare from the addresses on, because a CE mark changes the TOS byte and the checksum before them.
        simcheck.want(payload[1] == node.number and sent[same:] == packet[same:], "delivered another packet than was sent")
        sender = self.nodes[payload[0]]
        simcheck.may_deliver(node, sender, source)
        if self.on_delivery is not None:
            self.on_delivery(sender, node, number)

    def last_number(self, a, b):
        return self._last.get((a.number, b.number), 0)

    def missing(self, a, b, after):
        """Return the packets from a to b with numbers above `after` that were not delivered."""
        return sorted([n for n in self._sent.get((a.number, b.number), {}) if n > after])
