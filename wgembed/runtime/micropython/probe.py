"""Sockets that test a path: datagrams to one address, and the errors that routers report for them."""

from struct import pack

from .. import abi
from . import libc
from .inet import is_ipv6

_LEAST_SIZE = 4096
_HEADER_MAX = 60


class Probe:
    """Datagrams to the socket address `addr`, or with `echo` whole ICMP messages. OSError without a route to it.

    fwmark  the firewall mark of the datagrams; 0 for no mark
    link    the name of the link by which they leave; "" for any
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
        # `receive` must not cut off the answer. On IPv4, the IP header comes before it.
        self._size = max(len(data) + _HEADER_MAX, _LEAST_SIZE)
        libc.check(libc.send(self.fd, data, len(data), 0))

    def receive(self):
        """Return one datagram, bytes, or None if nothing waits. OSError with the errno that a router reported."""
        buf = bytearray(self._size)
        size = libc.recv(self.fd, buf, self._size, abi.MSG_DONTWAIT)
        if size < 0 and libc.errno() == abi.EAGAIN:
            return None
        return bytes(memoryview(buf)[: libc.check(size)])

    def close(self):
        libc.close(self.fd)
