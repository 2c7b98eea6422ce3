"""The first and the last step of the packet path: batches of packets from and to the tunnel device.

A batch is one loop in C, `extend` of a list. If a call fails, the list keeps the results before it.
"""

from itertools import repeat

try:
    from posix import readv, write
except ImportError:
    from os import readv, write

from .poll import IN, Poller


class TunPort:
    """The batch steps on an open, non-blocking tunnel device without packet information."""

    def __init__(self, fd):
        self.fd = fd
        self._waiting = Poller()
        self._waiting.watch(fd, IN)
        self._slots = None
        self._vectors = ()
        self._view = None
        self._packets = self._lengths = self._views = ()

    def read_batch(self, arena):
        """Read packets into the arena's slots, from the first on. Returns their number. OSError if the device is gone."""
        if self._slots is not arena.views:
            self._slots = arena.views
            self._vectors = [[view] for view in arena.views]
        sizes = []
        try:
            sizes.extend(map(readv, repeat(self.fd), self._vectors))
        except BlockingIOError:
            pass
        count = len(sizes)
        arena.lengths[:count] = sizes
        return count

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
        views = self._views_of(view, packets[:count], lengths[:count])
        written = []
        refused = 0
        while True:
            try:
                written.extend(map(write, repeat(self.fd), views))
                return refused
            except OSError:
                refused += 1
                views = views[len(written) + 1 :]
                written.clear()

    def _views_of(self, view, packets, lengths):
        """Return views of the packets. The last ones are kept, because in a stream the next batch has the same offsets."""
        if packets != self._packets or lengths != self._lengths or view is not self._view:
            self._packets, self._lengths, self._view = packets, lengths, view
            self._views = [view[start : start + size] for start, size in zip(packets, lengths, strict=True)]
        return self._views
