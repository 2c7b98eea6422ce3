"""The primitives on MicroPython: libsodium through `ffi`.

Pointers are ints. On 64-bit machines the two run functions allocate nothing; where pointers do not fit a small int
they leave some garbage, but keep nothing.
"""

# A star import takes every name without an underscore here, whatever __all__ says.
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
    raise ImportError("none of " + ", ".join(_SONAMES) + " can be loaded")


_lib = _load()
if _lib.func("i", "sodium_init", "")() < 0:
    raise ImportError("libsodium cannot be initialised")

_ENCRYPT = "PPPQPQPPP"
_DECRYPT = "PPPPQPQPP"
_encrypt = _lib.func("i", "crypto_aead_chacha20poly1305_ietf_encrypt", _ENCRYPT)
_decrypt = _lib.func("i", "crypto_aead_chacha20poly1305_ietf_decrypt", _DECRYPT)
_xencrypt = _lib.func("i", "crypto_aead_xchacha20poly1305_ietf_encrypt", _ENCRYPT)
_xdecrypt = _lib.func("i", "crypto_aead_xchacha20poly1305_ietf_decrypt", _DECRYPT)
_scalarmult = _lib.func("i", "crypto_scalarmult_curve25519", "PPP")
_scalarmult_base = _lib.func("i", "crypto_scalarmult_curve25519_base", "PP")
_randombytes = _lib.func("v", "randombytes_buf", "PL")
_sodium_memzero = _lib.func("v", "sodium_memzero", "PL")
_sodium_memcmp = _lib.func("i", "sodium_memcmp", "PPL")
_memcpy = _ffi.open(None).func("v", "memcpy", "PPL")
_memset = _ffi.open(None).func("v", "memset", "PiL")

# The nonce of the IETF construction: four zero bytes, then the counter (RFC 8439, 2.8; WireGuard paper, 5.4.6).
_nonce = bytearray(12)
_nonce_pointer = _uctypes.addressof(_nonce)
_counter_pointer = _nonce_pointer + 4
_nonce_fields = _uctypes.struct(_nonce_pointer, {"counter": _uctypes.UINT64 | 4}, _uctypes.LITTLE_ENDIAN)


def address(buf):
    """Return a pointer to the writable `buf`, which must live and keep its size as long as the pointer."""
    return _uctypes.addressof(buf)


def number(pointer):
    """Return the address that the pointer holds."""
    return pointer


def aead():
    """Return the addresses of libsodium's AEAD and its parts: see `wgembed.crypto`."""
    prefix = "crypto_aead_chacha20poly1305_ietf_"
    names = prefix + "encrypt", prefix + "decrypt", "crypto_stream_chacha20_ietf_xor_ic", "crypto_onetimeauth_poly1305"
    return [_lib.addr(name) for name in names + ("crypto_verify_16",)]


def _want(buf, size):
    if len(buf) != size:
        raise ValueError(f"a buffer of {len(buf)} bytes where {size} belong")


def random_fill(buf):
    """Fill `buf` from the system's random generator."""
    _randombytes(buf, len(buf))


def forget(data):
    """Overwrite bytes that a function has just made, and that nobody but the caller has: they hold a secret."""
    _sodium_memzero(data, len(data))


def memzero(buf):
    """Overwrite `buf` with zeros in a way that no optimiser removes."""
    _sodium_memzero(buf, len(buf))


def equal(a, b):
    """Compare two strings of bytes in a time that depends on their lengths alone."""
    return len(a) == len(b) and _sodium_memcmp(a, b, len(a)) == 0


def same(buf, a, b, size):
    """Whether `size` bytes at `a` and at `b` are the same. Not for secrets: it stops at the first difference."""
    while size:
        # From the end, where addresses differ first.
        size -= 1
        if buf[a + size] != buf[b + size]:
            return False
    return True


def alike(view, at, size, stride, count):
    """Return how many of `count` strings, from the first on, equal the first. Not for secrets.

    One stands every `stride` bytes of `view` from offset `at` on, `size` bytes.
    """
    first = other = _uctypes.addressof(view) + at
    for number in range(1, count):
        other += stride
        if _sodium_memcmp(first, other, size):
            return number
    return count


def x25519(out, scalar, point):
    """Write the shared secret to `out`; False when it is all zero, which no honest peer causes (RFC 7748, 6.1)."""
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
    """Write ChaCha20-Poly1305 of `plain` with additional data `ad` and the tag to `out` (RFC 8439)."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _pack_into("<Q", _nonce, 4, counter)
    _encrypt(out, 0, plain, len(plain), ad, len(ad), 0, _nonce, key)


def open(out, key, counter, sealed, ad):
    """Undo `seal` into `out`; False, with `out` unspecified, when the tag does not match."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _pack_into("<Q", _nonce, 4, counter)
    return _decrypt(out, 0, 0, sealed, len(sealed), ad, len(ad), _nonce, key) == 0


def xseal(out, key, nonce, plain, ad):
    """Write XChaCha20-Poly1305 under the 24-byte `nonce` to `out`, tag included."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _want(nonce, 24)
    _xencrypt(out, 0, plain, len(plain), ad, len(ad), 0, nonce, key)


def xopen(out, key, nonce, sealed, ad):
    """Undo `xseal` into `out`; False, with `out` unspecified, when the tag does not match."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _want(nonce, 24)
    return _xdecrypt(out, 0, 0, sealed, len(sealed), ad, len(ad), nonce, key) == 0


def end_of_equal(numbers, first, end):
    """Return where the run of equal numbers ends that begins at `first` of the list, `end` at most."""
    number = numbers[first]
    while first < end and numbers[first] == number:
        first += 1
    return first


def place(pointer, message):
    """Return what the run functions need to know of the message at offset `message` from `pointer`: where its packet is."""
    return pointer + message + 16


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets of the arena's slots `first` to `end` in place, as transport messages.

    arena    has `buffer`, `offsets` (of each slot's message), `places` (what `place` gives for each) and `lengths`: of
             the packets; afterwards of the messages
    key      pointer to the sending key
    header   the message's first 8 bytes: type and receiver index
    counter  of the first packet; each next one has one more
    mtu      packets are padded with zeros to a multiple of 16, but not beyond this

    Returns the bytes of all messages.
    """
    # One by one: a tuple of four would be an allocation.
    buffer = arena.buffer
    offsets = arena.offsets
    places = arena.places
    lengths = arena.lengths
    kind = header[0] | header[1] << 8 | header[2] << 16 | header[3] << 24
    receiver = header[4] | header[5] << 8 | header[6] << 16 | header[7] << 24
    total = 0
    for slot in range(first, end):
        size = lengths[slot]
        packet = places[slot]
        padding = -size & 15
        if padding and size < mtu:
            if size + padding > mtu:
                padding = mtu - size
            _memset(packet + size, 0, padding)
            size += padding
        _pack_into("<IIQ", buffer, offsets[slot], kind, receiver, counter)
        _pack_into("<Q", _nonce, 4, counter)
        _encrypt(packet, 0, packet, size, 0, 0, 0, _nonce_pointer, key)
        size += 32
        lengths[slot] = size
        total += size
        counter += 1
    return total


def open_run(inbox, start, end, stride, key):
    """Open in place the datagrams of `inbox` that carry the same type and receiver as the one at `start`.

    inbox    has `buffer`, `pointer`, and for the results the lists `counters` and `lengths`: the message's
             counter, and the length of the opened packet, which stands 16 bytes into its datagram, or -1
             where the tag does not match; and `in_order`: whether all tags match and each counter is one more than the
             one before
    end      where the received bytes end; a datagram every `stride` bytes, the last one may be shorter
    key      pointer to the receiving key

    Returns how many datagrams were taken: up to the first of another kind or shorter than 32 bytes, and no
    more than `counters` has room for.
    """
    counters = inbox.counters
    lengths = inbox.lengths
    first = message = inbox.pointer + start
    left = end - start
    most = len(counters)
    taken = expected = 0
    in_order = True
    while left >= 32 and taken < most:
        if _sodium_memcmp(message, first, 8):
            break
        size = left
        if size > stride:
            size = stride
        _memcpy(_counter_pointer, message + 8, 8)
        counters[taken] = counter = _nonce_fields.counter
        if taken and counter != expected:
            in_order = False
        expected = counter + 1
        packet = message + 16
        if _decrypt(packet, 0, 0, packet, size - 16, 0, 0, _nonce_pointer, key):
            lengths[taken] = -1
            in_order = False
        else:
            lengths[taken] = size - 32
        message += stride
        left -= stride
        taken += 1
    inbox.in_order = in_order
    return taken
