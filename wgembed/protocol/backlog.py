"""Handshake messages that wait their turn: a fixed ring, and the rule of when it means load.

Data goes first: a turn of the loop takes all packets and only a few handshakes. Load begins when an eighth of the
ring is filled and lasts for a second after it was last seen (Linux receive.c). A flood fills the ring but for a part,
which is for messages that come from a peer's endpoint.
"""

from .constants import (
    INITIATION_SIZE,
    MAX_QUEUED_HANDSHAKES,
    NEVER,
    RESERVED_HANDSHAKES,
    UNDER_LOAD_HANDSHAKES,
    UNDER_LOAD_TIME,
)

_FOR_ANYBODY = MAX_QUEUED_HANDSHAKES - RESERVED_HANDSHAKES


class Backlog:
    """A ring of messages with where they came from. `count` is how many wait."""

    __slots__ = ("count", "_addr", "_first", "_last_load", "_sizes", "_src", "_view")

    def __init__(self):
        self._view = memoryview(bytearray(MAX_QUEUED_HANDSHAKES * INITIATION_SIZE))
        self._sizes = [0] * MAX_QUEUED_HANDSHAKES
        self._addr = [None] * MAX_QUEUED_HANDSHAKES
        self._src = [None] * MAX_QUEUED_HANDSHAKES
        self._first = self.count = 0
        self._last_load = NEVER

    def push(self, buf, offset, size, addr, src, is_known):
        """Take in the message of `size` bytes at `offset`; False when there is no room.

        is_known  is_known(addr) tells whether a message from there may have what is reserved
        """
        if self.count >= _FOR_ANYBODY and (self.count == MAX_QUEUED_HANDSHAKES or not is_known(addr)):
            return False
        place = (self._first + self.count) % MAX_QUEUED_HANDSHAKES
        start = place * INITIATION_SIZE
        self._view[start : start + size] = buf[offset : offset + size]
        self._sizes[place] = size
        self._addr[place] = addr
        self._src[place] = src
        self.count += 1
        return True

    def pop(self):
        """Return (message, addr, src) of the oldest; the message stays in the ring until the next push."""
        place = self._first
        start = place * INITIATION_SIZE
        self._first = (place + 1) % MAX_QUEUED_HANDSHAKES
        self.count -= 1
        return self._view[start : start + self._sizes[place]], self._addr[place], self._src[place]

    def clear(self):
        self.count = 0

    def under_load(self, now):
        """Whether the handshake about to be popped needs a cookie."""
        if self.count >= UNDER_LOAD_HANDSHAKES:
            self._last_load = now
        return now - self._last_load < UNDER_LOAD_TIME
