"""Descriptors and memory."""

import os
from array import array
from struct import calcsize

import uctypes

from .. import abi
from . import libc

# The default size of the peer table. Some tables are in the heap, and take memory also if they are not used.
USUAL_PEERS = 32
USUAL_PREFIXES = 64  # for each address family of an interface

_PROT_READ_WRITE = 3
_MAP_PRIVATE_ANONYMOUS = 0x802 if abi.MIPS else 0x22

# With musl, the last argument has 64 bits also on 32-bit machines, and some of these align it. So the call passes zeros for
# all words in which it can be.
_mmap = libc.func("P", "mmap", "PLiiilll")
_munmap = libc.func("i", "munmap", "PL")
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
    return libc.check(libc.open_(path, flags | abi.O_CLOEXEC, 0o600))  # the mode of a new file, with O_CREAT


def close(fd):
    libc.check(libc.close(fd))


def read(fd, size):
    """Read at most `size` bytes."""
    buf = bytearray(size)
    return bytes(memoryview(buf)[: libc.check(libc.read(fd, buf, size))])


def read_ready(fd, size):
    """Return at most `size` bytes from a non-blocking descriptor; b"" at the end, None if there are no bytes yet."""
    buf = bytearray(size)
    taken = libc.read(fd, buf, size)
    if taken < 0 and libc.errno() == abi.EAGAIN:
        return None
    return bytes(memoryview(buf)[: libc.check(taken)])


def open_device(path):
    """Open a device for reading and writing, non-blocking."""
    return _open(path, abi.O_RDWR | abi.O_NONBLOCK)


def ioctl(fd, request, argument):
    """Call ioctl with a writable buffer, which the kernel can change."""
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
    """Create a file with mode 0600, and open it for reading and writing. OSError EEXIST if the file exists."""
    return _open(path, abi.O_RDWR | abi.O_CREAT | abi.O_EXCL)


def lock(fd, shared=False):
    """Wait for the flock of the file and take it. Does nothing on a kernel without flock."""
    if _flock(fd, _LOCK_SH if shared else _LOCK_EX) < 0 and libc.errno() != abi.ENOSYS:
        raise OSError(libc.errno())


def is_locked(fd):
    """Whether another process or another open file has the exclusive flock now."""
    if _flock(fd, _LOCK_SH | _LOCK_NB) < 0:
        return libc.errno() == abi.EAGAIN
    _flock(fd, _LOCK_UN)
    return False


def status(path):
    """Return (device, inode), mode, (user, group) and number of links of a file, given by path or descriptor."""
    if isinstance(path, int):
        path = "/proc/self/fd/%d" % path
        if not exists("/proc/self/fd"):
            raise OSError("MicroPython needs /proc, which is not mounted")
    s = os.stat(path)
    return (s[2], s[1]), s[0], (s[4], s[5]), s[3]


def set_owner(fd, owner):
    libc.check(_fchown(fd, *owner))


def set_mode(fd, mode):
    libc.check(_fchmod(fd, mode))


def sync(fd):
    """Write the content of the file to the disk, and wait until it is there."""
    libc.check(_fsync(fd))


def sync_directory(path):
    """Write the names in the directory to the disk, and wait until they are there."""
    fd = _open(path, abi.O_RDONLY)
    try:
        libc.check(_fsync(fd))
    finally:
        libc.close(fd)


def rename(old, new):
    """Rename the file. A file with the new name is replaced."""
    libc.check(_rename(old, new))


def real_path(path):
    """Return the absolute path of an existing file, without symbolic links."""
    buf = bytearray(_PATH_MAX)
    if not _realpath(path, buf):
        raise OSError(libc.errno())
    return bytes(buf[: buf.find(b"\0")]).decode()


def write_over(fd, data):
    """Replace the content of an open file with `data`. The position of `fd` does not change."""
    # Without ftruncate and pwrite, because the size of an offset depends on the C library.
    again = _open("/proc/self/fd/%d" % fd, abi.O_WRONLY | abi.O_TRUNC)
    try:
        write(again, data)
    finally:
        libc.close(again)


def write_file(path, text):
    """Write `text` to the beginning of an existing file."""
    with open(path, "r+") as file:
        file.write(text)


def write_new(path, data):
    """Create the file with mode 0600, or empty it, and write the bytes `data`."""
    fd = _open(path, abi.O_WRONLY | abi.O_CREAT | abi.O_TRUNC)
    try:
        write(fd, data)
    finally:
        close(fd)


def identity(path):
    """Return an object that is not equal any more when the file has changed. None if the file cannot be found.

    The time of the file is in whole seconds.
    """
    try:
        s = os.stat(path)
    except OSError:
        return None
    return s[1], s[6], s[8]


def remove(path):
    libc.check(_unlink(path))


def make_directory(path, mode):
    """Make the directory, if it does not exist, with exactly this mode; the umask has no effect."""
    if _mkdir(path, mode) == 0:
        libc.check(_chmod(path, mode))
    elif libc.errno() != abi.EEXIST:
        raise OSError(libc.errno())


def set_umask(mask):
    """Set the umask. Returns the previous one."""
    return _umask(mask)


def names(path):
    """Return the list of the names in the directory."""
    return os.listdir(path)


def exists(path):
    """Whether the path exists. False for a broken symbolic link."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def is_socket(path):
    """Whether the path is a socket."""
    try:
        return os.stat(path)[0] & 0o170000 == 0o140000
    except OSError as e:
        if e.errno != abi.ENOENT:
            raise
        return False


def alloc(typecode, count):
    """Return `count` zeroed items of an array typecode.

    Memory for "B" comes from the kernel: pages that were never written are not resident, and the collector does not read
    them. Tables of other types are small and in the heap.
    """
    size = max(1, count * calcsize(typecode))
    pointer = _mmap(0, size, _PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, -1, 0, 0, 0)
    if pointer & 1:  # MAP_FAILED; a page begins at an even address
        raise MemoryError
    zeros = uctypes.bytearray_at(pointer, size)
    if typecode == "B":
        return zeros
    # One item after another, a table of 100,000 takes seconds, because it grows with each.
    table = array(typecode, zeros if count else ())
    _munmap(pointer, size)
    return table


def reserve(size):
    """Return a zeroed bytearray of `size` bytes, which is never freed. The heap may have no free piece of this size."""
    return alloc("B", size)


def getenv(name):
    """Return the value of the environment variable as text, or "" if it is not set."""
    return os.getenv(name) or ""
