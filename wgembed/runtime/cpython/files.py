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

# The default size of the peer table. Parts of a table that are not used cost no memory.
USUAL_PEERS = 1024
USUAL_PREFIXES = 16 * 1024  # for each address family of an interface

close = os.close
read = os.read


def read_ready(fd, size):
    """Return at most `size` bytes from a non-blocking descriptor; b"" at the end, None if there are no bytes yet."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None


def open_device(path):
    """Open a device for reading and writing, non-blocking."""
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def ioctl(fd, request, argument):
    """Call ioctl with a writable buffer, which the kernel can change."""
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
    """Create a file with mode 0600, and open it for reading and writing. OSError EEXIST if the file exists."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def lock(fd, shared=False):
    """Wait for the flock of the file and take it. Does nothing on a kernel without flock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError as e:
        if e.errno != errno.ENOSYS:
            raise


def is_locked(fd):
    """Whether another process or another open file has the exclusive flock now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as e:
        return e.errno == errno.EAGAIN
    return False


def status(path):
    """Return (device, inode), mode, (user, group) and number of links of a file, given by path or descriptor."""
    s = os.stat(path)
    return (s.st_dev, s.st_ino), s.st_mode, (s.st_uid, s.st_gid), s.st_nlink


def set_owner(fd, owner):
    os.fchown(fd, *owner)


def set_mode(fd, mode):
    os.fchmod(fd, mode)


def sync(fd):
    """Write the content of the file to the disk, and wait until it is there."""
    os.fsync(fd)


def sync_directory(path):
    """Write the names in the directory to the disk, and wait until they are there."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename(old, new):
    """Rename the file. A file with the new name is replaced."""
    os.rename(old, new)


def real_path(path):
    """Return the absolute path of an existing file, without symbolic links."""
    from os.path import realpath  # imported late, because it is rarely needed

    return realpath(path, strict=True)


def write_over(fd, data):
    """Replace the content of an open file with `data`. The position of `fd` does not change."""
    again = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        write(again, data)
    finally:
        os.close(again)


def write_file(path, text):
    """Write `text` to the beginning of an existing file. OSError for a named pipe that nobody reads."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def write_new(path, data):
    """Create the file with mode 0600, or empty it, and write the bytes `data`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write(fd, data)
    finally:
        os.close(fd)


def identity(path):
    """Return an object that is not equal any more when the file has changed. None if the file cannot be found."""
    try:
        s = os.stat(path)
    except OSError:
        return None
    return s.st_ino, s.st_size, s.st_mtime_ns


def remove(path):
    os.unlink(path)


def make_directory(path, mode):
    """Make the directory, if it does not exist, with exactly this mode; the umask has no effect."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)


def set_umask(mask):
    """Set the umask. Returns the previous one."""
    return os.umask(mask)


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
        return os.stat(path).st_mode & 0o170000 == 0o140000
    except FileNotFoundError:
        return False


def alloc(typecode, count):
    """Return `count` zeroed items of an array typecode. Pages that were never written are not resident."""
    size = max(1, count * calcsize(typecode))
    return memoryview(mmap(-1, size))[: count * calcsize(typecode)].cast(typecode)


def reserve(size):
    """Return a zeroed bytearray of `size` bytes, which is never freed."""
    return bytearray(size)


def getenv(name):
    """Return the value of the environment variable as text, or "" if it is not set."""
    return _environ.get(name.encode(), b"").decode("utf-8", "replace")


def environment():
    """Return a copy of the environment, as text."""
    return {name.decode(): value.decode("utf-8", "surrogateescape") for name, value in _environ.items()}
