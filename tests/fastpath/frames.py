"""IP packets as the machine would make them, and what a tunnel device puts before them: the model that C is held to.

Nothing here is fast, and nothing is shared with the library: a packet is made from its fields, whole, each time.
"""

import struct
from dataclasses import dataclass, field, replace

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << i for i in range(8))
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 3, 4, 5, 0x80
USO4, USO6 = 0x20, 0x40

_VNET = struct.Struct("=BBHHHH")
_ROUTING = 43


def total(data):
    """The sum of RFC 1071, folded."""
    data += b"\0" * (len(data) & 1)
    found = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return found


@dataclass(frozen=True)
class Header:
    """The fields of a TCP or UDP packet, but for those that its payload decides."""

    version: int = 4
    protocol: int = TCP
    source: bytes = b"\x0a\0\0\x01"
    destination: bytes = b"\x0a\0\0\x02"
    ports: tuple = (1234, 80)
    tos: int = 0
    ttl: int = 64
    ident: int = 0
    df: bool = True
    label: int = 0
    ip_options: bytes = b""
    extension: bytes = b""  # of IPv6: one routing header, its first byte left to be filled in
    sequence: int = 0
    acknowledged: int = 0
    flags: int = ACK
    reserved: int = 0
    window: int = 500
    urgent: int = 0
    options: bytes = b""
    udp_checksum: bool = field(default=True)

    @property
    def start(self):
        """Where the transport header begins."""
        return 20 + len(self.ip_options) if self.version == 4 else 40 + len(self.extension)

    @property
    def size(self):
        """The bytes before the payload."""
        return self.start + (20 + len(self.options) if self.protocol == TCP else 8)

    @property
    def checksum_offset(self):
        return 16 if self.protocol == TCP else 6

    @property
    def gso_type(self):
        if self.protocol == UDP:
            return GSO_UDP_L4
        return GSO_TCPV4 if self.version == 4 else GSO_TCPV6


def _ip(header, size):
    if header.version == 4:
        first = 0x45 + len(header.ip_options) // 4
        words = [first, header.tos, header.start + size, header.ident & 0xFFFF, header.df << 14, header.ttl, header.protocol]
        found = bytearray(struct.pack("!BBHHHBBxx", *words) + header.source + header.destination + header.ip_options)
        struct.pack_into("!H", found, 10, total(found) ^ 0xFFFF)
        return bytes(found)
    first = 6 << 28 | header.tos << 20 | header.label
    following, extension = header.protocol, header.extension
    if extension:
        following, extension = _ROUTING, bytes([header.protocol]) + extension[1:]
    head = struct.pack("!IHBB", first, len(extension) + size, following, header.ttl)
    return head + header.source + header.destination + extension


def _transport(header, payload):
    if header.protocol == UDP:
        return bytearray(struct.pack("!HHHH", *header.ports, 8 + len(payload), 0)) + payload
    offset = (5 + len(header.options) // 4) << 4 | header.reserved
    numbers = [*header.ports, header.sequence & 0xFFFFFFFF, header.acknowledged, offset, header.flags, header.window, 0]
    return bytearray(struct.pack("!HHIIBBHHH", *numbers, header.urgent)) + header.options + payload


def build(header, payload, partial=False):
    """Return the packet; `partial`: with the checksum left to the device, as the kernel leaves it."""
    segment = _transport(header, payload)
    pseudo = header.source + header.destination + struct.pack("!II", len(segment), header.protocol)
    if partial:
        checksum = total(pseudo)
    else:
        checksum = total(pseudo + bytes(segment)) ^ 0xFFFF
        if header.protocol == UDP:
            checksum = (checksum or 0xFFFF) if header.udp_checksum else 0
    struct.pack_into("!H", segment, header.checksum_offset, checksum)
    return _ip(header, len(segment)) + bytes(segment)


def split(header, payload, size):
    """Return the packets, of at most `size` bytes of payload each, that the device would send for a super-packet."""
    parts = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
    packets = []
    for i, part in enumerate(parts):
        flags = header.flags
        if i < len(parts) - 1:
            flags &= ~(FIN | PSH)
        if i:
            flags &= ~CWR
        one = replace(header, ident=header.ident + i, sequence=header.sequence + i * size, flags=flags)
        packets.append(build(one, part))
    return packets


def vnet(flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0):
    """Return the device's header."""
    return _VNET.pack(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset)


def super_frame(header, payload, size, ecn=0):
    """Return what the device gives for a super-packet."""
    about = vnet(NEEDS_CSUM, header.gso_type | ecn, header.size, size, header.start, header.checksum_offset)
    return about + build(header, payload, partial=True)


def partial_frame(header, payload):
    """Return what the device gives for a packet whose checksum it leaves to us."""
    return vnet(NEEDS_CSUM, csum_start=header.start, csum_offset=header.checksum_offset) + build(header, payload, True)


def parse(packet):
    """Return (Header, payload) of a TCP or UDP packet without extensions."""
    if packet[0] >> 4 == 4:
        ip = (packet[0] & 15) * 4
        fields = {
            "version": 4, "tos": packet[1], "ident": int.from_bytes(packet[4:6], "big"), "df": bool(packet[6] & 0x40),
            "ttl": packet[8], "protocol": packet[9], "source": packet[12:16], "destination": packet[16:20],
            "ip_options": packet[20:ip],
        }  # fmt: skip
    else:
        ip = 40
        word = int.from_bytes(packet[:4], "big")
        fields = {
            "version": 6, "tos": word >> 20 & 255, "label": word & 0xFFFFF, "protocol": packet[6], "ttl": packet[7],
            "source": packet[8:24], "destination": packet[24:40],
        }  # fmt: skip
    segment = packet[ip:]
    fields["ports"] = struct.unpack_from("!HH", segment)
    if fields["protocol"] == UDP:
        return Header(**fields), segment[8:]
    size = (segment[12] >> 4) * 4
    sequence, acknowledged, offset, flags, window, _, urgent = struct.unpack_from("!IIBBHHH", segment, 4)
    about = {"sequence": sequence, "acknowledged": acknowledged, "flags": flags, "window": window, "urgent": urgent}
    return Header(**fields, **about, reserved=offset & 15, options=segment[20:size]), segment[size:]


def unframe(frame):
    """Return the packets that were written to the device in one, as it would send them on; checks what it would check."""
    flags, gso_type, hdr_len, gso_size, csum_start, csum_offset = _VNET.unpack_from(frame)
    packet = frame[_VNET.size :]
    if gso_type == GSO_NONE:
        assert (flags, hdr_len, gso_size, csum_start, csum_offset) == (0, 0, 0, 0, 0)
        return [packet]
    header, payload = parse(packet)
    assert packet == build(header, payload, partial=True), "a super-packet has its own lengths and checksums"
    assert len(packet) <= 65535 and gso_size < len(payload)
    assert (flags, gso_type, hdr_len) == (NEEDS_CSUM, header.gso_type, header.size)
    assert (csum_start, csum_offset) == (header.start, header.checksum_offset)
    return split(header, payload, gso_size)


def flow(packet):
    """What packets have in common that must stay in order."""
    if packet[0] >> 4 == 4:
        return packet[9], packet[12:24]
    return packet[6], packet[8:44]


def same(a, b):
    """Whether b is a, but for the ID of an IPv4 packet that is never fragmented."""

    def without_id(packet):
        if packet[0] >> 4 == 4 and packet[6] & 0x40:
            header, payload = parse(packet)
            return build(replace(header, ident=0), payload)
        return packet

    return a == b or without_id(a) == without_id(b)
