"""Where the tables of fixed size have their storage from, and what a full one raises.

A table takes a function `alloc(typecode, count)` and asks it once, when it is made, for each of its columns.
What comes back is indexed, sliced and measured, never resized, and zeroed: zero means unused in every table, so
that pages which no entry has touched cost nothing where the storage is mapped lazily.
"""

import struct

from ..errors import UserError


class TableFull(UserError):
    """A table of fixed size has no room for the entry. Nothing was changed."""


def alloc(typecode, count):
    """Return `count` zeroed items of `typecode` (as in `array`; "B" are plain bytes)."""
    if typecode == "B":
        return bytearray(count)
    # CPython pays 0.75 MB for the import, and a daemon that maps its tables does without.
    from array import array

    return array(typecode, bytes(count * struct.calcsize(typecode)))
