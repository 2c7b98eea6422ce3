"""When the first of several paths is used again: model time, no network."""

from wgembed.daemon.failback import Failback

BASE = 300_000
HOUR = 3_600_000


def left(now=0):
    """Return the state after the first path has failed."""
    failback = Failback(BASE)
    assert not failback.arrived(0, "", now) and failback.delay_ms() is None, "nothing to test on the first path"
    assert failback.arrived(1, "no_answer", now)
    return failback


def return_to_first(failback, now):
    """Let all tests be answered. Return when the first path was used again."""
    while True:
        now += failback.delay_ms()
        if failback.tested(True, now):
            assert failback.arrived(0, "answers_again", now)
            return now


def test_the_first_way_must_be_well_for_the_hold_time():
    failback = left()
    assert failback.delay_ms() == 30_000
    assert not failback.tested(True, 30_000)
    assert failback.delay_ms() == BASE // 2
    assert not failback.tested(True, 30_000 + BASE // 2)
    assert failback.tested(True, 30_000 + BASE)
    assert failback.arrived(0, "answers_again", 30_000 + BASE)
    assert (failback.switches, failback.reason, failback.in_use) == (2, "answers_again", 0)
    assert failback.delay_ms() is None, "an idle router must not wake up"


def test_one_test_without_an_answer_begins_the_hold_time_again():
    failback = left()
    failback.tested(True, 30_000)
    failback.tested(False, 30_000 + BASE // 2)
    assert not failback.tested(True, 400_000) and not failback.tested(True, 400_000 + BASE - 1)
    assert failback.tested(True, 400_000 + BASE)


def test_tests_without_an_answer_become_less_frequent():
    failback, delays = left(), []
    for _ in range(8):
        failback.tested(False, 0)
        delays.append(failback.delay_ms() // 1000)
    assert delays == [60, 120, 240, 480, 600, 600, 600, 600]
    failback.forget_failures()
    assert failback.delay_ms() == 30_000


def test_a_way_that_comes_and_goes_is_used_less_and_less():
    failback, now, holds = left(), 0, []
    for _ in range(7):
        holds.append(failback.hold_ms // BASE)
        now = return_to_first(failback, now) + 10_000
        failback.arrived(1, "no_answer", now)
    assert holds == [1, 2, 4, 8, 16, 16, 16]
    now = return_to_first(failback, now) + 24 * HOUR
    failback.arrived(1, "no_answer", now)
    assert failback.hold_ms == BASE, "a day is long enough to trust the path again"


def test_a_day_with_a_way_that_fails_soon_after_each_return():
    failback, now = left(), 0
    while now < 24 * HOUR:
        now = return_to_first(failback, now) + 5_000
        failback.arrived(1, "no_answer", now)
    assert failback.switches < 50


def test_never():
    failback = Failback(0)
    failback.arrived(0, "", 0)
    failback.arrived(1, "no_answer", 0)
    assert failback.delay_ms() is None


def test_between_the_others():
    failback = left()
    assert failback.arrived(2, "no_answer", 9) and failback.hold_ms == BASE
    assert not failback.arrived(2, "no_answer", 10) and failback.switches == 2
