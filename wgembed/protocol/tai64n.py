"""TAI64N, the timestamp of an initiation (WireGuard paper, 5.1 and 5.4.2)."""

from struct import pack_into

from .constants import TAI64_EPOCH, TAI64N_COARSENESS, TIMESTAMP_SIZE


def seconds(timestamp):
    """Return the seconds since 1970 of a timestamp, 12 bytes of TAI64N."""
    return int.from_bytes(bytes(timestamp[:8]), "big") - TAI64_EPOCH


class Tai64n:
    """Makes timestamps that always increase, also when the clock is set back. `latest` is the last one, 12 bytes."""

    __slots__ = ("latest", "_next")

    def __init__(self):
        self.latest = bytearray(TIMESTAMP_SIZE)
        self._next = bytearray(TIMESTAMP_SIZE)

    def make(self, sec, nsec):
        """Return the timestamp for `sec` and `nsec` since 1970, rounded down, or the smallest one after `latest`.

        The result is `latest` itself: 12 bytes that the next call overwrites.
        """
        _label(self._next, sec, nsec)
        if bytes(self._next) <= bytes(self.latest):
            self._succeed()
        self.latest[:] = self._next
        return self.latest

    def _succeed(self):
        nsec = int.from_bytes(self.latest[8:], "big") + TAI64N_COARSENESS
        sec = int.from_bytes(self.latest[:8], "big") - TAI64_EPOCH
        if nsec >= 1_000_000_000:
            sec, nsec = sec + 1, 0
        _label(self._next, sec, nsec)


def _label(out, sec, nsec):
    pack_into(">QI", out, 0, TAI64_EPOCH + sec, nsec & ~(TAI64N_COARSENESS - 1))
