"""Child processes for work that would block the loop. They return bytes to the daemon."""

from . import system


class Child:
    """A child process of `process.spawn` or `spawn_command`. `fd` is readable when the child has written bytes or ended."""

    def __init__(self, pid, fd):
        self._pid = pid
        self.fd = fd
        self._told = b""

    def advance(self):
        """Read the bytes that the child has written. Returns whether the child has written all."""
        while True:
            part = system.files.read_ready(self.fd, 4096)
            if part is None:
                return False
            if not part:
                return True
            self._told += part

    def end(self):
        """End the child, also if it has not finished. Returns all bytes that it has written."""
        system.process.end(self._pid)
        system.files.close(self.fd)
        return self._told
