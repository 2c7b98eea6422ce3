"""UNIX sockets, non-blocking, with mode 0600."""

from struct import pack

from .. import abi
from . import files, libc

_KIND = abi.SOCK_STREAM | abi.O_CLOEXEC | abi.O_NONBLOCK


def _address(path):
    encoded = path.encode()
    if len(encoded) > 107:
        raise OSError(abi.EINVAL)
    return pack("H", abi.AF_UNIX) + encoded + b"\0"


class Listener:
    """A listening socket at `path`. OSError if it cannot be made."""

    def __init__(self, path):
        address = _address(path)
        self.fd = libc.check(libc.socket(abi.AF_UNIX, _KIND, 0))
        before = files.set_umask(0o177)
        try:
            libc.check(libc.bind(self.fd, address, len(address)))
        except OSError:
            libc.close(self.fd)
            raise
        finally:
            files.set_umask(before)
        if libc.listen(self.fd, 64) < 0:
            errno = libc.errno()
            libc.close(self.fd)
            files.remove(path)
            raise OSError(errno)

    def accept(self):
        """Return a Stream, or None if no client waits any more. OSError if a client waits but no descriptor is free."""
        fd = libc.accept4(self.fd, 0, 0, abi.O_CLOEXEC | abi.O_NONBLOCK)
        if fd >= 0:
            return Stream(fd)
        if libc.errno() not in abi.NOTHING_NOW and libc.errno() != abi.ECONNABORTED:
            raise OSError(libc.errno())
        return None

    def close(self):
        libc.close(self.fd)


class Stream:
    """The server's end of a connection."""

    def __init__(self, fd):
        self.fd = fd

    def receive_into(self, buf):
        """Receive into the buffer. Returns the number of bytes; 0 at the end or after an error, None if none came yet."""
        taken = libc.recv(self.fd, buf, len(buf), abi.MSG_DONTWAIT)
        if taken < 0:
            return None if libc.errno() == abi.EAGAIN else 0
        return taken

    def send(self, data):
        """Send as many bytes as possible. Returns their number, or -1 if the other end is closed."""
        sent = libc.send(self.fd, data, len(data), abi.MSG_NOSIGNAL | abi.MSG_DONTWAIT)
        if sent < 0:
            return 0 if libc.errno() == abi.EAGAIN else -1
        return sent

    def close(self):
        libc.close(self.fd)


def is_answered(path):
    """Whether a program listens at `path`."""
    address = _address(path)
    fd = libc.check(libc.socket(abi.AF_UNIX, _KIND, 0))
    answered = libc.connect(fd, address, len(address)) == 0 or libc.errno() == abi.EAGAIN
    libc.close(fd)
    return answered


def notify(path, data):
    """Send one datagram to the socket at `path`, or at the abstract address if it begins with "@". OSError."""
    address = _address(path)
    if path[0] == "@":
        address = pack("H", abi.AF_UNIX) + b"\0" + path[1:].encode()
    fd = libc.check(libc.socket(abi.AF_UNIX, abi.SOCK_DGRAM | abi.O_CLOEXEC | abi.O_NONBLOCK, 0))
    try:
        libc.check(libc.connect(fd, address, len(address)))
        libc.check(libc.send(fd, data, len(data), abi.MSG_NOSIGNAL))
    finally:
        libc.close(fd)
