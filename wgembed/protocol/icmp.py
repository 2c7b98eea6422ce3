"""Destination unreachable, into the tunnel device, for packets that no peer can take.

IPv4: host unreachable (RFC 792, type 3 code 1). IPv6: address unreachable (RFC 4443, type 1 code 3). The source is
the address that could not be reached: it is the one that the reverse path check of the receiving stack believes to
lie behind this interface.
"""

from struct import pack_into

from .constants import IPV6_MIN_MTU

UNREACHABLE_MAX = IPV6_MIN_MTU  # the IPv6 message may fill the minimum MTU
_QUOTED4 = 8  # RFC 792: the header and 8 bytes


def checksum(buf, start, end, total=0):
    """Return the Internet checksum (RFC 1071) of buf[start:end], begun with the sum `total`."""
    for i in range(start, end - 1, 2):
        total += buf[i] << 8 | buf[i + 1]
    if (end - start) & 1:
        total += buf[end - 1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def unreachable(out, buf, packet, size):
    """Write the answer to the packet of `size` bytes at `packet` into `out` (UNREACHABLE_MAX bytes).

    Returns its length, or 0 if no answer may be given: to an ICMP error, a fragment other than the first, a
    multicast, or a packet without a proper source.
    """
    if buf[packet] >> 4 == 4:
        return _unreachable4(out, buf, packet, size)
    return _unreachable6(out, buf, packet, size)


def _unreachable4(out, buf, packet, size):
    header = (buf[packet] & 15) * 4
    if header < 20 or size < header or not _answerable4(buf, packet, header, size):
        return 0
    quoted = min(size, header + _QUOTED4)
    pack_into(">BBHHHBBH", out, 0, 0x45, 0xC0, 28 + quoted, 0, 0, 64, 1, 0)
    out[12:16] = buf[packet + 16 : packet + 20]
    out[16:20] = buf[packet + 12 : packet + 16]
    pack_into(">H", out, 10, checksum(out, 0, 20))
    pack_into(">BBHI", out, 20, 3, 1, 0, 0)
    out[28 : 28 + quoted] = buf[packet : packet + quoted]
    pack_into(">H", out, 22, checksum(out, 20, 28 + quoted))
    return 28 + quoted


def _answerable4(buf, packet, header, size):
    if buf[packet + 12] == 0 or buf[packet + 12] >= 224 or buf[packet + 16] >= 224:
        return False
    if (buf[packet + 6] & 0x1F) | buf[packet + 7]:
        return False
    is_icmp = buf[packet + 9] == 1
    return not (is_icmp and (size <= header or buf[packet + header] not in (0, 8, 13, 14)))


def _unreachable6(out, buf, packet, size):
    if size < 40 or buf[packet + 8] == 0xFF or buf[packet + 24] == 0xFF or not any(buf[packet + 8 : packet + 24]):
        return 0
    if buf[packet + 6] == 58 and (size <= 40 or buf[packet + 40] < 128):
        return 0
    quoted = min(size, UNREACHABLE_MAX - 48)
    pack_into(">IHBB", out, 0, 6 << 28, 8 + quoted, 58, 64)
    out[8:24] = buf[packet + 24 : packet + 40]
    out[24:40] = buf[packet + 8 : packet + 24]
    pack_into(">BBHI", out, 40, 1, 3, 0, 0)
    out[48 : 48 + quoted] = buf[packet : packet + quoted]
    pack_into(">H", out, 42, checksum(out, 8, 48 + quoted, 8 + quoted + 58))
    return 48 + quoted
