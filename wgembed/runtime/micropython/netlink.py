"""The kernel's routing socket."""

from struct import pack

from .. import abi
from . import files, libc

_NETLINK_ROUTE = 0
_SIZE = 16384  # far more than one message about a link has
# What any of the sockets receives. It is never given back, so there is one: the sockets come and go.
_received = files.alloc("B", _SIZE)


class Netlink:
    """A routing socket that hears the multicast `groups`, a bit mask."""

    def __init__(self, groups):
        self.fd = libc.check(libc.socket(abi.AF_NETLINK, abi.SOCK_RAW | abi.O_CLOEXEC | abi.O_NONBLOCK, _NETLINK_ROUTE))
        libc.check(libc.bind(self.fd, pack("HHII", abi.AF_NETLINK, 0, 0, groups), 12))

    def send(self, message):
        libc.check(libc.send(self.fd, message, len(message), 0))

    def receive(self):
        """Return one datagram, or None when there is none. OSError ENOBUFS: events were lost.

        It is there until any socket receives again.
        """
        size = libc.recv(self.fd, _received, _SIZE, abi.MSG_DONTWAIT)
        if size < 0 and libc.errno() == abi.EAGAIN:
            return None
        return memoryview(_received)[: libc.check(size)]

    def close(self):
        libc.close(self.fd)
