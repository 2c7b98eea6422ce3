"""The primitives on CPython, through PyNaCl's libsodium.

PyNaCl's public functions take and return `bytes`, so each packet would cost a copy and an allocation. Its cffi module calls
the same library on our buffers. The import of this module does not call sodium_init(). Without that call, libsodium uses
its slowest code.
"""

from struct import Struct

from nacl._sodium import __file__ as _path
from nacl._sodium import ffi as _ffi
from nacl._sodium import lib as _lib

__all__ = (
    "BACKEND", "NULL", "address_of", "aead_addresses", "aead_decrypt", "aead_encrypt", "equal",
    "libsodium_version", "memzero", "open", "pointer_to", "random_fill", "seal", "x25519", "x25519_base", "xopen", "xseal",
)  # fmt: skip

if _lib.sodium_init() < 0:
    raise ImportError("cannot initialise libsodium")

BACKEND = "cpython"
NULL = _ffi.NULL
_from_buffer = _ffi.from_buffer
aead_encrypt = _lib.crypto_aead_chacha20poly1305_ietf_encrypt
aead_decrypt = _lib.crypto_aead_chacha20poly1305_ietf_decrypt
_xencrypt = _lib.crypto_aead_xchacha20poly1305_ietf_encrypt
_xdecrypt = _lib.crypto_aead_xchacha20poly1305_ietf_decrypt

_COUNTER = Struct("<Q")
_pack_counter = _COUNTER.pack_into

# The nonce of the IETF construction: four zero bytes, then the counter (RFC 8439, 2.8; WireGuard paper, 5.4.6).
_nonce = bytearray(12)


def pointer_to(buf):
    """Return a pointer to the writable `buf`. `buf` must stay alive, with the same size, as long as the pointer."""
    if isinstance(buf, memoryview):
        # Point to the object of the view: a garbage collection that frees a view and a pointer to it together crashes.
        if len(buf.obj) != buf.nbytes:
            raise ValueError("cannot point to a part of a buffer")
        buf = buf.obj
    return _from_buffer("unsigned char[]", buf, require_writable=True)


def address_of(pointer):
    """Return the address that the pointer holds."""
    return int(_ffi.cast("uintptr_t", pointer))


def aead_addresses():
    """Return the addresses of libsodium's AEAD and its parts: see contract.py."""
    prefix = "crypto_aead_chacha20poly1305_ietf_"
    whole = [address_of(_ffi.addressof(_lib, prefix + name)) for name in ("encrypt", "decrypt")]
    return whole + _parts_of_aead()


def _parts_of_aead():
    """Return the addresses of functions that PyNaCl links but does not declare; zeros if there are none."""
    try:
        import _cffi_backend as cffi  # imported late, because most processes load no library

        library, kind = cffi.load_library(_path, 0), _ffi.typeof("void (*)(void)")
        names = "crypto_stream_chacha20_ietf_xor_ic", "crypto_onetimeauth_poly1305", "crypto_verify_16"
        return [address_of(library.load_function(kind, name)) for name in names]
    except (ImportError, OSError, AttributeError):
        return [0, 0, 0]


def libsodium_version():
    """Return the name and the version of libsodium: see contract.py."""
    try:
        import _cffi_backend as cffi

        function = cffi.load_library(_path, 0).load_function(_ffi.typeof("char *(*)(void)"), "sodium_version_string")
        return "libsodium " + _ffi.string(function()).decode()
    except (ImportError, OSError, AttributeError):
        from nacl import __version__

        # PyNaCl's wheels contain libsodium without this function.
        return "libsodium of PyNaCl " + __version__


def _want(buf, size):
    if len(buf) != size:
        raise ValueError("got a buffer of %d bytes, expected %d bytes" % (len(buf), size))


def random_fill(buf):
    """Fill `buf` from the random generator of the system."""
    _lib.randombytes(_from_buffer(buf, require_writable=True), len(buf))


def memzero(buf):
    """Overwrite `buf` with zeros. No compiler optimises this away."""
    _lib.sodium_memzero(_from_buffer(buf, require_writable=True), len(buf))


def forget(data):
    """Overwrite a bytes object that holds a secret.

    Only for an object that a function has just made, and to which only the caller has a reference. Other code expects that
    bytes never change, so an interned or shared object must not be overwritten.
    """
    _lib.sodium_memzero(_from_buffer(data), len(data))


def equal(a, b):
    """Return whether two byte strings are equal. The time depends only on their lengths."""
    return len(a) == len(b) and _lib.sodium_memcmp(_from_buffer(a), _from_buffer(b), len(a)) == 0


def x25519(out, scalar, point):
    """Write the shared secret to `out`. False if it is all zero, which no honest peer causes (RFC 7748, 6.1)."""
    _want(out, 32)
    _want(scalar, 32)
    _want(point, 32)
    return _lib.crypto_scalarmult(_from_buffer(out, require_writable=True), _from_buffer(scalar), _from_buffer(point)) == 0


def x25519_base(out, scalar):
    """Write the public key of the private key `scalar` to `out`."""
    _want(out, 32)
    _want(scalar, 32)
    _lib.crypto_scalarmult_base(_from_buffer(out, require_writable=True), _from_buffer(scalar))


def _aead(function, out, key, nonce, source, ad):
    arguments = _from_buffer(source), len(source), _from_buffer(ad), len(ad)
    out = _from_buffer(out, require_writable=True)
    if function in (aead_encrypt, _xencrypt):
        return function(out, NULL, *arguments, NULL, _from_buffer(nonce), _from_buffer(key))
    return function(out, NULL, NULL, *arguments, _from_buffer(nonce), _from_buffer(key))


def seal(out, key, counter, plain, ad):
    """Write ChaCha20-Poly1305 of `plain` with the additional data `ad`, and the tag, to `out` (RFC 8439)."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _pack_counter(_nonce, 4, counter)
    _aead(aead_encrypt, out, key, _nonce, plain, ad)


def open(out, key, counter, sealed, ad):
    """Undo `seal`: write the plaintext to `out`. False if the tag is wrong; the content of `out` is then undefined."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _pack_counter(_nonce, 4, counter)
    return _aead(aead_decrypt, out, key, _nonce, sealed, ad) == 0


def xseal(out, key, nonce, plain, ad):
    """Write XChaCha20-Poly1305 of `plain` with the 24-byte `nonce` and the additional data `ad`, and the tag, to `out`."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _want(nonce, 24)
    _aead(_xencrypt, out, key, nonce, plain, ad)


def xopen(out, key, nonce, sealed, ad):
    """Undo `xseal`: write the plaintext to `out`. False if the tag is wrong; the content of `out` is then undefined."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _want(nonce, 24)
    return _aead(_xdecrypt, out, key, nonce, sealed, ad) == 0
