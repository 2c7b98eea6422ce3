"""The primitives on MicroPython: libsodium through `ffi`. Pointers are ints."""

# Here a star import imports every name without an underscore, because MicroPython ignores __all__.
from struct import pack_into as _pack_into

import ffi as _ffi
import uctypes as _uctypes

_SONAMES = ("libsodium.so.23", "libsodium.so.26", "libsodium.so.30", "libsodium.so")


def _load():
    for name in _SONAMES:
        try:
            return _ffi.open(name)
        except OSError:
            pass
    raise ImportError("cannot load libsodium (" + ", ".join(_SONAMES) + ")")


_lib = _load()
if _lib.func("i", "sodium_init", "")() < 0:
    raise ImportError("cannot initialise libsodium")

BACKEND = "micropython"
NULL = 0
_ENCRYPT = "PPPQPQPPP"
_DECRYPT = "PPPPQPQPP"
aead_encrypt = _lib.func("i", "crypto_aead_chacha20poly1305_ietf_encrypt", _ENCRYPT)
aead_decrypt = _lib.func("i", "crypto_aead_chacha20poly1305_ietf_decrypt", _DECRYPT)
_xencrypt = _lib.func("i", "crypto_aead_xchacha20poly1305_ietf_encrypt", _ENCRYPT)
_xdecrypt = _lib.func("i", "crypto_aead_xchacha20poly1305_ietf_decrypt", _DECRYPT)
_scalarmult = _lib.func("i", "crypto_scalarmult_curve25519", "PPP")
_scalarmult_base = _lib.func("i", "crypto_scalarmult_curve25519_base", "PP")
_randombytes = _lib.func("v", "randombytes_buf", "PL")
_sodium_memzero = _lib.func("v", "sodium_memzero", "PL")
_sodium_memcmp = _lib.func("i", "sodium_memcmp", "PPL")

# The nonce of the IETF construction: four zero bytes, then the counter (RFC 8439, 2.8; WireGuard paper, 5.4.6).
_nonce = bytearray(12)


def pointer_to(buf):
    """Return a pointer to the writable `buf`. `buf` must stay alive, with the same size, as long as the pointer."""
    return _uctypes.addressof(buf)


def address_of(pointer):
    """Return the address that the pointer holds."""
    return pointer


def aead_addresses():
    """Return the addresses of libsodium's AEAD and its parts: see contract.py."""
    prefix = "crypto_aead_chacha20poly1305_ietf_"
    names = prefix + "encrypt", prefix + "decrypt", "crypto_stream_chacha20_ietf_xor_ic", "crypto_onetimeauth_poly1305"
    return [_lib.addr(name) for name in names + ("crypto_verify_16",)]


def libsodium_version():
    """Return the name and the version of libsodium: see contract.py."""
    return "libsodium " + _lib.func("s", "sodium_version_string", "")()


def _want(buf, size):
    if len(buf) != size:
        raise ValueError(f"got a buffer of {len(buf)} bytes, expected {size} bytes")


def random_fill(buf):
    """Fill `buf` from the random generator of the system."""
    _randombytes(buf, len(buf))


def memzero(buf):
    """Overwrite `buf` with zeros. No compiler optimises this away."""
    _sodium_memzero(buf, len(buf))


def equal(a, b):
    """Return whether two byte strings are equal. The time depends only on their lengths."""
    return len(a) == len(b) and _sodium_memcmp(a, b, len(a)) == 0


def x25519(out, scalar, point):
    """Write the shared secret to `out`. False if it is all zero, which no honest peer causes (RFC 7748, 6.1)."""
    _want(out, 32)
    _want(scalar, 32)
    _want(point, 32)
    return _scalarmult(out, scalar, point) == 0


def x25519_base(out, scalar):
    """Write the public key of the private key `scalar` to `out`."""
    _want(out, 32)
    _want(scalar, 32)
    _scalarmult_base(out, scalar)


def seal(out, key, counter, plain, ad):
    """Write ChaCha20-Poly1305 of `plain` with the additional data `ad`, and the tag, to `out` (RFC 8439)."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _pack_into("<Q", _nonce, 4, counter)
    aead_encrypt(out, 0, plain, len(plain), ad, len(ad), 0, _nonce, key)


def open(out, key, counter, sealed, ad):
    """Undo `seal`: write the plaintext to `out`. False if the tag is wrong; the content of `out` is then undefined."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _pack_into("<Q", _nonce, 4, counter)
    return aead_decrypt(out, 0, 0, sealed, len(sealed), ad, len(ad), _nonce, key) == 0


def xseal(out, key, nonce, plain, ad):
    """Write XChaCha20-Poly1305 of `plain` with the 24-byte `nonce` and the additional data `ad`, and the tag, to `out`."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _want(nonce, 24)
    _xencrypt(out, 0, plain, len(plain), ad, len(ad), 0, nonce, key)


def xopen(out, key, nonce, sealed, ad):
    """Undo `xseal`: write the plaintext to `out`. False if the tag is wrong; the content of `out` is then undefined."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _want(nonce, 24)
    return _xdecrypt(out, 0, 0, sealed, len(sealed), ad, len(ad), nonce, key) == 0
