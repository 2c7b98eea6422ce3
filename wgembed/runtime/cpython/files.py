"""Descriptors and memory."""

import errno
import fcntl
from mmap import mmap
from struct import calcsize

try:
    import posix as os

    _environ = os.environ
except ImportError:
    import os

    _environ = os.environb

# The size of the peer table unless its owner says otherwise. Tables cost no memory where they are not touched.
USUAL_PEERS = 1024
USUAL_PREFIXES = 16 * 1024  # of each family, of an interface

close = os.close
read = os.read


def read_ready(fd, size):
    """Read at most `size` bytes of what is there: b"" at the end, None when there is nothing yet."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None


def open_device(path):
    """Open a device for reading and writing, never blocking."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def ioctl(fd, request, argument):
    """Call ioctl with a mutable buffer that the kernel may change."""
    fcntl.ioctl(fd, request, argument)


def ioctl_number(fd, request, number):
    """Call ioctl with a number; return what it returns."""
    return fcntl.ioctl(fd, request, number)


def read_file(path):
    """Return the content of the file as bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = b""
        while True:
            part = os.read(fd, 65536)
            if not part:
                return content
            content += part
    finally:
        os.close(fd)


def write(fd, data):
    """Write all of `data` to the blocking descriptor."""
    while data:
        data = data[os.write(fd, data) :]


def open_for_change(path):
    """Open an existing file for reading and writing."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def open_to_read(path):
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def create(path):
    """Create a file that nobody else can read; OSError if there is one."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def lock(fd, shared=False):
    """Take the file's flock, waiting for it; where the kernel has none there is nothing to take."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError as e:
        if e.errno != errno.ENOSYS:
            raise


def is_locked(fd):
    """Whether somebody has the file's exclusive flock now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as e:
        return e.errno == errno.EAGAIN
    return False


def status(path):
    """Return of a file, by path or descriptor: its identity (device, inode), mode, owner (user, group), number of names."""
    s = os.stat(path)
    return (s.st_dev, s.st_ino), s.st_mode, (s.st_uid, s.st_gid), s.st_nlink


def set_owner(fd, owner):
    os.fchown(fd, *owner)


def set_mode(fd, mode):
    os.fchmod(fd, mode)


def sync(fd):
    """Have the content of the file on the disk."""
    os.fsync(fd)


def sync_directory(path):
    """Have the names in the directory on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(old, new):
    """Give the file its new name, in place of what has that name."""
    os.rename(old, new)


def real_path(path):
    """Return the absolute path without links."""
    from os.path import realpath  # too rarely needed to be there from the start

    return realpath(path, strict=True)


def write_over(fd, data):
    """Put `data` in place of what is in the open file, whose place this leaves where it is."""
    again = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        write(again, data)
    finally:
        os.close(again)


def write_file(path, text):
    """Write `text` to an existing file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def write_new(path, data):
    """Write the bytes `data` to the file, which is made, for its owner alone, or emptied first."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write(fd, data)
    finally:
        os.close(fd)


def identity(path):
    """Return what changes whenever the file does, or None if there is none."""
    try:
        s = os.stat(path)
    except OSError:
        return None
    return s.st_ino, s.st_size, s.st_mtime_ns


def remove(path):
    os.unlink(path)


def make_directory(path, mode):
    """Make the directory if it is missing, with this mode whatever the umask."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)


def set_umask(mask):
    """Let no file be made with these bits of its mode; returns the mask that was."""
    return os.umask(mask)


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
        return os.stat(path).st_mode & 0o170000 == 0o140000
    except FileNotFoundError:
        return False


def alloc(typecode, count):
    """Return zeroed memory for `count` items of an array typecode; pages never written to are not resident."""
    size = max(1, count * calcsize(typecode))
    return memoryview(mmap(-1, size))[: count * calcsize(typecode)].cast(typecode)


def reserve(size):
    """Return a bytearray of this size that is kept for ever."""
    return bytearray(size)


def getenv(name):
    """Return the environment variable's value as text, or an empty string."""
    return _environ.get(name.encode(), b"").decode("utf-8", "replace")


def environment():
    """Return a copy of the environment, as text."""
    return {name.decode(): value.decode("utf-8", "surrogateescape") for name, value in _environ.items()}
