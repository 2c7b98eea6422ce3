"""Functions for commands: the client of a control socket, the resolver, the terminal."""

import sys
from time import sleep

try:
    import _signal as signal
except ImportError:
    import signal

try:
    import _socket as socket
except ImportError:
    import socket

try:
    import posix as os
except ImportError:
    import os

from .probe import Probe

__all__ = (
    "Connection", "Probe", "decode", "encode", "heed_interrupts", "interpreter", "is_terminal", "list_names", "name_address",
    "prepare", "resolve", "run", "sleep_us",
)  # fmt: skip

list_names = os.listdir
is_terminal = os.isatty


def interpreter():
    """Return the name and the version of the interpreter, for people."""
    return "CPython " + sys.version.split()[0]


class Connection:
    """A client's connection to the socket at `path`, blocking."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def send(self, data):
        """Send all of `data`."""
        while data:
            data = data[self._socket.send(data, socket.MSG_NOSIGNAL) :]

    def receive(self):
        """Wait for bytes and return them; b"" at the end."""
        return self._socket.recv(65536)

    def close(self):
        self._socket.close()


def resolve(host, port):
    """Return the first socket address of a host and a port. Both are bytes, a number or a name. Blocks.

    host  None for the address of a listening socket
    OSError if it cannot be resolved. A negative errno is an EAI_* of the resolver.
    """
    flags = 0 if host is not None else socket.AI_PASSIVE
    return socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM, socket.IPPROTO_UDP, flags)[0][4]


def name_address(addr):
    """Return the IP address of a socket address as text, for a link-local one with "%" and its link."""
    return socket.getnameinfo(addr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV | socket.NI_DGRAM)[0]


def encode(text):
    """Return the original bytes of an argument of the command line, or of a name."""
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def decode(data):
    """Undo `encode`."""
    return data.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def prepare():
    """Begin a command. From now on SIGPIPE and SIGINT end the process, as usual for programs not written in Python."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def heed_interrupts():
    """Raise KeyboardInterrupt on SIGTERM too. Without `prepare`, CPython raises it on SIGINT."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def sleep_us(microseconds):
    """Sleep for this time."""
    sleep(microseconds / 1_000_000)


def run(command):
    """Run a command with our input and output, and wait until it ends. Returns its exit status, 0 for success."""
    pid = os.posix_spawn(command[0], command, os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
