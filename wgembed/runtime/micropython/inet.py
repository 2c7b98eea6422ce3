"""IP addresses, links by their names, and host names.

A socket address is the bytes of a sockaddr_in or sockaddr_in6.
"""

from struct import calcsize, pack, pack_into, unpack_from

import uctypes

from .. import abi
from . import libc

_WORD = calcsize("P")
# struct addrinfo: four ints, the length of the address, pointers to it, to a name and to the next entry
_ADDRINFO_ADDR = (5 * 4 + _WORD - 1) // _WORD * _WORD
_ADDRINFO_NEXT = _ADDRINFO_ADDR + 2 * _WORD
_ADDRINFO_SIZE = _ADDRINFO_NEXT + _WORD

_inet_pton = libc.func("i", "inet_pton", "isP")
_inet_ntop = libc.func("P", "inet_ntop", "iPPI")
_if_nametoindex = libc.func("I", "if_nametoindex", "s")
_getaddrinfo = libc.func("i", "getaddrinfo", "sPPP")


def is_ipv6(addr):
    """Whether the socket address is of IPv6."""
    return len(addr) != 16


def make_address(packed, port, scope):
    """Return the socket address for a packed IP address, a port, and an ifindex or 0."""
    where = bytes((port >> 8, port & 255))
    if len(packed) == 4:
        return pack("H", abi.AF_INET) + where + packed + bytes(8)
    return pack("H", abi.AF_INET6) + where + bytes(4) + packed + pack("I", scope)


def split_address(addr):
    """Undo `make_address`: return (packed, port, scope)."""
    port = addr[2] << 8 | addr[3]
    if len(addr) == 16:
        return addr[4:8], port, 0
    return addr[8:24], port, unpack_from("I", addr, 24)[0]


def parse_ip(text):
    """Return the packed IP address, 4 or 16 bytes. ValueError if the text is not an IP address."""
    ipv6 = ":" in text
    packed = bytearray(16 if ipv6 else 4)
    if "\0" in text or _inet_pton(abi.AF_INET6 if ipv6 else abi.AF_INET, text, packed) != 1:
        raise ValueError("not an IP address")
    return bytes(packed)


def format_ip(packed):
    """Return a packed IP address, 4 or 16 bytes, as text."""
    text = bytearray(48)
    _inet_ntop(abi.AF_INET if len(packed) == 4 else abi.AF_INET6, packed, text, len(text))
    return bytes(text).split(b"\0")[0].decode()


def ifindex(name):
    """Return the ifindex of the link of this name, or None if the link does not exist."""
    return _if_nametoindex(name) or None


def look_up(name):
    """Return the packed addresses of a host name, in the order of the resolver; [] if it cannot be resolved. Blocks."""
    hints = bytearray(48)
    pack_into("iii", hints, 0, 0, 0, abi.SOCK_DGRAM)
    result = bytearray(_WORD)
    if "\0" in name or _getaddrinfo(name, 0, hints, result):
        return []
    found = []
    entry = unpack_from("P", result)[0]
    while entry:
        info = uctypes.bytes_at(entry, _ADDRINFO_SIZE)
        addr, entry = unpack_from("P", info, _ADDRINFO_ADDR)[0], unpack_from("P", info, _ADDRINFO_NEXT)[0]
        family = unpack_from("H", uctypes.bytes_at(addr, 2))[0]
        found.append(uctypes.bytes_at(addr + 4, 4) if family == abi.AF_INET else uctypes.bytes_at(addr + 8, 16))
    return found
