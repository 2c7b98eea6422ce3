"""The packet path's first and last step: batches of packets from and to the tunnel device.

A batch is one loop within the interpreter: `extend` keeps what it got when a call fails.
"""

from itertools import repeat

try:
    from posix import readv, write
except ImportError:
    from os import readv, write


class TunPort:
    """The two batch steps on an open, non-blocking tunnel device without packet information."""

    def __init__(self, fd):
        self.fd = fd
        self._slots = None
        self._vectors = ()
        self._view = None
        self._packets = self._lengths = self._views = ()

    def read_batch(self, arena):
        """Read packets into the arena's slots, from the first on; returns how many. An error is raised unless it passes."""
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

    def read_rest(self, arena):
        """Return 0: whatever was read is in the slots."""
        return 0

    def flush(self):
        """Return 0: whatever was to be written is."""
        return 0

    def write_batch(self, view, packets, lengths, count):
        """Write `count` IP packets, given by offset and length; returns how many the kernel would not have."""
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
        """Return views of the packets. Those of the last batch are kept: in a stream, the next one stands as it did."""
        if packets != self._packets or lengths != self._lengths or view is not self._view:
            self._packets, self._lengths, self._view = packets, lengths, view
            self._views = [view[start : start + size] for start, size in zip(packets, lengths, strict=True)]
        return self._views
