"""Lookups of host names in a child process, because the C library's resolver blocks, for long if a name server is dead."""

from . import system
from .child import Child

# A name server can return thousands of addresses. This is the largest number that is used.
MOST = 32


class Lookup(Child):
    """A lookup that runs.

    name  a host name, or an address in its usual form
    """

    def __init__(self, name):
        super().__init__(*system.process.spawn(lambda: _encode(system.inet.look_up(name))))

    def finish(self):
        """End the lookup, also if it has not finished. Returns the packed addresses that were found, at most MOST."""
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
