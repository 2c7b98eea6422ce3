"""The seam to the machine: everything that is a system call.

There are two backends, cpython/ and micropython/, with the same modules, but for pyroute2_child.py and libc.py, which are
one backend's own. contract.py says what each module has and how it behaves. `system` is the backend that fits the
interpreter. What only commands need is in tool.py, which chooses likewise. Code that is the same on both is written once,
in the modules beside this one.

The rest of the program calls the machine through these alone, but for what runs on CPython only: the demo, and
daemon_entry.py. This room knows nothing of tunnels' peers: of protocol/ it uses constants, of crypto/ pointers.
"""

import sys

if sys.implementation.name == "micropython":
    from . import micropython as system
else:
    from . import cpython as system

__all__ = ("drop_privileges", "fastpath_library", "system")


def drop_privileges(log):
    """Give up for good what the daemon does not need: see privileges.py, whose code is needed once and leaves again."""
    from . import privileges

    privileges.drop_privileges(log)
    del sys.modules[privileges.__name__], globals()["privileges"]


def fastpath_library():
    """Return the path of the C library for the packet path, or None.

    It is the file fastpath.so beside the package's modules, or what WGEMBED_FASTPATH names; 0 does without.
    """
    path = system.files.getenv("WGEMBED_FASTPATH")
    if path not in ("", "0", "1"):
        return path
    path = __file__.rsplit("/", 2)[0] + "/fastpath.so" if path != "0" else ""
    return path if path and system.files.exists(path) else None
