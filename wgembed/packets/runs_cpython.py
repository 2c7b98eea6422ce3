"""Operations on runs of packets, on CPython: see contract.py.

A function uses operations of the interpreter that do one thing to all packets of the run, for example a slice assignment.
Python statements for each packet would cost as much as the cipher.
"""

from struct import Struct, pack
from sys import byteorder

from ..crypto import NULL, pointer_to
from ..crypto import aead_decrypt as _decrypt
from ..crypto import aead_encrypt as _encrypt
from ..protocol.messages import TRANSPORT_COUNTER, TRANSPORT_PACKET, TRANSPORT_RECEIVER

__all__ = ("bytes_equal", "common_run", "message_pointers", "open_run", "run_end", "seal_run")

_COUNTER = Struct("<Q")
_pack_counter = _COUNTER.pack_into
_unpack_counter = _COUNTER.unpack_from
_pack_header = Struct("<8sQ").pack_into
_unpack_word = Struct("<I").unpack_from
_is_little_endian = byteorder == "little"

# The nonce of packets that are sealed one by one: four zero bytes, then the counter (RFC 8439, 2.8; the paper, 5.4.6).
_nonce = bytearray(12)
_nonce_pointer = pointer_to(_nonce)


def bytes_equal(buf, a, b, size):
    """Whether the `size` bytes at `a` and at `b` are the same. Not for secrets: see contract.py."""
    return buf[a : a + size] == buf[b : b + size]


_ITEMS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def common_run(view, at, size, stride, count):
    """Return how many of `count` byte strings, counted from the first, are equal to the first: see contract.py."""
    if count < 2:
        return count
    if view[at : at + size] != view[at + stride : at + stride + size]:
        return 1
    # One slice for each string would cost as much as everything else that the interpreter does for a packet.
    width = min(size, 8)
    while stride % width:
        width >>= 1
    for column in range(at, at + size, width):
        items = view[column : column + (count - 1) * stride + width].cast(_ITEMS[width])[:: stride // width].tobytes()
        if items != items[:width] * count:
            count = next(i for i in range(1, count) if items[i * width : (i + 1) * width] != items[:width])
    return count


def run_end(numbers, first, end):
    """Return the end of the run of equal numbers that begins at the index `first` of a list; at most `end`."""
    number = numbers[first]
    count = numbers[first:end].count(number)
    if numbers[first : first + count].count(number) == count:
        return first + count
    while numbers[first] == number:
        first += 1
    return first


_PADDING = tuple(bytes(i) for i in range(16))
_FEW = 4  # fewer packets of one size are sealed one by one

# The nonce is read from the message itself. The four bytes before the counter are the receiver index, and they are set to
# zero while the cipher runs.
_NONCE = TRANSPORT_RECEIVER
_COUNTER_LOW = TRANSPORT_COUNTER
_COUNTER_HIGH = TRANSPORT_COUNTER + 4
_PACKET = TRANSPORT_PACKET


def _column(view, at, stride, count):
    """Return words of four bytes: the first at offset `at`, then one every `stride` bytes. `stride` is a multiple of 4."""
    return view[at : at + 4 + (count - 1) * stride].cast("I")[:: stride >> 2]


def _fill(view, at, stride, count, word):
    """Write the four bytes `word` to `count` places: the first at offset `at`, then one every `stride` bytes."""
    if stride & 3:
        for start in range(at, at + count * stride, stride):
            view[start : start + 4] = word
    else:
        _column(view, at, stride, count)[:] = memoryview(word * count).cast("I")


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets in the arena's slots `first` to `end` - 1 in place: see contract.py."""
    lengths = arena.lengths
    total = 0
    while first < end:
        stop = run_end(lengths, first, end)
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
        packet, _ = arena.pointers[slot]
        _pack_header(arena.view, arena.offsets[slot], header, counter)
        _pack_counter(_nonce, 4, counter)
        _encrypt(packet, NULL, packet, size, NULL, 0, NULL, _nonce_pointer, key)
        counter += 1


def _seal_equal(arena, first, end, size, key, header, counter):
    view, stride, start, count = arena.view, arena.stride, arena.offsets[first], end - first
    counters = memoryview(pack("<%dQ" % count, *range(counter, counter + count))).cast("I")
    _fill(view, start, stride, count, header[:4])
    _fill(view, start + _NONCE, stride, count, b"\0\0\0\0")
    _column(view, start + _COUNTER_LOW, stride, count)[:] = counters[::2]
    _column(view, start + _COUNTER_HIGH, stride, count)[:] = counters[1::2]
    for packet, nonce in arena.pointers[first:end]:
        _encrypt(packet, NULL, packet, size, NULL, 0, NULL, nonce, key)
    _fill(view, start + _NONCE, stride, count, header[4:])


def open_run(inbox, start, end, stride, key):
    """Open in place the run of datagrams of `inbox` that begins at `start`: see contract.py."""
    view = inbox.view
    whole, rest = divmod(end - start, stride)
    count = common_run(view, start, 8, stride, min(whole + (rest >= 32), len(inbox.counters)))
    if not count:
        return 0
    counters = _read_counters(view, start, stride, count)
    _fill(view, start + _NONCE, stride, count, b"\0\0\0\0")
    whole = min(count, whole)
    pointers = _pointers(inbox, start, stride, count)
    failed = [_decrypt(p, NULL, NULL, p, stride - 16, NULL, 0, n, key) for p, n in pointers[:whole]]
    lengths = [stride - 32] * whole
    if count > whole:
        packet, nonce = pointers[whole]
        failed.append(_decrypt(packet, NULL, NULL, packet, rest - 16, NULL, 0, nonce, key))
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
    """Return the list of counters of `count` messages. The first message begins at `start`."""
    if _is_little_endian and not stride & 3 and common_run(view, start + _COUNTER_HIGH, 4, stride, count) == count:
        low = _column(view, start + _COUNTER_LOW, stride, count).tolist()
        high = _unpack_word(view, start + _COUNTER_HIGH)[0] << 32
        return [high | counter for counter in low] if high else low
    return [_unpack_counter(view, start + _COUNTER_LOW + i * stride)[0] for i in range(count)]


def _pointers(inbox, start, stride, count):
    """Return at least `count` pairs of pointers, to the packet and the nonce of each message in `open_run`."""
    pointers = inbox.pointers
    if inbox.pointers_for != (start, stride):
        inbox.pointers_for = start, stride
        pointers.clear()
    for number in range(len(pointers), count):
        pointers.append(message_pointers(inbox.pointer, start + number * stride))
    return pointers


def message_pointers(pointer, message):
    """Return a pair of pointers, to the packet and the nonce of the message at offset `message` from `pointer`."""
    return pointer + (message + _PACKET), pointer + (message + _NONCE)
