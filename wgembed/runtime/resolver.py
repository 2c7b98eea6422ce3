"""Host names, looked up in a child process: the C library's resolver blocks, and a dead name server for long."""

from . import system
from .child import Child

# A name server may tell of thousands: so many of them are looked at.
MOST = 32


class Lookup(Child):
    """A lookup under way.

    name  a host name, or an address in its usual form
    """

    def __init__(self, name):
        super().__init__(*system.process.spawn(lambda: _encode(system.inet.look_up(name))))

    def finish(self):
        """End it, whether it is done or not; returns the packed addresses that were found, MOST at most."""
        return _decode(self.end())


def _encode(addresses):
    return b"".join([bytes((len(packed),)) + packed for packed in addresses[:MOST]])


def _decode(told):
    found = []
    at = 0
    while at < len(told) and at + 1 + told[at] <= len(told):
        packed = told[at + 1 : at + 1 + told[at]]
        if packed not in found:
            found.append(packed)
        at += 1 + told[at]
    return found
