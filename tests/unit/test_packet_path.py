"""A batch of packets allocates no memory."""

import sys

from wgembed.protocol import drops
from wgembed.protocol.constants import SEND_OK

from .harness import A4, A6, B4, B6, connected, ipv4, ipv6
from .support import memory_in_use

SIZE = 40


class Still:
    """A host that keeps nothing."""

    def send(self, addr, src, buf, size, tos):
        return SEND_OK

    def reply(self, addr, src, buf, size):
        return SEND_OK

    tests_segments = 0

    def send_run(self, addr, src, arena, first, end, ecn, segments):
        return SEND_OK

    def unanswered(self, peer):
        """Do nothing, because there is no other endpoint."""

    def address_bytes(self, addr):
        return bytes(6)

    def deliver(self, view, packets, lengths, count):
        self.delivered = count
        self.inbox.clear()

    def realtime(self):
        return 1, 1


def batch(packets):
    """Return a function that sends the packets from one end to the other, and one that receives them again."""
    harness, a, b, peer_b, peer_a = connected()
    a.device.host, b.device.host = Still(), Still()
    a.device.host.inbox, b.device.host.inbox = a.device.inbox, b.device.inbox
    arena, inbox = a.device.arena, b.device.inbox
    count = len(packets)
    addr, src = peer_a.addr, peer_a.src

    def put():
        for slot in range(count):
            packet, start = packets[slot], arena.packets[slot]
            arena.buffer[start : start + len(packet)] = packet
            arena.lengths[slot] = len(packet)

    def carry():
        for slot in range(count):
            size, start = arena.lengths[slot], arena.offsets[slot]
            inbox.view[slot * stride : slot * stride + size] = arena.view[start : start + size]

    put()
    a.device.transmit(harness.now, count)
    stride = max(arena.lengths[:count])

    # Writing the packets to the slots makes slices, which take memory. Only the steps after it are measured.

    def transmit():
        put()
        before = memory_in_use()
        a.device.transmit(harness.now, count)
        return memory_in_use() - before

    def receive():
        carry()
        before = memory_in_use()
        b.device.receive(harness.now, stride * count, stride, addr, src, 0)
        return memory_in_use() - before

    def both():
        return transmit() + receive()

    return both, receive, b


def test_nothing_is_allocated():
    for packets in (
        [ipv4(A4, B4, bytes(SIZE))] * 8,
        [ipv6(A6, B6, bytes(SIZE - 20))] * 8,
        [ipv4(A4, B4, bytes(SIZE)), ipv6(A6, B6, bytes(SIZE - 20))] * 4,
        [ipv4(A4, B4, b"x")],
    ):
        both, receive, b = batch(packets)
        both()
        both()
        assert b.device.host.delivered == len(packets)
        # If pointers and counters do not fit into a small int, they become garbage: about ten objects for each packet.
        most = 0 if sys.maxsize > 1 << 32 else 50 * 512 * len(packets)
        assert sum(both() for _ in range(50)) <= most


def test_replays_allocate_nothing():
    both, receive, b = batch([ipv4(A4, B4, bytes(SIZE))] * 8)
    both()
    receive()
    before = b.drop(drops.RX_REPLAY)
    assert sum(receive() for _ in range(50)) == 0
    assert b.drop(drops.RX_REPLAY) == before + 400
