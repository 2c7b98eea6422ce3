"""Space at the beginning of the heap for the frames of calls.

A function with more than a few variables gets its frame from the heap, and returns it. MicroPython searches the heap for
free blocks from its beginning, a byte for four blocks. The program keeps thousands of blocks, and the search behind them
took more time than anything else that the interpreter does for a packet. So this module takes a piece of the heap before
anything else is loaded. Later the piece is free, except while long-lived objects are made, because they would use it.
"""

import gc
from sys import maxsize

from uctypes import addressof

# The collector runs after this number of allocated bytes, long before the heap is full. So a large part of the heap is
# never used, and is not resident. If there are more bytes to mark, the collector runs later: while long-lived objects are
# made, after an eighth of these bytes, otherwise after half of them, and at least after _FRAMES bytes. Frames count too,
# although they are returned and use no new memory.
_GARBAGE = 32768
_FRAMES = 131072

# A frame takes up to 300 bytes, and calls nest ten deep. The rest is for garbage. A turn of the loop leaves no garbage,
# otherwise garbage would soon fill this space.
_SIZE = 8192

# MicroPython can return an address as a negative number. On 32-bit machines `id` keeps 31 bits: addresses from 0x40000000
# to 0x7fffffff, where the heap is on MIPS, become negative.
_ADDRESSES = 2 * (maxsize + 1)


def _address(thing):
    """Return the address of the object as a positive number."""
    address = id(thing)
    return address if address >= 0 else address + _ADDRESSES // 2


_room = bytearray(_SIZE)
_end = addressof(_room) % _ADDRESSES + _SIZE
_keepers = 1  # the calls of `reserve` without `release`; the start counts as one
# The size of the heap, and the allocated bytes when they were last counted. To count them, or the free ones, MicroPython
# goes through the whole heap, which takes as long as a reload.
_size = 0
_allocated = 0
# A block of the heap. For each block there are two bits of the collector beside it, and one of finalisers.
_BLOCK = 32 if maxsize >> 32 else 16


def _size_from_command():
    """Return the size of the heap by the option -X heapsize=4M of this process, or 0."""
    try:
        with open("/proc/self/cmdline") as file:
            for word in file.read().split("\0"):
                if word[:9] == "heapsize=":
                    size = int(word[9:-1]) * {"K": 1024, "M": 1048576}[word[-1]]
                    return size * 8 * _BLOCK // (8 * _BLOCK + 3)
    except (OSError, ValueError, KeyError):
        pass
    return 0


def free():
    """Return the number of free bytes at the last `release`."""
    return _size - _allocated


def reserve():
    """Keep long-lived objects, which the caller makes now, out of the space, until the same number of calls of `release`."""
    global _room, _keepers
    _keepers += 1
    if _keepers > 1:
        return
    gc.collect()
    gc.threshold(max(_GARBAGE, _allocated // 8))
    try:
        # A chain of the smallest possible objects takes every free block up to the end of the space.
        _room = (None,)
        while _address(_room) < _end:
            _room = (_room,)
    except MemoryError:
        return


def release(are_few=False):
    """The long-lived objects are made. The last call collects the garbage, and makes the space free for frames.

    are_few  not enough objects for a new count, which takes as long as the collector itself
    """
    global _room, _keepers, _size, _allocated
    _keepers -= 1
    if not _keepers:
        _size = _size or _size_from_command()
        _room = None
        gc.collect()
        if not are_few:
            _allocated = gc.mem_alloc()
        _size = _size or _allocated + gc.mem_free()
        gc.threshold(max(_GARBAGE, min(free() // 2, max(_FRAMES, _allocated // 2))))


def size():
    """Return the size of the heap in bytes."""
    return _size or gc.mem_alloc() + gc.mem_free()
