"""The files of the history: what the daemon, the process that writes flash, and `wgembed history` know of them."""

from binascii import crc32

from ...runtime import system

# The time from a record to the next write.
WAIT_MS = 600_000
# Below /var/run: the records of each daemon that are not on flash yet, those that are being written, and the number of
# writes since the machine was started, with the uptime of the last one.
PENDING, TAKEN, LOCK = "/history.", "/history-taken.", "/history-lock"


def check(text):
    """Return the check of these bytes."""
    return b"%08x" % crc32(text)


def open_or_create(path):
    """Open a file for reading and writing; OSError."""
    try:
        return system.files.open_for_change(path)
    except OSError:
        return system.files.create(path)


def skip_content(fd):
    """Read the file to its end, so that bytes can be added. Return the number of bytes, and the last one."""
    size, last = 0, b"\n"
    while True:
        part = system.files.read(fd, 1024)
        if not part:
            return size, last
        size += len(part)
        last = part[-1:]


def uptime():
    """Return the time since the start of the machine as text, in seconds with two decimals."""
    try:
        return system.files.read_file("/proc/uptime").split()[0].decode()
    except OSError:  # there is no /proc
        now = system.clock.now()
        return "%d.%02d" % (now // 1000, now % 1000 // 10)


def uptime_s():
    """Return the time since the start of the machine in whole seconds."""
    return int(uptime().split(".")[0])


def counted(run):
    """Return how often flash was written since the machine was started, by all daemons, and the uptime then."""
    try:
        words = system.files.read_file(run + LOCK).split()
        return int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):
        return 0, 0
