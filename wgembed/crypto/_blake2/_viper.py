"""BLAKE2s compression in machine code: for MicroPython with a native emitter (not on MIPS or aarch64).

Without an emitter this file does not compile, so it is a separate file. Words are read in the byte order of the machine, so
this is for little-endian machines only. All machines with an emitter are. On 64-bit machines the code cuts sums to 32 bits.
"""

import micropython

from ._tables import IV, ORDER

_v = bytearray(64)

# The four words that each of the eight steps of a round mixes: columns, then diagonals.
_MIX = bytes((
    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    0, 5, 10, 15, 1, 6, 11, 12, 2, 7, 8, 13, 3, 4, 9, 14,
))  # fmt: skip


@micropython.viper
def compress(state, block, count: int, final: int):  # noqa: F821
    """Update `state` (32 bytes, in place) with `block` (64 bytes); RFC 7693, 3.2.

    count  bytes hashed so far, with those of this block
    final  0xFFFF for the last block, otherwise 0
    """
    s = ptr32(state)  # noqa: F821
    m = ptr32(block)  # noqa: F821
    v = ptr32(_v)  # noqa: F821
    iv = ptr32(IV)  # noqa: F821
    order = ptr8(ORDER)  # noqa: F821
    mix = ptr8(_MIX)  # noqa: F821
    mask = uint(0x3FFFFFFF) * 4 + 3  # noqa: F821
    for i in range(8):
        v[i] = s[i]
        v[i + 8] = iv[i]
    v[12] = v[12] ^ count
    v[14] = v[14] ^ (final << 16 | final)
    for step in range(80):
        row = (step & 7) << 2
        ia = int(mix[row])
        ib = int(mix[row + 1])
        ic = int(mix[row + 2])
        id = int(mix[row + 3])
        a = uint(v[ia])  # noqa: F821
        b = uint(v[ib])  # noqa: F821
        c = uint(v[ic])  # noqa: F821
        d = uint(v[id])  # noqa: F821
        a = (a + b + uint(m[order[2 * step]])) & mask  # noqa: F821
        d ^= a
        d = (d >> 16 | d << 16) & mask
        c = (c + d) & mask
        b ^= c
        b = (b >> 12 | b << 20) & mask
        a = (a + b + uint(m[order[2 * step + 1]])) & mask  # noqa: F821
        d ^= a
        d = (d >> 8 | d << 24) & mask
        c = (c + d) & mask
        b ^= c
        b = (b >> 7 | b << 25) & mask
        v[ia] = int(a)
        v[ib] = int(b)
        v[ic] = int(c)
        v[id] = int(d)
    for i in range(8):
        s[i] = s[i] ^ v[i] ^ v[i + 8]
