"""What happened last, in memory that is laid out at start: the reason why a tunnel is down can be told from it.

Counters (drops.py) tell how often something went wrong; the ring of a peer tells what the last things were, and when.
An event that repeats the one before only counts up and moves its time. What concerns no peer, or an address that is
nowhere else, stands in a few places of the device.
"""

from struct import pack_into, unpack_from

from .memory import alloc

NAMES = (
    "none",
    "initiation_sent",
    "initiation_received",
    "initiation_replayed",  # its timestamp was not newer than the last one's
    "response_received",
    "response_invalid",  # it did not open: another preshared key, or not the peer's
    "keypair_confirmed",  # the first packet under a key that we answered with
    "handshake_timeout",  # twenty initiations had no answer
    "no_reply",  # nothing came for 15 s after something was sent
    "cookie_received",  # the peer is under load
    "send_failed",
    "source_not_allowed",  # the inner source address is not the peer's
    "roamed",
    "allowed_ip_moved",  # to another peer
)

(
    NONE,
    INITIATION_SENT,
    INITIATION_RECEIVED,
    INITIATION_REPLAYED,
    RESPONSE_RECEIVED,
    RESPONSE_INVALID,
    KEYPAIR_CONFIRMED,
    HANDSHAKE_TIMEOUT,
    NO_REPLY,
    COOKIE_RECEIVED,
    SEND_FAILED,
    SOURCE_NOT_ALLOWED,
    ROAMED,
    ALLOWED_IP_MOVED,
) = range(len(NAMES))

RING = 12
# Event, how often in a row (at most 255), and the time in seconds of the device's clock.
_ENTRY = "<BBxxI"
_ENTRY_SIZE = 8
# The place of the newest entry, from 1, stands before the entries.
_RECORD = (RING + 1) * _ENTRY_SIZE


class Rings:
    """The last events of each peer, by its number."""

    __slots__ = ("_buf",)

    def __init__(self, peers, alloc=alloc):
        self._buf = alloc("B", peers * _RECORD)

    def note(self, number, event, now):
        """Note that this happened to the peer; `now` in ms."""
        buf = self._buf
        start = number * _RECORD
        last = buf[start]
        at = start + last * _ENTRY_SIZE
        count = 1
        if last and buf[at] == event:
            count = min(buf[at + 1] + 1, 255)
        else:
            last = buf[start] = last + 1 if last < RING else 1
            at = start + last * _ENTRY_SIZE
        pack_into(_ENTRY, buf, at, event, count, now // 1000)

    def clear(self, number):
        """Forget what happened to the peer."""
        start = number * _RECORD
        for at in range(start, start + _RECORD):
            self._buf[at] = 0

    def read(self, number):
        """Return the events of the peer, oldest first: (event, how often in a row, time of the last in s)."""
        start = number * _RECORD
        last = self._buf[start]
        found = []
        for step in range(RING):
            place = (last + step) % RING + 1
            event, count, time = unpack_from(_ENTRY, self._buf, start + place * _ENTRY_SIZE)
            if event:
                found.append((event, count, time))
        return found


# Why a handshake message is unmatched
UNKNOWN_PEER = 1  # an initiation from a public key that no peer has
INVALID_MAC1 = 2  # a handshake message for another public key than ours

UNMATCHED_HANDSHAKES = 4


class UnmatchedHandshakes:
    """Handshake messages that belong to no peer: the last few, the one longest not repeated is replaced."""

    __slots__ = ("_seen",)

    def __init__(self):
        self._seen = [None] * UNMATCHED_HANDSHAKES

    def note(self, reason, key, addr, now):
        """Note a message; `key` is its public key or b"", `addr` where it came from, `now` in ms."""
        oldest = 0
        for i, entry in enumerate(self._seen):
            if entry is not None and entry[0] == reason and entry[1] == key and entry[2] == addr:
                entry[3] += 1
                entry[4] = now
                return
            if entry is None or self._seen[oldest] is not None and entry[4] < self._seen[oldest][4]:
                oldest = i
        self._seen[oldest] = [reason, key, addr, 1, now]

    def read(self):
        """Return what is known: (reason, key, addr, how often, time of the last in ms)."""
        return [tuple(entry) for entry in self._seen if entry is not None]


class Address:
    """The IP address of the last packet that was dropped for it.

    packed  4 or 16 bytes, b"" as long as there was none
    number  of the peer that sent it, if one did
    """

    __slots__ = ("_buf", "_width", "number", "time")

    def __init__(self):
        self._buf = bytearray(16)
        self._width = 0
        self.number = -1
        self.time = 0

    def note(self, buf, where, width, number, now):
        """Keep the `width` bytes of `buf` at `where`; `now` in ms."""
        for i in range(width):
            self._buf[i] = buf[where + i]
        self._width = width
        self.number = number
        self.time = now

    def forget(self, number):
        """The peer is no more, and its number may become another's."""
        if self.number == number:
            self._width = 0
            self.number = -1

    @property
    def packed(self):
        return bytes(self._buf[: self._width])
