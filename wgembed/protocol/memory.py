"""The storage of the tables of fixed size, and the error of a full table.

A table gets a function `alloc(typecode, count)`. When the table is made, it calls `alloc` once for each of its columns.
The result is zeroed. The table reads and writes items and slices and takes the length, but never resizes it. In every
table zero means unused, so pages that no entry has touched cost no memory if the storage is mapped lazily.
"""

import struct

from ..errors import UserError


class TableFull(UserError):
    """A table of fixed size is full. Nothing was changed."""


def alloc(typecode, count):
    """Return `count` zeroed items of `typecode` (as in the module `array`; for "B" a bytearray)."""
    if typecode == "B":
        return bytearray(count)
    # On CPython this import costs 0.75 MB. A daemon that maps its tables does not need it.
    from array import array

    return array(typecode, bytes(count * struct.calcsize(typecode)))
