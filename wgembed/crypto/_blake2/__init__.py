"""BLAKE2s for MicroPython: a subset of CPython's module `_blake2`, with the same name.

    blake2s(data=b"", *, digest_size=32, key=b"")    update(data)    digest()    copy()    wipe()

and HKDF with it, which makes no objects:

    kdf(out, key, data)

`_viper`, `_words` and `_halves` have the same compression function: in machine code, with numbers of 32 bits, and with
numbers of 16 bits.
"""

import sys

from ._tables import IV

try:
    if sys.byteorder != "little":
        raise ImportError
    from ._viper import compress
except (ImportError, SyntaxError, ValueError):  # a bytecode build without this file; no emitter; code of another machine
    # A 32-bit MicroPython can keep ints of 31 bits without an allocation, because one bit is a tag.
    if sys.maxsize > 0x7FFFFFFF:
        from ._words import compress
    else:
        from ._halves import compress


# Scratch memory for `digest` and `kdf`
_state = bytearray(32)
_digest = memoryview(_state)
_block = bytearray(64)
_NOTHING = memoryview(bytes(64))
_pad = bytearray(64)
_inner = bytearray(32)
_outer = bytearray(32)
# For each state of HMAC: what changes the key before it into its own, and what follows the key
_KEYS = (0x5C, b"\x5c" * 32, _outer), (0x5C ^ 0x36, b"\x36" * 32, _inner)
_BEGIN = bytes([IV[0] ^ 32, IV[1], IV[2] ^ 1, IV[3] ^ 1]) + IV[4:]


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
        data = memoryview(data)  # so that a slice is not a copy
        while start < size:
            # The last block gets a mark. So a full block waits until there is more data.
            if self._fill == 64:
                compress(self._state, self._block, self._count, 0)
                self._fill = 0
            part = min(64 - self._fill, size - start)
            self._block[self._fill : self._fill + part] = data[start : start + part]
            self._fill += part
            self._count += part
            start += part

    def digest(self):
        """Return the hash of all data so far, `digest_size` bytes. More data can follow."""
        fill = self._fill
        _state[:] = self._state
        _block[:] = self._block
        _block[fill:] = _NOTHING[fill:]
        compress(_state, _block, self._count, 0xFFFF)
        return bytes(_digest[: self.digest_size])

    def wipe(self):
        """Overwrite the state. The hash cannot be used after that. CPython's hash has no `wipe`, and wipes itself."""
        _state[:] = self._state[:] = _NOTHING[:32]
        _block[:] = self._block[:] = _NOTHING

    def copy(self):
        """Return an independent hash with the same data."""
        other = blake2s(digest_size=self.digest_size)
        other._state[:] = self._state
        other._block[:] = self._block
        other._fill = self._fill
        other._count = self._count
        return other


def kdf(out, key, data):
    """Write HKDF over HMAC-BLAKE2s (RFC 5869, without `info`) to `out`, of 32, 64 or 96 bytes.

    `key` has 32 bytes, and `data` at most 64.
    """
    _use_key(key)
    size = len(data)
    if size:
        _block[:size] = data
        _block[size:] = _NOTHING[size:]
        _hmac(size)
    else:
        _state[:] = _BEGIN
        compress(_state, _pad, 64, 0xFFFF)
        _end_hmac()
    _use_key(_state)
    for at in range(0, len(out), 32):
        size = 32 if at else 0
        _block[:32] = _state
        _block[size:] = _NOTHING[size:]
        _block[size] = at // 32 + 1
        _hmac(size + 1)
        out[at : at + 32] = _state
    _state[:] = _inner[:] = _outer[:] = _NOTHING[:32]
    _block[:] = _pad[:] = _NOTHING


def _use_key(key):
    """Put the states of HMAC after the key into `_inner` and `_outer` (RFC 2104). `_pad` then has the inner key."""
    _pad[:32] = key
    for mask, rest, state in _KEYS:
        for i in range(32):
            _pad[i] ^= mask
        _pad[32:] = rest
        state[:] = _BEGIN
        compress(state, _pad, 64, 0)


def _hmac(size):
    """Write the HMAC of `size` bytes in `_block`, from 1 to 64, to `_state`."""
    _state[:] = _inner
    compress(_state, _block, 64 + size, 0xFFFF)
    _end_hmac()


def _end_hmac():
    _block[:32] = _state
    _block[32:] = _NOTHING[32:]
    _state[:] = _outer
    compress(_state, _block, 96, 0xFFFF)
