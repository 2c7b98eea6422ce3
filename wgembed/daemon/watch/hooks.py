"""Passes events of peers (peer_events.py) to the programs that run for them: hooks.sh, a script, is their runner.

The runner must have all privileges, so it is started before the daemon drops its own. It ends at once if there is nothing to
run, and is not started if there can be nothing, because a shell is a large part of a start on a slow CPU. In a jail there is
no shell: the init script starts the runner outside, and its input is the FIFO `events` in the folder for files that are lost
at a reboot. The daemon never waits for the runner. What does not fit into the pipe, and what is too much in a minute, is
left out, and that is logged.
"""

from ...errors import cause
from ...runtime import folders, system

_SHELL = "/bin/sh"
_FIFO = "/events"
_FOLDER = "/etc/hotplug.d/wgembed"
_READY = "ready"
# A line is written as a whole or not at all up to this size: pipe(7).
_MOST_BYTES = 4096
_MOST_OF_VALUE = 256
# Events that can be passed on at once, and how long it takes until one more can be, in ms.
_BURST = 100
_REFILL_MS = 2_000


class Hooks:
    """The pipe to the runner. `configuration` is the path of the file with option on_event."""

    def __init__(self, configuration, log):
        self._log = log
        self._child = self._input = None
        self._partial = b""
        self._is_ready = False
        self._left_out = 0
        self._credit = _BURST
        self._credit_at = 0
        script = __file__.rsplit("/", 3)[0] + "/hooks.sh"
        fifo = folders.run() + _FIFO
        try:
            if not system.files.exists(fifo) and not _may_have_programs(configuration):
                return
            if system.files.exists(_SHELL) and system.files.exists(script):
                pid, fd, self._input = system.process.spawn_program([_SHELL, script, configuration], True)
                self._child = pid, fd
            elif system.files.exists(fifo):
                self._input = system.files.open_device(fifo)
                self._is_ready = True
        except OSError as e:
            log.error("cannot run hooks: %s" % cause(e))

    @property
    def is_running(self):
        """Whether there is a runner, which can still find out that it has nothing to run."""
        return self._input is not None

    def watch(self, loop):
        """Read what the runner reports, in this loop."""
        self._loop = loop
        if self._child is not None:
            loop.watch(self._child[1], self._on_news)

    def close(self):
        """End the runner after the events that it has."""
        if self._input is not None:
            system.files.close(self._input)
            self._input = None

    def _on_news(self, events):
        try:
            data = system.files.read_ready(self._child[1], 4096)
        except OSError:
            data = b""
        if data is None:
            return
        if not data:
            self._on_end()
            return
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()[:_MOST_BYTES]
        for line in lines:
            text = "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in line])
            if text == _READY:
                self._is_ready = True
            else:
                self._log.error(text)

    def _on_end(self):
        pid, fd = self._child
        self._loop.forget(fd)
        system.files.close(fd)
        system.process.end(pid)
        self._child = None
        self.close()
        if self._is_ready:
            self._log.error("the program that runs hooks has ended; restart the service to run hooks again")

    def send(self, values, now):
        """Pass an event on: `values` are pairs of a variable and its text."""
        if self._input is None:
            return
        self._credit = min(self._credit + (now - self._credit_at) // _REFILL_MS, _BURST)
        self._credit_at += (now - self._credit_at) // _REFILL_MS * _REFILL_MS
        line = "\t".join(["%s=%s" % (name, _plain(value)) for name, value in values]).encode() + b"\n"
        if self._credit <= 0 or len(line) > _MOST_BYTES:
            self._leave_out()
            return
        self._credit -= 1
        try:
            system.files.write(self._input, line)
            self._left_out = 0
        except OSError:
            self._leave_out()  # the pipe is full, or the runner has just ended

    def _leave_out(self):
        self._left_out += 1
        if self._left_out == 1 and self._is_ready:
            self._log.error("hooks do not keep up: some events are not passed to them")


def _may_have_programs(configuration):
    """Whether the runner might find a program. It looks more exactly."""
    try:
        if system.files.names(system.files.getenv("WGEMBED_HOTPLUG_DIR") or _FOLDER):
            return True
    except OSError:
        pass
    try:
        return b"on_event" in system.files.read_file(configuration)
    except OSError:
        return False


def _plain(value):
    """Return the text without characters that end a line or a variable."""
    return "".join([" " if c < " " or c == "\x7f" else c for c in value[:_MOST_OF_VALUE]])
