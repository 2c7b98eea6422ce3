"""Reading from the tunnel device: super-packets become what the device would have sent, garbage becomes nothing."""

import random
from dataclasses import replace

import pytest

from . import frames
from .frames import ACK, CWR, ECE, FIN, PSH, TCP, UDP, Header, build, partial_frame, split, super_frame, vnet

V4 = Header()
V6 = Header(version=6, source=bytes(range(16)), destination=bytes(range(100, 116)))
STAMPS = bytes.fromhex("0101080a0000000100000002")


def random_header(rng, extensions=True):
    """A header of any kind that a super-packet may have."""
    width, version = rng.choice([(4, 4), (16, 6)])
    extended = extensions and rng.random() < 0.2
    return Header(
        version=version, protocol=rng.choice([TCP, UDP]), source=rng.randbytes(width), destination=rng.randbytes(width),
        ports=(rng.randrange(65536), rng.randrange(65536)), tos=rng.randrange(256), ttl=rng.randrange(1, 256),
        ident=rng.randrange(65536), df=rng.random() < 0.5, label=rng.randrange(1 << 20),
        ip_options=rng.randbytes(8) if extended else b"", extension=bytes([0, 1]) + rng.randbytes(14) if extended else b"",
        sequence=rng.choice([rng.getrandbits(32), 0xFFFFFFF0]), acknowledged=rng.getrandbits(32),
        flags=ACK | rng.choice([0, PSH, FIN, CWR, ECE, PSH | FIN | CWR]), window=rng.randrange(65536),
        options=rng.choice([b"", STAMPS, rng.randbytes(40)]),
    )  # fmt: skip


def test_super_packets(fast):
    rng = random.Random(1)
    for _ in range(400):
        header = random_header(rng)
        size = rng.choice([1, 7, 536, 1000, fast.state.slot_size - header.size])
        size = min(size, fast.state.slot_size - header.size)
        most = min(65535 - header.size, size * rng.choice([1, 2, 3, 70]))
        payload = rng.randbytes(rng.randrange(1, most + 1))
        assert fast.read_all(super_frame(header, payload, size)) == split(header, payload, size)
    assert fast.state.dropped == 0


@pytest.mark.parametrize("header", [V4, V6], ids=["ipv4", "ipv6"])
def test_the_largest(fast, header):
    payload = random.Random(2).randbytes(65535 - header.size)
    assert fast.read_all(super_frame(header, payload, 1200)) == split(header, payload, 1200)


def test_one_that_does_not_fit_goes_on(fast):
    slots = fast.state.slots
    payload = random.Random(3).randbytes((slots + 5) * 100)
    header = replace(V4, flags=ACK | PSH | FIN | CWR)
    for frame in (super_frame(header, payload, 100), super_frame(V6, payload, 100)):
        fast.kernel.send(frame)
    expected = split(header, payload, 100) + split(V6, payload, 100)
    found = []
    for count, pending in ((slots, 1), (slots, 1), (10, 0)):
        assert fast.read() == count and fast.state.pending == pending
        found += [fast.slot(i) for i in range(count)]
    assert found == expected
    assert fast.read() == 0


def test_slots_that_shrink_meanwhile(fast):
    payload = bytes(1300 * 49)
    fast.kernel.send(super_frame(V4, payload, 1300))
    fast.state.slots = 10
    assert fast.read() == 10 and fast.state.pending
    fast.state.slot_size = 1280
    assert fast.read() == 0 and not fast.state.pending and fast.state.dropped == 1


def test_plain_packets(fast):
    rng = random.Random(4)
    packets = [rng.randbytes(rng.randrange(1, fast.state.slot_size + 1)) for _ in range(200)]
    assert fast.read_all(*(vnet() + packet for packet in packets)) == packets


def test_checksums_left_to_us(fast):
    rng = random.Random(5)
    for _ in range(300):
        header = random_header(rng)
        payload = rng.randbytes(rng.randrange(0, fast.state.slot_size - header.size + 1))
        assert fast.read_all(partial_frame(header, payload)) == [build(header, payload)]


def test_a_checksum_of_zero_in_udp(fast):
    header = replace(V4, protocol=UDP)
    for a in range(65536):
        payload = a.to_bytes(2, "big")
        if build(header, payload)[26:28] == b"\xff\xff":
            break
    assert fast.read_all(partial_frame(header, payload)) == [build(header, payload)]
    assert fast.read_all(super_frame(header, payload * 3, 2))[0] == build(header, payload)


GOOD = super_frame(V4, bytes(3000), 1000)


def changed(frame, at, value, size=1):
    byteorder = "big" if at >= 10 else __import__("sys").byteorder
    return frame[:at] + value.to_bytes(size, byteorder) + frame[at + size :]


GARBAGE = {
    "nothing": b"x",
    "short header": bytes(9),
    "no packet": vnet(),
    "super without a packet": GOOD[:10],
    "unknown type": changed(GOOD, 1, 2),
    "UFO": changed(GOOD, 1, frames.GSO_UDP),
    "UDP with the bit for ECN": changed(super_frame(replace(V4, protocol=UDP), bytes(3000), 1000), 1, 0x85),
    "TCP of the other family": changed(GOOD, 1, frames.GSO_TCPV6),
    "UDP that is TCP": changed(changed(GOOD, 1, frames.GSO_UDP_L4), 8, 6, 2),
    "no checksum wanted": changed(GOOD, 0, 0),
    "segments of nothing": changed(GOOD, 4, 0, 2),
    "segments larger than a slot": changed(GOOD, 4, 1500, 2),
    "checksum outside": changed(GOOD, 6, 60000, 2),
    "checksum elsewhere": changed(GOOD, 6, 24, 2),
    "checksum in the IP header": changed(GOOD, 6, 0, 2),
    "checksum of another protocol": changed(GOOD, 8, 6, 2),
    "neither IPv4 nor IPv6": changed(GOOD, 10, 0x55),
    "too long for itself": changed(GOOD, 12, 3041, 2),
    "too short for itself": changed(GOOD, 12, 3039, 2),
    "another protocol": changed(GOOD, 19, 17),
    "a fragment": changed(GOOD, 16, 0x2000, 2),
    "IP options outside": changed(GOOD, 10, 0x4F),
    "TCP header outside": changed(GOOD[:62] + bytes(0), 12, 52, 2)[:42] + b"\xf0" + GOOD[43:62],
    "TCP header too short": changed(GOOD, 42, 0x40),
    "longer than a slot": vnet() + bytes(1425),
    "checksum outside of a packet": vnet(1, csum_start=20, csum_offset=16) + bytes(37),
    "checksum far outside of a packet": vnet(1, csum_start=65535, csum_offset=65535) + bytes(37),
}


@pytest.mark.parametrize("frame", GARBAGE.values(), ids=GARBAGE)
def test_garbage(fast, frame):
    assert fast.read_all(GOOD) == split(V4, bytes(3000), 1000)
    assert fast.read_all(frame, vnet() + b"after") == [b"after"]
    assert fast.state.dropped == 1


def test_hdr_len_is_not_asked(fast):
    assert fast.read_all(changed(GOOD, 2, 1500, 2)) == fast.read_all(GOOD) == split(V4, bytes(3000), 1000)


def test_an_error(fast):
    assert fast.read() == 0
    fast.tun.close()
    fast.tun = fast.kernel  # a descriptor that can be asked for; the peer is gone
    assert fast.read() == 0 and fast.state.dropped == fast.state.slots, "the end of a stream is no packet"
    with open("/dev/null", "wb") as writable:
        fast.tun = writable
        assert fast.read() == -9


def test_large_links(make):
    fast = make(mtu=65455)
    assert fast.state.slots == 1
    payload = random.Random(6).randbytes(65000)
    assert fast.read_all(super_frame(V6, payload, 30000)) == split(V6, payload, 30000)
    assert fast.read_all(vnet() + payload) == [payload]
