"""ICMP answers to packets that no peer can take. They are written to the tunnel device.

IPv4: host unreachable (RFC 792, type 3 code 1). IPv6: address unreachable (RFC 4443, type 1 code 3). The source is the
address that could not be reached, because the reverse path filter of the kernel accepts this address on this interface.
"""

from struct import pack_into

from .constants import IPV6_MIN_MTU
from .ip import (
    ICMP,
    ICMPV6,
    IPV4_CHECKSUM,
    IPV4_DESTINATION,
    IPV4_FRAGMENT,
    IPV4_HEADER,
    IPV4_PROTOCOL,
    IPV4_SOURCE,
    IPV6_DESTINATION,
    IPV6_HEADER,
    IPV6_NEXT,
    IPV6_SOURCE,
)

UNREACHABLE_MAX = IPV6_MIN_MTU  # the IPv6 message may fill the minimum MTU
_QUOTED4 = 8  # RFC 792: the header and 8 bytes


def checksum(buf, start, end, total=0):
    """Return the Internet checksum (RFC 1071) of buf[start:end]. `total` is a sum that is added to it."""
    for i in range(start, end - 1, 2):
        total += buf[i] << 8 | buf[i + 1]
    if (end - start) & 1:
        total += buf[end - 1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def unreachable(out, buf, packet, size):
    """Write the answer to the packet of `size` bytes at `buf[packet]` to `out` (UNREACHABLE_MAX bytes).

    Returns the length of the answer in bytes. Returns 0 if no answer is allowed: to an ICMP error, a fragment other than
    the first, a multicast packet, or a packet without a valid source.
    """
    if buf[packet] >> 4 == 4:
        return _unreachable4(out, buf, packet, size)
    return _unreachable6(out, buf, packet, size)


def _unreachable4(out, buf, packet, size):
    header = (buf[packet] & 15) * 4
    if header < IPV4_HEADER or size < header or not _answerable4(buf, packet, header, size):
        return 0
    quoted = min(size, header + _QUOTED4)
    pack_into(">BBHHHBBH", out, 0, 0x45, 0xC0, 28 + quoted, 0, 0, 64, 1, 0)
    out[IPV4_SOURCE : IPV4_SOURCE + 4] = buf[packet + IPV4_DESTINATION : packet + IPV4_DESTINATION + 4]
    out[IPV4_DESTINATION : IPV4_DESTINATION + 4] = buf[packet + IPV4_SOURCE : packet + IPV4_SOURCE + 4]
    pack_into(">H", out, IPV4_CHECKSUM, checksum(out, 0, IPV4_HEADER))
    pack_into(">BBHI", out, 20, 3, 1, 0, 0)
    out[28 : 28 + quoted] = buf[packet : packet + quoted]
    pack_into(">H", out, 22, checksum(out, 20, 28 + quoted))
    return 28 + quoted


def _answerable4(buf, packet, header, size):
    if buf[packet + IPV4_SOURCE] == 0 or buf[packet + IPV4_SOURCE] >= 224 or buf[packet + IPV4_DESTINATION] >= 224:
        return False
    if (buf[packet + IPV4_FRAGMENT] & 0x1F) | buf[packet + IPV4_FRAGMENT + 1]:
        return False
    is_icmp = buf[packet + IPV4_PROTOCOL] == ICMP
    return not (is_icmp and (size <= header or buf[packet + header] not in (0, 8, 13, 14)))


def _unreachable6(out, buf, packet, size):
    if size < IPV6_HEADER:
        return 0
    source = buf[packet + IPV6_SOURCE : packet + IPV6_DESTINATION]
    if source[0] == 0xFF or buf[packet + IPV6_DESTINATION] == 0xFF or not any(source):
        return 0
    if buf[packet + IPV6_NEXT] == ICMPV6 and (size <= IPV6_HEADER or buf[packet + IPV6_HEADER] < 128):
        return 0
    quoted = min(size, UNREACHABLE_MAX - 48)
    pack_into(">IHBB", out, 0, 6 << 28, 8 + quoted, ICMPV6, 64)
    out[IPV6_SOURCE:IPV6_DESTINATION] = buf[packet + IPV6_DESTINATION : packet + IPV6_HEADER]
    out[IPV6_DESTINATION:IPV6_HEADER] = source
    pack_into(">BBHI", out, 40, 1, 3, 0, 0)
    out[48 : 48 + quoted] = buf[packet : packet + quoted]
    pack_into(">H", out, 42, checksum(out, IPV6_SOURCE, 48 + quoted, 8 + quoted + ICMPV6))
    return 48 + quoted
