"""Files that are whole after a power cut: written beside, synced, renamed, and the directory synced."""

from . import system


def replace(path, data):
    """Put a file with these bytes, for its owner alone, in place of the one at `path`; OSError leaves that as it was."""
    fresh = path + ".new"
    _remove(fresh)  # of before a power cut
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
    """Replaces files, in a child process where there is no hurry: flash may take a second to sync."""

    def __init__(self, loop, log):
        self._loop = loop
        self._log = log

    def __call__(self, path, data, urgent):
        if urgent:
            replace(path, data)
            return
        pid, fd = system.process.spawn(lambda: _told(path, data))
        self._loop.watch(fd, lambda events: self._on_end(path, pid, fd))

    def _on_end(self, path, pid, fd):
        told = system.files.read_ready(fd, 16)
        if told is None:
            return
        self._loop.forget(fd)
        system.files.close(fd)
        system.process.end(pid)
        if told != b"+":
            self._log.error("cannot write %s: error %s" % (path, told.decode() or "unknown"))


def _told(path, data):
    try:
        replace(path, data)
    except OSError as e:
        return b"%d" % (e.errno or 0)
    return b"+"
