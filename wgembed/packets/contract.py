"""What both backends of the packet path's steps offer (runs.py), and what callers may rely on: the contract of this seam.

Nothing imports this file: it is the reference, and a test compares the backends with it.

Offsets and sizes are in bytes, ranges go up to `end` and do not include it. Pointers are those of crypto. Nothing here
checks its arguments, raises an error or waits. No packet is copied; CPython makes small objects for each packet of a run,
MicroPython none on 64-bit machines.

A transport message is 8 bytes of type and receiver index, the counter (64 bits, little endian), the encrypted packet,
and the tag of 16 bytes: 32 bytes more than its packet.
"""


def bytes_equal(buf, a, b, size):
    """Return whether the `size` bytes at the offsets `a` and `b` of `buf` are the same.

    Not for secrets: it stops at the first difference.
    """


def common_run(view, at, size, stride, count):
    """Return how many of `count` strings, from the first on, equal the first one. Not for secrets.

    view    a memoryview of bytes, which contains all of them
    at      offset of the first one; the next ones follow every `stride` bytes
    size    of each: 1, 2, 4, 8 or 16

    The result is `count` if that is 0 or 1.
    """


def run_end(numbers, first, end):
    """Return where the run of equal numbers ends that begins at index `first` of a list: `end` at most.

    `first` is less than `end`.
    """


def message_pointers(pointer, message):
    """Return what `seal_run` needs to know of a message: an opaque object to be kept in the arena's `pointers`.

    pointer  to the beginning of the buffer
    message  offset of the message in it
    """


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets in the arena's slots `first` to `end`, in place, as transport messages.

    arena    has `buffer`, and `view` of it; `stride`, the distance of slots, a multiple of 4; and for each slot
             `offsets` (of its message), `pointers` (`message_pointers` of that) and `lengths`: of the packet before, of
             the message afterwards. A packet is 16 bytes behind the beginning of its slot.
    key      pointer to the sending key, 32 bytes
    header   the first 8 bytes of every message: type and receiver index
    counter  of the first packet; each next one has one more
    mtu      a packet is padded with zeros to a multiple of 16 bytes, but not beyond this

    Returns the bytes of all messages together.
    """


def open_run(inbox, start, end, stride, key):
    """Open, in place, the datagrams of `inbox` that have the same type and receiver as the one at offset `start`.

    inbox    has `buffer`, `view` of it and `pointer` to it, and `pointers` and `pointers_for`, a list and anything, which
             this function keeps to itself. It fills in:
             counters  a list: the counter of each message
             lengths   a list as long: that of the opened packet, padding included, which is 16 bytes behind the
                       beginning of its datagram; -1 if the tag does not match
             in_order  whether all tags match and each counter is one more than the one before
    end      where the received bytes end
    stride   the distance of datagrams; the last one may be shorter
    key      pointer to the receiving key, 32 bytes

    Returns how many datagrams were taken: up to the first one with another header or with less than 32 bytes, and no more
    than `counters` has room for. What was beyond that is untouched. An opened message is destroyed, also by a wrong tag.
    """
