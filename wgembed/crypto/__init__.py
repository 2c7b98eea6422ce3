"""The primitives that WireGuard is made of. A leaf: nothing here knows the protocol.

Both backends offer the same names; this is the only place that chooses.

    random_fill(buf)                    memzero(buf)             equal(a, b) -> bool
    blake2s(size, key, *parts) -> bytes hmac(key, *parts) -> bytes
    kdf(out, key, data)                 same(buf, a, b, size) -> bool
    x25519(out, scalar, point) -> bool  x25519_base(out, scalar)
    seal(out, key, counter, plain, ad)  open(out, key, counter, sealed, ad) -> bool
    xseal(out, key, nonce, plain, ad)   xopen(out, key, nonce, sealed, ad) -> bool
    address(buf) -> pointer             number(pointer) -> address
    aead() -> addresses                 alike(view, at, size, stride, count) -> count
    forget(data)
    place(pointer, message)             end_of_equal(numbers, first, end) -> end
    seal_run(arena, first, end, key, header, counter, mtu) -> bytes
    open_run(inbox, start, end, stride, key) -> count

Arguments are bytes-like; `out` and `buf` are writable and have exactly the length of the result.
A wrong length is a ValueError: it would be a bug here, never an answer to input. Keys are 32 bytes.

`address(buf)` gives a pointer to a buffer that the caller keeps alive and never resizes; pointer + n points
n bytes further. Only the two run functions take pointers (`key`), because they serve the packet path and must not
allocate; nor must `same` and `alike`. `number` and `aead` are for libraries of C: the address that a pointer holds, and
those of libsodium's crypto_aead_chacha20poly1305_ietf_encrypt and _decrypt, and of the functions that they are made of,
crypto_stream_chacha20_ietf_xor_ic, crypto_onetimeauth_poly1305 and crypto_verify_16, 0 where these cannot be reached.
"""

import sys

from .hashes import blake2s, hmac, kdf  # noqa: F401

if sys.implementation.name == "micropython":
    from ._micropython import *  # noqa: F403
else:
    from ._cpython import *  # noqa: F403
