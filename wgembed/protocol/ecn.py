"""Explicit congestion notification across the tunnel, as IP tunnels do it (RFC 6040; Linux inet_ecn.h)."""

from .constants import ECN_CE, ECN_ECT0, ECN_MASK, ECN_NOT_ECT
from .ip import IPV4_CHECKSUM, IPV4_TOS


def inner(buf, packet):
    """Return the ECN bits of the IP packet at offset `packet`."""
    if buf[packet] >> 4 == 4:
        return buf[packet + IPV4_TOS] & ECN_MASK
    return buf[packet + 1] >> 4 & ECN_MASK


def encapsulate(bits):
    """Return the outer ECN bits for a packet with the inner bits `bits`. CE becomes ECT(0), as RFC 6040 prescribes.

    The congestion was inside the tunnel, so the outer packet does not report it.
    """
    return ECN_ECT0 if bits == ECN_CE else bits


def decapsulate(buf, packet, outer):
    """Copy an outer CE into the inner packet. Returns False if the packet must be dropped.

    A packet whose transport does not use ECN cannot carry CE. It is dropped, because the loss then signals congestion.
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
    # The header checksum covers this byte. RFC 1624, equation 3, for one changed 16-bit word:
    buf[packet + IPV4_TOS] |= ECN_CE
    total = (buf[packet + IPV4_CHECKSUM] << 8 | buf[packet + IPV4_CHECKSUM + 1]) - (ECN_CE - bits)
    if total <= 0:
        total += 0xFFFF
    buf[packet + IPV4_CHECKSUM] = total >> 8
    buf[packet + IPV4_CHECKSUM + 1] = total & 0xFF
