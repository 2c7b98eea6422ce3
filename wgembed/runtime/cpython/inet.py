"""IP addresses, links by their names, and host names.

A socket address is a tuple of the standard library: (host, port), or (host, port, flow label, ifindex).
"""

try:
    import _socket as socket
except ImportError:
    import socket


def is_ipv6(addr):
    """Whether the socket address is of IPv6."""
    return len(addr) != 2


def make_address(packed, port, scope):
    """Return the socket address for a packed IP address, a port, and an ifindex or 0."""
    if len(packed) == 4:
        return (format_ip(packed), port)
    return (format_ip(packed), port, 0, scope)


def split_address(addr):
    """Undo `make_address`: return (packed, port, scope)."""
    if len(addr) == 2:
        return socket.inet_pton(socket.AF_INET, addr[0]), addr[1], 0
    return socket.inet_pton(socket.AF_INET6, addr[0].partition("%")[0]), addr[1], addr[3]


def parse_ip(text):
    """Return the packed IP address, 4 or 16 bytes. ValueError if the text is not an IP address."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError:
        raise ValueError("not an IP address") from None


def format_ip(packed):
    """Return a packed IP address, 4 or 16 bytes, as text."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def ifindex(name):
    """Return the ifindex of the link of this name, or None if the link does not exist."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def look_up(name):
    """Return the packed addresses of a host name, in the order of the resolver; [] if it cannot be resolved. Blocks."""
    try:
        # Text would load the codec for international names, which small installations of Python do not have.
        found = socket.getaddrinfo(name.encode(), None, 0, socket.SOCK_DGRAM)
    except OSError:
        return []
    return [parse_ip(addr[0].partition("%")[0]) for _, _, _, _, addr in found]
