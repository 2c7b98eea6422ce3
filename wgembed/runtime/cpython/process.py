"""The process itself: signals, log lines, children."""

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

from .. import abi
from .files import write_file

_MANY = 256  # more than the highest descriptor that the daemon can have

SIGHUP = signal.SIGHUP
SIGINT = signal.SIGINT
SIGTERM = signal.SIGTERM

strerror = os.strerror


class Signals:
    """Makes the signals `numbers` readable at `fd`."""

    def __init__(self, numbers):
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self.fd = self._read.fileno()
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _noted)

    def pending(self):
        """Return the numbers of the signals that came since the last call."""
        try:
            return tuple(self._read.recv(64))
        except OSError:
            return ()


def _noted(number, frame):
    """Do nothing: Python needs a handler, but the number of the signal comes through the wake-up socket."""


def name_process():
    """Set the name of the process, for ps and top, to wgembed."""
    try:
        write_file("/proc/self/comm", "wgembed")
    except OSError:
        return


def pid():
    return os.getpid()


def write_line(text):
    """Write one line to the standard error. Errors are ignored, because the reader may be gone."""
    try:
        os.write(2, text.encode() + b"\n")
    except OSError:
        return


def spawn(function):
    """Run function() -> bytes in a child process. Returns (pid, fd); the bytes can be read from `fd`, to the end."""
    return _fork(lambda write: os.write(write, function()))


def spawn_command(command, environment, data):
    """Run a command with `data` as its standard input. Returns (pid, fd) as `spawn` does; `fd` is its standard output."""

    def become(write):
        given = os.memfd_create("requests")
        os.write(given, data)
        os.lseek(given, 0, 0)
        os.dup2(given, 0)
        os.dup2(write, 1)
        os.execve(command[0], command, environment)

    return _fork(become)


def spawn_program(command, has_input=False):
    """Run a command with our environment. Returns (pid, fd); `fd` is its standard output.

    has_input  return (pid, fd, input); without it, the command has no input
    """

    def become(write):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.dup2(write, 1)
        os.execv(command[0], command)

    source, feed = os.pipe() if has_input else (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), None)
    try:
        told = _fork(become, source)
    except OSError:
        if has_input:
            os.close(feed)
        raise
    finally:
        os.close(source)
    if not has_input:
        return told
    os.set_blocking(feed, False)
    return told + (feed,)


def _fork(function, source=0):
    """Call function(fd) in a child process. Returns (pid, fd); what it writes to its fd can be read from ours.

    source  the standard input of the child process
    """
    read, write = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read)
        os.close(write)
        raise
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        return pid, read
    status = 1
    try:
        if source:
            os.dup2(source, 0)
        # If a child waits for a name server when the daemon ends, it must not keep the tunnel device open.
        os.closerange(3, write)
        os.closerange(write + 1, _MANY)
        _be_like_others()
        signal.set_wakeup_fd(-1)
        for number in (SIGHUP, SIGINT, SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        function(write)
        status = 0
    finally:
        os._exit(status)


def _be_like_others():
    """The out-of-memory killer spares the daemon, but not what it starts."""
    try:
        write_file(abi.OOM_SCORE_ADJ, "0")
    except OSError:
        return


def end(pid):
    """Kill the child process if it still runs, and wait for it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
