"""The kernel's routing socket."""

from struct import unpack

try:
    import _socket as socket
except ImportError:
    import socket

from .. import abi

_NETLINK_ROUTE = 0
_ANCILLARY = 64


class Netlink:
    """A routing socket that receives the multicast `groups`, a bit mask."""

    def __init__(self, groups):
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, groups))
        self.fd = self._socket.fileno()

    def send(self, message):
        self._socket.send(message)

    def receive(self):
        """Return one datagram, bytes, or None if nothing waits. OSError ENOBUFS: events were lost."""
        try:
            return self._socket.recv(65536)
        except BlockingIOError:
            return None

    def hear_all_namespaces(self):
        """Hear news of all network namespaces that have a number here, from then on. OSError if that is refused."""
        self._socket.setsockopt(abi.SOL_NETLINK, abi.NETLINK_LISTEN_ALL_NSID, 1)

    def join(self, group):
        """Hear the multicast group of this number as well."""
        self._socket.setsockopt(abi.SOL_NETLINK, abi.NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group):
        self._socket.setsockopt(abi.SOL_NETLINK, abi.NETLINK_DROP_MEMBERSHIP, group)

    def receive_from(self):
        """Receive; return the datagram, and the number of its namespace, None for the own one. Both are None for none."""
        try:
            message, control, _, _ = self._socket.recvmsg(65536, _ANCILLARY)
        except BlockingIOError:
            return None, None
        for level, kind, data in control:
            if level == abi.SOL_NETLINK and kind == abi.NETLINK_LISTEN_ALL_NSID:
                return message, unpack("i", data)[0]
        return message, None

    def close(self):
        self._socket.close()
