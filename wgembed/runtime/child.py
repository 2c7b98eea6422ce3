"""Child processes that do what would hold up the loop, and tell what came of it."""

from . import system


class Child:
    """A child process, as `process.spawn` and `spawn_command` make them. `fd` becomes readable when there is news."""

    def __init__(self, pid, fd):
        self._pid = pid
        self.fd = fd
        self._told = b""

    def advance(self):
        """Take in what the child has told; returns whether it is over."""
        while True:
            part = system.files.read_ready(self.fd, 4096)
            if part is None:
                return False
            if not part:
                return True
            self._told += part

    def end(self):
        """End the child, whether it is done or not; returns what it has told."""
        system.process.end(self._pid)
        system.files.close(self.fd)
        return self._told
