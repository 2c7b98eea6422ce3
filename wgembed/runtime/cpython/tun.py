"""The packet path's first and last step: batches of packets from and to the tunnel device."""

try:
    from posix import readv, write
except ImportError:
    from os import readv, write


class TunPort:
    """The two batch steps on an open, non-blocking tunnel device without packet information."""

    def __init__(self, fd):
        self.fd = fd
        self._views = None
        self._vectors = ()

    def read_batch(self, arena):
        """Read packets into the arena's slots, from the first on; returns how many. Any error but EAGAIN is raised."""
        if self._views is not arena.views:
            self._views = arena.views
            self._vectors = [[view] for view in arena.views]
        fd, lengths = self.fd, arena.lengths
        count = 0
        try:
            for vector in self._vectors:
                lengths[count] = readv(fd, vector)
                count += 1
        except BlockingIOError:
            pass
        return count

    def write_batch(self, view, packets, lengths, count):
        """Write `count` IP packets, given by offset and length; returns how many the kernel would not have."""
        fd = self.fd
        refused = 0
        for i in range(count):
            start = packets[i]
            try:
                write(fd, view[start : start + lengths[i]])
            except OSError:
                refused += 1
        return refused
