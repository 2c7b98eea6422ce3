"""The contract of the batch steps (runs.py): what both backends offer, and what callers can rely on.

Nothing imports this file. It is the reference, and a test compares the backends with it.

Offsets and sizes are in bytes. A range does not include its `end`. Pointers are those of crypto. The functions check no
arguments, raise no errors and do not wait. They copy no packet. CPython makes small objects for each packet of a run;
MicroPython makes no objects on 64-bit machines.

A transport message has 8 bytes of type and receiver index, the counter (64 bits, little-endian), the encrypted packet,
and the tag of 16 bytes. So it is 32 bytes larger than its packet.
"""


def bytes_equal(buf, a, b, size):
    """Return whether the `size` bytes at the offsets `a` and `b` of `buf` are the same.

    Not for secrets, because its time depends on the content.
    """


def common_run(view, at, size, stride, count):
    """Return how many of `count` byte strings, counted from the first, are equal to the first. Not for secrets.

    view    a memoryview of bytes that contains all strings
    at      the offset of the first string
    size    the size of each string: 1, 2, 4, 8 or 16
    stride  the distance between two strings

    The result is `count` if that is 0 or 1.
    """


def run_end(numbers, first, end):
    """Return the end of the run of equal numbers that begins at the index `first` of a list; at most `end`.

    `first` is less than `end`.
    """


def message_pointers(pointer, message):
    """Return an opaque object that `seal_run` needs for this message. The arena keeps it in `pointers`.

    pointer  a pointer to the beginning of the buffer
    message  the offset of the message in the buffer
    """


def seal_run(arena, first, end, key, header, counter, mtu):
    """Pad and seal the packets in the arena's slots `first` to `end` - 1, in place, as transport messages.

    arena    has these attributes:
             buffer    the buffer, and `view`, a memoryview of it
             stride    the distance between two slots, a multiple of 4
             offsets   for each slot: the offset of its message. The packet begins 16 bytes later.
             pointers  for each slot: the `message_pointers` of its message
             lengths   for each slot: the length of its packet. The function replaces it with that of the message.
    key      a pointer to the sending key, 32 bytes
    header   the first 8 bytes of each message: the type and the receiver index
    counter  the counter of the first message; it increases by one for each message
    mtu      a packet is padded with zeros to a multiple of 16 bytes, but not beyond the MTU

    Returns the total size of the messages.
    """


def open_run(inbox, start, end, stride, key):
    """Open, in place, the datagrams of `inbox` that have the same type and receiver index as the one at offset `start`.

    inbox    has `buffer`, `view` (a memoryview of it), `pointer` (a pointer to it), and `pointers` (a list) and
             `pointers_for`, which only this function uses. The function fills in:
             counters  a list with the counter of each message
             lengths   a list with the length of each opened packet with its padding, or -1 if the tag is wrong. The
                       packet begins 16 bytes after the beginning of its datagram.
             in_order  whether all tags are right and each counter is one more than the counter before
    end      the end of the received bytes
    stride   the distance between two datagrams; the last one can be shorter
    key      a pointer to the receiving key, 32 bytes

    Returns the number of datagrams in the run. The run ends before the first datagram that has another header or less than
    32 bytes, and has at most as many datagrams as `counters` has items. Later datagrams are not changed. After the
    call, the content of a message with a wrong tag is undefined.
    """
