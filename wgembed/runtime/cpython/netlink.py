"""The kernel's routing socket."""

try:
    import _socket as socket
except ImportError:
    import socket

_NETLINK_ROUTE = 0


class Netlink:
    """A routing socket that hears the multicast `groups`, a bit mask."""

    def __init__(self, groups):
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, groups))
        self.fd = self._socket.fileno()

    def send(self, message):
        self._socket.send(message)

    def receive(self):
        """Return one datagram, or None when there is none. OSError ENOBUFS: events were lost."""
        try:
            return self._socket.recv(65536)
        except BlockingIOError:
            return None

    def close(self):
        self._socket.close()
