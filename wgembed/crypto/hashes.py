"""BLAKE2s and what WireGuard builds of it: the same for both backends, whoever brings the hash."""

try:
    # hashlib would load OpenSSL: 4 MB for a hash that CPython carries itself.
    from _blake2 import blake2s as _blake2s
except ImportError:
    try:
        from hashlib import blake2s as _blake2s
    except ImportError:
        from ._blake2 import blake2s as _blake2s


def blake2s(size, key, *parts):
    """Return BLAKE2s of the concatenated `parts`: `size` bytes, keyed unless `key` is empty (RFC 7693)."""
    state = _blake2s(digest_size=size, key=key)
    for part in parts:
        state.update(part)
    return state.digest()


def _pads(key):
    """Return the two hash states of HMAC (RFC 2104) that have taken in the padded key."""
    block = bytes(key) + bytes(64 - len(key))
    return _blake2s(bytes([x ^ 0x36 for x in block])), _blake2s(bytes([x ^ 0x5C for x in block]))


def _finish(pads, *parts):
    inner, outer = pads[0].copy(), pads[1].copy()
    for part in parts:
        inner.update(part)
    outer.update(inner.digest())
    return outer.digest()


def hmac(key, *parts):
    """Return HMAC-BLAKE2s of the concatenated `parts`: 32 bytes. `key` has at most 64."""
    return _finish(_pads(key), *parts)


def kdf(count, key, data):
    """Return `count` (1 to 3) times 32 bytes of HKDF over HMAC-BLAKE2s (WireGuard paper, 5.4: KDF_n)."""
    pads = _pads(hmac(key, data))
    block = result = _finish(pads, b"\x01")
    for i in range(2, count + 1):
        block = _finish(pads, block, bytes((i,)))
        result += block
    return result
