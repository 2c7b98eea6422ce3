"""BLAKE2s for MicroPython: a subset of CPython's `_blake2`, which is where the name comes from.

    blake2s(data=b"", *, digest_size=32, key=b"")    update(data)    digest()    copy()

`_viper`, `_words` and `_halves` are the same compression function: in machine code, and in two number sizes.
"""

import sys

from ._tables import IV

try:
    if sys.byteorder != "little":
        raise ImportError
    from ._viper import compress
except (ImportError, SyntaxError, ValueError):  # no such file in a bytecode build; no emitter; another machine's code
    # Ints of 31 bits (tag bit and sign taken off) are what a 32-bit MicroPython keeps without allocating.
    if sys.maxsize > 0x7FFFFFFF:
        from ._words import compress
    else:
        from ._halves import compress


# Where a digest is worked out
_state = bytearray(32)
_digest = memoryview(_state)
_block = bytearray(64)
_NOTHING = memoryview(bytes(64))


class blake2s:
    """A BLAKE2s hash (RFC 7693)."""

    digest_size = 32
    block_size = 64

    def __init__(self, data=b"", *, digest_size=32, key=b""):
        if not 1 <= digest_size <= 32 or len(key) > 32:
            raise ValueError("expected a digest_size from 1 to 32, a key of at most 32 bytes")
        self.digest_size = digest_size
        self._state = bytearray(IV)
        self._state[0] ^= digest_size
        self._state[1] ^= len(key)
        self._state[2] ^= 1
        self._state[3] ^= 1
        self._block = bytearray(64)
        self._fill = 0
        self._count = 0
        if key:
            self._block[: len(key)] = key
            self._fill = self._count = 64
        self.update(data)

    def update(self, data):
        """Append `data`."""
        size = len(data)
        fill = self._fill
        if fill + size <= 64:
            self._block[fill : fill + size] = data
            self._fill = fill + size
            self._count += size
            return
        start = 0
        data = memoryview(data)  # whose parts are no copies
        while start < size:
            # The last block is marked as such, so a full one waits for more to come.
            if self._fill == 64:
                compress(self._state, self._block, self._count, 0)
                self._fill = 0
            part = min(64 - self._fill, size - start)
            self._block[self._fill : self._fill + part] = data[start : start + part]
            self._fill += part
            self._count += part
            start += part

    def digest(self):
        """Return the hash of all data so far; more may follow."""
        fill = self._fill
        _state[:] = self._state
        _block[:] = self._block
        _block[fill:] = _NOTHING[fill:]
        compress(_state, _block, self._count, 0xFFFF)
        return bytes(_digest[: self.digest_size])

    def wipe(self):
        """Overwrite what the hash has taken in. It is of no use any more. Not in CPython's, which does so of itself."""
        _state[:] = self._state[:] = _NOTHING[:32]
        _block[:] = self._block[:] = _NOTHING

    def copy(self):
        """Return a hash that has taken in the same data and goes its own way."""
        other = blake2s(digest_size=self.digest_size)
        other._state[:] = self._state
        other._block[:] = self._block
        other._fill = self._fill
        other._count = self._count
        return other
