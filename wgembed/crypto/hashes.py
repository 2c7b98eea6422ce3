"""BLAKE2s, and HKDF with BLAKE2s: with the functions of the C library if there is one (see `use_hashes`)."""

import sys

if sys.implementation.name == "micropython":
    from ._blake2 import blake2s as _blake2s
    from ._blake2 import kdf as _kdf
    from ._micropython import memzero, pointer_to
else:
    from ._cpython import memzero, pointer_to
    from ._hkdf import blake2s as _blake2s
    from ._hkdf import kdf as _kdf


# What the functions of the C library read and write: a result, a key, and data.
_KEY, _DATA, _END = 96, 160, 416
_native = None
_memory = bytearray(_END)
_view = memoryview(_memory)


def use_hashes(native_blake2s, native_kdf):
    """Use the functions wgembed_blake2s and wgembed_hkdf of the C library. Returns False if their results are wrong."""
    global _native
    before = _sample()
    at = pointer_to(_memory)
    _native = native_blake2s, native_kdf, at, at + _KEY, at + _DATA
    if _sample() == before:
        return True
    _native = None
    return False


def _sample():
    """Return results of both functions, for more than a block."""
    key, out = bytes(range(32)), bytearray(64)
    kdf(out, key, key)
    return blake2s(16, key, out, key), out


def blake2s(size, key, *parts):
    """Return BLAKE2s of the concatenated `parts`: `size` bytes, keyed unless `key` is empty (RFC 7693)."""
    if _native is not None:
        end = _DATA
        for part in parts:
            end += len(part)
        if end <= _END:
            return _blake2s_by_library(size, key, parts, end - _DATA)
    state = _blake2s(digest_size=size, key=key)
    for part in parts:
        state.update(part)
    digest = state.digest()
    if _wipe and not key:
        # The hash of a handshake includes secrets. A keyed hash is a MAC of public data, and must be fast under a flood.
        _wipe(state)
    return digest


def _blake2s_by_library(size, key, parts, total):
    native, _, out, key_at, data_at = _native
    length = len(key)
    _view[_KEY : _KEY + length] = key
    at = _DATA
    for part in parts:
        end = at + len(part)
        _view[at:end] = part
        at = end
    native(out, size, key_at, length, data_at, total)
    digest = bytes(_view[:size])
    if not length:
        memzero(_memory)
    return digest


_wipe = getattr(_blake2s, "wipe", None)  # CPython's hash wipes itself when it is freed


def kdf(out, key, data):
    """Write HKDF over HMAC-BLAKE2s to `out`, of 32, 64 or 96 bytes (WireGuard paper, 5.4: KDF_n)."""
    if _native is not None:
        _, native, out_at, key_at, data_at = _native
        size, length = len(key), len(data)
        _view[_KEY : _KEY + size] = key
        _view[_DATA : _DATA + length] = data
        native(out_at, len(out), key_at, size, data_at, length)
        out[:] = _view[: len(out)]
        memzero(_memory)
        return
    _kdf(out, key, data)
