"""BLAKE2s compression on halves of 16 bits: for machines whose small ints do not hold a word of 32."""

from array import array

from ._tables import ORDER

# A round's places of the words at once, as in _words.py
_ROUNDS = tuple([tuple(ORDER[r : r + 16]) for r in range(0, 160, 16)])
_low = array("H", bytes(32))
_high = array("H", bytes(32))


def compress(state, block, count, final):
    """Update `state` (32 bytes, in place) with `block` (64 bytes); RFC 7693, 3.2.

    count  bytes hashed so far, with those of this block
    final  0xFFFF for the last block, otherwise 0
    """
    t = u = 0  # the interpreter reaches the first sixteen variables fastest
    low = _low
    high = _high
    for i in range(16):
        r = i << 2
        low[i] = block[r] | block[r + 1] << 8
        high[i] = block[r + 2] | block[r + 3] << 8
    l0 = state[0] | state[1] << 8
    h0 = state[2] | state[3] << 8
    l1 = state[4] | state[5] << 8
    h1 = state[6] | state[7] << 8
    l2 = state[8] | state[9] << 8
    h2 = state[10] | state[11] << 8
    l3 = state[12] | state[13] << 8
    h3 = state[14] | state[15] << 8
    l4 = state[16] | state[17] << 8
    h4 = state[18] | state[19] << 8
    l5 = state[20] | state[21] << 8
    h5 = state[22] | state[23] << 8
    l6 = state[24] | state[25] << 8
    h6 = state[26] | state[27] << 8
    l7 = state[28] | state[29] << 8
    h7 = state[30] | state[31] << 8
    l8 = 0xE667
    h8 = 0x6A09
    l9 = 0xAE85
    h9 = 0xBB67
    l10 = 0xF372
    h10 = 0x3C6E
    l11 = 0xF53A
    h11 = 0xA54F
    l12 = 0x527F
    h12 = 0x510E
    l13 = 0x688C
    h13 = 0x9B05
    l14 = 0xD9AB
    h14 = 0x1F83
    l15 = 0xCD19
    h15 = 0x5BE0
    l12 ^= count & 0xFFFF
    h12 ^= count >> 16
    l14 ^= final
    h14 ^= final
    # One round, unrolled: in a loop over indices, half of the time would be spent on access to the words.
    for m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15 in _ROUNDS:
        t = l0 + l4 + low[m0]
        h0 = (h0 + h4 + high[m0] + (t >> 16)) & 0xFFFF
        l0 = t & 0xFFFF
        t = l12 ^ l0
        l12 = h12 ^ h0
        h12 = t
        t = l8 + l12
        h8 = (h8 + h12 + (t >> 16)) & 0xFFFF
        l8 = t & 0xFFFF
        t = l4 ^ l8
        u = h4 ^ h8
        l4 = (t >> 12 | u << 4) & 0xFFFF
        h4 = (u >> 12 | t << 4) & 0xFFFF
        t = l0 + l4 + low[m1]
        h0 = (h0 + h4 + high[m1] + (t >> 16)) & 0xFFFF
        l0 = t & 0xFFFF
        t = l12 ^ l0
        u = h12 ^ h0
        l12 = (t >> 8 | u << 8) & 0xFFFF
        h12 = (u >> 8 | t << 8) & 0xFFFF
        t = l8 + l12
        h8 = (h8 + h12 + (t >> 16)) & 0xFFFF
        l8 = t & 0xFFFF
        t = l4 ^ l8
        u = h4 ^ h8
        l4 = (t >> 7 | u << 9) & 0xFFFF
        h4 = (u >> 7 | t << 9) & 0xFFFF
        t = l1 + l5 + low[m2]
        h1 = (h1 + h5 + high[m2] + (t >> 16)) & 0xFFFF
        l1 = t & 0xFFFF
        t = l13 ^ l1
        l13 = h13 ^ h1
        h13 = t
        t = l9 + l13
        h9 = (h9 + h13 + (t >> 16)) & 0xFFFF
        l9 = t & 0xFFFF
        t = l5 ^ l9
        u = h5 ^ h9
        l5 = (t >> 12 | u << 4) & 0xFFFF
        h5 = (u >> 12 | t << 4) & 0xFFFF
        t = l1 + l5 + low[m3]
        h1 = (h1 + h5 + high[m3] + (t >> 16)) & 0xFFFF
        l1 = t & 0xFFFF
        t = l13 ^ l1
        u = h13 ^ h1
        l13 = (t >> 8 | u << 8) & 0xFFFF
        h13 = (u >> 8 | t << 8) & 0xFFFF
        t = l9 + l13
        h9 = (h9 + h13 + (t >> 16)) & 0xFFFF
        l9 = t & 0xFFFF
        t = l5 ^ l9
        u = h5 ^ h9
        l5 = (t >> 7 | u << 9) & 0xFFFF
        h5 = (u >> 7 | t << 9) & 0xFFFF
        t = l2 + l6 + low[m4]
        h2 = (h2 + h6 + high[m4] + (t >> 16)) & 0xFFFF
        l2 = t & 0xFFFF
        t = l14 ^ l2
        l14 = h14 ^ h2
        h14 = t
        t = l10 + l14
        h10 = (h10 + h14 + (t >> 16)) & 0xFFFF
        l10 = t & 0xFFFF
        t = l6 ^ l10
        u = h6 ^ h10
        l6 = (t >> 12 | u << 4) & 0xFFFF
        h6 = (u >> 12 | t << 4) & 0xFFFF
        t = l2 + l6 + low[m5]
        h2 = (h2 + h6 + high[m5] + (t >> 16)) & 0xFFFF
        l2 = t & 0xFFFF
        t = l14 ^ l2
        u = h14 ^ h2
        l14 = (t >> 8 | u << 8) & 0xFFFF
        h14 = (u >> 8 | t << 8) & 0xFFFF
        t = l10 + l14
        h10 = (h10 + h14 + (t >> 16)) & 0xFFFF
        l10 = t & 0xFFFF
        t = l6 ^ l10
        u = h6 ^ h10
        l6 = (t >> 7 | u << 9) & 0xFFFF
        h6 = (u >> 7 | t << 9) & 0xFFFF
        t = l3 + l7 + low[m6]
        h3 = (h3 + h7 + high[m6] + (t >> 16)) & 0xFFFF
        l3 = t & 0xFFFF
        t = l15 ^ l3
        l15 = h15 ^ h3
        h15 = t
        t = l11 + l15
        h11 = (h11 + h15 + (t >> 16)) & 0xFFFF
        l11 = t & 0xFFFF
        t = l7 ^ l11
        u = h7 ^ h11
        l7 = (t >> 12 | u << 4) & 0xFFFF
        h7 = (u >> 12 | t << 4) & 0xFFFF
        t = l3 + l7 + low[m7]
        h3 = (h3 + h7 + high[m7] + (t >> 16)) & 0xFFFF
        l3 = t & 0xFFFF
        t = l15 ^ l3
        u = h15 ^ h3
        l15 = (t >> 8 | u << 8) & 0xFFFF
        h15 = (u >> 8 | t << 8) & 0xFFFF
        t = l11 + l15
        h11 = (h11 + h15 + (t >> 16)) & 0xFFFF
        l11 = t & 0xFFFF
        t = l7 ^ l11
        u = h7 ^ h11
        l7 = (t >> 7 | u << 9) & 0xFFFF
        h7 = (u >> 7 | t << 9) & 0xFFFF
        t = l0 + l5 + low[m8]
        h0 = (h0 + h5 + high[m8] + (t >> 16)) & 0xFFFF
        l0 = t & 0xFFFF
        t = l15 ^ l0
        l15 = h15 ^ h0
        h15 = t
        t = l10 + l15
        h10 = (h10 + h15 + (t >> 16)) & 0xFFFF
        l10 = t & 0xFFFF
        t = l5 ^ l10
        u = h5 ^ h10
        l5 = (t >> 12 | u << 4) & 0xFFFF
        h5 = (u >> 12 | t << 4) & 0xFFFF
        t = l0 + l5 + low[m9]
        h0 = (h0 + h5 + high[m9] + (t >> 16)) & 0xFFFF
        l0 = t & 0xFFFF
        t = l15 ^ l0
        u = h15 ^ h0
        l15 = (t >> 8 | u << 8) & 0xFFFF
        h15 = (u >> 8 | t << 8) & 0xFFFF
        t = l10 + l15
        h10 = (h10 + h15 + (t >> 16)) & 0xFFFF
        l10 = t & 0xFFFF
        t = l5 ^ l10
        u = h5 ^ h10
        l5 = (t >> 7 | u << 9) & 0xFFFF
        h5 = (u >> 7 | t << 9) & 0xFFFF
        t = l1 + l6 + low[m10]
        h1 = (h1 + h6 + high[m10] + (t >> 16)) & 0xFFFF
        l1 = t & 0xFFFF
        t = l12 ^ l1
        l12 = h12 ^ h1
        h12 = t
        t = l11 + l12
        h11 = (h11 + h12 + (t >> 16)) & 0xFFFF
        l11 = t & 0xFFFF
        t = l6 ^ l11
        u = h6 ^ h11
        l6 = (t >> 12 | u << 4) & 0xFFFF
        h6 = (u >> 12 | t << 4) & 0xFFFF
        t = l1 + l6 + low[m11]
        h1 = (h1 + h6 + high[m11] + (t >> 16)) & 0xFFFF
        l1 = t & 0xFFFF
        t = l12 ^ l1
        u = h12 ^ h1
        l12 = (t >> 8 | u << 8) & 0xFFFF
        h12 = (u >> 8 | t << 8) & 0xFFFF
        t = l11 + l12
        h11 = (h11 + h12 + (t >> 16)) & 0xFFFF
        l11 = t & 0xFFFF
        t = l6 ^ l11
        u = h6 ^ h11
        l6 = (t >> 7 | u << 9) & 0xFFFF
        h6 = (u >> 7 | t << 9) & 0xFFFF
        t = l2 + l7 + low[m12]
        h2 = (h2 + h7 + high[m12] + (t >> 16)) & 0xFFFF
        l2 = t & 0xFFFF
        t = l13 ^ l2
        l13 = h13 ^ h2
        h13 = t
        t = l8 + l13
        h8 = (h8 + h13 + (t >> 16)) & 0xFFFF
        l8 = t & 0xFFFF
        t = l7 ^ l8
        u = h7 ^ h8
        l7 = (t >> 12 | u << 4) & 0xFFFF
        h7 = (u >> 12 | t << 4) & 0xFFFF
        t = l2 + l7 + low[m13]
        h2 = (h2 + h7 + high[m13] + (t >> 16)) & 0xFFFF
        l2 = t & 0xFFFF
        t = l13 ^ l2
        u = h13 ^ h2
        l13 = (t >> 8 | u << 8) & 0xFFFF
        h13 = (u >> 8 | t << 8) & 0xFFFF
        t = l8 + l13
        h8 = (h8 + h13 + (t >> 16)) & 0xFFFF
        l8 = t & 0xFFFF
        t = l7 ^ l8
        u = h7 ^ h8
        l7 = (t >> 7 | u << 9) & 0xFFFF
        h7 = (u >> 7 | t << 9) & 0xFFFF
        t = l3 + l4 + low[m14]
        h3 = (h3 + h4 + high[m14] + (t >> 16)) & 0xFFFF
        l3 = t & 0xFFFF
        t = l14 ^ l3
        l14 = h14 ^ h3
        h14 = t
        t = l9 + l14
        h9 = (h9 + h14 + (t >> 16)) & 0xFFFF
        l9 = t & 0xFFFF
        t = l4 ^ l9
        u = h4 ^ h9
        l4 = (t >> 12 | u << 4) & 0xFFFF
        h4 = (u >> 12 | t << 4) & 0xFFFF
        t = l3 + l4 + low[m15]
        h3 = (h3 + h4 + high[m15] + (t >> 16)) & 0xFFFF
        l3 = t & 0xFFFF
        t = l14 ^ l3
        u = h14 ^ h3
        l14 = (t >> 8 | u << 8) & 0xFFFF
        h14 = (u >> 8 | t << 8) & 0xFFFF
        t = l9 + l14
        h9 = (h9 + h14 + (t >> 16)) & 0xFFFF
        l9 = t & 0xFFFF
        t = l4 ^ l9
        u = h4 ^ h9
        l4 = (t >> 7 | u << 9) & 0xFFFF
        h4 = (u >> 7 | t << 9) & 0xFFFF
    _mix(state, 0, l0 ^ l8, h0 ^ h8)
    _mix(state, 4, l1 ^ l9, h1 ^ h9)
    _mix(state, 8, l2 ^ l10, h2 ^ h10)
    _mix(state, 12, l3 ^ l11, h3 ^ h11)
    _mix(state, 16, l4 ^ l12, h4 ^ h12)
    _mix(state, 20, l5 ^ l13, h5 ^ h13)
    _mix(state, 24, l6 ^ l14, h6 ^ h14)
    _mix(state, 28, l7 ^ l15, h7 ^ h15)


def _mix(state, i, low, high):
    """Xor a word of 32 bits, given as halves, into the state."""
    state[i] ^= low & 255
    state[i + 1] ^= low >> 8
    state[i + 2] ^= high & 255
    state[i + 3] ^= high >> 8
