"""Becoming the daemon: the interpreter is light enough to go on itself."""

import gc

from .. import abi
from . import files, heap, libc, process

_setsid = libc.func("i", "setsid", "")
_dup2 = libc.func("i", "dup2", "ii")
_madvise = libc.func("i", "madvise", "LLi")
_MADV_DONTNEED = 4

# What must be free of the heap when all is laid out: for garbage and a handshake's own needs, and for each peer to come.
_SPARE = 49152
_PEER = 2304


def daemon(name, foreground, serve):
    """Serve the interface in this process, or start one that does and return 0 once its control socket is there.

    serve  what the daemon does: serve(name, ready), ready(peers) being called once the control socket is there, with
           the number of peers that may still come
    """
    _prepare()
    if foreground:
        return serve(name, _settle)
    read, write = process.pipe()
    child = libc.check(libc.fork())
    if child == 0:
        _setsid()
        libc.close(read)
        libc.exit_now(serve(name, lambda peers: _let_go(write, peers)))
    libc.close(write)
    if libc.read(read, bytearray(1), 1) == 1:
        return 0
    libc.waitpid(child, 0, 0)
    return 1


def router(directory, serve):
    """Serve all that the configuration in the directory has, in the foreground: serve(directory, ready)."""
    _prepare()
    return serve(directory, _settle)


def pyroute2_command():
    """Return None: pyroute2 does not run here."""


def _prepare():
    process.name_process()
    gc.threshold(heap.GARBAGE)


def _settle(peers):
    """The start is over. MemoryError if the heap is too small for what may come, so many peers among it."""
    gc.collect()
    if gc.mem_free() < _SPARE + peers * _PEER:
        raise MemoryError
    _drop_code()
    heap.release()


def _drop_code():
    """Give back the pages of code that only the start has needed. Those needed again come again, from their files."""
    try:
        with open("/proc/self/smaps") as maps:
            for start, end in _unchanged_code(maps):
                _madvise(start, end - start, _MADV_DONTNEED)
    except OSError:
        return


def _unchanged_code(maps):
    """Yield start and end of the mappings with code from files; not where any was written to, by relocation."""
    where = None
    for line in maps:
        if " r-xp " in line and "/" in line:
            where = [int(word, 16) for word in line.split()[0].split("-")]
        elif where and line[:10] == "Anonymous:":
            if line.split()[1] == "0":
                yield where
            where = None


def _let_go(ready, peers):
    """Leave the terminal to who started us, and tell that we are ready."""
    _settle(peers)
    null = libc.open_("/dev/null", abi.O_RDWR, 0)
    _dup2(null, 0)
    if files.getenv("LOG_LEVEL") in ("", "silent"):
        _dup2(null, 1)
        _dup2(null, 2)
    libc.close(null)
    libc.write(ready, b"+", 1)
    libc.close(ready)
