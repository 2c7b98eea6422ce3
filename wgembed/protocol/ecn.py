"""Explicit congestion notification across the tunnel, as IP tunnels do it (RFC 6040; Linux inet_ecn.h)."""

from .constants import ECN_CE, ECN_ECT0, ECN_MASK, ECN_NOT_ECT
from .ip import IPV4_CHECKSUM, IPV4_TOS


def inner(buf, packet):
    """Return the ECN bits of the IP packet at offset `packet`."""
    if buf[packet] >> 4 == 4:
        return buf[packet + IPV4_TOS] & ECN_MASK
    return buf[packet + 1] >> 4 & ECN_MASK


def encapsulate(bits):
    """Return the outer ECN bits for a packet with these inner ones: congestion met inside is not news outside."""
    return ECN_ECT0 if bits == ECN_CE else bits


def decapsulate(buf, packet, outer):
    """Fold the outer ECN bits into the packet; False if it must be dropped.

    Only called when the outer bits say congestion experienced. A packet whose transport does not know ECN cannot
    carry the mark, and the loss of it is the only signal left.
    """
    if outer != ECN_CE:
        return True
    bits = inner(buf, packet)
    if bits == ECN_NOT_ECT:
        return False
    if bits != ECN_CE:
        _set_ce(buf, packet, bits)
    return True


def _set_ce(buf, packet, bits):
    if buf[packet] >> 4 == 6:
        buf[packet + 1] |= ECN_CE << 4
        return
    # The header checksum covers the byte: RFC 1624, equation 3, for one changed 16-bit word.
    buf[packet + IPV4_TOS] |= ECN_CE
    total = (buf[packet + IPV4_CHECKSUM] << 8 | buf[packet + IPV4_CHECKSUM + 1]) - (ECN_CE - bits)
    if total <= 0:
        total += 0xFFFF
    buf[packet + IPV4_CHECKSUM] = total >> 8
    buf[packet + IPV4_CHECKSUM + 1] = total & 0xFF
