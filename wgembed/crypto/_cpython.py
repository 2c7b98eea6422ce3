"""The primitives on CPython, through PyNaCl's libsodium.

PyNaCl's public functions take and return `bytes`: a copy and an allocation a packet. Its cffi module reaches
the same library in place. Importing that module alone does not call sodium_init(), without which libsodium
stays on its slowest code.
"""

from struct import Struct, pack
from sys import byteorder

from nacl._sodium import __file__ as _path
from nacl._sodium import ffi as _ffi
from nacl._sodium import lib as _lib

__all__ = (
    "address",
    "aead",
    "alike",
    "end_of_equal",
    "equal",
    "forget",
    "memzero",
    "number",
    "open",
    "open_run",
    "place",
    "random_fill",
    "same",
    "seal",
    "seal_run",
    "x25519",
    "x25519_base",
    "xopen",
    "xseal",
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
_unpack_counter = _COUNTER.unpack_from
_unpack_word = Struct("<I").unpack_from
_is_little_endian = byteorder == "little"

# The nonce of the IETF construction: four zero bytes, then the counter (RFC 8439, 2.8; WireGuard paper, 5.4.6).
_nonce = bytearray(12)
_nonce_pointer = _from_buffer(_nonce, require_writable=True)


def address(buf):
    """Return a pointer to the writable `buf`, which must live and keep its size as long as the pointer."""
    if isinstance(buf, memoryview):
        # Of what it shows: a garbage collection that meets a view and a pointer into it clears the view first, and crashes.
        if len(buf.obj) != buf.nbytes:
            raise ValueError("a pointer to a part of a buffer")
        buf = buf.obj
    return _from_buffer("unsigned char[]", buf, require_writable=True)


def number(pointer):
    """Return the address that the pointer holds."""
    return int(_ffi.cast("uintptr_t", pointer))


def aead():
    """Return the addresses of libsodium's AEAD and its parts: see `wgembed.crypto`."""
    prefix = "crypto_aead_chacha20poly1305_ietf_"
    whole = [number(_ffi.addressof(_lib, prefix + name)) for name in ("encrypt", "decrypt")]
    return whole + _parts_of_aead()


def _parts_of_aead():
    """Return the addresses of what PyNaCl links but does not declare, as the linker finds them; zeros if it does not."""
    try:
        import _cffi_backend as cffi  # not before it is needed: most processes here load no library

        library, kind = cffi.load_library(_path, 0), _ffi.typeof("void (*)(void)")
        names = "crypto_stream_chacha20_ietf_xor_ic", "crypto_onetimeauth_poly1305", "crypto_verify_16"
        return [number(library.load_function(kind, name)) for name in names]
    except (ImportError, OSError, AttributeError):
        return [0, 0, 0]


def _want(buf, size):
    if len(buf) != size:
        raise ValueError("a buffer of %d bytes where %d belong" % (len(buf), size))


def random_fill(buf):
    """Fill `buf` from the system's random generator."""
    _lib.randombytes(_from_buffer(buf, require_writable=True), len(buf))


def memzero(buf):
    """Overwrite `buf` with zeros in a way that no optimiser removes."""
    _lib.sodium_memzero(_from_buffer(buf, require_writable=True), len(buf))


def forget(data):
    """Overwrite bytes that a function has just made, and that nobody but the caller has: they hold a secret."""
    _lib.sodium_memzero(_from_buffer(data), len(data))


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


def end_of_equal(numbers, first, end):
    """Return where the run of equal numbers ends that begins at `first` of the list, `end` at most."""
    number = numbers[first]
    count = numbers[first:end].count(number)
    if numbers[first : first + count].count(number) == count:
        return first + count
    while numbers[first] == number:
        first += 1
    return first


# What the run functions do is spread over loops within the interpreter, each of which does one thing to all packets of
# the run: statement by statement, they would cost as much as the cipher.

_PADDING = tuple(bytes(i) for i in range(16))
_FEW = 4  # so many packets of one size are sealed one by one

# The nonce is taken from where it stands in the message: before the counter are the four bytes of the receiver's index,
# which are zero for as long as that takes.
_NONCE = 4
_COUNTER_LOW = 8
_COUNTER_HIGH = 12
_PACKET = 16


def _column(view, at, stride, count):
    """Return the words of four bytes that stand every `stride` bytes, a multiple of 4, from offset `at` on."""
    return view[at : at + 4 + (count - 1) * stride].cast("I")[:: stride >> 2]


def _fill(view, at, stride, count, word):
    """Write the four bytes `word` at `count` places, one every `stride` bytes from offset `at` on."""
    if stride & 3:
        for start in range(at, at + count * stride, stride):
            view[start : start + 4] = word
    else:
        _column(view, at, stride, count)[:] = memoryview(word * count).cast("I")


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets of the arena's slots `first` to `end` in place, as transport messages.

    arena    has `view`, `offsets` (of each slot's message), `places` (what `place` gives for each), the `stride` of the
             slots, a multiple of 4, and `lengths`: of the packets; afterwards of the messages
    key      pointer to the sending key
    header   the message's first 8 bytes: type and receiver index
    counter  of the first packet; each next one has one more
    mtu      packets are padded with zeros to a multiple of 16, but not beyond this

    Returns the bytes of all messages.
    """
    lengths = arena.lengths
    total = 0
    while first < end:
        stop = end_of_equal(lengths, first, end)
        count = stop - first
        size = lengths[first]
        padded = size + max(0, min(-size & 15, mtu - size))
        if padded > size:
            for at in range(arena.offsets[first] + _PACKET + size, arena.offsets[stop - 1] + arena.stride, arena.stride):
                arena.view[at : at + padded - size] = _PADDING[padded - size]
        if count < _FEW:
            _seal_each(arena, first, stop, padded, key, header, counter)
        else:
            _seal_equal(arena, first, stop, padded, key, header, counter)
        size = padded + 32
        lengths[first:stop] = [size] * count
        total += size * count
        counter += count
        first = stop
    return total


def _seal_each(arena, first, end, size, key, header, counter):
    for slot in range(first, end):
        packet, _ = arena.places[slot]
        _pack_header(arena.view, arena.offsets[slot], header, counter)
        _pack_counter(_nonce, 4, counter)
        _encrypt(packet, _NULL, packet, size, _NULL, 0, _NULL, _nonce_pointer, key)
        counter += 1


def _seal_equal(arena, first, end, size, key, header, counter):
    view, stride, start, count = arena.view, arena.stride, arena.offsets[first], end - first
    counters = memoryview(pack("<%dQ" % count, *range(counter, counter + count))).cast("I")
    _fill(view, start, stride, count, header[:4])
    _fill(view, start + _NONCE, stride, count, b"\0\0\0\0")
    _column(view, start + _COUNTER_LOW, stride, count)[:] = counters[::2]
    _column(view, start + _COUNTER_HIGH, stride, count)[:] = counters[1::2]
    for packet, nonce in arena.places[first:end]:
        _encrypt(packet, _NULL, packet, size, _NULL, 0, _NULL, nonce, key)
    _fill(view, start + _NONCE, stride, count, header[4:])


def open_run(inbox, start, end, stride, key):
    """Open in place the datagrams of `inbox` that carry the same type and receiver as the one at `start`.

    inbox    has `view`, `pointer`, `places` and `placed` (what is kept from run to run), and for the results the lists
             `counters` and `lengths`: the message's counter, and the length of the opened packet, which stands
             16 bytes into its datagram, or -1 where the tag does not match; and `in_order`: whether all tags match and
             each counter is one more than the one before
    end      where the received bytes end; a datagram every `stride` bytes, the last one may be shorter
    key      pointer to the receiving key

    Returns how many datagrams were taken: up to the first of another kind or shorter than 32 bytes, and no
    more than `counters` has room for.
    """
    view = inbox.view
    whole, rest = divmod(end - start, stride)
    count = alike(view, start, 8, stride, min(whole + (rest >= 32), len(inbox.counters)))
    if not count:
        return 0
    counters = _read_counters(view, start, stride, count)
    _fill(view, start + _NONCE, stride, count, b"\0\0\0\0")
    whole = min(count, whole)
    places = _places(inbox, start, stride, count)
    failed = [_decrypt(p, _NULL, _NULL, p, stride - 16, _NULL, 0, n, key) for p, n in places[:whole]]
    lengths = [stride - 32] * whole
    if count > whole:
        packet, nonce = places[whole]
        failed.append(_decrypt(packet, _NULL, _NULL, packet, rest - 16, _NULL, 0, nonce, key))
        lengths.append(rest - 32)
    if any(failed):
        lengths = [-1 if wrong else length for wrong, length in zip(failed, lengths, strict=True)]
        inbox.in_order = False
    else:
        inbox.in_order = counters == list(range(counters[0], counters[0] + count))
    inbox.counters[:count] = counters
    inbox.lengths[:count] = lengths
    return count


def _read_counters(view, start, stride, count):
    """Return the counters of the messages, of which the first begins at `start`."""
    if _is_little_endian and not stride & 3 and alike(view, start + _COUNTER_HIGH, 4, stride, count) == count:
        low = _column(view, start + _COUNTER_LOW, stride, count).tolist()
        high = _unpack_word(view, start + _COUNTER_HIGH)[0] << 32
        return [high | counter for counter in low] if high else low
    return [_unpack_counter(view, start + _COUNTER_LOW + i * stride)[0] for i in range(count)]


def _places(inbox, start, stride, count):
    """Return at least `count` pairs of pointers, to a packet and its nonce, for messages as in `open_run`."""
    places = inbox.places
    if inbox.placed != (start, stride):
        inbox.placed = start, stride
        places.clear()
    for number in range(len(places), count):
        places.append(place(inbox.pointer, start + number * stride))
    return places


def place(pointer, message):
    """Return what the run functions need to know of the message at offset `message` from `pointer`."""
    return pointer + (message + _PACKET), pointer + (message + _NONCE)
