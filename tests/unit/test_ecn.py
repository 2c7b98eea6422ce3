"""ECN across the tunnel: every combination, and the header checksum after it."""

from wgembed.protocol import ecn
from wgembed.protocol.icmp import checksum

from .harness import A4, A6, B4, B6, ipv4, ipv6

NOT_ECT, ECT1, ECT0, CE = 0, 1, 2, 3


def test_encapsulate():
    assert [ecn.encapsulate(bits) for bits in (NOT_ECT, ECT1, ECT0, CE)] == [NOT_ECT, ECT1, ECT0, ECT0]


def test_decapsulate():
    for make in (lambda tos: ipv4(A4, B4, b"x", tos), lambda tos: ipv6(A6, B6, b"x", tos)):
        for inner in range(4):
            for outer in range(4):
                for dscp in (0, 0xFC, 0x88):
                    packet = bytearray(make(dscp | inner))
                    kept = ecn.decapsulate(packet, 0, outer)
                    assert kept is not (outer == CE and inner == NOT_ECT)
                    expected = CE if kept and outer == CE else inner
                    assert ecn.inner(packet, 0) == expected
                    if packet[0] >> 4 == 4:
                        assert checksum(packet, 0, 20) == 0
                        assert packet[1] & 0xFC == dscp
                    else:
                        assert (packet[0] << 4 | packet[1] >> 4) & 0xFC == dscp


def test_checksum_near_its_wrap():
    """The incremental update for headers whose checksum is small."""
    for ident in range(0, 65536, 257):
        packet = bytearray(ipv4(A4, B4, b"", 2))
        packet[4], packet[5] = ident >> 8, ident & 255
        packet[10] = packet[11] = 0
        total = checksum(packet, 0, 20)
        packet[10], packet[11] = total >> 8, total & 255
        assert ecn.decapsulate(packet, 0, CE)
        assert checksum(packet, 0, 20) in (0, 0xFFFF)
