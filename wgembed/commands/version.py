"""`wgembed version`: what runs here. The command works without libsodium, so that a report of a fault has this line."""

from .. import __version__
from ..runtime import fastpath_library, system, tool


def print_version(program, arguments):
    """Print the versions of wgembed and of what it runs with, in one line; return the exit status."""
    parts = tool.interpreter(), _libsodium(), _c_library()
    system.files.write(1, ("wgembed %s (%s)\n" % (__version__, ", ".join(parts))).encode())
    return 0


def _libsodium():
    try:
        from .. import crypto
    except ImportError:
        return "no libsodium"
    return crypto.libsodium_version()


def _c_library():
    path = fastpath_library()
    if path is None:
        return "no C library"
    try:
        abi = system.clib.Library(path).function("I", "wgembed_abi", "")()
    except OSError:
        return "a C library that cannot be loaded"
    # The lower bits are the size of its struct.
    return "C library abi %d" % (abi >> 16)
