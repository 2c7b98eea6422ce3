"""Host names, looked up in a child process: the C library's resolver blocks, and a dead name server for long."""

from . import system


class Lookup:
    """A lookup under way. `fd` becomes readable when it is over; then `finish` tells what was found.

    name  a host name, or an address in its usual form
    """

    def __init__(self, name):
        self._pid, self.fd = system.process.spawn(lambda: _encode(system.udp.look_up(name)))
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

    def finish(self):
        """End the child, whether it is done or not; returns the packed addresses that it found."""
        system.process.end(self._pid)
        system.files.close(self.fd)
        return _decode(self._told)


def _encode(addresses):
    return b"".join([bytes((len(packed),)) + packed for packed in addresses])


def _decode(told):
    found = []
    at = 0
    while at < len(told) and at + 1 + told[at] <= len(told):
        packed = told[at + 1 : at + 1 + told[at]]
        if packed not in found:
            found.append(packed)
        at += 1 + told[at]
    return found
