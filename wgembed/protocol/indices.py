"""The receiver indices that are in use: a table from 32 random bits to the owner.

The table has open addressing with linear probing, and is at most half full. This end alone chooses the indices, at random.
So their low bits spread well over the buckets, and no sender can make a chain long. A deletion moves the rest of its chain
up, so the table does not fill with deleted entries.
"""

from .. import crypto
from .memory import TableFull
from .memory import alloc as _alloc

MAX_ENTRIES = 1 << 20


class IndexTable:
    """Up to `entries` indices, each with an owner: a number from 1 to `entries`. `used` counts them.

    An index is 4 bytes, as in a message. Every value is valid, also zero.
    """

    def __init__(self, entries, alloc=_alloc):
        if not 1 <= entries <= MAX_ENTRIES:
            raise ValueError(f"expected 1 to {MAX_ENTRIES} indices, got {entries}")
        buckets = 2
        while buckets < 2 * entries:
            buckets *= 2
        self.capacity = entries
        self.used = 0
        self._mask = buckets - 1
        self._low = alloc("H", buckets)
        self._high = alloc("H", buckets)
        self._owner = alloc("H" if entries < 1 << 16 else "I", buckets)  # 0 in an empty bucket

    def new(self, owner):
        """Choose a random index that is not in use, add it for `owner`, and return its 4 bytes. May raise TableFull."""
        if self.used == self.capacity:
            raise TableFull(f"the index table is full ({self.capacity} indices)")
        if not 1 <= owner <= self.capacity:
            raise ValueError(f"there is no owner {owner}")
        index = bytearray(4)
        crypto.random_fill(index)
        while self._find(index, 0) >= 0:
            crypto.random_fill(index)
        low = index[0] | index[1] << 8
        high = index[2] | index[3] << 8
        bucket = self._home(low, high)
        while self._owner[bucket]:
            bucket = (bucket + 1) & self._mask
        self._low[bucket] = low
        self._high[bucket] = high
        self._owner[bucket] = owner
        self.used += 1
        return bytes(index)

    def lookup(self, buf, offset):
        """Return the owner of the index at `buf[offset]`, or -1."""
        bucket = self._find(buf, offset)
        return self._owner[bucket] if bucket >= 0 else -1

    def assign(self, buf, offset, owner):
        """Give the index at `buf[offset]` to another `owner`. KeyError if the index is not in use."""
        bucket = self._find(buf, offset)
        if bucket < 0:
            raise KeyError("the index is not in use")
        if not 1 <= owner <= self.capacity:
            raise ValueError(f"there is no owner {owner}")
        self._owner[bucket] = owner

    def free(self, buf, offset):
        """Remove the index at `buf[offset]`. Returns whether it was in use."""
        gap = self._find(buf, offset)
        if gap < 0:
            return False
        mask = self._mask
        bucket = (gap + 1) & mask
        while self._owner[bucket]:
            home = self._home(self._low[bucket], self._high[bucket])
            # An entry can move to the gap unless its home bucket is after the gap.
            if (bucket - home) & mask >= (bucket - gap) & mask:
                self._low[gap] = self._low[bucket]
                self._high[gap] = self._high[bucket]
                self._owner[gap] = self._owner[bucket]
                gap = bucket
            bucket = (bucket + 1) & mask
        self._owner[gap] = 0
        self.used -= 1
        return True

    def _home(self, low, high):
        # At most 24 bits, so that the number is a small int on every machine.
        return (low | (high & 255) << 16) & self._mask

    def _find(self, buf, offset):
        """Return the bucket of the index at `buf[offset]`, or -1."""
        low = buf[offset] | buf[offset + 1] << 8
        high = buf[offset + 2] | buf[offset + 3] << 8
        mask = self._mask
        owners, lows, highs = self._owner, self._low, self._high
        bucket = (low | (high & 255) << 16) & mask
        while owners[bucket]:
            if lows[bucket] == low and highs[bucket] == high:
                return bucket
            bucket = (bucket + 1) & mask
        return -1
