"""C libraries by `ffi`."""

import ffi

from .libc import errno  # noqa: F401 (of the last call that failed)


class Library:
    """The shared library of this path, None for the C library; OSError if there is none. Functions live as long as this."""

    def __init__(self, path):
        self._library = ffi.open(path)

    def function(self, result, name, arguments):
        """Return a function by the letters of its types: i and I of 32 bits, Q of 64, L a long, P a pointer or bytes.

        OSError if there is none of that name.
        """
        return self._library.func(result, name, arguments)
