"""Becoming the daemon: a second interpreter that loads nothing which the daemon does not need (see lean.py)."""

import sys

try:
    import posix as os
except ImportError:
    import os

from . import files


def daemon(name, foreground, serve):
    """Serve the interface in this process, or start one that does and return 0 once its control socket is there.

    serve  what the daemon does: here lean.py calls it, in the other interpreter
    """
    command, environment = command_for(name)
    if foreground:
        os.execve(command[0], command, environment)
    read, write = os.pipe()
    environment["WGEMBED_READY"] = str(write)
    os.set_inheritable(write, True)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read)
        os.execve(command[0], command, environment)
    os.close(write)
    if os.read(read, 1):
        return 0
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) or 1


def command_for(name):
    """Return the argument vector and the environment of the daemon's lean interpreter."""
    folders = list(_module_folders())
    lean = folders[0] + "/wgembed/lean.py"
    environment = files.environment()
    environment["WGEMBED_PATH"] = ":".join(dict.fromkeys(folders))
    return [sys.executable, "-S", "-E", "-s", lean, name], environment


def _module_folders():
    """Yield the folders that hold wgembed and what it is made of, without a slash at the end."""
    from importlib.util import find_spec

    for module in ("wgembed", "nacl", "_cffi_backend"):
        spec = find_spec(module)
        if spec is None:
            raise ImportError("no module named '%s'" % module)
        folder = spec.origin.rpartition("/")[0]
        yield folder if module.startswith("_") else folder.rpartition("/")[0]
