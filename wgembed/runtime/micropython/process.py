"""The process itself: signals, log lines, children."""

from struct import pack

from uctypes import addressof

from .. import abi
from . import libc
from .files import write_file

SIGHUP = abi.SIGHUP
SIGINT = abi.SIGINT
SIGTERM = abi.SIGTERM

_SFD_FLAGS = abi.O_CLOEXEC | abi.O_NONBLOCK
_SIGINFO_SIZE = 128
_SIGSET_SIZE = 128

_sigemptyset = libc.func("i", "sigemptyset", "P")
_sigaddset = libc.func("i", "sigaddset", "Pi")
_sigprocmask = libc.func("i", "sigprocmask", "iPP")
_signalfd = libc.func("i", "signalfd", "iPi")
_signal = libc.func("P", "signal", "iP")
_pipe2 = libc.func("i", "pipe2", "Pi")
_kill = libc.func("i", "kill", "ii")
_getpid = libc.func("i", "getpid", "")
strerror = libc.func("s", "strerror", "i")
_F_SETFL = 4
_MANY = 256  # more than the highest descriptor that the daemon can have
_SIG_SETMASK = 3 if abi.MIPS else 2
_SIGKILL = 9
_SIGPIPE = 13
_SIG_DFL, _SIG_IGN = 0, 1


class Signals:
    """Makes the signals `numbers` readable at `fd`."""

    def __init__(self, numbers):
        _signal(_SIGPIPE, _SIG_IGN)  # as in CPython, because the reader of the log may be gone
        mask = bytearray(_SIGSET_SIZE)
        _sigemptyset(mask)
        for number in numbers:
            _sigaddset(mask, number)
        libc.check(_sigprocmask(abi.SIG_BLOCK, mask, 0))
        self.fd = libc.check(_signalfd(-1, mask, _SFD_FLAGS))

    def pending(self):
        """Return the numbers of the signals that came since the last call."""
        numbers = []
        info = bytearray(_SIGINFO_SIZE)
        while libc.read(self.fd, info, _SIGINFO_SIZE) == _SIGINFO_SIZE:
            numbers.append(info[0] | info[3])  # a 32-bit number below 128, in either byte order
        return numbers


def pid():
    return _getpid()


def write_line(text):
    """Write one line to the standard error. Errors are ignored, because the reader may be gone."""
    data = text.encode() + b"\n"
    libc.write(2, data, len(data))


def name_process():
    """Set the name of the process, for ps and top, to wgembed."""
    try:
        write_file("/proc/self/comm", "wgembed")
    except OSError:
        return


def pipe():
    """Return the two descriptors of a new pipe: (read, write)."""
    ends = bytearray(8)
    libc.check(_pipe2(ends, abi.O_CLOEXEC))
    return ends[0] | ends[3], ends[4] | ends[7]  # small numbers, in either byte order


def spawn(function):
    """Run function() -> bytes in a child process. Returns (pid, fd); the bytes can be read from `fd`, to the end."""

    def answer(write):
        data = function()
        libc.write(write, data, len(data))

    return _fork(answer)


def spawn_program(command, has_input=False):
    """Run a command with our environment. Returns (pid, fd); `fd` is its standard output.

    has_input  return (pid, fd, input); without it, the command has no input
    """
    words = [word.encode() + b"\0" for word in command]
    vector = pack("%dP" % (len(words) + 1), *[addressof(word) for word in words], 0)

    def become(write):
        _signal(_SIGPIPE, _SIG_DFL)
        libc.func("i", "dup2", "ii")(write, 1)
        libc.func("i", "execv", "PP")(words[0], vector)

    source, feed = pipe() if has_input else (libc.check(libc.open_("/dev/null", abi.O_CLOEXEC, 0)), None)
    try:
        told = _fork(become, source)
    except OSError:
        if has_input:
            libc.close(feed)
        raise
    finally:
        libc.close(source)
    if not has_input:
        return told
    libc.fcntl(feed, _F_SETFL, abi.O_NONBLOCK)
    return told + (feed,)


def _fork(function, source=0):
    """Call function(fd) in a child process. Returns (pid, fd); what it writes to its fd can be read from ours.

    source  the standard input of the child process
    """
    read, write = pipe()
    pid = libc.fork()
    if pid < 0:
        errno = libc.errno()
        libc.close(read)
        libc.close(write)
        raise OSError(errno)
    if pid:
        libc.close(write)
        libc.fcntl(read, _F_SETFL, abi.O_NONBLOCK)
        return pid, read
    status = 1
    try:
        if source:
            libc.func("i", "dup2", "ii")(source, 0)
        # If a child waits for a name server when the daemon ends, it must not keep the tunnel device open.
        for fd in range(3, _MANY):
            if fd != write:
                libc.close(fd)
        _be_like_others()
        mask = bytearray(_SIGSET_SIZE)
        _sigemptyset(mask)
        _sigprocmask(_SIG_SETMASK, mask, 0)
        function(write)
        status = 0
    finally:
        libc.exit_now(status)


def _be_like_others():
    """The out-of-memory killer spares the daemon, but not what it starts."""
    try:
        write_file(abi.OOM_SCORE_ADJ, "0")
    except OSError:
        return


def end(pid):
    """Kill the child process if it still runs, and wait for it."""
    _kill(pid, _SIGKILL)
    libc.waitpid(pid, 0, 0)
