"""Sockets that test a path: datagrams to one address, and the errors that routers report for them."""

try:
    import _socket as socket
except ImportError:
    import socket

from .. import abi
from .inet import is_ipv6

_LEAST_SIZE = 4096
_HEADER_MAX = 60


class Probe:
    """Datagrams to the socket address `addr`, or with `echo` whole ICMP messages. OSError without a route to it.

    fwmark  the firewall mark of the datagrams; 0 for no mark
    link    the name of the link by which they leave; "" for any
    """

    def __init__(self, addr, fwmark=0, link="", echo=False):
        family = socket.AF_INET6 if is_ipv6(addr) else socket.AF_INET
        protocol = abi.IPPROTO_ICMPV6 if is_ipv6(addr) else abi.IPPROTO_ICMP
        kind = socket.SOCK_RAW if echo else socket.SOCK_DGRAM
        self._socket = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol if echo else 0)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(*abi.RECVERR[is_ipv6(addr)], 1)
            if fwmark:
                self._socket.setsockopt(abi.SOL_SOCKET, abi.SO_MARK, fwmark)
            if link:
                self._socket.setsockopt(abi.SOL_SOCKET, abi.SO_BINDTODEVICE, link.encode() + b"\0")
            self._socket.connect(addr)
        except OSError:
            self._socket.close()
            raise
        self.fd = self._socket.fileno()
        self._size = _LEAST_SIZE

    def send(self, data):
        # `receive` must not cut off the answer. On IPv4, the IP header comes before it.
        self._size = max(len(data) + _HEADER_MAX, _LEAST_SIZE)
        self._socket.send(data)

    def receive(self):
        """Return one datagram, bytes, or None if nothing waits. OSError with the errno that a router reported."""
        try:
            return self._socket.recv(self._size)
        except BlockingIOError:
            return None

    def close(self):
        self._socket.close()
