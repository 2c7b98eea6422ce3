"""The staged pool: first in, first out for each peer. In a full pool the peer with the most packets loses its oldest."""

from wgembed.protocol.constants import MAX_STAGED_PACKETS
from wgembed.protocol.staged import StagedPool

from .support import Storage, raises


def push(pool, peer, packet):
    return pool.push(peer, b"??" + packet + b"?", 2, len(packet))


def pop(pool, peer):
    """Return the oldest packet, or None."""
    buf = bytearray(b"\xee" * 100)
    size = pool.pop(peer, buf, 3)
    if size < 0:
        assert buf == b"\xee" * 100
        return None
    assert buf[:3] == b"\xee" * 3 and buf[3 + size :] == b"\xee" * (97 - size)
    return bytes(buf[3 : 3 + size])


def drain(pool, peer):
    packets = []
    while pool.count(peer):
        packets.append(pop(pool, peer))
    return packets


def test_first_in_first_out():
    pool = StagedPool(16, 8, 3)
    packets = [b"", b"1", b"12345678", b"123456789", b"x" * 33]
    for packet in packets:
        assert push(pool, 1, packet) == 0
    assert pool.count(1) == 5 and pool.count(0) == 0
    assert pool.peek(1) == 0
    assert pool.free_blocks == 16 - (1 + 1 + 1 + 2 + 5)
    assert drain(pool, 1) == packets
    assert pool.free_blocks == 16


def test_nothing_waits():
    pool = StagedPool(4, 8, 2)
    assert pop(pool, 0) is None
    assert pool.peek(1) == -1
    assert pool.discard(1) == -1
    assert pool.purge(1) == 0
    assert pool.count(1) == 0


def test_peers_do_not_mix():
    pool = StagedPool(16, 4, 3)
    for i in range(4):
        for peer in range(3):
            assert push(pool, peer, bytes((peer, i))) == 0
    assert drain(pool, 2) == [bytes((2, i)) for i in range(4)]
    assert drain(pool, 0) == [bytes((0, i)) for i in range(4)]
    assert drain(pool, 1) == [bytes((1, i)) for i in range(4)]


def test_discard_and_purge():
    pool = StagedPool(8, 4, 2)
    for packet in (b"a", b"bcdef", b"g"):
        push(pool, 0, packet)
    push(pool, 1, b"z")
    assert pool.discard(0) == 1
    assert pool.peek(0) == 5
    assert pool.purge(0) == 2
    assert pool.count(0) == 0 and pool.free_blocks == 7
    assert drain(pool, 1) == [b"z"]


def test_full_drops_the_oldest_of_the_peer_with_the_most():
    pool = StagedPool(6, 4, 3)
    for packet in (b"a", b"b", b"c", b"d"):
        push(pool, 0, packet)
    push(pool, 1, b"e")
    push(pool, 1, b"f")
    assert push(pool, 2, b"g") == 1
    assert pool.count(0) == 3
    assert push(pool, 2, b"h") == 1
    # Three peers have two packets each. The one that has had two for the longest time loses one.
    assert push(pool, 2, b"i") == 1
    assert drain(pool, 1) == [b"f"]
    assert drain(pool, 0) == [b"c", b"d"]
    assert drain(pool, 2) == [b"g", b"h", b"i"]


def test_a_large_packet_may_need_the_room_of_many():
    pool = StagedPool(6, 4, 3)
    for i in range(6):
        push(pool, i % 2, bytes((i,)))
    assert push(pool, 2, b"x" * 17) == 5
    assert pool.count(0) + pool.count(1) == 1
    assert drain(pool, 2) == [b"x" * 17]


def test_a_peer_pushes_out_its_own():
    pool = StagedPool(3, 4, 1)
    dropped = [push(pool, 0, bytes((i,))) for i in range(7)]
    assert dropped == [0, 0, 0, 1, 1, 1, 1]
    assert drain(pool, 0) == [b"\4", b"\5", b"\6"]


def test_a_packet_larger_than_the_pool_is_refused_alone():
    pool = StagedPool(3, 4, 2)
    push(pool, 0, b"a")
    assert push(pool, 1, b"x" * 13) == 1
    assert pool.count(1) == 0
    assert push(pool, 1, b"x" * 12) == 1
    assert drain(pool, 1) == [b"x" * 12] and pool.count(0) == 0


def test_at_most_128_packets_a_peer():
    pool = StagedPool(200, 4, 2)
    for i in range(MAX_STAGED_PACKETS):
        assert push(pool, 0, bytes((i,))) == 0
    assert push(pool, 0, b"\xff") == 1
    assert pool.count(0) == MAX_STAGED_PACKETS
    assert push(pool, 1, b"other") == 0
    packets = drain(pool, 0)
    assert packets[0] == b"\1" and packets[-1] == b"\xff" and len(packets) == MAX_STAGED_PACKETS


def test_blocks_are_used_again():
    pool = StagedPool(5, 4, 2)
    for i in range(300):
        packet = bytes((i & 255,)) * (i % 19)
        assert push(pool, i & 1, packet) == 0
        assert pop(pool, i & 1) == packet
        assert pool.free_blocks == 5


def test_a_popped_packet_goes_where_it_is_told():
    pool = StagedPool(4, 4, 1)
    push(pool, 0, b"abcdefg")
    out = memoryview(bytearray(20))
    assert pool.pop(0, out, 5) == 7
    assert bytes(out) == bytes(5) + b"abcdefg" + bytes(8)


def test_memory_is_the_pool_and_little_more():
    storage = Storage()
    StagedPool(256, 512, 1000, storage.alloc)
    assert storage.bytes - 256 * 512 <= 256 * 6 + 1000 * 9 + 512
    raises(ValueError, StagedPool, 1 << 16, 512, 1)
    raises(ValueError, StagedPool, 0, 512, 1)
    raises(ValueError, StagedPool, 1, 0, 1)
