"""ICMP answers: destination unreachable."""

from wgembed.protocol import icmp

from .harness import A4, A6, B4, B6, ipv4, ipv6


def unreachable(packet):
    out = bytearray(icmp.UNREACHABLE_MAX)
    size = icmp.unreachable(out, b"\xee" * 5 + packet, 5, len(packet))
    return bytes(out[:size])


def test_ipv4():
    packet = ipv4(A4, B4, b"0123456789")
    answer = unreachable(packet)
    assert len(answer) == 20 + 8 + 28
    assert icmp.checksum(answer, 0, 20) == 0 and icmp.checksum(answer, 20, len(answer)) == 0
    assert answer[9] == 1 and answer[12:20] == B4 + A4
    assert answer[20:22] == b"\3\1" and answer[28:] == packet[:28]
    assert answer[2] << 8 | answer[3] == len(answer)


def test_ipv6():
    packet = ipv6(A6, B6, bytes(2000))
    answer = unreachable(packet)
    assert len(answer) == 1280
    pseudo = answer[8:40] + bytes((0, 0, 4, 216, 0, 0, 0, 58)) + answer[40:]
    assert icmp.checksum(pseudo, 0, len(pseudo)) == 0
    assert answer[8:40] == B6 + A6 and answer[40:42] == b"\1\3" and answer[48:] == packet[:1232]
    assert answer[4] << 8 | answer[5] == 1240


def test_odd_lengths():
    for size in range(12):
        answer = unreachable(ipv6(A6, B6, b"\xa5" * size))
        pseudo = answer[8:40] + bytes((0, 0, 0, len(answer) - 40, 0, 0, 0, 58)) + answer[40:]
        assert icmp.checksum(pseudo, 0, len(pseudo)) == 0


def test_no_answer_to_errors_and_multicast():
    fragment = bytearray(ipv4(A4, B4, bytes(8)))
    fragment[7] = 1
    none6 = bytes(16)
    icmp6_error = bytearray(ipv6(A6, B6, b"\1" + bytes(7)))
    icmp6_error[6] = 58
    for packet in (
        ipv4(A4, B4, b"\3\1" + bytes(6), protocol=1),
        ipv4(A4, b"\xe0\0\0\1"),
        ipv4(A4, b"\xff\xff\xff\xff"),
        ipv4(bytes(4), B4),
        bytes(fragment),
        ipv6(A6, b"\xff\2" + bytes(14)),
        ipv6(none6, B6),
        bytes(icmp6_error),
    ):
        assert unreachable(packet) == b""


def test_pings_are_answered():
    assert unreachable(ipv4(A4, B4, b"\x08\0" + bytes(6), protocol=1))
    echo6 = bytearray(ipv6(A6, B6, b"\x80" + bytes(7)))
    echo6[6] = 58
    assert unreachable(bytes(echo6))
