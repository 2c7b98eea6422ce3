"""The last events of each peer, in memory that is reserved at start. They show why a tunnel is down.

The counters in drops.py show how often packets were dropped. The ring of a peer shows its last events, and when they
happened. An event that repeats the one before increases its count and updates its time. The device keeps the handshake
messages that belong to no peer, and the last addresses that were refused.
"""

from struct import pack_into, unpack_from

from .memory import alloc

NAMES = (
    "none",
    "initiation_sent",
    "initiation_received",
    "initiation_replayed",  # its timestamp was not newer than the last one
    "response_received",
    "response_invalid",  # it is not authentic: another preshared key, or another sender
    "keypair_confirmed",  # the first packet under a key from a handshake that we answered
    "handshake_timeout",  # twenty initiations had no answer
    "no_reply",  # nothing came for 15 s after something was sent
    "cookie_received",  # the peer is under load
    "send_failed",
    "source_not_allowed",  # the inner source address is not in the peer's allowed IPs
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
# The event, how often it happened in a row (at most 255), and the time of the last one in seconds (`now` // 1000).
_ENTRY = "<BBxxI"
_ENTRY_SIZE = 8
# Before the entries, the record has the number of the newest entry, from 1; 0 if there is no entry.
_RECORD = (RING + 1) * _ENTRY_SIZE


class Rings:
    """The last events of each peer, by its number."""

    __slots__ = ("_buf",)

    def __init__(self, peers, alloc=alloc):
        self._buf = alloc("B", peers * _RECORD)

    def note(self, number, event, now):
        """Add this event of the peer; `now` in ms."""
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
        """Remove all events of the peer."""
        start = number * _RECORD
        for at in range(start, start + _RECORD):
            self._buf[at] = 0

    def read(self, number):
        """Return the events of the peer, oldest first: (event, how often in a row, time of the last one in s)."""
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
INVALID_MAC1 = 2  # a handshake message to another public key than ours

UNMATCHED_HANDSHAKES = 4


class UnmatchedHandshakes:
    """The last handshake messages that belong to no peer. A new one replaces the one whose last time is the oldest."""

    __slots__ = ("_seen",)

    def __init__(self):
        self._seen = [None] * UNMATCHED_HANDSHAKES

    def note(self, reason, key, addr, now):
        """Add a message: `key` is its public key or b"", `addr` the address of its sender, `now` in ms."""
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
        """Return a list of (reason, key, addr, how often, time of the last one in ms)."""
        return [tuple(entry) for entry in self._seen if entry is not None]


class Address:
    """The IP address of the last packet that was dropped because of this address.

    packed  4 or 16 bytes; b"" if no packet was dropped
    number  the number of the peer that sent the packet, or -1
    time    when it was dropped, in ms
    """

    __slots__ = ("_buf", "_width", "number", "time")

    def __init__(self):
        self._buf = bytearray(16)
        self._width = 0
        self.number = -1
        self.time = 0

    def note(self, buf, where, width, number, now):
        """Keep the address: `width` bytes of `buf` at `where`; `now` in ms."""
        for i in range(width):
            self._buf[i] = buf[where + i]
        self._width = width
        self.number = number
        self.time = now

    def forget(self, number):
        """Forget the address if it came from this peer, because the peer is removed and its number will be reused."""
        if self.number == number:
            self._width = 0
            self.number = -1

    @property
    def packed(self):
        return bytes(self._buf[: self._width])
