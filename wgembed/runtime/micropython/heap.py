"""Room at the beginning of the heap for the frames of calls.

A function of more than a few variables gets its frame from the heap, and gives it back. The heap is searched from its
beginning for room, a byte for every four blocks; behind all that the program keeps, which is thousands of blocks, that
search took more time than anything else that the interpreter does for a packet. So a piece of the heap is taken before
anything is loaded, and is free from then on, but while things are made that stay: they would be put there.
"""

import gc

from uctypes import addressof

# Frames take up to 300 bytes each; ten calls deep, and some garbage.
_SIZE = 8192
_PIECE = 256

# What a turn of the loop leaves as garbage is nothing, or it would soon be all over the room.
_pieces = [bytearray(_SIZE)]
_end = addressof(_pieces[0]) + _SIZE
_keepers = 1  # the start


def keep_room():
    """Let nothing be put into the room: things are made that stay, until as many calls of `give_room`."""
    global _keepers
    _keepers += 1
    if _pieces:
        return
    gc.collect()
    try:
        # In pieces: should something have come to stay there after all, the rest is still of use.
        piece = bytearray(_PIECE)
        while addressof(piece) < _end:
            _pieces.append(piece)
            piece = bytearray(_PIECE)
    except MemoryError:
        return


def give_room():
    """What stays is made. The last one to say so collects the garbage, and lets frames have the room."""
    global _keepers
    _keepers -= 1
    if not _keepers:
        _pieces.clear()
        gc.collect()
