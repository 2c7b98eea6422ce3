"""How a command becomes the daemon: in the same interpreter, because MicroPython needs little memory."""

import gc
import os
from sys import byteorder

from .. import abi
from . import files, heap, libc, process

_setsid = libc.func("i", "setsid", "")
_dup2 = libc.func("i", "dup2", "ii")
_getpagesize = libc.func("i", "getpagesize", "")
_madvise = libc.func("i", "madvise", "LLi")
_MADV_DONTNEED = 4

# The collector runs after this number of allocated bytes while the program is loaded. Modules stay, so there is
# little garbage: with twice this, the start needed 6 % fewer instructions, but 56 KB more memory stayed resident.
_GARBAGE = 131072
# The bytes of the heap that must be free after the start: for garbage and a handshake, and for each peer that can be added.
_SPARE = 49152
_PEER = 2304
_PIECE = 1024
# The most significant byte of a number in /proc/self/pagemap, and three of its bits.
_TOP = 7 if byteorder == "little" else 0
_PRESENT, _SWAPPED, _OF_FILE = 0x80, 0x40, 0x20


def daemon(name, foreground, serve, variables=()):
    """Serve the interface in this process, or in a child process and return 0 when its control socket exists.

    serve      the work of the daemon: serve(name, ready). It calls ready(peers) when the control socket exists, with the
               number of peers that can still be added.
    variables  pairs of a name and a value for the environment of the child process
    """
    _prepare()
    if foreground:
        return serve(name, _settle)
    read, write = process.pipe()
    child = libc.check(libc.fork())
    if child == 0:
        _setsid()
        libc.close(read)
        for variable in variables:
            os.putenv(*variable)
        libc.exit_now(serve(name, lambda peers: _let_go(write, peers)))
    libc.close(write)
    if libc.read(read, bytearray(1), 1) == 1:
        return 0
    libc.waitpid(child, 0, 0)
    return 1


def router(directory, name, serve):
    """Serve all interfaces of the configuration in the directory, or only `name` for netifd, in the foreground.

    name   "" for all
    serve  the work of the daemon: serve(directory, name, ready)
    """
    _prepare()
    return serve(directory, name, _settle)


def pyroute2_command():
    """Return None: pyroute2 does not run here."""


def _prepare():
    process.name_process()
    gc.threshold(_GARBAGE)


def _settle(peers):
    """End the start. MemoryError if the heap is too small for a handshake, garbage and `peers` more peers."""
    _drop_code()
    heap.release()
    if heap.free() < _SPARE + peers * _PEER:
        raise MemoryError


def _drop_code():
    """Release the pages of files that only the start needed. The kernel reads a page again from its file if it is needed."""
    try:
        with open("/proc/self/maps", "rb") as maps, open("/proc/self/pagemap", "rb") as pages:
            for line in _lines(maps):
                if b"/" in line and (b" r-xp " in line or b" r--p " in line):
                    start, end = [int(word, 16) for word in line.split()[0].split(b"-")]
                    if _is_unchanged(pages, start, end):
                        _madvise(start, end - start, _MADV_DONTNEED)
    except OSError:
        return


def _lines(file):
    """Yield the lines of a file. MicroPython's own way is a system call for each byte: half of the start."""
    rest = b""
    while True:
        part = file.read(_PIECE)
        lines = (rest + part).split(b"\n")
        rest = lines.pop()
        yield from lines
        if not part:
            return


def _is_unchanged(pages, start, end):
    """Whether all pages of a mapping are as in its file: a relocation can have changed some.

    pages  the file pagemap: for each page a number of 64 bits (Linux, Documentation/admin-guide/mm/pagemap.rst)
    """
    size = _getpagesize()
    pages.seek(start // size * 8)
    left = (end - start) // size * 8
    while left:
        part = pages.read(min(left, _PIECE))
        for i in range(_TOP, len(part), 8):
            if part[i] & (_PRESENT | _OF_FILE) == _PRESENT or part[i] & _SWAPPED:
                return False
        left -= len(part)
        if not part:
            return False
    return True


def _let_go(ready, peers):
    """Leave the terminal, and report to the parent process that the daemon is ready."""
    _settle(peers)
    null = libc.open_("/dev/null", abi.O_RDWR, 0)
    _dup2(null, 0)
    if files.getenv("LOG_LEVEL") in ("", "silent"):
        _dup2(null, 1)
        _dup2(null, 2)
    libc.close(null)
    libc.write(ready, b"+", 1)
    libc.close(ready)
