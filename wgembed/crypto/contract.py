"""What both backends of crypto offer, and what callers may rely on: the contract of this seam.

Nothing imports this file: it is the reference, and a test compares the backends with it. `hashes.py` is the same for both.

Arguments are bytes-like. `out` and `buf` are writable and are filled whole, so they have exactly the length of the
result. Keys have 32 bytes. A buffer of the wrong length is a ValueError: it would be a mistake of the caller, never an
answer to input. No other error is raised; what a peer can cause is in the result.

A pointer is opaque, and `pointer + n` points n bytes further. It keeps nothing alive.
"""

BACKEND: str  # "cpython" or "micropython": how other rooms choose their own backend
NULL: object  # the pointer to nothing


# Random bytes and secrets


def random_fill(buf):
    """Fill `buf`, of any length, from the system's random generator."""


def memzero(buf):
    """Overwrite the writable `buf` with zeros, in a way that no optimiser removes."""


def forget(data):
    """Overwrite a bytes object that holds a secret.

    Only for what a function has just made and the caller alone refers to. Bytes are immutable for everyone else: an
    interned or shared object would change under its other owners.
    """


def equal(a, b):
    """Return whether two strings of bytes are equal, in a time that depends on their lengths alone."""


# BLAKE2s (hashes.py)


def blake2s(size, key, *parts):
    """Return BLAKE2s of the concatenated `parts` as `size` bytes, 1 to 32; keyed unless `key` is empty (RFC 7693)."""


def hmac(key, *parts):
    """Return HMAC-BLAKE2s of the concatenated `parts`, 32 bytes (RFC 2104). `key` has at most 64 bytes."""


def kdf(out, key, data):
    """Write HKDF over HMAC-BLAKE2s to `out`, of 32, 64 or 96 bytes (RFC 5869; WireGuard paper, 5.4: KDF_n)."""


# Curve25519


def x25519(out, scalar, point):
    """Write the shared secret of a private key and a public key to `out`, 32 bytes each.

    Return False if it is all zero, which no honest peer causes (RFC 7748, 6.1). `out` must not be used then.
    """


def x25519_base(out, scalar):
    """Write the public key of the private key `scalar` to `out`, 32 bytes each."""


# Authenticated encryption. The tag of 16 bytes follows the ciphertext.


def seal(out, key, counter, plain, ad):
    """Write ChaCha20-Poly1305 of `plain` with the additional data `ad`, and the tag, to `out` (RFC 8439).

    counter  64 bits; the nonce is four zero bytes and then the counter, little endian
    """


def open(out, key, counter, sealed, ad):
    """Undo `seal` into `out`. Return False, with the content of `out` unspecified, if the tag does not match."""


def xseal(out, key, nonce, plain, ad):
    """Write XChaCha20-Poly1305 of `plain` under the 24-byte `nonce`, and the tag, to `out`."""


def xopen(out, key, nonce, sealed, ad):
    """Undo `xseal` into `out`. Return False, with the content of `out` unspecified, if the tag does not match."""


# For the packet path and for C libraries: nothing here is checked


def pointer_to(buf):
    """Return a pointer to the writable `buf`.

    The caller keeps `buf` alive and at its size for as long as the pointer is used. A memoryview must show the whole of
    its buffer; ValueError if CPython finds that it does not.
    """


def address_of(pointer):
    """Return the address that the pointer holds, an int."""


def aead_addresses():
    """Return the addresses of five functions of libsodium, ints, for a C library that calls them:

    crypto_aead_chacha20poly1305_ietf_encrypt, crypto_aead_chacha20poly1305_ietf_decrypt, and what they are made of:
    crypto_stream_chacha20_ietf_xor_ic, crypto_onetimeauth_poly1305, crypto_verify_16. Each of the last three is 0 if the
    backend cannot find it.
    """


def aead_encrypt(out, out_size, plain, plain_size, ad, ad_size, secret_nonce, nonce, key):
    """libsodium's crypto_aead_chacha20poly1305_ietf_encrypt: by pointers, `out` may be `plain`.

    `out_size` and `secret_nonce` are NULL, sizes are in bytes, `nonce` points to 12 bytes. Allocates nothing.
    """


def aead_decrypt(out, out_size, secret_nonce, sealed, sealed_size, ad, ad_size, nonce, key):
    """libsodium's crypto_aead_chacha20poly1305_ietf_decrypt: as `aead_encrypt`; 0 if the tag matches.

    With a wrong tag the content of `out` is unspecified.
    """
