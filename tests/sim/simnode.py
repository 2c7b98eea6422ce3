"""A device of the simulation, its host, and the state that survives a crash.

`knows` is the configuration of a node, a list. The device is made from this list, and the invariants are checked against it.
"""

from wgembed.daemon.timestamps import Timestamps
from wgembed.protocol.constants import DEFAULT_MTU, RESPONSE_SIZE, SEND_BAD_SOURCE, SEND_LOST, SEND_OK
from wgembed.protocol.device import Device

from . import simcheck
from .simmachine import Crash

PREFIXES = 64
_TURN = 1  # the ms before the loop handles a handshake message, and between two turns
_WORK = 16  # messages that are handled in a turn


class Known:
    """The configuration of one peer.

    other     the node of the peer
    peer      the peer in the device, or None while the peer is removed or the node is down
    prefixes  its allowed IPs: (address, prefix length)
    endpoint  its configured address, or None: then the peer must send first
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

    machine    its Machine
    number     from 0; its inner addresses have it plus 1
    is_fixed   it is always at `outside`; other nodes move, and their peers must learn the address
    outside    its outer address, an int for IP address and port: see `address_bytes`
    local      the local address at which datagrams arrive
    """

    def __init__(self, sim, machine, number, is_fixed):
        self.sim = sim
        self.machine = machine
        machine.nodes.append(self)
        self.number = number
        self.is_fixed = is_fixed
        self.inside4 = bytes((10, 0, 0, number + 1))
        self.inside6 = b"\xfd" + bytes(14) + bytes((number + 1,))
        self.private, self.public = sim.key()
        self.knows = []
        self.outside = self.local = 0
        self.mtu = DEFAULT_MTU
        self.mtu_since = sim.now
        self.fleeting = "run%d" % number  # the file in memory
        self.device = self.timestamps = None
        self.old_publics = []
        self.newest = b""  # the latest timestamp that was used with this key
        self.crash_in = 0  # the number of sends until a crash; 0 for no crash
        self.lost_sends = 0  # the number of sends that the kernel refuses
        self.works = False
        self.limits = simcheck.Limits()
        self.guarded = machine.guarded

    @property
    def now(self):
        """Milliseconds of CLOCK_BOOTTIME."""
        return self.machine.now

    @property
    def is_running(self):
        return self.device is not None

    # Life

    def begin(self):
        """Make the device in the tables of the process, which has just started."""
        machine = self.machine
        self.works = False
        self.limits.forget()
        self.timestamps = Timestamps("flash%d" % self.number, self.fleeting, self._save, self.sim)
        self.device = Device(machine.tables, machine.arena, machine.inbox, self, PREFIXES, PREFIXES, self)
        self.device.mtu = self.mtu
        self.device.set_private_key(self.private, self.now)
        for known in self.knows:
            known.peer = None
            if not known.removed:
                self.enter(known)
        self.device.up(self.now)

    def end(self):
        self.device = self.timestamps = None
        self.crash_in = 0
        for known in self.knows:
            known.peer = None

    def _save(self, path, data, urgent, failed):
        if urgent:
            self.sim.files.write_new(path, data)
            return
        life = self.machine.life
        self.sim.after(1_000 + self.sim.random.below(4_000), lambda: self._saved(path, data, life))

    def _saved(self, path, data, life):
        if life == self.machine.life and self.is_running:
            self.sim.files.write_new(path, data)

    def make(self, sec, nsec):
        """Make a timestamp for the device with the real code, and check it."""
        stamp = self.timestamps.make(sec, nsec)
        simcheck.want(bytes(stamp) > self.newest, "a timestamp went back")
        self.newest = bytes(stamp)
        return stamp

    # Configuration

    def enter(self, known):
        """Add the peer to the device."""
        device, now = self.device, self.now
        known.peer = device.add_peer(known.public)
        for address, cidr in known.prefixes:
            device.allow(known.peer, address, cidr, now)
        device.set_preshared_key(known.peer, known.psk)
        if known.endpoint is not None:
            device.set_endpoint(known.peer, known.endpoint, now)
        device.set_persistent_keepalive(known.peer, known.keepalive, now)

    def know(self, other):
        """Return the configuration of the other node."""
        for known in self.knows:
            if known.other is other:
                return known
        return None

    def owner_of(self, address):
        """Return the peer that has this address in the configuration, by the longest prefix, or None."""
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

    tests_segments = 0

    def send_run(self, addr, src, arena, first, end, ecn, segments):
        result = self._may_send(src)
        if result == SEND_BAD_SOURCE:
            return result
        wire, net = self.sim.wire, self.sim.net
        while first < end:
            stop = arena.gso_group_end(first, min(end, first + segments))
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
        if packets is not self.machine.inbox.packets:
            return  # ICMP packets of the device itself
        for i in range(count):
            self.sim.delivered(self, bytes(view[packets[i] : packets[i] + lengths[i]]))
        self.machine.inbox.clear()

    def source(self, peer, is_new):
        return peer.called_at

    def unanswered(self, peer):
        """Do nothing, because there is no other endpoint."""

    def address_bytes(self, addr):
        return address_bytes(addr)

    def realtime(self):
        wall = max(self.machine.wall + self.sim.now, 0)
        return wall // 1000, wall % 1000 * 1_000_000

    # Events

    def transmit(self, packets):
        """Send IP packets from the machine into the tunnel, in one batch."""
        arena = self.machine.arena
        for slot, packet in enumerate(packets):
            start = arena.packets[slot]
            arena.buffer[start : start + len(packet)] = packet
            arena.lengths[slot] = len(packet)
        self.device.transmit(self.now, len(packets))

    def receive(self, datagrams, stride, addr, tos):
        inbox = self.machine.inbox
        inbox.buffer[inbox.start : inbox.start + len(datagrams)] = datagrams
        self.receiving = None
        before = None
        if datagrams[0] == 4 and stride >= 32:
            self.receiving = self.machine.tables.owner(datagrams, 4)
            keypair = self.receiving[1]
            self.receiving_birth = keypair.birth if keypair is not None and keypair.index is not None else None
            before = self._of_another_device(*self.receiving)
        self.device.receive(self.now, len(datagrams), stride, addr, self.local, tos)
        if before:
            simcheck.want(before == self._of_another_device(*self.receiving), "a session of another device moved on")
        self.receiving = None
        if self.device.backlog.count and not self.works:
            self.works = True
            self._work_later()

    def _of_another_device(self, peer, keypair):
        """Return the state that a message must not change because it came to the wrong device; otherwise None."""
        if keypair is None or peer.device is self.device:
            return None
        return peer.addr, keypair.top

    def _work_later(self):
        life = self.machine.life
        self.sim.after(_TURN, lambda: self._work(life))

    def _work(self, life):
        if life != self.machine.life or not self.is_running:
            return
        stalled = self.machine.stalled_until - self.sim.now
        if stalled > 0:
            self.sim.after(stalled, lambda: self._work(life))
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
    """Return the address as bytes. Bit 60 means IPv6; the lower bits are 32 bits of IP address and 16 of port."""
    ip, port = addr >> 16 & 0xFFFFFFFF, addr & 0xFFFF
    packed = ip.to_bytes(4, "big")
    if addr >> 60:
        packed = b"\x20\1\x0d\xb8" + packed + bytes(7) + b"\1"
    return packed + port.to_bytes(2, "big")
