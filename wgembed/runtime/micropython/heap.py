"""Room at the beginning of the heap for the frames of calls.

A function of more than a few variables gets its frame from the heap, and gives it back. The heap is searched from its
beginning for room, a byte for every four blocks; behind all that the program keeps, which is thousands of blocks, that
search took more time than anything else that the interpreter does for a packet. So a piece of the heap is taken before
anything is loaded, and is free from then on, but while things are made that stay: they would be put there.
"""

import gc
from sys import maxsize

from uctypes import addressof

# The collector runs when so many bytes were allocated, long before the heap is full: what was never touched of it is not
# resident, however large it was made. The more there is to mark, the later: after an eighth of that while things are made,
# else after half of it and no less than the last of these. Frames count as well, though they come back and touch nothing.
GARBAGE = 32768
_FRAMES = 131072

# Frames take up to 300 bytes each; ten calls deep, and some garbage. What a turn of the loop leaves as garbage is nothing,
# or it would soon be all over the room.
_SIZE = 8192

# MicroPython may give an address as a number with a sign. On 32-bit machines `id` keeps 31 bits of it: addresses from
# 0x40000000 to 0x7fffffff, where the heap is on MIPS, are negative.
_ADDRESSES = 2 * (maxsize + 1)


def _address(thing):
    """Return where the object is, as a number without a sign."""
    address = id(thing)
    return address if address >= 0 else address + _ADDRESSES // 2


_room = bytearray(_SIZE)
_end = addressof(_room) % _ADDRESSES + _SIZE
_keepers = 1  # the start


def reserve():
    """Let nothing be put into the room: things are made that stay, until as many calls of `release`."""
    global _room, _keepers
    _keepers += 1
    if _keepers > 1:
        return
    gc.collect()
    gc.threshold(max(GARBAGE, gc.mem_alloc() // 8))
    try:
        # A chain of the smallest things that there are takes every block up to the end, and so leaves no gap for anybody.
        _room = (None,)
        while _address(_room) < _end:
            _room = (_room,)
    except MemoryError:
        return


def release():
    """What stays is made. The last one to say so collects the garbage, and lets frames have the room."""
    global _room, _keepers
    _keepers -= 1
    if not _keepers:
        _room = None
        gc.collect()
        gc.threshold(max(GARBAGE, min(gc.mem_free() // 2, max(_FRAMES, gc.mem_alloc() // 2))))
