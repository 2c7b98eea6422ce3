"""The index table, compared with a dict, with many indices in few buckets."""

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol import indices
from wgembed.protocol.indices import IndexTable
from wgembed.protocol.memory import TableFull

INDICES = st.one_of(
    st.sampled_from([bytes(4), b"\xff" * 4]),
    st.builds(lambda low, high: bytes((low, 0, 0, high)), st.integers(0, 17), st.integers(0, 3)),
    st.binary(min_size=4, max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 9), st.lists(st.tuples(st.sampled_from(["new", "new", "free", "assign"]), INDICES), max_size=60))
def test_like_a_dict(entries, operations):
    table, model = IndexTable(entries), {}
    for step, (name, index) in enumerate(operations):
        owner = step % entries + 1
        if name == "new":
            if index in model:
                continue
            with mock.patch.object(indices.crypto, "random_fill", lambda buf, index=index: buf.__setitem__(slice(4), index)):
                try:
                    assert table.new(owner) == index
                    model[index] = owner
                except TableFull:
                    assert len(model) == entries
        elif name == "free":
            assert table.free(b"!" + index, 1) == (model.pop(index, None) is not None)
        elif index in model:
            table.assign(index, 0, owner)
            model[index] = owner
        assert table.used == len(model)
        assert table.lookup(b"." + index + b".", 1) == model.get(index, -1)
        assert {known: table.lookup(known, 0) for known in model} == model
    assert sum(1 for owner in table._owner if owner) == len(model)
