"""Room at the beginning of the heap for the frames of calls.

A function of more than a few variables gets its frame from the heap, and gives it back. The heap is searched from its
beginning for room, a byte for every four blocks; behind all that the program keeps, which is thousands of blocks, that
search took more time than anything else that the interpreter does for a packet. So a piece of the heap is taken before
anything is loaded, and is free from then on, but while things are made that stay: they would be put there.
"""

import gc

# Frames take up to 300 bytes each; ten calls deep, and some garbage.
_SIZE = 8192

_room = None


def keep_room():
    """Let nothing be put into the room: from here on things are made that stay."""
    global _room
    if _room is None:
        try:
            _room = bytearray(_SIZE)
        except MemoryError:
            return


def give_room():
    """Collect garbage, and let frames have the room."""
    global _room
    _room = None
    gc.collect()


keep_room()
