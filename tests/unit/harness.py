"""Two or more devices on a wire that the test controls, without sockets and clocks: `harness.now` is the time."""

from wgembed.crypto import random_fill, x25519_base
from wgembed.packets.arena import Arena, Inbox
from wgembed.protocol import segmentation
from wgembed.protocol.constants import SEND_BAD_SOURCE, SEND_LOST, SEND_OK
from wgembed.protocol.device import Device
from wgembed.protocol.memory import alloc
from wgembed.protocol.peers import Tables
from wgembed.protocol.timers import expire_timers
from wgembed.runtime import fastpath_library

START = 1_000_000


def key():
    """Return a private key and its public key."""
    private, public = bytearray(32), bytearray(32)
    random_fill(private)
    private[0] &= 248
    private[31] = private[31] & 127 | 64
    x25519_base(public, private)
    return bytes(private), bytes(public)


def ipv4(source, destination, payload=b"", tos=0, protocol=17):
    """Return an IPv4 packet; addresses are 4 bytes."""
    size = 20 + len(payload)
    header = bytearray(20)
    header[0] = 0x45
    header[1] = tos
    header[2], header[3] = size >> 8, size & 255
    header[8], header[9] = 64, protocol
    header[12:16] = source
    header[16:20] = destination
    total = 0
    for i in range(0, 20, 2):
        total += header[i] << 8 | header[i + 1]
    total = (total & 0xFFFF) + (total >> 16)
    total = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
    header[10], header[11] = total >> 8, total & 255
    return bytes(header) + payload


def ipv6(source, destination, payload=b"", tos=0):
    """Return an IPv6 packet; addresses are 16 bytes."""
    header = bytearray(40)
    header[0] = 0x60 | tos >> 4
    header[1] = tos << 4 & 0xF0
    header[4], header[5] = len(payload) >> 8, len(payload) & 255
    header[6], header[7] = 17, 64
    header[8:24] = source
    header[24:40] = destination
    return bytes(header) + payload


class Node:
    """A device with its host. It sends datagrams to the wire of the harness, and delivers packets to the list `got`."""

    def __init__(self, harness, name, peers=8):
        self.harness = harness
        self.addr = (name, 51820)
        self.tables = Tables(peers, staged=16 * 512)
        self.fastpath = None
        arena, inbox = Arena(1420), Inbox()
        library = fastpath_library()
        if library:
            from wgembed.packets.fastpath import Fastpath
            from wgembed.runtime import system

            self.fastpath = Fastpath(library, system.clib.Library, alloc)
            arena, inbox = self.fastpath.arena, self.fastpath.inbox
        self.device = Device(self.tables, arena, inbox, self, 64, 64)
        self.private, self.public = key()
        self.device.set_private_key(self.private, harness.now)
        self.device.up(harness.now)
        self.got = []
        self.sent = []
        self.clock = 1_700_000_000
        self.bad_sources = ()
        self.tests_segments = segmentation.NOT_AT_ALL
        self.loses_segments = False
        self.pairs = 0
        self.told = []
        self.is_crowded = False  # the queue has no space for answers to unknown addresses

    # the host

    def send(self, addr, src, buf, size, tos):
        if src is not None and src in self.bad_sources:
            return SEND_BAD_SOURCE
        self.sent.append((bytes(buf[:size]), addr, src, tos))
        self.harness.carry(self.addr, addr, bytes(buf[:size]), tos)
        return SEND_OK

    def reply(self, addr, src, buf, size):
        if self.is_crowded:
            return SEND_LOST
        return self.send(addr, src, buf, size, 0)

    def send_pair(self, addr, src, buf, size, tos):
        self.pairs += 1
        for _ in range(0 if self.loses_segments else 2):
            result = self.send(addr, src, buf, size, tos)
        return SEND_OK if self.loses_segments else result

    def segments_changed(self, peer):
        self.told.append(peer.segments)

    def send_run(self, addr, src, arena, first, end, ecn, segments):
        if src is not None and src in self.bad_sources:
            return SEND_BAD_SOURCE
        for slot in range(first, end):
            start = arena.offsets[slot]
            message = bytes(arena.view[start : start + arena.lengths[slot]])
            self.sent.append((message, addr, src, ecn))
            if self.loses_segments and segments > 1 and end - first > 1:
                continue
            self.harness.carry(self.addr, addr, message, ecn)
        return SEND_OK

    def source(self, peer, is_new):
        return peer.called_at

    def unanswered(self, peer):
        """Do nothing, because there is no other endpoint."""

    def deliver(self, view, packets, lengths, count):
        for i in range(count):
            self.got.append(bytes(view[packets[i] : packets[i] + lengths[i]]))
        self.device.inbox.clear()

    def address_bytes(self, addr):
        name = addr[0].encode()[:4]
        return name + bytes(4 - len(name)) + bytes((addr[1] >> 8, addr[1] & 255))

    def realtime(self):
        return self.clock + self.harness.now // 1000, self.harness.now % 1000 * 1_000_000

    # actions of a test

    def add(self, other, allowed, endpoint=True, psk=None):
        """Make the other node a peer with these allowed IPs: pairs of packed address and prefix length."""
        peer = self.device.add_peer(other.public)
        for address, cidr in allowed:
            self.device.allowed.insert(address, cidr, peer.number)
        if psk is not None:
            self.device.set_preshared_key(peer, psk)
        if endpoint:
            self.device.set_endpoint(peer, other.addr, self.harness.now)
        return peer

    def transmit(self, *packets):
        """Give IP packets to the device, as one batch from its tunnel device."""
        self.put(packets)
        self.device.transmit(self.harness.now, len(packets))
        self.harness.settle()

    def put(self, packets):
        """Write the packets to the slots of the arena, also if they are not valid."""
        arena = self.device.arena
        for slot, packet in enumerate(packets):
            start = arena.packets[slot]
            arena.buffer[start : start + len(packet)] = packet
            arena.lengths[slot] = len(packet)

    def receive(self, datagram, addr=("x", 9), src=None, tos=0):
        """Give one datagram to the device, as if it came from `addr`."""
        self.receive_run(datagram, len(datagram), addr, src, tos)
        self.device.handshakes(self.harness.now, 1000)

    def receive_run(self, datagrams, stride, addr=("x", 9), src=None, tos=0):
        start = self.device.inbox.start
        self.device.inbox.buffer[start : start + len(datagrams)] = datagrams
        self.device.receive(self.harness.now, len(datagrams), stride, addr, src, tos)

    def drop(self, reason):
        return self.device.drops[reason]


class Harness:
    """The wire and the time. `filter(source, destination, datagram)` returns the datagrams to deliver instead."""

    def __init__(self):
        self.now = START
        self.nodes = {}
        self.filter = None
        self._queue = []
        self._settling = False

    def node(self, name, **how):
        node = Node(self, name, **how)
        self.nodes[node.addr] = node
        return node

    def carry(self, source, destination, datagram, tos):
        datagrams = [datagram]
        if self.filter is not None:
            datagrams = self.filter(source, destination, datagram)
        for one in datagrams:
            self._queue.append((source, destination, one, tos))

    def arrives(self, destination):
        """A datagram comes to this address. For harnesses whose nodes have several."""

    def settle(self):
        """Deliver the datagrams on the wire until there are no more."""
        if self._settling:
            return
        self._settling = True
        while self._queue:
            source, destination, datagram, tos = self._queue.pop(0)
            self.arrives(destination)
            node = self.nodes.get(destination)
            if node is not None and node.device.is_up:
                node.receive(datagram, source, "src-" + source[0], tos)
        self._settling = False

    def advance(self, ms, step=None):
        """Let the time pass, and handle each timer when it is due; or pass in steps."""
        end = self.now + ms
        while self.now < end:
            due = [t for t in (n.tables.timers.next() for n in self.nodes.values()) if t is not None and t <= end]
            target = min(due) if due else end
            self.now = max(self.now, min(target, end))
            for node in self.nodes.values():
                expire_timers(node.tables, self.now)
            self.settle()
            if not due:
                break


A4, B4 = b"\x0a\0\0\1", b"\x0a\0\0\2"
A6, B6 = b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2"


def pair(psk=None, b_knows_a=True):
    """Return (harness, a, b, a's peer b, b's peer a): two nodes, each with the other as its only peer."""
    harness = Harness()
    a, b = harness.node("a"), harness.node("b")
    peer_b = a.add(b, ((B4, 32), (B6, 128)), psk=psk)
    peer_a = b.add(a, ((A4, 32), (A6, 128)), endpoint=b_knows_a, psk=psk)
    return harness, a, b, peer_b, peer_a


def connected(**how):
    """Return a pair that has exchanged a packet in each direction. Node a was the initiator."""
    harness, a, b, peer_b, peer_a = pair(**how)
    a.transmit(ipv4(A4, B4, b"first"))
    b.transmit(ipv4(B4, A4, b"second"))
    assert b.got and a.got, "the pair does not connect"
    del a.got[:], b.got[:], a.sent[:], b.sent[:]
    return harness, a, b, peer_b, peer_a


PACKET = ipv4(A4, B4, b"hello")
BACK = ipv4(B4, A4, b"world")


def types(node):
    """The types of the messages that the node has sent. A keepalive is 'k'."""
    return ["k" if m[0] == 4 and len(m) == 32 else m[0] for m, *_ in node.sent]


def indices(node):
    """Check that the index table of the node has exactly the indices that its peers use."""
    used = 0
    peer = node.device.first
    while peer is not None:
        slots = [k for k in peer.keypairs if k.index is not None]
        assert sorted(map(id, slots)) == sorted(id(k) for k in (peer.current, peer.previous, peer.next) if k)
        used += len(slots) + (peer.handshake_index is not None)
        peer = peer.after
    assert node.tables.indices.used == used
    return used
