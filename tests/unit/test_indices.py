"""Receiver indices: random, unique, and found also after other indices were added and removed."""

from wgembed.protocol import indices
from wgembed.protocol.indices import IndexTable
from wgembed.protocol.memory import TableFull

from .support import Random, Storage, allocated, raises


class Drawn:
    """Replaces the random generator: returns the given indices."""

    def __init__(self, *drawn):
        self._drawn = list(drawn)

    def random_fill(self, buf):
        buf[:] = self._drawn.pop(0)


def with_drawn(table, owner, *drawn):
    """Return the result of `new` if the generator yields these indices."""
    real = indices.crypto
    indices.crypto = Drawn(*drawn)
    try:
        return table.new(owner)
    finally:
        indices.crypto = real


def test_new_lookup_free():
    table = IndexTable(4)
    first = table.new(1)
    second = table.new(4)
    assert len(first) == len(second) == 4 and first != second
    assert table.used == 2
    assert table.lookup(b"..." + first, 3) == 1
    assert table.lookup(second + b"...", 0) == 4
    assert table.free(b"." + first, 1)
    assert table.lookup(first, 0) == -1
    assert table.lookup(second, 0) == 4
    assert not table.free(first, 0)
    assert table.used == 1


def test_full_is_refused():
    table = IndexTable(3)
    taken = [table.new(i) for i in (1, 2, 3)]
    raises(TableFull, table.new, 1)
    assert [table.lookup(index, 0) for index in taken] == [1, 2, 3]
    table.free(taken[1], 0)
    table.new(2)
    raises(TableFull, table.new, 2)


def test_an_index_in_use_is_drawn_again():
    table = IndexTable(4)
    assert with_drawn(table, 1, b"abcd") == b"abcd"
    assert with_drawn(table, 2, b"abcd", b"abcd", b"abce") == b"abce"
    assert table.lookup(b"abcd", 0) == 1 and table.lookup(b"abce", 0) == 2


def test_zero_is_an_index_like_any_other():
    table = IndexTable(2)
    assert table.lookup(bytes(4), 0) == -1
    assert not table.free(bytes(4), 0)
    assert with_drawn(table, 2, bytes(4)) == bytes(4)
    assert table.lookup(bytes(4), 0) == 2
    assert with_drawn(table, 1, bytes(4), b"\0\0\0\1") == b"\0\0\0\1"
    assert table.free(bytes(4), 0)
    assert table.lookup(bytes(4), 0) == -1
    assert table.lookup(b"\0\0\0\1", 0) == 1


def test_all_four_bytes_count():
    table = IndexTable(64)
    with_drawn(table, 1, b"\0\0\0\0")
    for i in range(4):
        for bit in range(8):
            near = bytearray(4)
            near[i] = 1 << bit
            assert table.lookup(near, 0) == -1


def test_a_deletion_keeps_the_chain_together():
    # Eight buckets. Four entries of bucket 6 wrap around, and one of bucket 0 comes after them.
    chain = [b"\6\0\0\0", b"\x0e\0\0\0", b"\0\0\0\0", b"\x16\0\0\0"]
    for gone in range(4):
        table = IndexTable(4)
        for owner, index in enumerate(chain):
            with_drawn(table, owner + 1, index)
        assert table.free(chain[gone], 0)
        for owner, index in enumerate(chain):
            assert table.lookup(index, 0) == (-1 if owner == gone else owner + 1)
        for owner, index in enumerate(chain):
            assert table.free(index, 0) == (owner != gone)
        assert table.used == 0


def test_assign_hands_an_index_on():
    table = IndexTable(4)
    index = table.new(1)
    table.assign(b"." + index, 1, 3)
    assert table.lookup(index, 0) == 3 and table.used == 1
    table.free(index, 0)
    raises(KeyError, table.assign, index, 0, 1)


def test_owners_out_of_range_are_refused():
    table = IndexTable(4)
    raises(ValueError, table.new, 0)
    raises(ValueError, table.new, 5)
    index = table.new(4)
    raises(ValueError, table.assign, index, 0, 0)
    assert table.lookup(index, 0) == 4 and table.used == 1
    raises(ValueError, IndexTable, 0)


class Sparse(dict):
    """A column without memory for its size."""

    def __getitem__(self, i):
        return self.get(i, 0)


def test_many_owners():
    asked = []

    def alloc(typecode, count):
        asked.append(typecode)
        return Sparse()

    table = IndexTable(70000, alloc)
    assert table.lookup(table.new(70000), 0) == 70000
    assert asked == ["H", "H", "I"]
    asked.clear()
    IndexTable(65535, alloc)
    assert asked == ["H", "H", "H"]


def test_long_use_leaves_nothing_behind():
    random = Random(3)
    table = IndexTable(16)
    inside = {}
    for _ in range(3000):
        if len(inside) == 16 or inside and random.below(2):
            index = list(inside)[random.below(len(inside))]
            assert table.lookup(index, 0) == inside.pop(index)
            assert table.free(index, 0)
        else:
            owner = random.below(16) + 1
            inside[table.new(owner)] = owner
        assert table.used == len(inside)
    for index in inside:
        assert table.free(index, 0)
    assert not any(table._owner)


def test_memory_of_an_index():
    storage = Storage()
    IndexTable(4096, storage.alloc)
    assert storage.bytes == 8192 * 6


def test_lookups_do_not_allocate():
    table = IndexTable(8)
    # High bits set: as one number, this would not be a small int on a 32-bit machine.
    index = with_drawn(table, 8, b"\xff\xff\xff\xff")

    def look(count):
        for _ in range(count):
            assert table.lookup(index, 0) == 8
            table.lookup(b"\xfe\xff\xff\xff", 0)

    assert allocated(look) == 0
