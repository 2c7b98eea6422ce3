"""Handshake messages that wait: a fixed ring, and the rule that decides whether the device is under load.

Data goes first: a turn of the loop handles all packets and only a few handshake messages. The device is under load when an
eighth of the ring is full, and for one second after that (Linux receive.c). A part of the ring is reserved for messages
that come from the endpoint of a peer, so a flood cannot fill it.
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
    """A ring of messages, each with its sender's address. `count` is the number of messages that wait."""

    __slots__ = ("count", "_addr", "_first", "_last_load", "_sizes", "_src", "_view")

    def __init__(self):
        self._view = memoryview(bytearray(MAX_QUEUED_HANDSHAKES * INITIATION_SIZE))
        self._sizes = [0] * MAX_QUEUED_HANDSHAKES
        self._addr = [None] * MAX_QUEUED_HANDSHAKES
        self._src = [None] * MAX_QUEUED_HANDSHAKES
        self._first = self.count = 0
        self._last_load = NEVER

    def push(self, buf, offset, size, addr, src, is_known):
        """Append the message of `size` bytes at `buf[offset]`. False if the ring has no place for it.

        is_known  is_known(addr) returns whether a message from this address may use the reserved places
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
        """Remove the oldest message and return (message, addr, src). The message is valid until the next `push`."""
        place = self._first
        start = place * INITIATION_SIZE
        self._first = (place + 1) % MAX_QUEUED_HANDSHAKES
        self.count -= 1
        return self._view[start : start + self._sizes[place]], self._addr[place], self._src[place]

    def clear(self):
        self.count = 0

    def under_load(self, now):
        """Whether the device is under load, so that the next message needs a cookie; `now` in ms."""
        if self.count >= UNDER_LOAD_HANDSHAKES:
            self._last_load = now
        return now - self._last_load < UNDER_LOAD_TIME
