"""The calls to the operating system.

There are two backends, cpython/ and micropython/, with the same modules. Only pyroute2_child.py and libc.py are in one
backend alone. contract.py describes each module. `system` is the backend for this interpreter. tool.py has the functions
that only commands need, and chooses the backend in the same manner. The modules beside this one have the code that is the
same for both backends.

The rest of the program calls the operating system only through this room. Exceptions are the demo and daemon_entry.py,
which run on CPython only. This room does not know peers. It uses constants of protocol/ and pointers of crypto/.
"""

import sys

if sys.implementation.name == "micropython":
    from . import micropython as system
else:
    from . import cpython as system

__all__ = ("drop_privileges", "fastpath_library", "system")


def drop_privileges(log):
    """Drop the privileges that the daemon does not need: see privileges.py. Its code is unloaded after this call."""
    from . import privileges

    privileges.drop_privileges(log)
    del sys.modules[privileges.__name__], globals()["privileges"]


def fastpath_library():
    """Return the path of the C library for the packet path, or None.

    The path is WGEMBED_FASTPATH, or the file fastpath.so in the folder of the package. With WGEMBED_FASTPATH=0 it is None.
    """
    path = system.files.getenv("WGEMBED_FASTPATH")
    if path not in ("", "0", "1"):
        return path
    path = __file__.rsplit("/", 2)[0] + "/fastpath.so" if path != "0" else ""
    return path if path and system.files.exists(path) else None
