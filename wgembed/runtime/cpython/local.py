"""UNIX sockets, non-blocking, with mode 0600."""

try:
    import _socket as socket
except ImportError:
    import socket

from . import files


class Listener:
    """A listening socket at `path`. OSError if it cannot be made."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        before = files.set_umask(0o177)
        try:
            self._socket.bind(path)
        except OSError:
            self._socket.close()
            raise
        finally:
            files.set_umask(before)
        try:
            self._socket.listen(64)
        except OSError:
            self._socket.close()
            files.remove(path)
            raise
        self.fd = self._socket.fileno()

    def accept(self):
        """Return a Stream, or None if no client waits any more. OSError if a client waits but no descriptor is free."""
        try:
            fd, _ = self._socket._accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        return Stream(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd))

    def close(self):
        self._socket.close()


class Stream:
    """The server's end of a connection."""

    def __init__(self, connected):
        self._socket = connected
        self._socket.setblocking(False)
        self.fd = connected.fileno()

    def receive_into(self, buf):
        """Receive into the buffer. Returns the number of bytes; 0 at the end or after an error, None if none came yet."""
        try:
            return self._socket.recv_into(buf)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def send(self, data):
        """Send as many bytes as possible. Returns their number, or -1 if the other end is closed."""
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    def close(self):
        self._socket.close()


def is_answered(path):
    """Whether a program listens at `path`."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        probe.setblocking(False)
        probe.connect(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return True


def notify(path, data):
    """Send one datagram to the socket at `path`, or at the abstract address if it begins with "@". OSError."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sender.setblocking(False)
        sender.connect("\0" + path[1:] if path[0] == "@" else path)
        sender.send(data, socket.MSG_NOSIGNAL)
    finally:
        sender.close()
