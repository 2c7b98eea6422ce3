"""What host A sends to host B packet by packet: flows of all shapes, most of whose packets can be joined."""

import socket
import struct
from dataclasses import dataclass, replace

from . import frames
from .frames import ACK, CWR, ECE, FIN, PSH, SYN, TCP, UDP, URG

A, B = 0, 1
ROUTER, HOST, NOBODY = 1, 2, 9  # nobody has the last one: the host gets what is sent there, and does not answer
MTU = 1420
HOPS = 2

# Where the kernel itself, when it joins segments that come over a link (GRO), lets others of their flow overtake them, or
# puts the urgent pointer of one into all. With the pure Python daemon it is the same.
MIXED_BY_GRO = {"broken_headers", "ip_options", "tcp_behind_extensions", "tcp_in_fragments", "urgent", "wrong_checksums"}


def address(side, family, number):
    return f"10.8{side}.0.{number}" if family == 4 else f"fd8{side}::{number}"


def network(side, family):
    return f"{address(side, family, 0)}/{LENGTH[family]}"


LENGTH = {4: 24, 6: 64}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PACKED = {
    (side, family): socket.inet_pton(FAMILY[family], address(side, family, NOBODY)) for side in (A, B) for family in (4, 6)
}


@dataclass(frozen=True)
class Sent:
    """One packet that A sends. `ids_vary`: its flow never is in fragments, and has IDs without an order."""

    flow: str
    number: int
    packet: bytes
    ids_vary: bool

    def __str__(self):
        return f"{self.flow}, packet {self.number}"

    @property
    def expected(self):
        """As it is to be at B: it has passed two routers."""
        packet = bytearray(self.packet)
        packet[8 if packet[0] >> 4 == 4 else 7] -= HOPS
        return bytes(with_checksum(packet))


def with_checksum(packet):
    """The packet with the right checksum of its IPv4 header, if it has one."""
    if packet[0] >> 4 == 4:
        packet[10:12] = bytes(2)
        struct.pack_into("!H", packet, 10, frames.total(bytes(packet[: (packet[0] & 15) * 4])) ^ 0xFFFF)
    return packet


def without_id(packet):
    """The packet without its ID, if that means nothing (RFC 6864): it is whole and stays so."""
    if packet[0] >> 4 == 4 and int.from_bytes(packet[6:8], "big") == 0x4000:
        return packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]
    return packet


class Flow:
    """Packets of one flow in the making."""

    def __init__(self, name, rng, family, protocol, number):
        self.name, self.rng, self.family = f"flow {number} ({name}, IPv{family})", rng, family
        self.ids_vary = False
        self.packets = []
        options = b"\1\1\x08\x0a" + rng.randbytes(8)
        self.header = frames.Header(
            version=family, protocol=protocol, source=PACKED[A, family], destination=PACKED[B, family],
            ports=(20000 + number, 443), tos=rng.choice((0, 2, 0xB8)), ident=rng.randrange(1 << 16),
            label=rng.randrange(1 << 20), sequence=(1 << 32) - rng.randrange(8000), acknowledged=rng.randrange(1 << 32),
            options=options if protocol == TCP else b"",
        )  # fmt: skip

    def change(self, **fields):
        """Of all packets from here on."""
        self.header = replace(self.header, **fields)

    def build(self, size=MTU, **fields):
        """The next packet, of `size` bytes in all, with other fields than its flow has."""
        header = replace(self.header, **fields)
        payload = self.rng.randbytes(max(size - header.size, 0))
        self.change(ident=self.header.ident + 1, sequence=self.header.sequence + len(payload))
        return bytearray(frames.build(header, payload))

    def add(self, count=1, **options):
        for _ in range(count):
            self.put(self.build(**options))

    def put(self, packet):
        self.packets.append(bytes(packet))

    def other(self, protocol, payload):
        """The next packet, but of another protocol."""
        packet = self.build(size=self.header.size + 1)
        start = self.header.start
        if self.family == 4:
            packet[9], packet[2:4] = protocol, (start + len(payload)).to_bytes(2, "big")
        else:
            packet[6], packet[4:6] = protocol, len(payload).to_bytes(2, "big")
        return with_checksum(packet[:start]) + payload

    def sent(self):
        return [Sent(self.name, i, packet, self.ids_vary) for i, packet in enumerate(self.packets)]


SHAPES = []


def shape(protocol, *families):
    """A kind of flow, by what is peculiar in the middle of it."""

    def add(function):
        for family in families or (4, 6):
            SHAPES.append((function, family, protocol))
        return function

    return add


def shapes(joined_before):
    """Those to try."""
    return [one for one in SHAPES if not (joined_before and one[0].__name__ in MIXED_BY_GRO)]


def make_flow(one, rng, number):
    function, family, protocol = one
    flow = Flow(function.__name__, rng, family, protocol, number)
    function(flow)
    return flow


@shape(TCP)
def full_segments(flow):
    flow.add(20)
    flow.add(size=700)
    flow.add(5)


@shape(TCP)
def wrong_checksums(flow):
    for where in ("middle", "payload", "head"):
        flow.add(0 if where == "head" else 4)
        packet = flow.build()
        packet[-1 if where == "payload" else flow.header.start + 16] ^= 0x40
        flow.put(packet)
    flow.add(4)


@shape(TCP)
def pushed(flow):
    for count in (0, 1, 4):
        flow.add(count)
        flow.add(flags=ACK | PSH)
    flow.add(4)
    flow.add(size=MTU - 7, flags=ACK | PSH)


@shape(TCP)
def ended(flow):
    flow.add(4)
    flow.add(flags=ACK | FIN)
    flow.add(4)
    flow.add(flags=ACK | PSH | FIN)


@shape(TCP)
def begun(flow):
    flow.add(flags=SYN, size=flow.header.size)
    flow.add(4)
    flow.add(flags=SYN | ACK)
    flow.add(4)
    flow.add(flags=0)
    flow.add(2)


@shape(TCP)
def urgent(flow):
    flow.add(4)
    flow.add(flags=ACK | URG, urgent=100)
    flow.add(3, urgent=77)
    flow.add(4)


@shape(TCP)
def congested(flow):
    """All ECN bits in the IP header, and what TCP says to them."""
    for bits in (2, 3, 1, 0, 2):
        flow.add(3, tos=bits)
    flow.add(3, tos=2, flags=ACK | ECE)
    flow.add(2, tos=2)
    flow.add(3, tos=2, flags=ACK | CWR)
    flow.add(3, tos=2)
    flow.add(2, tos=2, reserved=1)
    flow.add(2, tos=2)


@shape(TCP)
def timestamps(flow):
    for _ in range(4):
        flow.change(options=b"\1\1\x08\x0a" + flow.rng.randbytes(8))
        flow.add(3)


@shape(TCP)
def other_options(flow):
    for options in (b"", bytes(4), b"\1\1\x05\x0a" + bytes(8), flow.header.options, b"\1" * 40):
        flow.add(3, options=options)


@shape(TCP)
def other_fields(flow):
    """The class, the TTL, the window, what is acknowledged, the flow label."""
    flow.add(3)
    for fields in ({"tos": 0x48}, {"ttl": 50}, {"window": 501}, {"acknowledged": 7}, {"label": 1}):
        flow.change(**fields)
        flow.add(3)


@shape(TCP)
def holes(flow):
    """A segment is missing, one comes again, and there are acknowledgements between."""
    flow.add(3)
    flow.build()
    flow.add(3)
    flow.change(sequence=flow.header.sequence - 3000)
    flow.add(3)
    flow.add(size=flow.header.size)
    flow.add(3)


@shape(TCP)
def sizes(flow):
    for size in (MTU, MTU - 4, MTU, MTU, MTU - 5, MTU - 5, MTU - 4, 100, 100, 99, 1000, 1000, 1000, 1001):
        flow.add(size=size)
    flow.add(3, size=flow.header.size + 1)


@shape(TCP)
def broken_headers(flow):
    """A data offset within the TCP header, one beyond the packet, half a header."""
    for offset in (0x40, 0xF0):
        flow.add(3)
        packet = flow.build(size=MTU if offset == 0x40 else flow.header.size)
        packet[flow.header.start + 12] = offset
        flow.put(packet)
    flow.put(flow.other(TCP, flow.rng.randbytes(10)))
    flow.add(3)


@shape(TCP, 4)
def ids_of_fragmentable(flow):
    """Without DF: IDs that count, the same again, then any."""
    flow.change(df=False)
    flow.add(5)
    flow.change(ident=flow.header.ident - 1)
    flow.add(3)
    for _ in range(5):
        flow.change(ident=flow.rng.randrange(1 << 16))
        flow.add()
    flow.add(3, df=True)
    flow.add(3)


@shape(TCP, 4)
def ids_that_vary(flow):
    """With DF: all alike, then any."""
    flow.ids_vary = True
    for i in range(10):
        flow.change(ident=0 if i < 5 else flow.rng.randrange(1 << 16))
        flow.add()


@shape(TCP, 4)
def ip_options(flow):
    flow.add(3)
    flow.add(3, ip_options=b"\1\1\1\0")
    flow.add(3)


def fragments(flow, packet):
    """Cut an IP packet into fragments."""
    start = 20 if flow.family == 4 else 40
    head, payload = packet[:start], packet[start:]
    most = (MTU - start - 8) // 8 * 8
    for offset in range(0, len(payload), most):
        part, more = payload[offset : offset + most], offset + most < len(payload)
        one = bytearray(head)
        if flow.family == 4:
            one[2:4] = (start + len(part)).to_bytes(2, "big")
            one[6:8] = (more << 13 | offset // 8).to_bytes(2, "big")
            yield with_checksum(one) + part
        else:
            one[4:6], one[6] = (8 + len(part)).to_bytes(2, "big"), 44
            yield one + struct.pack("!BBHI", head[6], 0, offset | more, flow.header.ident) + part


@shape(TCP)
def tcp_in_fragments(flow):
    flow.add(4)
    for one in fragments(flow, flow.build(size=3000)):
        flow.put(one)
    flow.add(4)


@shape(UDP)
def udp_in_fragments(flow):
    flow.add(4)
    for one in fragments(flow, flow.build(size=4000)):
        flow.put(one)
    flow.add(4)


def extended(packet, kind, extension):
    """The IPv6 packet with an extension header of this kind, whose first byte is left to be filled in."""
    packet = packet[:40] + bytes([packet[6]]) + extension[1:] + packet[40:]
    packet[4:6], packet[6] = (len(packet) - 40).to_bytes(2, "big"), kind
    return packet


def _extensions(flow):
    for kind, extension in ((0, b"\0\0\1\4" + bytes(4)), (60, b"\0\0\1\4" + bytes(4)), (43, b"\0\0\xfd" + bytes(5))):
        flow.add(3)
        for _ in range(2):
            flow.put(extended(flow.build(size=MTU - 8), kind, extension))
    flow.add(3)


@shape(TCP, 6)
def tcp_behind_extensions(flow):
    _extensions(flow)


@shape(UDP, 6)
def udp_behind_extensions(flow):
    _extensions(flow)


@shape(UDP)
def runs(flow):
    """Of equal size, with a shorter last one; then of several sizes."""
    flow.add(20)
    flow.add(size=MTU - 9)
    flow.add(10, size=200)
    for size in (100, 101, 102, 102, 101, 100, 100):
        flow.add(size=size)


@shape(UDP)
def without_checksum(flow):
    """Among these one whose bytes add up with it to what they should."""
    flow.add(3)
    flow.add(4, udp_checksum=False)
    flow.add(3)
    packet = flow.build()
    checksum, payload = flow.header.start + 6, flow.header.size
    moved = frames.total(bytes(packet[payload : payload + 2] + packet[checksum : checksum + 2]))
    struct.pack_into("!H", packet, payload, moved)
    struct.pack_into("!H", packet, checksum, 0)
    flow.put(packet)
    flow.add(3)


@shape(UDP)
def wrong_udp_checksums(flow):
    for where in (6, 40):
        flow.add(4)
        packet = flow.build()
        packet[flow.header.start + where] ^= 0x10
        flow.put(packet)
    flow.add(4)


@shape(UDP)
def udp_lengths(flow):
    """Nothing in it; a length that is less than what there is, and one that is more, seen in the checksum or not."""
    flow.add(3)
    flow.add(size=flow.header.size)
    for change, seen in ((-8, True), (8, True), (-8, False), (8, False)):
        flow.add(3)
        packet = flow.build()
        length, checksum = struct.unpack_from("!HH", packet, flow.header.start + 4)
        checksum = checksum if seen else (checksum - change) % 0xFFFF or 0xFFFF
        struct.pack_into("!HH", packet, flow.header.start + 4, length + change, checksum)
        flow.put(packet)
    flow.add(3)
    flow.put(flow.other(UDP, flow.rng.randbytes(6)))
    flow.add(3)


@shape(UDP, 4)
def udp_ids(flow):
    flow.change(df=False)
    flow.add(4)
    for _ in range(3):
        flow.change(ident=flow.rng.randrange(1 << 16))
        flow.add(2)
    flow.add(3, ip_options=b"\1\1\1\0")
    flow.add(3)


@shape(UDP)
def icmp(flow):
    """Echo requests."""
    for number in range(6):
        echo = struct.pack("!BBHHH", 8 if flow.family == 4 else 128, 0, 0, 5, number) + flow.rng.randbytes(1300)
        flow.put(flow.other(1 if flow.family == 4 else 58, echo))


@shape(UDP)
def unknown_protocol(flow):
    for _ in range(6):
        flow.put(flow.other(253, flow.rng.randbytes(1350)))
