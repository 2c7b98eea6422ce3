"""The kernel's routing socket."""

from struct import calcsize, pack, unpack_from

import uctypes

from .. import abi
from . import files, libc

_NETLINK_ROUTE = 0
_MSGHDR = "PIPLPLi"
_CMSGHDR = "Lii"
_CONTROL_SIZE = 64
_SIZE = 16384  # far more than the size of a message about a link
# The buffer for datagrams. All sockets share it, because it is never freed, but sockets are.
_received = files.alloc("B", _SIZE)


class Netlink:
    """A routing socket that receives the multicast `groups`, a bit mask."""

    def __init__(self, groups):
        self.fd = libc.check(libc.socket(abi.AF_NETLINK, abi.SOCK_RAW | abi.O_CLOEXEC | abi.O_NONBLOCK, _NETLINK_ROUTE))
        libc.check(libc.bind(self.fd, pack("HHII", abi.AF_NETLINK, 0, 0, groups), 12))

    def send(self, message):
        libc.check(libc.send(self.fd, message, len(message), 0))

    def receive(self):
        """Return one datagram, a memoryview, or None if nothing waits. OSError ENOBUFS: events were lost.

        The result is valid until one of the sockets receives again.
        """
        size = libc.recv(self.fd, _received, _SIZE, abi.MSG_DONTWAIT)
        if size < 0 and libc.errno() == abi.EAGAIN:
            return None
        return memoryview(_received)[: libc.check(size)]

    def hear_all_namespaces(self):
        """Hear news of all network namespaces that have a number here, from then on. OSError if that is refused."""
        self._set(abi.NETLINK_LISTEN_ALL_NSID, 1)

    def join(self, group):
        """Hear the multicast group of this number as well."""
        self._set(abi.NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group):
        self._set(abi.NETLINK_DROP_MEMBERSHIP, group)

    def _set(self, option, value):
        libc.check(libc.setsockopt(self.fd, abi.SOL_NETLINK, option, pack("i", value), 4))

    def receive_from(self):
        """Receive; return the datagram, and the number of its namespace, None for the own one. Both are None for none."""
        control = bytearray(_CONTROL_SIZE)
        vector = pack("PL", uctypes.addressof(_received), _SIZE)
        header = bytearray(
            pack(_MSGHDR, 0, 0, uctypes.addressof(vector), 1, uctypes.addressof(control), _CONTROL_SIZE, 0),
        )
        size = libc.recvmsg(self.fd, header, abi.MSG_DONTWAIT)
        if size < 0 and libc.errno() == abi.EAGAIN:
            return None, None
        message = memoryview(_received)[: libc.check(size)]
        length, level, kind = unpack_from(_CMSGHDR, control)
        if length and level == abi.SOL_NETLINK and kind == abi.NETLINK_LISTEN_ALL_NSID:
            return message, unpack_from("i", control, calcsize(_CMSGHDR))[0]
        return message, None

    def close(self):
        libc.close(self.fd)
