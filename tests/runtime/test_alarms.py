"""Functions that are called at a later time."""

from wgembed.runtime.alarms import Alarms


def told(alarms, *names):
    """A list to which the alarms of these names add their name."""
    done = []
    for at, name in enumerate(names):
        alarms.set(name, 10 * (at + 1), lambda name=name: done.append(name))
    return done


def test_nothing_is_due():
    alarms = Alarms()
    assert alarms.next() is None
    alarms.run(1 << 60)
    alarms.cancel("x")


def test_what_is_due_is_done_once():
    alarms = Alarms()
    done = told(alarms, "a", "b", "c")
    assert alarms.next() == 10
    alarms.run(9)
    assert done == []
    alarms.run(20)
    assert sorted(done) == ["a", "b"] and alarms.next() == 30
    alarms.run(20)
    alarms.run(30)
    assert sorted(done) == ["a", "b", "c"] and alarms.next() is None


def test_set_replaces_and_hasten_only_hastens():
    alarms = Alarms()
    done = []
    alarms.set("a", 10, lambda: done.append(1))
    alarms.set("a", 50, lambda: done.append(2))
    assert alarms.next() == 50
    alarms.hasten("a", 60, lambda: done.append(3))
    assert alarms.next() == 50
    alarms.hasten("a", 40, lambda: done.append(4))
    assert alarms.next() == 40
    alarms.run(100)
    assert done == [4]
    alarms.hasten("a", 200, lambda: done.append(5))
    alarms.run(200)
    assert done == [4, 5]


def test_cancelled_is_not_done():
    alarms = Alarms()
    done = told(alarms, "a", "b")
    alarms.cancel("a")
    alarms.cancel("a")
    assert alarms.next() == 20
    alarms.run(100)
    assert done == ["b"]


def test_an_alarm_may_cancel_and_set_others():
    alarms = Alarms()
    done = []

    def first(name, other):
        done.append(name)
        alarms.cancel(other)
        alarms.set(name, 5, lambda: done.append(name + " again"))

    alarms.set("a", 1, lambda: first("a", "b"))
    alarms.set("b", 1, lambda: first("b", "a"))
    alarms.run(10)
    assert len(done) == 1, "whichever came first has cancelled the other"
    assert alarms.next() == 5, "what was set meanwhile waits"
    alarms.run(10)
    assert done == [done[0], done[0] + " again"]


def test_an_alarm_put_off_by_another_waits():
    alarms = Alarms()
    done = []
    for name, other in (("a", "b"), ("b", "a")):
        alarms.set(
            name, 1, lambda name=name, other=other: (done.append(name), alarms.set(other, 99, lambda: done.append("late")))
        )
    alarms.run(10)
    assert len(done) == 1 and alarms.next() == 99


def test_one_that_fails_is_gone_and_the_others_stay():
    alarms = Alarms()
    alarms.set("bad", 1, lambda: 1 // 0)
    done = []
    alarms.set("good", 2, lambda: done.append(1))
    for _ in range(3):
        try:
            alarms.run(10)
        except ZeroDivisionError:
            continue
    assert done == [1] and alarms.next() is None
