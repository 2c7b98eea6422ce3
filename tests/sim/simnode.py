"""A machine of the simulation: a device, the host that it asks of the machine, and what outlives a crash of it.

The owner's configuration of a node stands in `knows`, a list: the model that the invariants are checked against is the
same that the device is made from.
"""

import simcheck

from wgembed.control.stamps import Stamps
from wgembed.protocol.constants import RESPONSE_SIZE, SEND_BAD_SOURCE, SEND_LOST, SEND_OK
from wgembed.protocol.device import Device
from wgembed.protocol.peers import Tables

PORT = 51820
STAGED = 96 * 512
PREFIXES = 64
_TURN = 1  # ms from a handshake message's coming to when the loop looks at it, and between two looks
_WORK = 16  # messages that are looked at then


class Crash(Exception):
    """The process ends in the middle of what it does."""


class Known:
    """What a node's owner has configured of one peer.

    other     the node that the peer is
    peer      the device's, or None while it is removed or the node is down
    prefixes  its allowed IPs: (address, prefix length)
    endpoint  where it is said to be, or None: it must call first
    """

    def __init__(self, other, endpoint):
        self.other = other
        self.public = other.public
        self.endpoint = endpoint
        self.prefixes = [(other.inside4, 32), (other.inside6, 128)]
        self.psk = bytes(32)
        self.keepalive = 0
        self.removed = False
        self.peer = None


class Node:
    """One device with its host.

    number     from 0; its inner addresses have it plus 1
    is_fixed   it can be reached at `outside` for ever; others move, and peers must learn where they are
    outside    the address that others see: an int that stands for IP address and port, see `address_bytes`
    local      stands for the local address that what arrives came to
    """

    def __init__(self, sim, number, is_fixed):
        self.sim = sim
        self.number = number
        self.is_fixed = is_fixed
        self.inside4 = bytes((10, 0, 0, number + 1))
        self.inside6 = b"\xfd" + bytes(14) + bytes((number + 1,))
        self.private, self.public = sim.key()
        self.knows = []
        self.outside = self.local = 0
        self.wall = 1_700_000_000_000 - sim.now  # of its wall clock, less the simulated time, in ms
        self.booted = sim.now - 1_000_000
        self.device = self.tables = self.stamps = None
        self.old_publics = []
        self.newest = b""  # of the timestamps that this key was ever used with
        self.life = 0  # how often it was started
        self.crash_in = 0  # so many more sends
        self.lost_sends = 0  # so many sends the kernel does not take
        self.stalled_until = 0
        self.wakes_at = None
        self.works = False
        self.limits = simcheck.Limits()

    @property
    def now(self):
        """Milliseconds of CLOCK_BOOTTIME."""
        return self.sim.now - self.booted

    @property
    def is_running(self):
        return self.device is not None

    # Life

    def start(self):
        """Begin as after a power cut: with the configuration, and with what was on flash."""
        sim = self.sim
        self.life += 1
        self.works = False
        self.wakes_at = None
        self.tables = Tables(len(self.knows) + 1, staged=STAGED, limiter=64)
        self.arena, self.inbox, self.fastpath = sim.packet_memory()
        self.stamps = Stamps("flash%d" % self.number, "run%d" % self.number, self._save, sim)
        self.device = Device(self.tables, self.arena, self.inbox, self, PREFIXES, PREFIXES, self)
        self.device.set_private_key(self.private, self.now)
        for known in self.knows:
            known.peer = None
            if not known.removed:
                self.enter(known)
        self.device.up(self.now)
        self.frame = simcheck.frame(self)
        sim.touched(self)

    def stop(self):
        self.device = self.tables = self.stamps = self.arena = self.inbox = self.fastpath = None
        self.crash_in = 0
        for known in self.knows:
            known.peer = None

    def reboot(self):
        """The machine starts anew: CLOCK_BOOTTIME from zero, and without the files in memory."""
        self.booted = self.sim.now - 20_000
        self.sim.files.remove("run%d" % self.number)

    def _save(self, path, data, urgent, failed):
        if urgent:
            self.sim.files.write_new(path, data)
            return
        life = self.life
        self.sim.after(1_000 + self.sim.random.below(4_000), lambda: self._saved(path, data, life))

    def _saved(self, path, data, life):
        if life == self.life and self.is_running:
            self.sim.files.write_new(path, data)

    def make(self, sec, nsec):
        """Make a timestamp, as the device asks: the real marks, looked at."""
        stamp = self.stamps.make(sec, nsec)
        simcheck.want(bytes(stamp) > self.newest, "a timestamp went back")
        self.newest = bytes(stamp)
        return stamp

    def guarded(self, step, *arguments):
        """Do something with the device; a crash planned within it ends the process there."""
        try:
            step(*arguments)
        except Crash:
            self.sim.say("crash within", self.number)
            self.stop()
            self.sim.after(1_000 + self.sim.random.below(20_000), self.restart)
            return
        self.sim.touched(self)

    def restart(self):
        if not self.is_running:
            self.start()

    # Configuration

    def enter(self, known):
        """Make the device's peer."""
        device, now = self.device, self.now
        known.peer = device.add_peer(known.public)
        for address, cidr in known.prefixes:
            device.allow(known.peer, address, cidr, now)
        device.set_preshared_key(known.peer, known.psk)
        if known.endpoint is not None:
            device.set_endpoint(known.peer, known.endpoint, now)
        device.set_persistent_keepalive(known.peer, known.keepalive, now)

    def know(self, other):
        """Return what is configured of the other node."""
        for known in self.knows:
            if known.other is other:
                return known
        return None

    def owner_of(self, address):
        """Return whose address this is by the configuration, the most special prefix of all peers first; or None."""
        best, owner = -1, None
        for known in self.knows:
            if known.removed:
                continue
            for prefix, cidr in known.prefixes:
                if cidr > best and len(prefix) == len(address) and prefix[: cidr // 8] == address[: cidr // 8]:
                    best, owner = cidr, known
        return owner

    # The host

    def send(self, addr, src, buf, size, tos):
        result = self._may_send(src)
        if result != SEND_BAD_SOURCE:
            self.sim.wire.handshake(self, buf, size)
            if size == RESPONSE_SIZE:
                self.sim.counts.responses += 1
        if result == SEND_OK:
            self.sim.net.carry(self, addr, bytes(buf[:size]), size, tos)
        return result

    def reply(self, addr, src, buf, size):
        return self.send(addr, src, buf, size, 0)

    def send_run(self, addr, src, arena, first, end, ecn):
        result = self._may_send(src)
        if result == SEND_BAD_SOURCE:
            return result
        wire, net = self.sim.wire, self.sim.net
        while first < end:
            stop = arena.group(first, end)
            run = b""
            for slot in range(first, stop):
                start = arena.offsets[slot]
                message = bytes(arena.view[start : start + arena.lengths[slot]])
                wire.transport(self, message)
                run += message
            if result == SEND_OK:
                net.carry(self, addr, run, arena.lengths[first], ecn)
            first = stop
        return result

    def _may_send(self, src):
        if src is not None and src != self.local:
            return SEND_BAD_SOURCE
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                raise Crash
        if self.lost_sends:
            self.lost_sends -= 1
            return SEND_LOST
        return SEND_OK

    def deliver(self, view, packets, lengths, count):
        if packets is not self.inbox.packets:
            return  # what the device itself has to say: ICMP
        for i in range(count):
            self.sim.delivered(self, bytes(view[packets[i] : packets[i] + lengths[i]]))
        self.inbox.clear()

    def unanswered(self, peer):
        """Nobody else knows where the peer may be."""

    def address_bytes(self, addr):
        return address_bytes(addr)

    def realtime(self):
        wall = max(self.wall + self.sim.now, 0)
        return wall // 1000, wall % 1000 * 1_000_000

    # What happens to it

    def transmit(self, packets):
        """The machine sends IP packets into the tunnel, in one batch."""
        arena = self.arena
        for slot, packet in enumerate(packets):
            start = arena.packets[slot]
            arena.buffer[start : start + len(packet)] = packet
            arena.lengths[slot] = len(packet)
        self.device.transmit(self.now, len(packets))

    def receive(self, datagrams, stride, addr, tos):
        start = self.inbox.start
        self.inbox.buffer[start : start + len(datagrams)] = datagrams
        self.receiving = None
        if datagrams[0] == 4 and stride >= 32:
            self.receiving = self.tables.owner(datagrams, 4)
            keypair = self.receiving[1]
            self.receiving_birth = keypair.birth if keypair is not None and keypair.index is not None else None
        self.device.receive(self.now, len(datagrams), stride, addr, self.local, tos)
        self.receiving = None
        if self.device.backlog.count and not self.works:
            self.works = True
            self._work_later()

    def _work_later(self):
        life = self.life
        self.sim.after(_TURN, lambda: self._work(life))

    def _work(self, life):
        if life != self.life or not self.is_running:
            return
        if self.sim.now < self.stalled_until:
            self.sim.after(self.stalled_until - self.sim.now, lambda: self._work(life))
            return
        self.works = False
        self.guarded(self._handshakes)

    def _handshakes(self):
        device = self.device
        for _ in range(_WORK):
            if not device.backlog.count:
                return
            self.limits.watch(self)
        if device.backlog.count:
            self.works = True
            self._work_later()


def address_bytes(addr):
    """Return the address as bytes: bit 60 says that it is IPv6; below it, 32 bits of IP and 16 of port."""
    ip, port = addr >> 16 & 0xFFFFFFFF, addr & 0xFFFF
    packed = ip.to_bytes(4, "big")
    if addr >> 60:
        packed = b"\x20\1\x0d\xb8" + packed + bytes(7) + b"\1"
    return packed + port.to_bytes(2, "big")
