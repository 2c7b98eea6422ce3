"""The replay window, compared with a set of all accepted counters, over the whole range of 64 bits."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol import replay
from wgembed.protocol.constants import COUNTER_WINDOW_SIZE, REJECT_AFTER_MESSAGES

LAST = (1 << 64) - 1


class Keypair:
    def __init__(self, window):
        self.window = window
        self.top = 0


class Model:
    """A counter is fresh if it was never accepted, is in the window or after it, and is below the limit."""

    def __init__(self):
        self.accepted = set()
        self.greatest = -1

    def accept(self, counter):
        if counter >= REJECT_AFTER_MESSAGES or counter in self.accepted:
            return False
        if counter < self.greatest - COUNTER_WINDOW_SIZE:
            return False
        self.accepted.add(counter)
        self.greatest = max(self.greatest, counter)
        return True


# The next counter: a little ahead or back, at the edges of the window, of a word and of the ring, or anywhere.
edges = [0, 1, 7, 8, 9, 63, 64, 65, COUNTER_WINDOW_SIZE - 1, COUNTER_WINDOW_SIZE, COUNTER_WINDOW_SIZE + 1, 8191, 8192,
         8193, 16384, 1 << 16, 1 << 31, 1 << 32]  # fmt: skip
near = st.one_of(st.integers(-70, 70), st.sampled_from(edges), st.sampled_from(edges).map(lambda edge: -edge))
anywhere = st.one_of(
    st.integers(0, LAST),
    st.integers(0, 20_000),
    st.integers(REJECT_AFTER_MESSAGES - 9000, LAST),
    st.integers(0, 63).map(lambda bits: 1 << bits),
)
moves = st.one_of(
    st.tuples(st.just("by"), near),
    st.tuples(st.just("by"), near),
    st.tuples(st.just("to"), anywhere),
    st.tuples(st.just("again"), st.integers(0, 200)),
    st.tuples(st.just("run"), near, st.integers(1, 128)),
)


@settings(max_examples=400, deadline=None)
@given(anywhere, st.lists(moves, max_size=120))
def test_random_walks(start, script):
    windows = bytearray(b"\xa5") * (3 * replay.WINDOW_BYTES)
    keypair, model = Keypair(replay.WINDOW_BYTES), Model()
    replay.reset(windows, keypair)
    position, visited = start, [start]

    def visit(counter):
        assert replay.accept(windows, keypair, counter) is model.accept(counter), counter
        visited.append(counter)

    visit(start)
    for name, value, *count in script:
        if name == "again":
            visit(visited[value % len(visited)])
            continue
        position = min(max(value if name == "to" else position + value, 0), LAST)
        if name != "run":
            visit(position)
        elif position >= keypair.top and position + count[0] <= REJECT_AFTER_MESSAGES:
            assert replay.accept_run(windows, keypair, position, count[0])
            assert all(model.accept(counter) for counter in range(position, position + count[0]))
            visited.extend((position, position + count[0] - 1))
        elif position >= keypair.top:
            before = bytes(windows), keypair.top
            assert not replay.accept_run(windows, keypair, position, count[0])
            assert (windows, keypair.top) == before
        assert keypair.top == model.greatest + 1
    for counter in list(visited):
        visit(counter)
    size = replay.WINDOW_BYTES
    assert windows[:size] == windows[2 * size :] == b"\xa5" * size, "the windows of others are untouched"
