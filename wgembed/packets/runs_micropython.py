"""Operations on runs of packets, on MicroPython: see contract.py.

On 64-bit machines nothing here allocates. If pointers do not fit into a small int, the functions leave some garbage.
"""

# Here a star import imports every name without an underscore, because MicroPython ignores __all__.
from struct import pack_into as _pack_into

import ffi as _ffi
import uctypes as _uctypes

from ..crypto import aead_decrypt as _decrypt
from ..crypto import aead_encrypt as _encrypt

_libc = _ffi.open(None)
_memcmp = _libc.func("i", "memcmp", "PPL")
_memcpy = _libc.func("v", "memcpy", "PPL")
_memset = _libc.func("v", "memset", "PiL")

# The nonce of the IETF construction: four zero bytes, then the counter (RFC 8439, 2.8; WireGuard paper, 5.4.6).
_nonce = bytearray(12)
_nonce_pointer = _uctypes.addressof(_nonce)
_counter_pointer = _nonce_pointer + 4
_nonce_fields = _uctypes.struct(_nonce_pointer, {"counter": _uctypes.UINT64 | 4}, _uctypes.LITTLE_ENDIAN)


def bytes_equal(buf, a, b, size):
    """Whether the `size` bytes at `a` and at `b` are the same. Not for secrets: see contract.py."""
    while size:
        # From the end, because most addresses differ there.
        size -= 1
        if buf[a + size] != buf[b + size]:
            return False
    return True


def common_run(view, at, size, stride, count):
    """Return how many of `count` byte strings, counted from the first, are equal to the first: see contract.py."""
    first = other = _uctypes.addressof(view) + at
    for number in range(1, count):
        other += stride
        if _memcmp(first, other, size):
            return number
    return count


def run_end(numbers, first, end):
    """Return the end of the run of equal numbers that begins at the index `first` of a list; at most `end`."""
    number = numbers[first]
    while first < end and numbers[first] == number:
        first += 1
    return first


def message_pointers(pointer, message):
    """Return a pointer to the packet of the message at offset `message` from `pointer`."""
    return pointer + message + 16


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets in the arena's slots `first` to `end` - 1 in place: see contract.py."""
    # Four assignments, because a tuple of four values would be allocated.
    buffer = arena.buffer
    offsets = arena.offsets
    pointers = arena.pointers
    lengths = arena.lengths
    kind = header[0] | header[1] << 8 | header[2] << 16 | header[3] << 24
    receiver = header[4] | header[5] << 8 | header[6] << 16 | header[7] << 24
    total = 0
    for slot in range(first, end):
        size = lengths[slot]
        packet = pointers[slot]
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
    """Open in place the run of datagrams of `inbox` that begins at `start`: see contract.py."""
    counters = inbox.counters
    lengths = inbox.lengths
    first = message = inbox.pointer + start
    left = end - start
    most = len(counters)
    taken = expected = 0
    in_order = True
    while left >= 32 and taken < most:
        if _memcmp(message, first, 8):
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
