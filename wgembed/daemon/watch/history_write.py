"""Adds records to the history on flash. A child process of the daemon loads this module, so it costs the daemon no memory.

There are two files of 31 KB at most, `history`, and `history.1`, which is older. If
the first one is full, it replaces the second one. Lines are only added, so a power cut can leave one line that is cut off:
its check shows that, and the next line does not continue it. Lines of another version stay. All daemons of the machine share
the files.
"""

from ...runtime import system
from .record_files import LOCK, WAIT_MS, counted, open_or_create, skip_content, uptime_s

SEGMENT = 31 * 1024


def write(flash, run, taken, is_end):
    """Add the records in the file `taken` to those in the folder `flash`, and remove the file; OSError.

    is_end  the daemon stops. The time since the last write does not matter then, but the mean since the start of the machine
    """
    if not system.files.exists(taken):
        return
    lock = open_or_create(run + LOCK)
    try:
        system.files.lock(lock)
        now = uptime_s()
        count = counted(run)[0]
        if is_end and count * WAIT_MS > now * 1000:
            return  # the records stay below /var/run, for the next start
        _add(flash, system.files.read_file(taken))
        system.files.write_new(run + LOCK, b"%d %d\n" % (count + 1, now))
        system.files.remove(taken)
    finally:
        system.files.close(lock)


def _add(flash, data):
    path = flash + "/history"
    is_new = not system.files.exists(path)
    fd = open_or_create(path)
    try:
        size, last = skip_content(fd)
        if size and size + len(data) > SEGMENT:
            system.files.close(fd)
            fd = -1
            system.files.rename(path, path + ".1")
            is_new = True
            fd = system.files.create(path)
            last = b"\n"
        system.files.write(fd, data if last == b"\n" else b"\n" + data)
        system.files.sync(fd)
    finally:
        if fd >= 0:
            system.files.close(fd)
    if is_new:
        system.files.sync_directory(flash)
