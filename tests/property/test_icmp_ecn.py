"""Arbitrary packets: with or without an answer or a CE mark, but never an exception or a wrong checksum."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol import ecn, icmp

CE = 3


def internet_sum(data):
    """The sum of RFC 1071: 0xFFFF if the data contain their right checksum."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) & 1)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def one_of(*usual):
    """Any byte, but usually one of these."""
    return st.sampled_from(usual * (1000 // len(usual)) + tuple(range(256)))


@st.composite
def packets(draw):
    """Packets that get an answer, some with one wrong byte or length."""
    version = draw(st.sampled_from([4, 6, None]))
    if version is None:
        return draw(st.binary(min_size=1, max_size=1500))
    header = draw(st.sampled_from([20, 20, 24, 60])) if version == 4 else 40
    size = header + draw(st.one_of(st.integers(-4, 12), st.integers(0, 1400)))
    data = bytearray(draw(st.binary(min_size=max(size, 1), max_size=max(size, 1))))
    if version == 4:
        fixed = {0: one_of(0x40 | header // 4), 6: one_of(0, 0x40, 0x10), 7: one_of(0), 9: one_of(1, 6, 17),
                 12: one_of(10, 192, 0, 224), 16: one_of(10, 192, 224), header: one_of(0, 3, 8, 11, 13)}  # fmt: skip
    else:
        fixed = {0: one_of(0x60), 6: one_of(6, 17, 58), 8: one_of(0xFD, 0xFD, 0xFF), 24: one_of(0xFD, 0xFD, 0xFF),
                 40: one_of(1, 3, 128, 135)}  # fmt: skip
    for place, value in fixed.items():
        if place < len(data):
            data[place] = draw(value)
    return bytes(data)


@settings(max_examples=1000, deadline=None)
@given(packets(), st.integers(0, 20), st.binary(max_size=20))
def test_answers_are_whole(packet, before, after):
    out = bytearray(b"\xcc") * icmp.UNREACHABLE_MAX
    buf = bytearray(b"\x5a" * before + packet + after)
    size = icmp.unreachable(out, buf, before, len(packet))
    assert buf == b"\x5a" * before + packet + after, "the packet is only read"
    answer = bytes(out[:size])
    assert out[size:] == b"\xcc" * (icmp.UNREACHABLE_MAX - size)
    if not size:
        return
    if packet[0] >> 4 == 4:
        check_answer4(answer, packet)
    else:
        check_answer6(answer, packet)


def check_answer4(answer, packet):
    header = (packet[0] & 15) * 4
    assert len(packet) >= header >= 20
    version, _, total, _, _, ttl, protocol, _, source, target = struct.unpack_from(">BBHHHBBH4s4s", answer)
    assert (version, total, protocol) == (0x45, len(answer), 1) and ttl
    assert (source, target) == (packet[16:20], packet[12:16])
    assert internet_sum(answer[:20]) == internet_sum(answer[20:]) == 0xFFFF
    assert answer[20:22] == b"\3\1" and answer[24:28] == bytes(4)
    assert answer[28:] == packet[: header + 8], "the header and 8 bytes, or what there is"
    assert not int.from_bytes(packet[6:8], "big") & 0x1FFF, "no answer to a later fragment"
    assert 0 < target[0] < 224 and source[0] < 224, "no answer to or from a group"
    assert packet[9] != 1 or packet[header] in (0, 8, 13, 14), "no answer to an ICMP error"


def check_answer6(answer, packet):
    first, length, protocol, hops, source, target = struct.unpack_from(">IHBB16s16s", answer)
    assert (first, length, protocol) == (6 << 28, len(answer) - 40, 58) and hops and len(answer) <= 1280
    assert (source, target) == (packet[24:40], packet[8:24])
    pseudo = source + target + struct.pack(">II", length, protocol)
    assert internet_sum(pseudo + answer[40:]) == 0xFFFF
    assert answer[40:42] == b"\1\3" and answer[44:48] == bytes(4)
    assert answer[48:] == packet[:1232], "as much as fits"
    assert source[0] != 0xFF != target[0] and any(target), "no answer to or from a group or nobody"
    assert packet[6] != 58 or packet[40] >= 128, "no answer to an ICMPv6 error"


def with_checksum(packet):
    """Return the packet with the right IPv4 header checksum."""
    packet = bytearray(packet)
    packet[10:12] = bytes(2)
    packet[10:12] = struct.pack(">H", internet_sum(packet[: (packet[0] & 15) * 4]) ^ 0xFFFF)
    return packet


headers4 = st.binary(min_size=20, max_size=80).map(lambda data: with_checksum(b"\x45" + data[1:]))
headers6 = st.binary(min_size=40, max_size=80).map(lambda data: bytearray(bytes((0x60 | data[0] & 15,)) + data[1:]))


@settings(max_examples=1000, deadline=None)
@given(st.one_of(headers4, headers6), st.integers(0, 3))
def test_marks(packet, outer):
    before = bytes(packet)
    version = packet[0] >> 4
    bits = packet[1] & 3 if version == 4 else packet[1] >> 4 & 3
    assert ecn.inner(packet, 0) == bits
    assert ecn.encapsulate(bits) in range(3), "no mark of congestion before there was any"
    kept = ecn.decapsulate(packet, 0, outer)
    assert kept is not (outer == CE and bits == 0)
    if not kept or outer != CE:
        assert packet == before
        return
    assert ecn.inner(packet, 0) == CE
    place, mask = (1, 3) if version == 4 else (1, 0x30)
    assert packet[place] == before[place] | mask
    if version == 4:
        assert internet_sum(packet[:20]) == 0xFFFF
        assert packet[12:] == before[12:] and packet[:1] + packet[2:10] == before[:1] + before[2:10]
    else:
        assert packet[2:] == before[2:] and packet[0] == before[0]


@settings(max_examples=500, deadline=None)
@given(st.binary(min_size=12, max_size=40), st.integers(0, 255))
def test_marks_on_anything(data, outer):
    """Any version and checksum: no exception, and only the ECN bits and the checksum change."""
    packet = bytearray(data)
    ecn.decapsulate(packet, 0, outer & 3)
    assert packet[:1] == data[:1] and packet[2:10] == data[2:10] and packet[12:] == data[12:]
