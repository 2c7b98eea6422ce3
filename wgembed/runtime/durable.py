"""Files that are complete after a power cut: a new file is written, synced and renamed, and the directory is synced."""

from ..errors import cause
from . import system
from .child import Child


def atomic_write(path, data):
    """Replace the file at `path` by one with these bytes and the mode 0600. After an OSError the old file is unchanged."""
    fresh = path + ".new"
    _remove(fresh)  # it can exist after a power cut
    fd = system.files.create(fresh)
    try:
        try:
            system.files.write(fd, data)
            system.files.sync(fd)
        finally:
            system.files.close(fd)
        system.files.rename(fresh, path)
    except OSError:
        _remove(fresh)
        raise
    system.files.sync_directory(path.rpartition("/")[0] or "/")


def _remove(path):
    try:
        system.files.remove(path)
    except OSError:
        return


class Saver:
    """Replaces files. If it is not urgent, a child process does it, because a sync of flash can take a second."""

    def __init__(self, loop, log):
        self._loop = loop
        self._log = log

    def __call__(self, path, data, urgent, failed):
        """Replace the file. If that fails: OSError if `urgent`, otherwise failed() is called later.

        If not urgent, `data` can be a function, which the child process calls. It returns None to leave the file as it is.
        """
        if urgent:
            atomic_write(path, data)
            return
        child = Child(*system.process.spawn(lambda: _told(path, data)))
        self._loop.watch(child.fd, lambda events: self._on_news(path, child, failed))

    def _on_news(self, path, child, failed):
        if not child.advance():
            return
        self._loop.forget(child.fd)
        told = child.end()
        if told != b"+":
            self._log.error("cannot write %s: %s" % (path, _reason(told)))
            failed()


def _reason(told):
    errno = int(told) if told.isdigit() else 0
    return cause(OSError(errno)) if errno else "the process that writes it was ended"


def _told(path, data):
    try:
        data = data() if callable(data) else data
        if data is not None:
            atomic_write(path, data)
    except OSError as e:
        return b"%d" % (e.errno or 0)
    return b"+"
