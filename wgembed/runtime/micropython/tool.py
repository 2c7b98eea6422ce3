"""Functions for commands: the client of a control socket, the resolver, the terminal."""

import gc as _gc
import os
import sys as _sys
import time
from struct import calcsize as _calcsize
from struct import pack as _pack
from struct import pack_into as _pack_into
from struct import unpack_from as _unpack_from

import uctypes as _uctypes

from .. import abi as _abi
from . import libc as _libc
from .probe import Probe  # noqa: F401 (part of the contract)

_WORD = _calcsize("P")
# struct addrinfo: four ints, the length of the address, a pointer to it
_ADDRINFO_ADDR = (5 * 4 + _WORD - 1) // _WORD * _WORD
_IPPROTO_UDP = 17
_AI_PASSIVE = 1
_NI_NUMERIC = 0x13  # NI_NUMERICHOST, NI_NUMERICSERV and NI_DGRAM
_EAI_SYSTEM = -11
_GARBAGE = 131072
_SIGPIPE = 13
_SIG_DFL = 0
_PATH_MAX = 107  # of a socket
_SIGACTION_SIZE = 256  # of struct sigaction, at most

_getaddrinfo = _libc.func("i", "getaddrinfo", "PPPP")
_freeaddrinfo = _libc.func("v", "freeaddrinfo", "P")
_getnameinfo = _libc.func("i", "getnameinfo", "PIPIPIi")
_gai_strerror = _libc.func("s", "gai_strerror", "i")
_execv = _libc.func("i", "execv", "PP")
_isatty = _libc.func("i", "isatty", "i")
_signal = _libc.func("P", "signal", "iP")

list_names = os.listdir
_received = bytearray(4096)


def interpreter():
    """Return the name and the version of the interpreter, for people."""
    # "3.4.0; MicroPython v1.25.0 on 2025-04-15"
    return "MicroPython " + _sys.version.partition("MicroPython v")[2].split()[0]


def is_terminal(fd):
    return _isatty(fd) == 1


class Connection:
    """A client's connection to the socket at `path`, blocking."""

    def __init__(self, path):
        address = _pack("H", _abi.AF_UNIX) + path.encode() + b"\0"
        if len(address) > _PATH_MAX + 3:
            raise OSError(_abi.EINVAL)
        self._fd = _libc.check(_libc.socket(_abi.AF_UNIX, _abi.SOCK_STREAM | _abi.O_CLOEXEC, 0))
        if _libc.connect(self._fd, address, len(address)) < 0:
            errno = _libc.errno()
            _libc.close(self._fd)
            raise OSError(errno)

    def send(self, data):
        """Send all of `data`."""
        while data:
            data = data[_libc.check(_libc.send(self._fd, data, len(data), _abi.MSG_NOSIGNAL)) :]

    def receive(self):
        """Wait for bytes and return them; b"" at the end."""
        taken = _libc.check(_libc.recv(self._fd, _received, len(_received), 0))
        return bytes(memoryview(_received)[:taken])

    def close(self):
        _libc.close(self._fd)


def _check_resolver(result):
    if result == _EAI_SYSTEM:
        raise OSError(_libc.errno())
    if result:
        raise OSError(result, _gai_strerror(result))


def resolve(host, port):
    """Return the first socket address of a host and a port. Both are bytes, a number or a name. Blocks.

    host  None for the address of a listening socket
    OSError if it cannot be resolved. A negative errno is an EAI_* of the resolver.
    """
    hints, result = bytearray(48), bytearray(_WORD)
    _pack_into("iiii", hints, 0, _AI_PASSIVE if host is None else 0, 0, _abi.SOCK_DGRAM, _IPPROTO_UDP)
    _check_resolver(_getaddrinfo(0 if host is None else host + b"\0", port + b"\0", hints, result))
    entry = _unpack_from("P", result)[0]
    addr = _unpack_from("P", _uctypes.bytes_at(entry, _ADDRINFO_ADDR + _WORD), _ADDRINFO_ADDR)[0]
    family = _unpack_from("H", _uctypes.bytes_at(addr, 2))[0]
    found = _uctypes.bytes_at(addr, 16 if family == _abi.AF_INET else 28)
    _freeaddrinfo(entry)
    return found


def name_address(addr):
    """Return the IP address of a socket address as text, for a link-local one with "%" and its link."""
    text = bytearray(80)
    _check_resolver(_getnameinfo(addr, len(addr), text, len(text), 0, 0, _NI_NUMERIC))
    return bytes(text).split(b"\0")[0].decode()


def encode(text):
    """Return the original bytes of an argument of the command line, or of a name."""
    return text.encode()


def decode(data):
    """Undo `encode`."""
    return data.decode()


def prepare():
    """Begin a command. From now on SIGPIPE and SIGINT end the process, as usual for programs not written in Python."""
    _signal(_SIGPIPE, _SIG_DFL)
    _signal(_abi.SIGINT, _SIG_DFL)
    # Collect long before the heap is full. Otherwise long-lived objects would be all over the heap, without long gaps.
    _gc.threshold(_GARBAGE)


def sleep_us(microseconds):
    """Sleep for this time, in whole milliseconds."""
    # On 32-bit machines, half an hour in microseconds does not fit into a C int.
    time.sleep_ms(microseconds // 1000)


def heed_interrupts():
    """Raise KeyboardInterrupt on SIGINT, for a command that has something to undo, and do not end on SIGTERM.

    The interpreter's handler of SIGINT does nothing on SIGTERM. Other programs that the command starts do not inherit it.
    """
    from micropython import kbd_intr

    kbd_intr(3)
    action = bytearray(_SIGACTION_SIZE)
    sigaction = _libc.func("i", "sigaction", "iPP")
    sigaction(_abi.SIGINT, 0, action)
    sigaction(_abi.SIGTERM, action, 0)


def run(command):
    """Run a command with our input and output, and wait until it ends. Returns its exit status, 0 for success."""
    words = [word.encode() + b"\0" for word in command]
    vector = _pack("%dP" % (len(words) + 1), *[_uctypes.addressof(word) for word in words], 0)
    pid = _libc.check(_libc.fork())
    if not pid:
        _execv(words[0], vector)
        _libc.exit_now(127)
    status = bytearray(4)
    _libc.check(_libc.waitpid(pid, status, 0))
    ended = _unpack_from("i", status)[0]
    return 128 + (ended & 127) if ended & 127 else ended >> 8 & 255
