"""The primitives on CPython, through PyNaCl's libsodium.

PyNaCl's public functions take and return `bytes`: a copy and an allocation a packet. Its cffi module reaches
the same library in place. Importing that module alone does not call sodium_init(), without which libsodium
stays on its slowest code.
"""

from struct import Struct

from nacl._sodium import ffi as _ffi
from nacl._sodium import lib as _lib

__all__ = (
    "address", "alike", "equal", "memzero", "open", "open_run", "random_fill", "same",
    "seal", "seal_run", "x25519", "x25519_base", "xopen", "xseal",
)

if _lib.sodium_init() < 0:
    raise ImportError("libsodium cannot be initialised")

_NULL = _ffi.NULL
_from_buffer = _ffi.from_buffer
_encrypt = _lib.crypto_aead_chacha20poly1305_ietf_encrypt
_decrypt = _lib.crypto_aead_chacha20poly1305_ietf_decrypt
_xencrypt = _lib.crypto_aead_xchacha20poly1305_ietf_encrypt
_xdecrypt = _lib.crypto_aead_xchacha20poly1305_ietf_decrypt

_COUNTER = Struct("<Q")
_pack_counter = _COUNTER.pack_into
_HEADER = Struct("<8sQ")
_pack_header = _HEADER.pack_into
_unpack_header = _HEADER.unpack_from

# The nonce of the IETF construction: four zero bytes, then the counter (RFC 8439, 2.8; WireGuard paper, 5.4.6).
_nonce = bytearray(12)
_nonce_pointer = _from_buffer(_nonce, require_writable=True)


def address(buf):
    """Return a pointer to the writable `buf`, which must live and keep its size as long as the pointer."""
    return _from_buffer("unsigned char[]", buf, require_writable=True)


def _want(buf, size):
    if len(buf) != size:
        raise ValueError("a buffer of %d bytes where %d belong" % (len(buf), size))


def random_fill(buf):
    """Fill `buf` from the system's random generator."""
    _lib.randombytes(_from_buffer(buf, require_writable=True), len(buf))


def memzero(buf):
    """Overwrite `buf` with zeros in a way that no optimiser removes."""
    _lib.sodium_memzero(_from_buffer(buf, require_writable=True), len(buf))


def equal(a, b):
    """Compare two strings of bytes in a time that depends on their lengths alone."""
    return len(a) == len(b) and _lib.sodium_memcmp(_from_buffer(a), _from_buffer(b), len(a)) == 0


def same(buf, a, b, size):
    """Whether `size` bytes at `a` and at `b` are the same. Not for secrets: it stops at the first difference."""
    return buf[a : a + size] == buf[b : b + size]


_ITEMS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def alike(view, at, size, stride, count):
    """Return how many of `count` strings, from the first on, equal the first. Not for secrets.

    One stands every `stride` bytes of the memoryview `view` from offset `at` on, `size` bytes: 1, 2, 4, 8 or 16.
    """
    if count < 2:
        return count
    if view[at : at + size] != view[at + stride : at + stride + size]:
        return 1
    # Slice by slice this would cost as much as all else that the interpreter does for a packet.
    width = min(size, 8)
    while stride % width:
        width >>= 1
    for column in range(at, at + size, width):
        items = view[column : column + (count - 1) * stride + width].cast(_ITEMS[width])[:: stride // width].tobytes()
        if items != items[:width] * count:
            count = next(i for i in range(1, count) if items[i * width : (i + 1) * width] != items[:width])
    return count


def x25519(out, scalar, point):
    """Write the shared secret to `out`; False when it is all zero, which no honest peer causes (RFC 7748, 6.1)."""
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
    if function in (_encrypt, _xencrypt):
        return function(out, _NULL, *arguments, _NULL, _from_buffer(nonce), _from_buffer(key))
    return function(out, _NULL, _NULL, *arguments, _from_buffer(nonce), _from_buffer(key))


def seal(out, key, counter, plain, ad):
    """Write ChaCha20-Poly1305 of `plain` with additional data `ad` and the tag to `out` (RFC 8439)."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _pack_counter(_nonce, 4, counter)
    _aead(_encrypt, out, key, _nonce, plain, ad)


def open(out, key, counter, sealed, ad):
    """Undo `seal` into `out`; False, with `out` unspecified, when the tag does not match."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _pack_counter(_nonce, 4, counter)
    return _aead(_decrypt, out, key, _nonce, sealed, ad) == 0


def xseal(out, key, nonce, plain, ad):
    """Write XChaCha20-Poly1305 under the 24-byte `nonce` to `out`, tag included."""
    _want(out, len(plain) + 16)
    _want(key, 32)
    _want(nonce, 24)
    _aead(_xencrypt, out, key, nonce, plain, ad)


def xopen(out, key, nonce, sealed, ad):
    """Undo `xseal` into `out`; False, with `out` unspecified, when the tag does not match."""
    _want(out, len(sealed) - 16)
    _want(key, 32)
    _want(nonce, 24)
    return _aead(_xdecrypt, out, key, nonce, sealed, ad) == 0


_PADDING = tuple(bytes(i) for i in range(16))


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets of the arena's slots `first` to `end` in place, as transport messages.

    arena    has `buffer`, `offsets` (of each slot's message), `pointers` (to each slot's packet, 16 bytes on) and
             `lengths`: of the packets; afterwards of the messages
    key      pointer to the sending key
    header   the message's first 8 bytes: type and receiver index
    counter  of the first packet; each next one has one more
    mtu      packets are padded with zeros to a multiple of 16, but not beyond this

    Returns the bytes of all messages.
    """
    buffer, offsets, pointers, lengths = arena.buffer, arena.offsets, arena.pointers, arena.lengths
    total = 0
    for slot in range(first, end):
        offset = offsets[slot]
        size = lengths[slot]
        packet = pointers[slot]
        padding = -size & 15
        if padding and size < mtu:
            if size + padding > mtu:
                padding = mtu - size
            at = offset + 16 + size
            buffer[at : at + padding] = _PADDING[padding]
            size += padding
        _pack_header(buffer, offset, header, counter)
        _pack_counter(_nonce, 4, counter)
        _encrypt(packet, _NULL, packet, size, _NULL, 0, _NULL, _nonce_pointer, key)
        size += 32
        lengths[slot] = size
        total += size
        counter += 1
    return total


def open_run(inbox, start, end, stride, key):
    """Open in place the datagrams of `inbox` that carry the same type and receiver as the one at `start`.

    inbox    has `buffer`, `pointer`, and the lists `counters` and `lengths` for the results: the message's
             counter, and the length of the opened packet, which stands 16 bytes into its datagram, or -1
             where the tag does not match
    end      where the received bytes end; a datagram every `stride` bytes, the last one may be shorter
    key      pointer to the receiving key

    Returns how many datagrams were taken: up to the first of another kind or shorter than 32 bytes, and no
    more than `counters` has room for.
    """
    buffer, pointer, counters, lengths = inbox.buffer, inbox.pointer, inbox.counters, inbox.lengths
    first = None
    most = len(counters)
    taken = 0
    while start + 32 <= end and taken < most:
        header, counter = _unpack_header(buffer, start)
        if header != first:
            if taken:
                break
            first = header
        size = end - start
        if size > stride:
            size = stride
        counters[taken] = counter
        _pack_counter(_nonce, 4, counter)
        packet = pointer + (start + 16)
        if _decrypt(packet, _NULL, _NULL, packet, size - 16, _NULL, 0, _nonce_pointer, key):
            lengths[taken] = -1
        else:
            lengths[taken] = size - 32
        start += stride
        taken += 1
    return taken
