"""Becoming the daemon: the interpreter is light enough to go on itself."""

from .. import abi
from . import files, libc, process

_fork = libc.func("i", "fork", "")
_setsid = libc.func("i", "setsid", "")
_dup2 = libc.func("i", "dup2", "ii")
_waitpid = libc.func("i", "waitpid", "iPi")
_exit = libc.func("v", "_exit", "i")


def daemon(name, foreground, serve):
    """Serve the interface in this process, or start one that does and return 0 once its control socket is there.

    serve  what the daemon does: serve(name, ready), ready() being called once the control socket is there
    """
    process.name_process()
    if foreground:
        return serve(name, lambda: None)
    read, write = process.pipe()
    child = libc.check(_fork())
    if child == 0:
        _setsid()
        libc.close(read)
        _exit(serve(name, lambda: _let_go(write)))
    libc.close(write)
    if libc.read(read, bytearray(1), 1) == 1:
        return 0
    _waitpid(child, 0, 0)
    return 1


def _let_go(ready):
    """Leave the terminal to who started us, and tell that we are ready."""
    null = libc.open_("/dev/null", abi.O_RDWR, 0)
    _dup2(null, 0)
    if files.getenv("LOG_LEVEL") in ("", "silent"):
        _dup2(null, 1)
        _dup2(null, 2)
    libc.close(null)
    libc.write(ready, b"+", 1)
    libc.close(ready)
