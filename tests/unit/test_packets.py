"""Packets: inner checks, padding, ECN, unreachable destinations."""

from wgembed.protocol import drops

from .harness import A4, A6, B4, B6, PACKET, Harness, connected, ipv4, ipv6, pair
from .support import Random

# Inner packets


def open_at_b(harness, a, b, inner):
    """Seal any bytes at a, and give the message to b."""
    held = []
    harness.filter = lambda source, destination, datagram: held.append(datagram) or []
    a.put([inner])
    a.device._send_run(harness.now, a.device.first, 0, 1)
    harness.filter = None
    b.receive(held[0], a.addr)


def test_inner_packets_are_checked():
    harness, a, b, peer_b, peer_a = connected()
    short4 = bytearray(PACKET)
    short4[3] = 19
    long4 = bytearray(PACKET)
    long4[3] = 200
    long6 = bytearray(ipv6(A6, B6, b"x"))
    long6[5] = 250
    for inner, reason in (
        (b"\x00" * 40, drops.RX_INNER_TYPE),
        (b"\x55" * 40, drops.RX_INNER_TYPE),
        (b"\x45", drops.RX_INNER_SIZE),
        (bytes(short4), drops.RX_INNER_SIZE),
        (bytes(long4), drops.RX_INNER_SIZE),
        (b"\x60" + bytes(15), drops.RX_INNER_SIZE),
        (bytes(long6), drops.RX_INNER_SIZE),
        (ipv4(B4, A4, b""), drops.RX_INNER_SOURCE),
        (ipv4(b"\x08\x08\x08\x08", B4, b""), drops.RX_INNER_SOURCE),
        (ipv6(B6, A6, b""), drops.RX_INNER_SOURCE),
    ):
        before = b.drop(reason)
        open_at_b(harness, a, b, inner)
        assert b.drop(reason) == before + 1, inner
        assert b.got == []


def test_the_batch_is_checked_packet_by_packet():
    """A packet with a wrong source is dropped, also after one with a right source."""
    harness, a, b, peer_b, peer_a = connected()
    c_allowed = ipv4(b"\x0a\0\0\7", B4, b"spoof")
    batch = [PACKET, c_allowed, PACKET, ipv6(A6, B6, b"6"), ipv6(B6, B6, b"spoof"), ipv6(A6, B6, b"6")]
    a.put(batch)
    held = []
    harness.filter = lambda source, destination, datagram: held.append(datagram) or []
    a.device._send_run(harness.now, peer_b, 0, len(batch))
    stride = max(map(len, held))
    held.sort(key=len, reverse=True)
    for datagram in held:
        b.receive_run(datagram, stride, a.addr)
    assert sorted(b.got) == sorted([PACKET, PACKET, ipv6(A6, B6, b"6"), ipv6(A6, B6, b"6")])
    assert b.drop(drops.RX_INNER_SOURCE) == 2


def mixed(kinds):
    """Yield random batches, each with runs of a few equal items."""
    random = Random(5)
    for _ in range(200):
        batch = []
        while len(batch) < 24:
            batch += [kinds[random.below(len(kinds))]] * (1 + random.below(6))
        yield batch


def carry_as_one_run(harness, a, b, peer, inner, tos=0):
    """Seal packets of equal size at a, and give the messages to b as one receive with this outer TOS byte."""
    held = []
    harness.filter = lambda source, destination, datagram: held.append(datagram) or []
    a.put(inner)
    a.device._send_run(harness.now, peer, 0, len(inner))
    b.receive_run(b"".join(held), len(held[0]), a.addr, tos=tos)


def test_runs_of_like_packets_with_others_among_them():
    """Each packet of a run is handled as if it were alone, at any position, with all outer ECN bits except CE."""
    harness, a, b, peer_b, peer_a = connected()
    lying = bytearray(ipv4(A4, B4, bytes(60)))
    lying[3] = 81
    shorter = bytearray(ipv4(A4, B4, bytes(60)))
    shorter[3] = 79
    kinds = (
        (ipv4(A4, B4, bytes(60)), ipv4(A4, B4, bytes(60))),
        (ipv6(A6, B6, bytes(40)), ipv6(A6, B6, bytes(40))),
        (ipv4(A4, B4, bytes(60), tos=8), ipv4(A4, B4, bytes(60), tos=8)),
        (bytes(shorter), bytes(shorter[:79])),
        (bytes(lying), drops.RX_INNER_SIZE),
        (ipv4(b"\x0a\0\0\7", B4, bytes(60)), drops.RX_INNER_SOURCE),
        (ipv6(B6, B6, bytes(40)), drops.RX_INNER_SOURCE),
        (b"\x55" * 80, drops.RX_INNER_TYPE),
    )
    for number, batch in enumerate(mixed(kinds)):
        before = list(b.device.drops)
        a.sent.clear()
        b.got.clear()
        carry_as_one_run(harness, a, b, peer_b, [sent for sent, _ in batch], tos=number % 3)
        assert b.got == [result for _, result in batch if isinstance(result, bytes)]
        for reason in (drops.RX_INNER_SIZE, drops.RX_INNER_SOURCE, drops.RX_INNER_TYPE):
            assert b.drop(reason) == before[reason] + len([1 for _, result in batch if result == reason])


def test_batches_of_like_packets_with_others_among_them():
    """Each packet of a batch goes to the same peer as if it were alone, and a malformed one is dropped."""
    harness, a, b, peer_b, peer_a = connected()
    c = harness.node("c")
    peer_c = a.add(c, ((b"\x0a\0\0\3", 32),))
    c.add(a, ((A4, 32), (A6, 128)))
    a.transmit(ipv4(A4, b"\x0a\0\0\3", b"first"))
    to_c = ipv4(A4, b"\x0a\0\0\3", bytes(60))
    kinds = (
        (ipv4(A4, B4, bytes(60)), b),
        (ipv4(A4, B4, bytes(60), protocol=6), b),
        (ipv4(A4, B4, bytes(60), tos=1), b),
        (ipv4(A4, B4, bytes(1000)), b),
        (ipv6(A6, B6, bytes(40)), b),
        (to_c, c),
        (ipv4(A4, b"\x0a\0\0\4", bytes(60)), drops.TX_NO_PEER),
        (to_c[:19], drops.TX_NOT_IP),
        (b"\x60" + bytes(38), drops.TX_NOT_IP),
    )
    assert peer_c.current is not None
    for batch in mixed(kinds):
        before = list(a.device.drops)
        a.sent.clear()
        b.got.clear()
        c.got.clear()
        a.transmit(*[packet for packet, _ in batch])
        for node in (b, c):
            assert node.got == [packet for packet, where in batch if where is node]
        for reason in (drops.TX_NO_PEER, drops.TX_NOT_IP):
            assert a.drop(reason) == before[reason] + len([1 for _, where in batch if where == reason])


def test_a_trusted_ipv4_source_is_no_part_of_an_ipv6_one():
    """An IPv6 source with the same 16 bytes as those from a right IPv4 source on is not accepted."""
    harness, a, b, peer_b, peer_a = connected()
    four = ipv4(A4, B4, b"payload!")
    six = ipv6(four[12:28], B6, b"")
    batch = [four + bytes(len(six) - len(four)), six]
    a.put(batch)
    harness.filter = lambda source, destination, datagram: []
    a.device._send_run(harness.now, peer_b, 0, 2)
    b.receive_run(a.sent[0][0] + a.sent[1][0], len(a.sent[0][0]), a.addr)
    assert b.got == [four] and b.drop(drops.RX_INNER_SOURCE) == 1


def test_a_peer_cannot_use_the_prefix_of_another():
    """The lookup is over all peers. With a check for each peer, the wider prefix of b would cover the address of c."""
    harness = Harness()
    hub, b, c = harness.node("hub"), harness.node("b"), harness.node("c")
    hub.add(b, ((b"\x0a\0\0\0", 8),), endpoint=False)
    hub.add(c, ((b"\x0a\0\0\3", 32),), endpoint=False)
    b.add(hub, ((bytes(4), 0),))
    b.transmit(ipv4(b"\x0a\0\0\3", b"\x0a\0\0\1", b"spoof"))
    assert hub.got == [] and hub.drop(drops.RX_INNER_SOURCE) == 1
    b.transmit(ipv4(b"\x0a\0\0\2", b"\x0a\0\0\1", b"fine"))
    assert len(hub.got) == 1


def test_padding_never_exceeds_the_mtu():
    harness, a, b, peer_b, peer_a = connected()
    for mtu in (576, 1420, 1421, 1431):
        a.device.mtu = mtu
        a.device.arena.carve(mtu)
        for size in (1, 15, 16, 17, mtu - 40, mtu - 21, mtu - 20):
            del a.sent[:], b.got[:]
            packet = ipv4(A4, B4, b"p" * size)
            a.transmit(packet)
            inner = len(a.sent[0][0]) - 32
            assert inner <= max(mtu, len(packet)) and (inner % 16 == 0 or inner == mtu)
            assert b.got == [packet]


def test_ecn_is_copied_out_and_folded_in():
    harness, a, b, peer_b, peer_a = connected()
    a.transmit(*[ipv4(A4, B4, b"x", tos) for tos in (0, 1, 1, 2, 3, 0xFC)])
    assert [tos for *_, tos in a.sent] == [0, 1, 1, 2, 2, 0]
    del a.sent[:], b.got[:]
    harness.filter = lambda source, destination, datagram: []
    a.transmit(ipv4(A4, B4, b"x", 2), ipv4(A4, B4, b"x", 0))
    b.receive(a.sent[0][0], a.addr, tos=3)
    b.receive(a.sent[1][0], a.addr, tos=3)
    assert len(b.got) == 1 and b.got[0][1] == 3 and b.drop(drops.RX_ECN) == 1


def test_handshakes_carry_their_dscp_and_data_does_not():
    harness, a, b, *_ = pair()
    a.transmit(PACKET)
    assert [tos for *_, tos in a.sent] == [0x88, 0] and b.sent[0][3] == 0x88


# Unreachable


def test_unreachable_without_peer_or_endpoint():
    harness, a, b, peer_b, peer_a = pair(b_knows_a=False)
    a.transmit(ipv4(A4, b"\x0a\0\0\x09", b"nobody"))
    assert a.got[0][20:22] == b"\3\1" and a.drop(drops.TX_NO_PEER) == 1
    b.transmit(ipv6(B6, A6, b"no endpoint"))
    assert b.got[0][40:42] == b"\1\3" and b.drop(drops.TX_NO_ENDPOINT) == 1
    assert a.sent == [] and b.sent == []


def test_not_ip_is_dropped():
    harness, a, *_ = pair()
    a.transmit(b"\0" * 30, b"\x45\0", b"\x60" + bytes(20))
    assert a.drop(drops.TX_NOT_IP) == 3 and a.got == [] and a.sent == []
