"""The process itself: signals, log lines, and news from a directory."""

import fcntl

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

_MANY = 256  # more descriptors than the daemon ever has

SIGHUP = signal.SIGHUP
SIGINT = signal.SIGINT
SIGIO = signal.SIGIO
SIGTERM = signal.SIGTERM


class Signals:
    """Makes the given signals readable from `fd`."""

    def __init__(self, numbers):
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self.fd = self._read.fileno()
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _noted)

    def take(self):
        """Return the numbers of the signals that came since the last call."""
        try:
            return tuple(self._read.recv(64))
        except BlockingIOError:
            return ()


def _noted(number, frame):
    """Python wants a handler; the number is on its way through the wake-up socket already."""


def watch_directory(path):
    """Have SIGIO sent whenever a name is removed from the directory (dnotify); False if the kernel cannot."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_NOTIFY, fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_MULTISHOT)
    except OSError:
        os.close(fd)
        return False
    return True


def pid():
    return os.getpid()


def write_line(text):
    """Write one line to the standard error; a reader that went away is not our problem."""
    try:
        os.write(2, text.encode() + b"\n")
    except OSError:
        return


def spawn(function):
    """Run function() -> bytes in a child process; returns (pid, fd), the bytes being readable from `fd` to its end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        os.set_blocking(read, False)
        return pid, read
    status = 1
    try:
        # The tunnel device must not outlive the daemon in a child that waits for a name server.
        os.closerange(3, write)
        os.closerange(write + 1, _MANY)
        signal.set_wakeup_fd(-1)
        for number in (SIGHUP, SIGINT, SIGIO, SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.write(write, function())
        status = 0
    finally:
        os._exit(status)


def end(pid):
    """Kill the child process, if it still runs, and forget it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
