"""The limit of handshake messages from one address: 20 a second, 5 at once, as in Linux's ratelimiter.c.

Each IPv4 address and each IPv6 /64 has a token bucket. The bucket is one number: the time when it will be full again. After
that time it is like a new bucket, so its entry is free. Therefore no timer has to clean the table. A keyed hash of the
address chooses a few entries, and the bucket can only be in one of these. So an attacker cannot choose addresses that take
the entries of another address. If all these entries are in use, the message is refused.
"""

from .. import crypto
from .memory import alloc as _alloc

PACKETS_PER_SECOND = 20
PACKETS_BURSTABLE = 5
PACKET_COST = 1000 // PACKETS_PER_SECOND  # ms
TOKEN_MAX = PACKET_COST * PACKETS_BURSTABLE

_WINDOW = 8


class RateLimiter:
    """Buckets for about `entries` addresses (rounded to a multiple of 8)."""

    def __init__(self, entries, alloc=_alloc):
        self._windows = max(1, entries // _WINDOW)
        self.capacity = self._windows * _WINDOW
        self._tag = alloc("I", self.capacity)  # of the address
        self._full_at = alloc("Q", self.capacity)  # ms
        self._secret = bytearray(32)
        crypto.random_fill(self._secret)

    def allow(self, ip, now):
        """Count a message from `ip` (4 or 16 bytes) at `now` (ms). Returns whether the message is within the limit."""
        digest = crypto.blake2s(8, self._secret, ip if len(ip) == 4 else ip[:8])
        # 30 bits, which are a small int on every machine. Never 0, because an entry that was never used has the tag 0.
        tag = digest[0] | digest[1] << 8 | digest[2] << 16 | (digest[3] & 31) << 24 | 1 << 29
        start = (digest[4] | digest[5] << 8 | digest[6] << 16) % self._windows * _WINDOW
        spare = -1
        for entry in range(start, start + _WINDOW):
            if self._tag[entry] == tag:
                return self._spend(entry, now)
            if spare < 0 and self._full_at[entry] <= now:
                spare = entry
        if spare < 0:
            return False
        self._tag[spare] = tag
        return self._spend(spare, now)

    def _spend(self, entry, now):
        full_at = max(self._full_at[entry], now) + PACKET_COST
        if full_at > now + TOKEN_MAX:
            return False
        self._full_at[entry] = full_at
        return True
