"""Events of a directory (inotify)."""

from .. import abi
from . import libc

_inotify_init1 = libc.func("i", "inotify_init1", "i")
_inotify_add_watch = libc.func("i", "inotify_add_watch", "isI")


class DirectoryWatch:
    """Makes `fd` readable when an event in `mask` happens in the directory. OSError if the kernel has no inotify."""

    def __init__(self, path, mask):
        self.fd = libc.check(_inotify_init1(abi.O_CLOEXEC | abi.O_NONBLOCK))
        if _inotify_add_watch(self.fd, path, mask) < 0:
            errno = libc.errno()
            libc.close(self.fd)
            raise OSError(errno)

    def drain(self):
        """Read and discard the events that wait. Raises no errors."""
        libc.read(self.fd, bytearray(4096), 4096)
