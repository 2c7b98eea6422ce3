"""Sockets that ask the way: a datagram to one address, and what the routers answer to it."""

from struct import pack

from .. import abi
from . import libc
from .inet import is_ipv6

_LEAST_SIZE = 4096
_HEADER_MAX = 60


class Probe:
    """Datagrams to the socket address `addr`, or with `echo` whole ICMP messages; OSError if no route leads there.

    fwmark  the firewall mark that they carry, 0 for none
    link    the name of the link that they leave by, "" for any
    """

    def __init__(self, addr, fwmark=0, link="", echo=False):
        family = abi.AF_INET6 if is_ipv6(addr) else abi.AF_INET
        protocol = abi.IPPROTO_ICMPV6 if is_ipv6(addr) else abi.IPPROTO_ICMP
        kind = (abi.SOCK_RAW if echo else abi.SOCK_DGRAM) | abi.O_CLOEXEC | abi.O_NONBLOCK
        self.fd = libc.check(libc.socket(family, kind, protocol if echo else 0))
        self._size = _LEAST_SIZE
        try:
            libc.check(libc.setsockopt(self.fd, *abi.RECVERR[is_ipv6(addr)], pack("I", 1), 4))
            if fwmark:
                libc.check(libc.setsockopt(self.fd, abi.SOL_SOCKET, abi.SO_MARK, pack("I", fwmark), 4))
            if link:
                name = link.encode() + b"\0"
                libc.check(libc.setsockopt(self.fd, abi.SOL_SOCKET, abi.SO_BINDTODEVICE, name, len(name)))
            libc.check(libc.connect(self.fd, addr, len(addr)))
        except OSError:
            libc.close(self.fd)
            raise

    def send(self, data):
        # Its answer shall not be cut off; that of IPv4 has its header before it.
        self._size = max(len(data) + _HEADER_MAX, _LEAST_SIZE)
        libc.check(libc.send(self.fd, data, len(data), 0))

    def receive(self):
        """Return what came, or None if nothing did; OSError for what a router said."""
        buf = bytearray(self._size)
        size = libc.recv(self.fd, buf, self._size, abi.MSG_DONTWAIT)
        if size < 0 and libc.errno() == abi.EAGAIN:
            return None
        return bytes(memoryview(buf)[: libc.check(size)])

    def close(self):
        libc.close(self.fd)
