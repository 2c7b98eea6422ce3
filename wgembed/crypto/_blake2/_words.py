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
    words = struct.unpack_from("<16I", block, 0)
    v0, v1, v2, v3, v4, v5, v6, v7 = before = struct.unpack_from("<8I", state, 0)
    v8, v9, v10, v11, v12, v13, v14, v15 = _IV
    v12 ^= count
    v14 ^= final << 16 | final
    # One round, unrolled: in a loop over indices, half of the time would be spent on access to the words.
    for m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15 in _ROUNDS:
        v0 = (v0 + v4 + words[m0]) & 0xFFFFFFFF
        v12 ^= v0
        v12 = v12 >> 16 | (v12 & 0xFFFF) << 16
        v8 = (v8 + v12) & 0xFFFFFFFF
        v4 ^= v8
        v4 = v4 >> 12 | (v4 & 0xFFF) << 20
        v0 = (v0 + v4 + words[m1]) & 0xFFFFFFFF
        v12 ^= v0
        v12 = v12 >> 8 | (v12 & 0xFF) << 24
        v8 = (v8 + v12) & 0xFFFFFFFF
        v4 ^= v8
        v4 = v4 >> 7 | (v4 & 0x7F) << 25
        v1 = (v1 + v5 + words[m2]) & 0xFFFFFFFF
        v13 ^= v1
        v13 = v13 >> 16 | (v13 & 0xFFFF) << 16
        v9 = (v9 + v13) & 0xFFFFFFFF
        v5 ^= v9
        v5 = v5 >> 12 | (v5 & 0xFFF) << 20
        v1 = (v1 + v5 + words[m3]) & 0xFFFFFFFF
        v13 ^= v1
        v13 = v13 >> 8 | (v13 & 0xFF) << 24
        v9 = (v9 + v13) & 0xFFFFFFFF
        v5 ^= v9
        v5 = v5 >> 7 | (v5 & 0x7F) << 25
        v2 = (v2 + v6 + words[m4]) & 0xFFFFFFFF
        v14 ^= v2
        v14 = v14 >> 16 | (v14 & 0xFFFF) << 16
        v10 = (v10 + v14) & 0xFFFFFFFF
        v6 ^= v10
        v6 = v6 >> 12 | (v6 & 0xFFF) << 20
        v2 = (v2 + v6 + words[m5]) & 0xFFFFFFFF
        v14 ^= v2
        v14 = v14 >> 8 | (v14 & 0xFF) << 24
        v10 = (v10 + v14) & 0xFFFFFFFF
        v6 ^= v10
        v6 = v6 >> 7 | (v6 & 0x7F) << 25
        v3 = (v3 + v7 + words[m6]) & 0xFFFFFFFF
        v15 ^= v3
        v15 = v15 >> 16 | (v15 & 0xFFFF) << 16
        v11 = (v11 + v15) & 0xFFFFFFFF
        v7 ^= v11
        v7 = v7 >> 12 | (v7 & 0xFFF) << 20
        v3 = (v3 + v7 + words[m7]) & 0xFFFFFFFF
        v15 ^= v3
        v15 = v15 >> 8 | (v15 & 0xFF) << 24
        v11 = (v11 + v15) & 0xFFFFFFFF
        v7 ^= v11
        v7 = v7 >> 7 | (v7 & 0x7F) << 25
        v0 = (v0 + v5 + words[m8]) & 0xFFFFFFFF
        v15 ^= v0
        v15 = v15 >> 16 | (v15 & 0xFFFF) << 16
        v10 = (v10 + v15) & 0xFFFFFFFF
        v5 ^= v10
        v5 = v5 >> 12 | (v5 & 0xFFF) << 20
        v0 = (v0 + v5 + words[m9]) & 0xFFFFFFFF
        v15 ^= v0
        v15 = v15 >> 8 | (v15 & 0xFF) << 24
        v10 = (v10 + v15) & 0xFFFFFFFF
        v5 ^= v10
        v5 = v5 >> 7 | (v5 & 0x7F) << 25
        v1 = (v1 + v6 + words[m10]) & 0xFFFFFFFF
        v12 ^= v1
        v12 = v12 >> 16 | (v12 & 0xFFFF) << 16
        v11 = (v11 + v12) & 0xFFFFFFFF
        v6 ^= v11
        v6 = v6 >> 12 | (v6 & 0xFFF) << 20
        v1 = (v1 + v6 + words[m11]) & 0xFFFFFFFF
        v12 ^= v1
        v12 = v12 >> 8 | (v12 & 0xFF) << 24
        v11 = (v11 + v12) & 0xFFFFFFFF
        v6 ^= v11
        v6 = v6 >> 7 | (v6 & 0x7F) << 25
        v2 = (v2 + v7 + words[m12]) & 0xFFFFFFFF
        v13 ^= v2
        v13 = v13 >> 16 | (v13 & 0xFFFF) << 16
        v8 = (v8 + v13) & 0xFFFFFFFF
        v7 ^= v8
        v7 = v7 >> 12 | (v7 & 0xFFF) << 20
        v2 = (v2 + v7 + words[m13]) & 0xFFFFFFFF
        v13 ^= v2
        v13 = v13 >> 8 | (v13 & 0xFF) << 24
        v8 = (v8 + v13) & 0xFFFFFFFF
        v7 ^= v8
        v7 = v7 >> 7 | (v7 & 0x7F) << 25
        v3 = (v3 + v4 + words[m14]) & 0xFFFFFFFF
        v14 ^= v3
        v14 = v14 >> 16 | (v14 & 0xFFFF) << 16
        v9 = (v9 + v14) & 0xFFFFFFFF
        v4 ^= v9
        v4 = v4 >> 12 | (v4 & 0xFFF) << 20
        v3 = (v3 + v4 + words[m15]) & 0xFFFFFFFF
        v14 ^= v3
        v14 = v14 >> 8 | (v14 & 0xFF) << 24
        v9 = (v9 + v14) & 0xFFFFFFFF
        v4 ^= v9
        v4 = v4 >> 7 | (v4 & 0x7F) << 25
    struct.pack_into(
        "<8I", state, 0,
        before[0] ^ v0 ^ v8, before[1] ^ v1 ^ v9, before[2] ^ v2 ^ v10, before[3] ^ v3 ^ v11,
        before[4] ^ v4 ^ v12, before[5] ^ v5 ^ v13, before[6] ^ v6 ^ v14, before[7] ^ v7 ^ v15,
    )  # fmt: skip
