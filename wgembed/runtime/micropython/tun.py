"""The first and the last step of the packet path: batches of packets from and to the tunnel device."""

import uctypes

from .. import abi
from . import libc
from .poll import IN, Poller

_read = libc.read
_write = libc.write


class TunPort:
    """The batch steps on an open, non-blocking tunnel device without packet information."""

    def __init__(self, fd):
        self.fd = fd
        self._waiting = Poller()
        self._waiting.watch(fd, IN)

    def read_batch(self, arena):
        """Read packets into the arena's slots, from the first on. Returns their number. OSError if the device is gone."""
        fd = self.fd
        pointers = arena.pointers
        lengths = arena.lengths
        slot_size = arena.slot_size
        for slot in range(arena.slots):
            size = _read(fd, pointers[slot], slot_size)
            if size < 0:
                if libc.errno() not in abi.NOTHING_NOW:
                    raise OSError(libc.errno())
                return slot
            lengths[slot] = size
        return arena.slots

    def taken(self, arena, count):
        """Return `count`, the result of the last `read_batch`; 0 if it emptied the queue."""
        # With the largest MTU there are one or two slots: full ones do not mean that more packets wait.
        return count if count == arena.slots and any(self._waiting.wait(0)) else 0

    def read_rest(self, arena):
        """Return 0, because `read_batch` left no packets."""
        return 0

    def flush(self):
        """Return 0, because `write_batch` kept no packets."""
        return 0

    def write_batch(self, view, packets, lengths, count):
        """Write `count` IP packets, given by offset and length. Returns the number of packets that the kernel refused."""
        fd = self.fd
        base = uctypes.addressof(view)
        refused = 0
        for i in range(count):
            if _write(fd, base + packets[i], lengths[i]) < 0:
                refused += 1
        return refused
