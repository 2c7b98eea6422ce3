"""What is done to runs of packets, on MicroPython: see contract.py.

On 64-bit machines nothing here allocates; where pointers do not fit a small int some garbage is left, but nothing kept.
"""

# A star import takes every name without an underscore here, whatever __all__ says.
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
    """Whether `size` bytes at `a` and at `b` are the same. Not for secrets: it stops at the first difference."""
    while size:
        # From the end, where addresses differ first.
        size -= 1
        if buf[a + size] != buf[b + size]:
            return False
    return True


def common_run(view, at, size, stride, count):
    """Return how many of `count` strings, from the first on, equal the first. Not for secrets.

    One stands every `stride` bytes of `view` from offset `at` on, `size` bytes.
    """
    first = other = _uctypes.addressof(view) + at
    for number in range(1, count):
        other += stride
        if _memcmp(first, other, size):
            return number
    return count


def run_end(numbers, first, end):
    """Return where the run of equal numbers ends that begins at `first` of the list, `end` at most."""
    number = numbers[first]
    while first < end and numbers[first] == number:
        first += 1
    return first


def message_pointers(pointer, message):
    """Return what the run functions need to know of the message at offset `message` from `pointer`: where its packet is."""
    return pointer + message + 16


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets of the arena's slots `first` to `end` in place, as transport messages: see contract.py."""
    # One by one: a tuple of four would be an allocation.
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
