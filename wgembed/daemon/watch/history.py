"""What happened in the last weeks, on flash, for `wgembed history`: starts, stops, outages, switches, changes.

A record is a line in a file below /var/run first. Ten minutes later, a child process adds the lines to the file on flash
(history_write.py). So a power cut costs ten minutes of records, a crash of the daemon none, and flash is written at most
every eleven minutes, if there is something new all the time. A line has these fields, separated by tabs:

    1        the version of the format
    time     seconds since 1970, by the clock of the machine, which can be wrong
    uptime   seconds since the machine was started, with two decimals
    boot     a few characters that differ after each start of the machine
    daemon   "run", or the interface that a daemon of netifd serves: each has a file below /var/run
    kind     start, stop, config, rejected, clock, wan, lost, diagnosis, and the events of peer_events.py
    ...      what the kind needs
    check    the CRC-32 of what is before, 8 hexadecimal digits
"""

from ...errors import cause
from ...runtime import system
from .record_files import PENDING, TAKEN, WAIT_MS, check, counted, open_or_create, skip_content, uptime, uptime_s

# The shortest time between two writes: the high-water mark of timestamps is written each hour as well.
GAP_MS = 660_000
# After a failure: it doubles, up to a day.
_RETRY_MAX_MS = 86_400_000
CLOCK_STEP_S = 60
# Records that are not on flash yet, in bytes.
_MOST_PENDING = 12 * 1024
_MOST_OF_FIELD, _MOST_OF_TEXT = 128, 400


class History:
    """Adds records. `name` is the name of the daemon, `flash` and `run` are folders.

    save  a durable.Saver
    """

    def __init__(self, name, flash, run, alarms, save, log):
        self._name = name
        self._flash, self._run = flash, run
        self._alarms = alarms
        self._save = save
        self._log = log
        self._pending, self._taken = run + PENDING + name, run + TAKEN + name
        self._written_at = None
        self._retry_ms = WAIT_MS
        self._lost = 0
        self._is_told = False
        self._clock = clock_offset()
        try:
            self._boot = system.files.read_file("/proc/sys/kernel/random/boot_id")[:4].decode()
        except OSError:
            self._boot = "-"
        self._is_waiting = False
        if system.files.exists(self._pending) or system.files.exists(self._taken):
            self._wait()  # the daemon before this one did not write them

    def note(self, kind, *fields):
        """Add a record. Fields are texts or numbers."""
        self._add(kind, fields)
        self._wait()

    def note_text(self, interface, key, name, text):
        """Add a record with what `wgembed diagnose` says of a peer."""
        self._add("diagnosis", (interface, key, name), text)
        self._wait()

    def _add(self, kind, fields, text=""):
        try:
            words = ["1", "%d" % system.clock.realtime()[0], uptime(), self._boot, self._name, kind]
            words += [_plain(str(field))[:_MOST_OF_FIELD] for field in fields]
            if text:
                words.append(_plain(text)[:_MOST_OF_TEXT])
            line = "\t".join(words).encode()
            self._append(line + b"\t" + check(line) + b"\n")
        except OSError as e:
            self._tell(cause(e))

    def check_clock(self):
        """Add a record if the clock of the machine was set."""
        offset = clock_offset()
        step = offset - self._clock
        if not -CLOCK_STEP_S < step < CLOCK_STEP_S:
            self._clock = offset
            self.note("clock", step)

    def _append(self, line):
        fd = open_or_create(self._pending)
        try:
            size = skip_content(fd)[0]
            if size + len(line) > _MOST_PENDING:
                self._lost += 1
            else:
                system.files.write(fd, line)
        finally:
            system.files.close(fd)

    def _tell(self, why):
        if not self._is_told:
            self._log.error("cannot add to the history %s: %s" % (self._pending, why))
        self._is_told = True

    def _wait(self):
        if not self._is_waiting:
            self._is_waiting = True
            now = system.clock.now()
            due = now + WAIT_MS
            if self._written_at is not None:
                due = max(due, self._written_at + GAP_MS)
            self._alarms.set("history", due, self._write)

    def _take(self):
        """Put the records where the writing process finds them, unless there are some that could not be written."""
        if not system.files.exists(self._taken) and system.files.exists(self._pending):
            system.files.rename(self._pending, self._taken)
        if self._lost:
            self._lost, lost = 0, self._lost
            self._add("lost", [lost])

    def _write(self):
        self._is_waiting = False
        try:
            count, last = counted(self._run)
            if count and (uptime_s() - last) * 1000 < WAIT_MS:
                self._wait()  # another daemon of the machine has just written
                return
            self._written_at = system.clock.now()
            self._take()
            self._save(self._flash + "/history", self._writer(False), False, self._failed)
        except OSError as e:
            self._tell(cause(e))
            self._failed()

    def _writer(self, is_end):
        """Return the function for the child process, which loads its code: the daemon saves that memory."""
        flash, run, taken = self._flash, self._run, self._taken

        def write():
            from .history_write import write

            write(flash, run, taken, is_end)

        return write

    def _failed(self):
        """The records stay below /var/run: try again later."""
        self._retry_ms = min(2 * self._retry_ms, _RETRY_MAX_MS)
        self._is_waiting = True
        self._alarms.set("history", system.clock.now() + self._retry_ms, self._write)

    def close(self):
        """The daemon stops: write what is there, if flash was not written too often since the machine was started."""
        self.note("stop")
        self._alarms.cancel("history")
        try:
            for _ in range(2):  # records that could not be written come first
                self._take()
                self._writer(True)()
        except OSError as e:
            self._log.error("cannot write %s/history: %s" % (self._flash, cause(e)))


def clock_offset():
    """Return the time of day minus that of the clock that cannot be set, in s."""
    return system.clock.realtime()[0] - system.clock.now() // 1000


def _plain(text):
    """Return the text without characters that end a field or a line."""
    return "".join([" " if c < " " else c for c in text])
