"""What commands need: a control socket's client, the resolver, the terminal."""

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
    "Connection", "Probe", "decode", "encode", "heed_interrupts", "is_terminal", "list_names", "name_address", "prepare",
    "resolve", "sleep_us", "run", "strerror",
)  # fmt: skip

list_names = os.listdir
is_terminal = os.isatty
strerror = os.strerror


class Connection:
    """A client's connection to the socket at `path`. It waits; OSError when something is wrong."""

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
        """Return what has come, b"" at the end."""
        return self._socket.recv(65536)

    def close(self):
        self._socket.close()


def resolve(host, port):
    """Return the first socket address of a host and a port, both bytes, numbers or names. Blocks.

    host  None means: the one of a socket that is to listen
    Of the OSError that it raises, a negative errno is the resolver's own, an EAI_*.
    """
    flags = 0 if host is not None else socket.AI_PASSIVE
    return socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM, socket.IPPROTO_UDP, flags)[0][4]


def name_address(addr):
    """Return the host of a socket address in numbers, with the name of its interface where that matters."""
    return socket.getnameinfo(addr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV | socket.NI_DGRAM)[0]


def encode(text):
    """Return text of the command line, of a name, as the bytes that it came as."""
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def decode(data):
    """Undo `encode`."""
    return data.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def prepare():
    """Begin a command: a broken pipe and an interrupt end it, as they end programs that are not written in Python."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def heed_interrupts():
    """Have an interrupt raise KeyboardInterrupt, for a command that has something to undo: here it does of itself."""


def sleep_us(microseconds):
    """Do nothing for so long."""
    sleep(microseconds / 1_000_000)


def run(command):
    """Run a command to its end, with our own input and output; returns its exit status, 0 for success."""
    pid = os.posix_spawn(command[0], command, os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
