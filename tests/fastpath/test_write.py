"""Writing to the tunnel device: what is joined is, split again, what was to be written, in order within each flow."""

import random
import socket
from dataclasses import replace

import pytest

from .frames import (
    ACK,
    CWR,
    ECE,
    FIN,
    PSH,
    RST,
    SYN,
    TCP,
    UDP,
    URG,
    USO4,
    USO6,
    Header,
    build,
    flow,
    parse,
    same,
    split,
    total,
    unframe,
)  # fmt: skip

V4 = Header()
V6 = Header(version=6, source=bytes(range(16)), destination=bytes(range(100, 116)))


def check(fast, packets):
    """Write the packets; returns how many frames it took."""
    written = fast.write_all(packets)
    after = [packet for frame in written for packet in unframe(frame)]
    assert len(after) == len(packets)
    flows = {}
    for packet in packets:
        flows.setdefault(flow(packet), []).append(packet)
    for packet in after:
        expected = flows[flow(packet)].pop(0)
        assert same(expected, packet)
    return len(written)


@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
def test_one_flow(fast, header):
    payload = random.Random(1).randbytes(1380 * 40 + 100)
    assert check(fast, split(replace(header, flags=ACK | PSH), payload, 1380)) == 1
    assert check(fast, split(header, payload[:1380], 1380)) == 1
    assert check(fast, split(header, payload, 1000)) == 1


@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
def test_udp_if_the_device_was_told(fast, header):
    packets = split(replace(header, protocol=UDP), random.Random(1).randbytes(1200 * 20), 1200)
    assert check(fast, packets) == 20
    fast.state.offload = USO6 if header.version == 4 else USO4
    assert check(fast, packets) == 20
    fast.state.offload = USO4 if header.version == 4 else USO6
    assert check(fast, packets) == 1
    small = split(replace(header, protocol=UDP), bytes(100), 1)
    assert check(fast, small) == 2


BETWEEN = {
    "a gap": {"sequence": 1},
    "older": {"sequence": -1},
    "ack": {"acknowledged": 7},
    "window": {"window": 8},
    "urgent": {"urgent": 1},
    "options": {"options": bytes.fromhex("0101080a0000000100000003")},
    "no options": {"options": b""},
    "tos": {"tos": 1},
    "ttl": {"ttl": 63},
    "df": {"df": False},
    "label": {"label": 5},
    "reserved": {"reserved": 1},
    **{f"flags {flags:x}": {"flags": ACK | flags} for flags in (FIN, SYN, RST, URG, ECE, CWR)},
    "no ack": {"flags": 0},
}


@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("change", BETWEEN.values(), ids=BETWEEN)
def test_what_ends_a_merge(fast, header, change):
    if header.version == 4 and "label" in change or header.version == 6 and "df" in change:
        return
    header = replace(header, options=bytes.fromhex("0101080a0000000100000002"))
    packets = split(header, bytes(1000), 100)
    odd, payload = parse(packets[5])
    odd = replace(odd, **{**change, "sequence": odd.sequence + change.get("sequence", 0)})
    packets[5] = build(odd, payload)
    assert check(fast, packets) in (3, 4)


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("end", ["source", "destination"])
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
def test_a_packet_of_another_host_is_of_another_flow(fast, header, protocol, end, at):
    """Its ports are the same, and so is all of the addresses but one bit."""
    fast.state.offload = USO4 | USO6
    packets = split(replace(header, protocol=protocol), bytes(1000), 100)
    odd, payload = parse(packets[5])
    address = bytearray(getattr(odd, end))
    address[at] ^= 1
    packets[5] = build(replace(odd, **{end: bytes(address)}), payload)
    assert check(fast, packets) == (3 if protocol == TCP else 2)


def test_a_push_ends_a_merge(fast):
    packets = split(V4, bytes(1000), 100)
    for i in (4, 7):
        packets[i] = build(replace(parse(packets[i])[0], flags=ACK | PSH), bytes(100))
    assert check(fast, packets) == 3
    assert check(fast, [build(replace(parse(packet)[0], flags=ACK | PSH), bytes(100)) for packet in packets]) == 10


def test_a_short_packet_ends_a_merge(fast):
    sizes = [100, 100, 99, 100, 101, 101, 1]
    packets = []
    for i, size in enumerate(sizes):
        packets.append(build(replace(V4, ident=i, sequence=sum(sizes[:i])), bytes(size)))
    assert check(fast, packets) == 3


def test_acknowledgements_are_not_joined(fast):
    packets = [build(replace(V4, acknowledged=i * 1000, ident=i), b"") for i in range(10)]
    assert check(fast, packets) == 10
    data = split(V4, bytes(1000), 100)
    assert check(fast, data[:5] + packets[:1] + data[5:]) == 3


@pytest.mark.parametrize("where", ["transport", "ip"])
@pytest.mark.parametrize("which", [0, 1, 5, 9])
def test_a_wrong_checksum_is_not_hidden(fast, where, which):
    packets = split(V4, bytes(1000), 100)
    odd = bytearray(packets[which])
    odd[-1 if where == "transport" else 10] ^= 0x40
    packets[which] = bytes(odd)
    written = fast.write_all(packets)
    assert bytes(10) + odd in written
    assert [packet for frame in written for packet in unframe(frame)] == packets
    assert len(written) == (2 if which in (0, 9) else 3)


def all_ones(packet, field, other):
    """The packet with a checksum of all ones, still right: the word at `other`, which it covers, takes up the difference."""
    words = [int.from_bytes(packet[at : at + 2], "big") for at in (field, other)]
    packet = bytearray(packet)
    packet[other : other + 2] = (sum(words) % 0xFFFF).to_bytes(2, "big")
    packet[field : field + 2] = b"\xff\xff"
    return bytes(packet)


@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("which", [0, 5, 9])
def test_a_checksum_of_all_ones_stays(fast, header, which):
    """It is as right as zero, which splitting would make of it."""
    packets = split(header, bytes(1000), 100)
    packets[which] = all_ones(packets[which], header.start + 16, header.size)
    written = fast.write_all(packets)
    assert [packet for frame in written for packet in unframe(frame)] == packets
    assert bytes(10) + packets[which] in written


def test_an_ip_checksum_of_all_ones_stays(fast):
    packets = split(V4, bytes(1000), 100)
    packets[5] = all_ones(packets[5], 10, 4)
    assert total(packets[5][:20]) == 0xFFFF
    assert bytes(10) + packets[5] in fast.write_all(packets)


def test_udp_without_a_checksum(fast):
    fast.state.offload = USO4
    packets = [build(replace(V4, protocol=UDP, udp_checksum=False, ident=i), bytes(100)) for i in range(5)]
    assert check(fast, packets) == 5


def test_udp_of_a_length_of_its_own(fast):
    fast.state.offload = USO4
    packets = split(replace(V4, protocol=UDP), bytes(500), 100)
    packets[2] = packets[2][:24] + b"\0\x40" + packets[2][26:]
    assert check_bytes(fast, packets) == 3


def check_bytes(fast, packets):
    """Write packets that need not be sound; they come out as they are, in order. Returns how many frames it took."""
    written = fast.write_all(packets)
    assert [packet for frame in written for packet in unframe(frame)] == packets
    return len(written)


def test_ids(fast):
    def packets(df, step):
        return [build(replace(V4, df=df, ident=65530 + i * step, sequence=i * 100), bytes(100)) for i in range(10)]

    assert check(fast, packets(False, 1)) == 1
    assert check(fast, packets(False, 2)) == 10
    assert check(fast, packets(False, 0)) == 10
    assert check(fast, packets(True, 0)) == 1
    assert check(fast, packets(True, 7)) == 1


def test_sequence_numbers_that_wrap(fast):
    assert check(fast, split(replace(V4, sequence=0xFFFFFF00), bytes(1000), 100)) == 1


def test_no_more_than_an_ip_packet_holds(make):
    fast = make(inbox_size=1 << 17)
    for header in (V4, V6):
        payload = bytes(65535 - header.size)
        assert check(fast, split(header, payload, 1432)) == 1
        assert check(fast, split(header, payload + b"x", 1432)) == 2


def test_flows_that_take_turns(fast):
    for count, frames in ((2, 2), (8, 8), (9, None)):
        flows = []
        for i in range(count):
            header = replace(V4 if i % 2 else V6, ports=(1000 + i, 80))
            flows.append(split(header, random.Random(i).randbytes(1000), 100))
        packets = [packet for turn in zip(*flows, strict=True) for packet in turn]
        taken = check(fast, packets)
        assert taken == frames if frames else taken <= len(packets)


def test_what_may_be_of_any_flow_stays_in_place(fast):
    """A fragment, or a packet with options or extensions, comes after what came before it."""
    plain = split(V4, bytes(1000), 100)
    options = build(replace(V4, ip_options=bytes(4), sequence=500), bytes(100))
    fragment = bytearray(plain[5])
    fragment[6] |= 0x20
    lying = plain[5] + b"\0"
    for odd in (options, bytes(fragment), lying):
        written = fast.write_all([*plain[:5], odd, *plain[6:]])
        assert len(written) == 3 and written[1] == bytes(10) + odd
    plain = split(V6, bytes(1000), 100)
    odd = build(replace(V6, extension=bytes(8), sequence=500), bytes(100))
    written = fast.write_all([*plain[:5], odd, *plain[6:]])
    assert len(written) == 3 and written[1] == bytes(10) + odd


def test_other_packets_pass(fast):
    """What is neither TCP nor UDP ends nothing."""
    plain = split(V4, bytes(1000), 100)
    icmp = bytearray(build(V4, b"ping"))
    icmp[9] = 1
    icmp6 = bytearray(build(V6, b"ping"))
    icmp6[6] = 58
    for odd in (bytes(icmp), bytes(icmp6), b"\x45", b"\x60", b"\0" * 50, b"\x45" + bytes(18)):
        written = fast.write_all([*plain[:5], odd, *plain[5:]])
        assert len(written) == 2 and written[0] == bytes(10) + odd


def test_anything_may_come(fast):
    rng = random.Random(5)
    samples = [build(header, bytes(50)) for header in (V4, V6, replace(V4, protocol=UDP), replace(V6, protocol=UDP))]
    fast.state.offload = USO4 | USO6
    for _ in range(500):
        packets = []
        for _ in range(rng.randrange(1, 40)):
            packet = bytearray(rng.choice(samples))
            for _ in range(rng.randrange(3)):
                packet[rng.randrange(rng.choice([10, len(packet)]))] = rng.randrange(256)
            packets.append(bytes(packet[: rng.randrange(1, len(packet) + 1)]))
        written = fast.write_all(packets)
        assert sorted(packet for frame in written for packet in unframe(frame)) == sorted(packets)


CHANGES = [
    {"tos": 3}, {"ttl": 1}, {"acknowledged": 9}, {"window": 3}, {"sequence": 5}, {"ident": 9}, {"options": bytes(4)},
    {"flags": ACK | FIN}, {"flags": ACK | PSH}, {"flags": RST},
]  # fmt: skip


def segments(rng, header):
    """Some packets of one flow, most of them as a super-packet leaves them."""
    size = rng.choice([10, 100, 536, 1300])
    header = replace(header, sequence=rng.getrandbits(32), ident=rng.randrange(65536), flags=ACK | rng.choice([0, PSH]))
    packets = split(header, rng.randbytes(size * rng.randrange(1, 20) + rng.randrange(size)), size)
    for i, packet in enumerate(packets):
        luck = rng.random()
        if luck < 0.03:
            odd, payload = parse(packet)
            packets[i] = build(replace(odd, **rng.choice(CHANGES)), payload)
        elif luck < 0.06:
            packets[i] = packet[:-1] + bytes([packet[-1] ^ 1])
    return packets


def test_many_flows_at_once(fast):
    """Whatever comes in whatever order, each flow comes out as it was, and far fewer frames are written."""
    rng = random.Random(6)
    frames = packets = 0
    fast.state.offload = USO4 | USO6
    for _ in range(300):
        flows = []
        for i in range(rng.choice([1, 2, 5, 12])):
            header = rng.choice([V4, V6])
            header = replace(header, protocol=rng.choice([TCP, UDP]), ports=(i, 80), df=rng.random() < 0.5)
            flows.append(segments(rng, header))
        mixed = []
        while flows and len(mixed) < 100:
            some = rng.choice(flows)
            mixed += some[: rng.randrange(1, 9)]
            del some[: rng.randrange(1, 9)]
            flows = [flow for flow in flows if flow]
        mixed = mixed[: 65000 // 1400]
        frames += check_unsound(fast, mixed)
        packets += len(mixed)
    assert frames < packets / 2


def check_unsound(fast, packets):
    """As `check`, for packets of which some have wrong checksums."""
    written = fast.write_all(packets, stride=1400)
    flows = {}
    for packet in packets:
        flows.setdefault(flow(packet), []).append(packet)
    for frame in written:
        for packet in unframe(frame):
            expected = flows[flow(packet)].pop(0)
            assert expected == packet or frame[0] and same(expected, packet)
    assert not any(flows.values())
    return len(written)


def test_more_than_a_batch(make):
    fast = make(datagrams=700)
    assert check(fast, split(V4, bytes(10 * 600), 10)) == 3


def test_another_buffer(fast):
    packet = bytearray(build(V4, b"unreachable"))
    fast.packets[0], fast.packet_lengths[0] = 0, len(packet)
    assert fast.write(1, packet) == 0
    assert fast.written() == [bytes(10) + packet]
    assert fast.write(0, packet) == 0 and fast.written() == []


def test_what_the_kernel_refuses_whole_it_gets_in_parts(fast):
    """A datagram larger than what the socket holds is refused, a packet is not."""
    packets = split(V4, bytes(13000), 1300)
    fast.tun.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 6000)
    for i, packet in enumerate(packets):
        fast.inbox[i * 1400 : i * 1400 + len(packet)] = packet
        fast.packets[i], fast.packet_lengths[i] = i * 1400, len(packet)
    refused = fast.write(10)
    written = fast.written()
    assert refused == 10 - len(written) and len(written) > 0
    assert written == [bytes(10) + packet for packet in packets[: len(written)]]


def test_all_that_is_refused_is_counted(fast):
    fast.kernel.close()
    packets = split(V4, bytes(1000), 100) + split(V6, bytes(50), 100)
    for i, packet in enumerate(packets):
        fast.inbox[i * 200 : i * 200 + len(packet)] = packet
        fast.packets[i], fast.packet_lengths[i] = i * 200, len(packet)
    assert fast.write(11) == 11


@pytest.mark.parametrize("unjoined", [0, 1, 2, 3])
def test_what_is_not_joined(fast, unjoined):
    """After the kernel has refused joined packets of TCP (1) or UDP (2), these are written one by one."""
    fast.state.offload = USO4 | USO6
    fast.state.unjoined = unjoined
    payload = random.Random(1).randbytes(1000 * 10)
    for protocol, bit in ((TCP, 1), (UDP, 2)):
        for header in (V4, V6):
            packets = split(replace(header, protocol=protocol), payload, 1000)
            assert check(fast, packets) == (10 if unjoined & bit else 1)
    assert fast.state.unjoined == unjoined
