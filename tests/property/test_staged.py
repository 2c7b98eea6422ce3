"""The staged pool, compared with lists of packets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol.constants import MAX_STAGED_PACKETS
from wgembed.protocol.staged import StagedPool

PEERS = 4


class Model:
    """The same rules, with a scan over all peers instead of rings."""

    def __init__(self, blocks, block_size):
        self.blocks, self.block_size = blocks, block_size
        self.queues = [[] for _ in range(PEERS)]
        self._since = [0] * PEERS  # when the count of each peer last changed
        self._clock = 0

    def need(self, packet):
        return -(-len(packet) // self.block_size) or 1

    def free(self):
        return self.blocks - sum(self.need(packet) for queue in self.queues for packet in queue)

    def _changed(self, peer):
        self._clock += 1
        self._since[peer] = self._clock

    def push(self, peer, packet):
        if self.need(packet) > self.blocks:
            return 1
        dropped = 0
        if len(self.queues[peer]) == MAX_STAGED_PACKETS:
            self.pop(peer)
            dropped += 1
        while self.free() < self.need(packet):
            self.pop(min(range(PEERS), key=lambda i: (-len(self.queues[i]), self._since[i])))
            dropped += 1
        self.queues[peer].append(packet)
        self._changed(peer)
        return dropped

    def pop(self, peer):
        if not self.queues[peer]:
            return None
        self._changed(peer)
        return self.queues[peer].pop(0)

    def purge(self, peer):
        count = len(self.queues[peer])
        self.queues[peer] = []
        self._changed(peer)
        return count


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "push", "pop", "discard", "purge"]),
        st.integers(0, PEERS - 1),
        st.one_of(st.binary(max_size=4), st.binary(max_size=60)),
    ),
    max_size=80,
)


def step(pool, model, name, peer, packet):
    if name == "push":
        assert pool.push(peer, b"##" + packet, 2, len(packet)) == model.push(peer, packet)
    elif name == "pop":
        buf = bytearray(70)
        size, expected = pool.pop(peer, buf, 5), model.pop(peer)
        if expected is None:
            assert size == -1 and not any(buf)
        else:
            assert buf == bytes(5) + expected + bytes(65 - size) and size == len(expected)
    elif name == "discard":
        expected = model.pop(peer)
        assert pool.discard(peer) == (-1 if expected is None else len(expected))
    else:
        assert pool.purge(peer) == model.purge(peer)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20), st.integers(1, 16), OPERATIONS)
def test_like_lists(blocks, block_size, operations):
    pool, model = StagedPool(blocks, block_size, PEERS), Model(blocks, block_size)
    for name, peer, packet in operations:
        step(pool, model, name, peer, packet)
        assert pool.free_blocks == model.free()
        for of, queue in enumerate(model.queues):
            assert pool.count(of) == len(queue)
            assert pool.peek(of) == (len(queue[0]) if queue else -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 300), OPERATIONS)
def test_the_limit_of_a_peer(blocks, operations):
    pool, model = StagedPool(blocks, 8, PEERS), Model(blocks, 8)
    for i in range(MAX_STAGED_PACKETS - 2):
        step(pool, model, "push", 0, bytes((i,)))
    for name, peer, packet in operations:
        step(pool, model, name, peer if name != "purge" else 1, packet)
        assert [pool.count(of) for of in range(PEERS)] == [len(queue) for queue in model.queues]
