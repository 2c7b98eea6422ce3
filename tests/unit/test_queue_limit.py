"""The room in a queue of the kernel: what packets/queue_limit.py makes of what the daemon has handled."""

import pytest

from wgembed.packets.queue_limit import TARGET_MS, QueueLimit
from wgembed.runtime.alarms import Alarms

MOST, LEAST = 1000, 16


class Queue:
    """A queue that the daemon empties at `rate` packets a ms, in turns of 2 ms."""

    def __init__(self, growth=(500, 3)):
        self.alarms, self.rooms, self.now = Alarms(), [], 5000
        self.limit = QueueLimit("queue", LEAST, MOST, growth, self.rooms.append, self.alarms)

    def turns(self, ms, rate, is_emptied=False, apart=2):
        for _ in range(ms // apart):
            self.now += apart
            self.alarms.run(self.now)
            if is_emptied:
                self.limit.was_full = False
            else:
                self.limit.left(self.now, rate * apart)


def test_a_queue_that_is_always_full():
    queue = Queue()
    queue.turns(1000, 7)
    assert queue.limit.room == pytest.approx(7 * TARGET_MS, rel=0.15)
    assert all(before - after <= before * 0.5 for before, after in zip([MOST, *queue.rooms], queue.rooms, strict=False))


def test_a_faster_daemon_gets_more_room():
    queue = Queue()
    queue.turns(1000, 7)
    queue.turns(500, 20)
    assert queue.limit.room == pytest.approx(20 * TARGET_MS, rel=0.15)


def test_the_least_and_the_most():
    queue = Queue()
    queue.turns(1000, 0)
    assert queue.limit.room == LEAST
    queue.turns(1000, 5000)
    assert queue.limit.room == MOST


def test_a_queue_that_gets_empty_keeps_its_room():
    queue = Queue()
    for _ in range(100):
        queue.turns(30, 7)
        queue.turns(2, 0, is_emptied=True)
    assert queue.rooms == [] and queue.alarms.next() is None


def test_turns_far_apart_say_nothing():
    """The queue can have been empty between them."""
    queue = Queue()
    queue.turns(5000, 1, apart=50)
    assert queue.rooms == []


def test_the_room_comes_back_when_the_load_is_over():
    queue = Queue()
    queue.turns(1000, 2)
    assert queue.limit.room < 100
    queue.turns(20_000, 0, is_emptied=True)
    assert queue.limit.room == MOST and queue.rooms[-1] == MOST
    assert queue.alarms.next() is None, "no wake-up is left"


def test_growth_in_few_steps():
    queue = Queue((2000, 0))
    queue.turns(1000, 2)
    queue.rooms.clear()
    queue.turns(20_000, 0, is_emptied=True)
    assert queue.rooms == [2 * room + 1 for room in [40, *queue.rooms][:-2]] + [MOST]


def test_small_changes_are_not_made():
    queue = Queue()
    queue.turns(1000, 7)
    made = len(queue.rooms)
    for rate in (7, 7, 7, 7):
        queue.turns(100, rate)
    assert len(queue.rooms) == made


def test_close():
    queue = Queue()
    queue.turns(200, 2)
    queue.limit.close()
    assert queue.alarms.next() is None
