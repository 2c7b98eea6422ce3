"""Events of a directory (inotify), which the standard library does not offer."""

try:
    import posix as os
except ImportError:
    import os

from .. import abi

try:
    # PyNaCl has loaded this module already, and ctypes would cost 0.5 MB.
    import _cffi_backend as _cffi

    _int = _cffi.new_primitive_type("int")
    _mask = _cffi.new_primitive_type("unsigned int")
    _text = _cffi.new_pointer_type(_cffi.new_primitive_type("char"))
    _libc = _cffi.load_library(None, 0)
    _init = _libc.load_function(_cffi.new_function_type((_int,), _int, False), "inotify_init1")
    _add_watch = _libc.load_function(_cffi.new_function_type((_int, _text, _mask), _int, False), "inotify_add_watch")
    _errno = _cffi.get_errno
except (ImportError, AttributeError, TypeError):
    import ctypes

    _libc = ctypes.CDLL(None, use_errno=True)
    _init, _add_watch, _errno = _libc.inotify_init1, _libc.inotify_add_watch, ctypes.get_errno


class DirectoryWatch:
    """Makes `fd` readable when an event in `mask` happens in the directory. OSError if the kernel has no inotify."""

    def __init__(self, path, mask):
        self.fd = _init(abi.O_CLOEXEC | abi.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(_errno(), "inotify")
        if _add_watch(self.fd, path.encode(), mask) < 0:
            errno = _errno()
            os.close(self.fd)
            raise OSError(errno, "inotify: " + path)

    def drain(self):
        """Read and discard the events that wait. Raises no errors."""
        try:
            os.read(self.fd, 4096)
        except OSError:
            return  # the caller reads the directory itself
