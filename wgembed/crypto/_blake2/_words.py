"""BLAKE2s compression on words of 32 bits: for machines whose small ints hold them."""

import struct

from ._tables import IV, ORDER

_IV = struct.unpack("<8I", IV)
# A round's places of the words at once: to look for each of them took a tenth of the time.
_ROUNDS = tuple([tuple(ORDER[r : r + 16]) for r in range(0, 160, 16)])


def compress(state, block, count, final):
    """Update `state` (32 bytes, in place) with `block` (64 bytes); RFC 7693, 3.2.

    count  bytes hashed so far, with those of this block
    final  0xFFFF for the last block, otherwise 0
    """
    v0, v1, v2, v3, v4, v5, v6, v7 = before = struct.unpack_from("<8I", state, 0)
    v8, v9, v10, v11, v12, v13, v14, v15 = _IV
    v12 ^= count
    v14 ^= final << 16 | final
    words = struct.unpack_from("<16I", block, 0)
    most = 0xFFFFFFFF  # a variable is faster than a large number
    # One round, unrolled: in a loop over indices, half of the time would be spent on access to the words. Modulo 2^32 - 1, a
    # shift to the left is a rotation. Zero and 2^32 - 1 are then the same, but each is its own rotation.
    for m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15 in _ROUNDS:
        v0 = v0 + v4 + words[m0] & most
        v12 = ((v12 ^ v0) << 16) % most or v12 ^ v0
        v8 = v8 + v12 & most
        v4 = ((v4 ^ v8) << 20) % most or v4 ^ v8
        v0 = v0 + v4 + words[m1] & most
        v12 = ((v12 ^ v0) << 24) % most or v12 ^ v0
        v8 = v8 + v12 & most
        v4 = ((v4 ^ v8) << 25) % most or v4 ^ v8
        v1 = v1 + v5 + words[m2] & most
        v13 = ((v13 ^ v1) << 16) % most or v13 ^ v1
        v9 = v9 + v13 & most
        v5 = ((v5 ^ v9) << 20) % most or v5 ^ v9
        v1 = v1 + v5 + words[m3] & most
        v13 = ((v13 ^ v1) << 24) % most or v13 ^ v1
        v9 = v9 + v13 & most
        v5 = ((v5 ^ v9) << 25) % most or v5 ^ v9
        v2 = v2 + v6 + words[m4] & most
        v14 = ((v14 ^ v2) << 16) % most or v14 ^ v2
        v10 = v10 + v14 & most
        v6 = ((v6 ^ v10) << 20) % most or v6 ^ v10
        v2 = v2 + v6 + words[m5] & most
        v14 = ((v14 ^ v2) << 24) % most or v14 ^ v2
        v10 = v10 + v14 & most
        v6 = ((v6 ^ v10) << 25) % most or v6 ^ v10
        v3 = v3 + v7 + words[m6] & most
        v15 = ((v15 ^ v3) << 16) % most or v15 ^ v3
        v11 = v11 + v15 & most
        v7 = ((v7 ^ v11) << 20) % most or v7 ^ v11
        v3 = v3 + v7 + words[m7] & most
        v15 = ((v15 ^ v3) << 24) % most or v15 ^ v3
        v11 = v11 + v15 & most
        v7 = ((v7 ^ v11) << 25) % most or v7 ^ v11
        v0 = v0 + v5 + words[m8] & most
        v15 = ((v15 ^ v0) << 16) % most or v15 ^ v0
        v10 = v10 + v15 & most
        v5 = ((v5 ^ v10) << 20) % most or v5 ^ v10
        v0 = v0 + v5 + words[m9] & most
        v15 = ((v15 ^ v0) << 24) % most or v15 ^ v0
        v10 = v10 + v15 & most
        v5 = ((v5 ^ v10) << 25) % most or v5 ^ v10
        v1 = v1 + v6 + words[m10] & most
        v12 = ((v12 ^ v1) << 16) % most or v12 ^ v1
        v11 = v11 + v12 & most
        v6 = ((v6 ^ v11) << 20) % most or v6 ^ v11
        v1 = v1 + v6 + words[m11] & most
        v12 = ((v12 ^ v1) << 24) % most or v12 ^ v1
        v11 = v11 + v12 & most
        v6 = ((v6 ^ v11) << 25) % most or v6 ^ v11
        v2 = v2 + v7 + words[m12] & most
        v13 = ((v13 ^ v2) << 16) % most or v13 ^ v2
        v8 = v8 + v13 & most
        v7 = ((v7 ^ v8) << 20) % most or v7 ^ v8
        v2 = v2 + v7 + words[m13] & most
        v13 = ((v13 ^ v2) << 24) % most or v13 ^ v2
        v8 = v8 + v13 & most
        v7 = ((v7 ^ v8) << 25) % most or v7 ^ v8
        v3 = v3 + v4 + words[m14] & most
        v14 = ((v14 ^ v3) << 16) % most or v14 ^ v3
        v9 = v9 + v14 & most
        v4 = ((v4 ^ v9) << 20) % most or v4 ^ v9
        v3 = v3 + v4 + words[m15] & most
        v14 = ((v14 ^ v3) << 24) % most or v14 ^ v3
        v9 = v9 + v14 & most
        v4 = ((v4 ^ v9) << 25) % most or v4 ^ v9
    struct.pack_into(
        "<8I", state, 0,
        before[0] ^ v0 ^ v8, before[1] ^ v1 ^ v9, before[2] ^ v2 ^ v10, before[3] ^ v3 ^ v11,
        before[4] ^ v4 ^ v12, before[5] ^ v5 ^ v13, before[6] ^ v6 ^ v14, before[7] ^ v7 ^ v15,
    )  # fmt: skip
