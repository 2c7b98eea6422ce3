"""Descriptors and memory."""

import os
from array import array

import uctypes

from .. import abi
from . import libc

# The size of the peer table unless its owner says otherwise. Some tables stand in the heap, used or not.
USUAL_PEERS = 32
USUAL_PREFIXES = 64  # of each family, of an interface

_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS = 0x802 if abi.MIPS else 0x22

# The last of its arguments has 64 bits with musl, also on 32-bit machines, and is aligned there by some. All words that it
# may be in are given.
_mmap = libc.func("P", "mmap", "PLiiilll")
_unlink = libc.func("i", "unlink", "s")
_mkdir = libc.func("i", "mkdir", "sI")
_chmod = libc.func("i", "chmod", "sI")
_umask = libc.func("I", "umask", "I")
_flock = libc.func("i", "flock", "ii")
_fchown = libc.func("i", "fchown", "iII")
_fchmod = libc.func("i", "fchmod", "iI")
_fsync = libc.func("i", "fsync", "i")
_rename = libc.func("i", "rename", "ss")
_realpath = libc.func("P", "realpath", "sP")

_LOCK_SH = 1
_LOCK_EX = 2
_LOCK_NB = 4
_LOCK_UN = 8
_PATH_MAX = 4096


def _open(path, flags):
    return libc.check(libc.open_(path, flags | abi.O_CLOEXEC, 0o600))  # the mode of what O_CREAT makes


def close(fd):
    libc.check(libc.close(fd))


def read(fd, size):
    """Read at most `size` bytes."""
    buf = bytearray(size)
    return bytes(memoryview(buf)[: libc.check(libc.read(fd, buf, size))])


def read_ready(fd, size):
    """Read at most `size` bytes of what is there: b"" at the end, None when there is nothing yet."""
    buf = bytearray(size)
    taken = libc.read(fd, buf, size)
    if taken < 0 and libc.errno() == abi.EAGAIN:
        return None
    return bytes(memoryview(buf)[: libc.check(taken)])


def open_device(path):
    """Open a device for reading and writing, never blocking."""
    return _open(path, abi.O_RDWR | abi.O_NONBLOCK)


def ioctl(fd, request, argument):
    """Call ioctl with a mutable buffer that the kernel may change."""
    libc.check(libc.ioctl(fd, request, argument))


def ioctl_number(fd, request, number):
    """Call ioctl with a number; return what it returns."""
    return libc.check(libc.ioctl(fd, request, number))


def read_file(path):
    """Return the content of the file as bytes."""
    with open(path, "rb") as file:
        return file.read()


def write(fd, data):
    """Write all of `data` to the blocking descriptor."""
    while data:
        data = data[libc.check(libc.write(fd, data, len(data))) :]


def open_for_change(path):
    """Open an existing file for reading and writing."""
    return _open(path, abi.O_RDWR)


def open_to_read(path):
    return _open(path, abi.O_RDONLY)


def create(path):
    """Create a file that nobody else can read; OSError if there is one."""
    return _open(path, abi.O_RDWR | abi.O_CREAT | abi.O_EXCL)


def lock(fd, shared=False):
    """Take the file's flock, waiting for it; where the kernel has none there is nothing to take."""
    if _flock(fd, _LOCK_SH if shared else _LOCK_EX) < 0 and libc.errno() != abi.ENOSYS:
        raise OSError(libc.errno())


def is_locked(fd):
    """Whether somebody has the file's exclusive flock now."""
    if _flock(fd, _LOCK_SH | _LOCK_NB) < 0:
        return libc.errno() == abi.EAGAIN
    _flock(fd, _LOCK_UN)
    return False


def status(path):
    """Return of a file, by path or descriptor: its identity (device, inode), mode, owner (user, group), number of names."""
    s = os.stat("/proc/self/fd/%d" % path if isinstance(path, int) else path)
    return (s[2], s[1]), s[0], (s[4], s[5]), s[3]


def set_owner(fd, owner):
    libc.check(_fchown(fd, *owner))


def set_mode(fd, mode):
    libc.check(_fchmod(fd, mode))


def sync(fd):
    """Have the content of the file on the disk."""
    libc.check(_fsync(fd))


def sync_directory(path):
    """Have the names in the directory on the disk."""
    fd = _open(path, abi.O_RDONLY)
    try:
        libc.check(_fsync(fd))
    finally:
        libc.close(fd)


def rename(old, new):
    """Give the file its new name, in place of what has that name."""
    libc.check(_rename(old, new))


def real_path(path):
    """Return the absolute path without links."""
    buf = bytearray(_PATH_MAX)
    if not _realpath(path, buf):
        raise OSError(libc.errno())
    return bytes(buf[: buf.find(b"\0")]).decode()


def write_over(fd, data):
    """Put `data` in place of what is in the open file, whose place this leaves where it is."""
    # Not by ftruncate and pwrite: how wide an offset is depends on the C library.
    again = _open("/proc/self/fd/%d" % fd, abi.O_WRONLY | abi.O_TRUNC)
    try:
        write(again, data)
    finally:
        libc.close(again)


def write_file(path, text):
    """Write `text` to an existing file."""
    with open(path, "r+") as file:
        file.write(text)


def write_new(path, data):
    """Write the bytes `data` to the file, which is made, for its owner alone, or emptied first."""
    fd = _open(path, abi.O_WRONLY | abi.O_CREAT | abi.O_TRUNC)
    try:
        write(fd, data)
    finally:
        close(fd)


def identity(path):
    """Return what changes whenever the file does, or None if there is none. Of its time, whole seconds."""
    try:
        s = os.stat(path)
    except OSError:
        return None
    return s[1], s[6], s[8]


def remove(path):
    libc.check(_unlink(path))


def make_directory(path, mode):
    """Make the directory if it is missing, with this mode whatever the umask."""
    if _mkdir(path, mode) == 0:
        libc.check(_chmod(path, mode))
    elif libc.errno() != abi.EEXIST:
        raise OSError(libc.errno())


def set_umask(mask):
    """Let no file be made with these bits of its mode; returns the mask that was."""
    return _umask(mask)


def names(path):
    """Return the names in the directory."""
    return os.listdir(path)


def exists(path):
    """Whether there is something of this name; a link counts for what it leads to."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def is_socket(path):
    """Whether the path names a socket."""
    try:
        return os.stat(path)[0] & 0o170000 == 0o140000
    except OSError as e:
        if e.errno != abi.ENOENT:
            raise
        return False


def alloc(typecode, count):
    """Return zeroed memory for `count` items of an array typecode.

    Bytes come from the system: pages never written to are not resident, and the collector need not look at them.
    Items of other types are few here and come from the heap.
    """
    if typecode != "B":
        return array(typecode, (0 for _ in range(count)))
    size = max(1, count)
    pointer = _mmap(0, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, -1, 0, 0, 0)
    if pointer & 1:  # MAP_FAILED; a page begins at an even address
        raise MemoryError
    return uctypes.bytearray_at(pointer, size)


def reserve(size):
    """Return a bytearray of this size that is kept for ever. The heap may have no room for it in one piece."""
    return alloc("B", size)


def getenv(name):
    """Return the environment variable's value as text, or an empty string."""
    return os.getenv(name) or ""
