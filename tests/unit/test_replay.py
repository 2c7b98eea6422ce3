"""The replay window, with the cases of the kernel's self-test (drivers/net/wireguard/selftest/counter.c)."""

from wgembed.protocol import replay
from wgembed.protocol.constants import COUNTER_BITS_TOTAL, COUNTER_WINDOW_SIZE, REJECT_AFTER_MESSAGES

LIMIT = COUNTER_WINDOW_SIZE + 1


class Keypair:
    top = 0
    window = replay.WINDOW_BYTES  # the second of three windows, of which the other two must not change


class Window:
    def __init__(self):
        self.windows = bytearray(3 * replay.WINDOW_BYTES)
        self.keypair = Keypair()
        self.keypair.window = Keypair.window
        replay.reset(self.windows, self.keypair)

    def __call__(self, counter):
        return replay.accept(self.windows, self.keypair, counter)


def test_kernel_single_steps():
    accept = Window()
    cases = (
        (0, True), (1, True), (1, False), (9, True), (8, True), (7, True), (7, False), (LIMIT, True),
        (LIMIT - 1, True), (LIMIT - 1, False), (LIMIT - 2, True), (2, True), (2, False), (LIMIT + 16, True),
        (3, False), (LIMIT + 16, False), (LIMIT * 4, True), (LIMIT * 4 - (LIMIT - 1), True), (10, False),
        (LIMIT * 4 - LIMIT, False), (LIMIT * 4 - (LIMIT + 1), False), (LIMIT * 4 - (LIMIT - 2), True),
        (LIMIT * 4 + 1 - LIMIT, False), (0, False), (REJECT_AFTER_MESSAGES, False),
        (REJECT_AFTER_MESSAGES - 1, True), (REJECT_AFTER_MESSAGES, False), (REJECT_AFTER_MESSAGES - 1, False),
        (REJECT_AFTER_MESSAGES - 2, True), (REJECT_AFTER_MESSAGES + 1, False), (REJECT_AFTER_MESSAGES + 2, False),
        (REJECT_AFTER_MESSAGES - 2, False), (REJECT_AFTER_MESSAGES - 3, True), (0, False),
    )  # fmt: skip
    for i, (counter, fresh) in enumerate(cases):
        assert accept(counter) is fresh, i


def test_kernel_upwards():
    accept = Window()
    for counter in range(1, COUNTER_WINDOW_SIZE + 1):
        assert accept(counter)
    assert accept(0)
    assert not accept(0)


def test_kernel_upwards_from_two():
    accept = Window()
    for counter in range(2, COUNTER_WINDOW_SIZE + 2):
        assert accept(counter)
    assert accept(1)
    assert not accept(0)


def test_kernel_downwards():
    accept = Window()
    for counter in range(COUNTER_WINDOW_SIZE, -1, -1):
        assert accept(counter)


def test_kernel_downwards_below_the_top():
    accept = Window()
    assert accept(COUNTER_WINDOW_SIZE + 1)
    for counter in range(COUNTER_WINDOW_SIZE, 0, -1):
        assert accept(counter)
    assert not accept(0)


def test_kernel_gap_at_the_edge():
    accept = Window()
    for counter in range(1, COUNTER_WINDOW_SIZE):
        assert accept(counter)
    assert accept(COUNTER_WINDOW_SIZE + 1) and not accept(0)
    accept = Window()
    for counter in range(1, COUNTER_WINDOW_SIZE):
        assert accept(counter)
    assert accept(0) and accept(COUNTER_WINDOW_SIZE + 1)


def test_a_leap_over_the_whole_window_forgets_all_of_it():
    accept = Window()
    for counter in range(0, 9000, 3):
        assert accept(counter)
    assert accept(10_000_000)
    for counter in range(10_000_000 - COUNTER_WINDOW_SIZE, 10_000_000):
        assert accept(counter), counter


def test_neighbours_are_not_touched():
    accept = Window()
    for counter in (0, 8191, 8192, 100_000, 99_000, 1 << 40, (1 << 40) + 8190):
        accept(counter)
    size = replay.WINDOW_BYTES
    assert not any(accept.windows[:size]) and not any(accept.windows[2 * size :])


def test_against_a_set():
    """Compare with a simple model, for counters that jump ahead, go back and repeat."""
    accept = Window()
    seen, top, state, at = set(), -1, 12345, 0
    for _ in range(5000):
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        leap = (1, 2, 70, 9000, -5, -80, -8000, -1)[state >> 8 & 7]
        at = max(0, at + leap)
        fresh = at not in seen and at + COUNTER_WINDOW_SIZE >= top
        assert accept(at) is fresh, (at, top)
        seen.add(at)
        top = max(top, at)


def test_runs_are_the_same_as_one_by_one():
    one, run = Window(), Window()
    state, at = 99, 0
    for _ in range(3000):
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        at = max(at + (0, 0, 1, 30, 700, 8191, 8192, 20_000)[state >> 8 & 7], run.keypair.top)
        count = (state >> 12 & 127) + 1
        assert replay.accept_run(run.windows, run.keypair, at, count)
        assert all(one(at + i) for i in range(count))
        assert run.windows == one.windows and run.keypair.top == one.keypair.top
        at += count


def test_a_run_beyond_the_last_counter_is_refused():
    accept = Window()
    assert not replay.accept_run(accept.windows, accept.keypair, REJECT_AFTER_MESSAGES - 1, 2)
    assert replay.accept_run(accept.windows, accept.keypair, REJECT_AFTER_MESSAGES - 2, 2)


def test_old_words_are_cleared_in_steps_of_several():
    """An old counter that used the same bit, a whole turn of the ring earlier, does not block the new one."""
    accept = Window()
    assert accept(5)
    for counter in range(64, COUNTER_BITS_TOTAL + 64, 64):
        assert accept(counter)
    assert accept(COUNTER_BITS_TOTAL + 5)


def test_a_leap_clears_every_word_that_it_passes():
    """A fresh counter is accepted, also if the window moved over many words at once."""
    for words in range(1, 6):
        accept = Window()
        for counter in range(COUNTER_BITS_TOTAL):
            assert accept(counter)
        leap = COUNTER_BITS_TOTAL + 8 * words
        assert accept(leap)
        for counter in range(COUNTER_BITS_TOTAL, leap):
            assert accept(counter)
