"""The contract of crypto: what both backends offer, and what callers can rely on.

Nothing imports this file. It is the reference, and a test compares the backends with it. `hashes.py` is the same for both.

Arguments are bytes-like. `out` and `buf` are writable. A function fills the whole of `out`, so `out` has exactly the length
of the result. Keys have 32 bytes. A buffer of the wrong length raises ValueError: this is a mistake of the caller, and no
message from outside can cause it. No other error is raised. The result shows whether a message of a peer is valid.

A pointer is opaque, and `pointer + n` points n bytes further. A pointer does not keep its buffer alive.
"""

BACKEND: str  # "cpython" or "micropython": other rooms choose their backend by it
NULL: object  # the null pointer


def libsodium_version():
    """Return the name and the version of libsodium as text, for people: "libsodium 1.0.18".

    If libsodium does not say its version, it is that of what contains it: "libsodium of PyNaCl 1.6.2".
    """


# Random bytes and secrets


def random_fill(buf):
    """Fill `buf`, of any length, from the system's random generator."""


def memzero(buf):
    """Overwrite the writable `buf` with zeros. No compiler optimises this away."""


def equal(a, b):
    """Return whether two byte strings are equal. The time depends only on their lengths."""


# BLAKE2s (hashes.py)


def blake2s(size, key, *parts):
    """Return BLAKE2s of the concatenated `parts`, `size` bytes, 1 to 32. If `key` is empty, it is not keyed (RFC 7693)."""


def use_hashes(native_blake2s, native_kdf):
    """Use the functions wgembed_blake2s and wgembed_hkdf of the C library for `blake2s` and `kdf`.

    Returns False, and does not use them, if their results differ from those of this code.
    """


def kdf(out, key, data):
    """Write HKDF over HMAC-BLAKE2s to `out`, of 32, 64 or 96 bytes (RFC 5869; WireGuard paper, 5.4: KDF_n).

    `key` has 32 bytes, and `data` at most 64.
    """


# Curve25519


def x25519(out, scalar, point):
    """Write the shared secret of a private key and a public key to `out`, 32 bytes each.

    Return False if the secret is all zero, which no honest peer causes (RFC 7748, 6.1). `out` must not be used then.
    """


def x25519_base(out, scalar):
    """Write the public key of the private key `scalar` to `out`, 32 bytes each."""


# Authenticated encryption. The tag of 16 bytes follows the ciphertext.


def seal(out, key, counter, plain, ad):
    """Write ChaCha20-Poly1305 of `plain` with the additional data `ad`, and the tag, to `out` (RFC 8439).

    counter  64 bits; the nonce is four zero bytes, then the counter, little-endian
    """


def open(out, key, counter, sealed, ad):
    """Undo `seal`: write the plaintext to `out`. Return False if the tag is wrong; `out` is then undefined."""


def xseal(out, key, nonce, plain, ad):
    """Write XChaCha20-Poly1305 of `plain` with the 24-byte `nonce` and the additional data `ad`, and the tag, to `out`."""


def xopen(out, key, nonce, sealed, ad):
    """Undo `xseal`: write the plaintext to `out`. Return False if the tag is wrong; `out` is then undefined."""


# For the packet path and for C libraries. These functions do not check their arguments


def pointer_to(buf):
    """Return a pointer to the writable `buf`.

    The caller keeps `buf` alive, with the same size, while the pointer is in use. A memoryview must show its whole buffer;
    CPython raises ValueError if it does not.
    """


def address_of(pointer):
    """Return the address that the pointer holds, an int."""


def aead_addresses():
    """Return the addresses of five functions of libsodium, as ints, for a C library that calls them.

    In this order: crypto_aead_chacha20poly1305_ietf_encrypt, crypto_aead_chacha20poly1305_ietf_decrypt, and their parts
    crypto_stream_chacha20_ietf_xor_ic, crypto_onetimeauth_poly1305 and crypto_verify_16. A part has the address 0 if the
    backend cannot find it.
    """


def aead_encrypt(out, out_size, plain, plain_size, ad, ad_size, secret_nonce, nonce, key):
    """Call libsodium's crypto_aead_chacha20poly1305_ietf_encrypt with pointers. `out` can be `plain`.

    `out_size` and `secret_nonce` are NULL, sizes are in bytes, `nonce` points to 12 bytes. It allocates no memory.
    """


def aead_decrypt(out, out_size, secret_nonce, sealed, sealed_size, ad, ad_size, nonce, key):
    """Call libsodium's crypto_aead_chacha20poly1305_ietf_decrypt, like `aead_encrypt`. Return 0 if the tag is right.

    If the tag is wrong, the content of `out` is undefined.
    """
