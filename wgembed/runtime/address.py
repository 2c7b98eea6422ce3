"""Socket addresses as text, and as bytes for the cookies of the protocol."""

from . import system

_inet = system.inet
parse_ip = _inet.parse_ip
format_ip = _inet.format_ip


def address_bytes(addr):
    """Return the IP address and the port of a socket address as bytes: 4 or 16, then 2, in network order."""
    packed, port, _ = _inet.split_address(addr)
    return packed + bytes((port >> 8, port & 255))


def source_ip(src):
    """Return the packed address in `src`, which is a control message (struct in_pktinfo or in6_pktinfo)."""
    return bytes(src[4:8]) if len(src) == 12 else bytes(src[:16])


def parse_endpoint(text):
    """Return the socket address for the text `ip:port` or `[ipv6%scope]:port`. ValueError if it is not valid."""
    host, colon, port = text.rpartition(":")
    if not colon or not 0 < _decimal(port) < 65536:
        raise ValueError("expected a port from 1 to 65535")
    bracketed = host[:1] == "[" and host[-1:] == "]"
    scope = ""
    if bracketed:
        host, _, scope = host[1:-1].partition("%")
    try:
        packed = parse_ip(host)
    except ValueError:
        packed = b""
    if len(packed) != (16 if bracketed else 4):
        raise ValueError("expected an IP address, IPv6 in brackets")
    return _inet.make_address(packed, int(port), _scope(scope))


def _decimal(text):
    """Return the number, or -1 if the text is not only digits."""
    return int(text) if text and len(text) < 10 and all(c in "0123456789" for c in text) else -1


def _scope(text):
    if not text:
        return 0
    number = _decimal(text)
    if number >= 0:
        return number
    index = _inet.ifindex(text)
    if index is None:
        raise ValueError("there is no interface of this name")
    return index


def format_endpoint(addr):
    """Undo `parse_endpoint`: return the text for a socket address. A scope is a number."""
    packed, port, scope = _inet.split_address(addr)
    if len(packed) == 4:
        return "%s:%d" % (format_ip(packed), port)
    return "[%s%s]:%d" % (format_ip(packed), "%%%d" % scope if scope else "", port)


def covers(network, length, packed):
    """Whether the packed address is in the prefix."""
    if len(network) != len(packed):
        return False
    whole, rest = length >> 3, length & 7
    if network[:whole] != packed[:whole]:
        return False
    return not rest or (network[whole] ^ packed[whole]) >> (8 - rest) == 0


def masked(packed, length):
    """Return the packed address with only its first `length` bits; the others are zero."""
    kept = bytearray(packed)
    for i in range(len(kept)):
        kept[i] &= 0xFF00 >> min(max(length - 8 * i, 0), 8) & 0xFF
    return bytes(kept)
