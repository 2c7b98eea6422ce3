"""Calls of C libraries with `ffi`."""

import ffi

from .libc import errno  # noqa: F401 (part of the contract)


class Library:
    """The shared library at this path, or the C library for None. OSError if it cannot be loaded. See contract.py."""

    def __init__(self, path):
        self._library = ffi.open(path)

    def function(self, result, name, arguments):
        """Return the function of this name; OSError if it does not exist. See contract.py for the letters of the types."""
        return self._library.func(result, name, arguments)
