"""HKDF with the BLAKE2s of CPython, which has objects for hashes. For MicroPython, `_blake2` has it.

The intermediate results are overwritten. A digest is a bytes object, which normally never changes. It is overwritten here
only while no other code has a reference to it.
"""

from ._cpython import forget, memzero

try:
    # hashlib would load OpenSSL, which takes 4 MB, but CPython has this hash itself.
    from _blake2 import blake2s
except ImportError:
    from hashlib import blake2s

_pad = memoryview(bytearray(64))
_INNER = 0x36
_OUTER = 0x5C
_MASKED = {mask: bytes([x ^ mask for x in range(256)]) for mask in (_INNER, _OUTER)}


def kdf(out, key, data):
    """Write HKDF over HMAC-BLAKE2s to `out`, of 32, 64 or 96 bytes; `key` has at most 64 bytes."""
    first = _hmac(_pads(key), data)
    pads = _pads(first)
    forget(first)
    block = b""
    for at in range(0, len(out), 32):
        one = _hmac(pads, block, bytes((at // 32 + 1,)))
        out[at : at + 32] = one
        forget(block)
        block = one
    forget(block)


def _pads(key):
    """Return the two states of HMAC after the key (RFC 2104)."""
    pads = _keyed(key, _INNER), _keyed(key, _OUTER)
    memzero(_pad)
    return pads


def _keyed(key, mask):
    """Return the hash state after the key, which is padded and masked."""
    size = len(key)
    _pad[:size] = key
    _pad[size:] = bytes(64 - size)
    padded = bytes(_pad)
    masked = padded.translate(_MASKED[mask])
    state = blake2s(masked)
    forget(padded)
    forget(masked)
    return state


def _hmac(pads, *parts):
    """Return the HMAC of the parts. If it is a secret, the caller overwrites it."""
    inner, outer = pads[0].copy(), pads[1].copy()
    for part in parts:
        inner.update(part)
    digest = inner.digest()
    outer.update(digest)
    forget(digest)
    return outer.digest()
