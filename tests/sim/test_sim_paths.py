"""Endpoints by measured time, pings through the tunnel, and backups, in simulated weeks: it heals, and does not flap."""

import pytest

from .simpaths import DAY, HOUR, KINDS, MINUTE, SECOND, World, mixture


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(1, 5))
def test_outages_of_all_kinds(monkeypatch, kind, seed):
    """Each time that a way works, data is answered within the promised time."""
    world, heals = mixture(seed, monkeypatch, 1, kind)
    assert heals > 10 and world.switches > 5
    for path in world.paths:
        path.is_cut = path.is_deaf = path.is_cut_behind = False
        path.loss, path.delay = 0, 10
    world.is_address_dead = False
    world.talk(12 * HOUR, 10 * SECOND)
    if kind != "fastest":
        assert world.in_use == 0, "in the end, the preferred way is used"
    before = world.switches
    assert world.talk(DAY, 10 * SECOND) is not None and world.switches == before, "a quiet day"


@pytest.mark.parametrize("kind", KINDS)
def test_a_hub_that_is_cut_off_behind(monkeypatch, kind):
    """It answers handshakes. Without ping_check, nothing works then."""
    for pings in (False, True):
        world = World(5, monkeypatch, kind, pings=pings)
        world.talk(5 * MINUTE)
        world.paths[0].is_cut_behind = True
        healed = world.talk(5 * MINUTE)
        assert (healed is not None) == pings
        if pings:
            assert healed < 2 * MINUTE and world.in_use == 1 and world.failback.reason == "no_ping"
            assert "no answer to ping through the one before" in world.log.lines[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_is_dead_everywhere(monkeypatch, kind):
    """The tunnel works, and must not be changed again and again."""
    world = World(6, monkeypatch, kind, failback_s=0)
    world.talk(5 * MINUTE)
    world.is_address_dead = True
    world.talk(DAY, 10 * SECOND)
    assert world.switches < 70, world.switches
    before = world.switches
    world.talk(DAY, 10 * SECOND)
    assert world.switches - before <= 50, "each way once an hour"
    world.is_address_dead = False
    world.talk(2 * HOUR, 10 * SECOND)
    before = world.switches
    assert world.talk(DAY, 10 * SECOND) is not None and world.switches == before
    assert world.ping().lost == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss, most", [(10, 2), (50, 12), (100, 40)])
def test_loss_is_no_outage(monkeypatch, kind, loss, most):
    """The switches of two days, with loss in both directions of both ways."""
    world = World(7, monkeypatch, kind)
    world.talk(MINUTE)
    for path in world.paths:
        path.loss = loss
    world.talk(2 * DAY, 5 * SECOND)
    assert world.switches <= most, world.switches


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keepalive", [0, 25])
def test_without_traffic_nothing_is_asked(monkeypatch, kind, keepalive):
    world = World(8, monkeypatch, kind, keepalive=keepalive)
    world.talk(10 * MINUTE)
    world.idle(10 * MINUTE)
    router = world.router
    del router.sent[:]
    world.idle(HOUR)
    if not keepalive:
        assert router.sent == [] and world.alarms.next() is None and router.tables.timers.next() is None
    # Handshakes and keepalives alone: no ping is longer than a keepalive, and no test is beside the handshakes.
    assert all(message[0] != 4 or len(message) == 32 for message, *_ in router.sent)
    count = len([1 for message, *_ in router.sent if message[0] == 1])
    assert count <= (2 if kind == "backup" else 1) * HOUR // (115 * SECOND)


def test_the_fastest_endpoint_is_used(monkeypatch):
    """In three rounds, and no packet is lost in the move."""
    world = World(9, monkeypatch, "fastest", paths=3)
    world.paths[0].delay, world.paths[1].delay, world.paths[2].delay = 40, 60, 20
    world.talk(MINUTE)
    assert world.in_use == 0
    sent = world._number
    for _ in range(40):
        assert world.talk(30 * SECOND) is not None
        if world.in_use == 2:
            break
    assert world.in_use == 2 and world.failback.reason == "answers_faster" and world.switches == 1
    assert 300 <= (world._number - sent) * 2 <= 900, "in s: a hold time and a little"
    times = world.endpoints[world.hubs[0].public].times
    assert 40 <= times[2] < 80 <= times[0] < times[1]
    # It gets slow: back to the first.
    world.paths[2].delay = 200
    world.talk(HOUR)
    assert world.in_use == 0 and world.switches == 2


@pytest.mark.parametrize("delays", [(20, 20), (20, 18), (100, 84), (3, 1)])
def test_a_small_difference_is_no_reason(monkeypatch, delays):
    """Less than a fifth, or less than 5 ms."""
    world = World(10, monkeypatch, "fastest")
    world.talk(MINUTE)
    for path, delay in zip(world.paths, delays, strict=True):
        path.delay = delay
    world.talk(2 * DAY, 10 * SECOND)
    assert world.switches <= 1


def test_delays_that_change_all_the_time(monkeypatch):
    """The switches of a week become fewer: the hold time doubles."""
    world = World(11, monkeypatch, "fastest")
    world.talk(MINUTE)
    end = world.now + 7 * DAY
    while world.now < end:
        world.paths[0].delay, world.paths[1].delay = world.paths[1].delay, 10 + world.random.below(90)
        assert world.talk(10 * MINUTE, 10 * SECOND) is not None
    assert world.switches <= 60, world.switches


def test_two_machines_with_one_key(monkeypatch):
    """After the return to the first one, the other has no answers, calls, and must not lead the tunnel back."""
    world = World(12, monkeypatch, "listed", pings=False)
    world.talk(5 * MINUTE)
    world.paths[0].is_cut = True
    world.talk(5 * MINUTE)
    assert world.in_use == 1 and world.failback.reason == "no_answer"
    world.paths[0].is_cut = False
    world.talk(HOUR)
    assert world.in_use == 0 and world.switches == 2 and world.failback.reason == "answers_again"
    # If the first one fails, the other is welcome at once.
    world.paths[0].is_cut = True
    assert world.talk(2 * MINUTE) < MINUTE and world.in_use == 1
