"""Tests of segmented sends: when a pair leaves, what its answer shows, and what follows."""

from wgembed.protocol import segmentation
from wgembed.protocol.events import INITIATION_REPLAYED

from .harness import A4, BACK, PACKET, connected, ipv4, types

RUN = PACKET, PACKET
MINUTE = 60 * 1000
HOUR = 60 * MINUTE


def segmenting(tests=segmentation.ALWAYS, **how):
    """Return what `connected` does, with nodes that use segmented sends."""
    harness, a, b, peer_b, peer_a = connected(**how)
    a.tests_segments = b.tests_segments = tests
    return harness, a, b, peer_b, peer_a


def run_for(harness, node, ms, step=250):
    """Let the node send a run every 250 ms."""
    end = harness.now + ms
    while harness.now < end:
        node.transmit(*RUN)
        harness.advance(step)
        for one in harness.nodes.values():
            del one.got[:], one.sent[:]


def test_a_run_is_followed_by_a_test():
    """Not at once, because a handshake has just ended; then once in an hour."""
    harness, a, b, peer_b, peer_a = segmenting()
    a.transmit(*RUN)
    assert not a.pairs
    run_for(harness, a, 5000)
    assert a.pairs == 1 and peer_b.segments == segmentation.SEGMENTS and not peer_b.probe
    run_for(harness, a, HOUR - MINUTE, step=5000)
    assert a.pairs == 1
    run_for(harness, a, 2 * MINUTE, step=5000)
    assert a.pairs == 2 and a.told == []


def test_single_packets_need_no_test():
    harness, a, b, peer_b, peer_a = segmenting()
    for _ in range(20):
        a.transmit(PACKET)
        harness.advance(1000)
    assert not a.pairs


def test_a_host_that_does_not_want_it():
    harness, a, b, peer_b, peer_a = connected()
    run_for(harness, a, 20000)
    assert not a.pairs


def test_pairs_that_are_lost():
    """After the first one, runs leave packet by packet; after the third one, it is reported."""
    harness, a, b, peer_b, peer_a = segmenting()
    a.loses_segments = True
    run_for(harness, a, 4500)
    assert peer_b.segments == 1 and peer_b.probe_lost == 1 and a.told == []
    del b.got[:]
    a.transmit(*RUN)
    assert len(b.got) == 2
    run_for(harness, a, 15000)
    assert a.pairs == 3 and a.told == [1] and segmentation.is_lost(peer_b)
    assert b.told == [] and peer_a.segments == segmentation.SEGMENTS


def test_the_next_tests_of_a_lost_path():
    """After 10 minutes, 20, 40, up to a day; and segmented sends are used again when they arrive."""
    harness, a, b, peer_b, peer_a = segmenting()
    a.loses_segments = True
    run_for(harness, a, 20000)
    assert a.pairs == 3
    for minutes in (10, 20, 40):
        before = a.pairs
        run_for(harness, a, (minutes - 2) * MINUTE, step=5000)
        assert a.pairs == before
        run_for(harness, a, 3 * MINUTE, step=5000)
        assert a.pairs == before + 1 and a.told == [1]
    for _ in range(20):
        peer_b.probe_at = 0
        run_for(harness, a, 20000)
    assert peer_b.probe_at - harness.now < 24 * HOUR + 1000
    a.loses_segments = False
    peer_b.probe_at = 0
    run_for(harness, a, 20000)
    assert a.told == [1, segmentation.SEGMENTS] and peer_b.segments == segmentation.SEGMENTS and not peer_b.probe_lost


def test_one_lost_pair_is_no_proof():
    harness, a, b, peer_b, peer_a = segmenting()
    a.loses_segments = True
    while not a.pairs:
        run_for(harness, a, 100, step=100)
    a.loses_segments = False
    run_for(harness, a, 10000)
    assert a.pairs == 2 and a.told == [] and peer_b.segments == segmentation.SEGMENTS and not peer_b.probe_lost


def test_a_dead_path_is_no_proof():
    """Neither the pair nor the single initiation is answered, so the test shows nothing."""
    harness, a, b, peer_b, peer_a = segmenting()
    harness.filter = lambda source, destination, datagram: [datagram] if datagram[0] == 4 else []
    run_for(harness, a, 30000)
    assert a.pairs == 1 and not peer_b.probe_lost and peer_b.segments == segmentation.SEGMENTS


def test_a_slow_answer_is_no_proof():
    """The single initiation is answered as late as the pair would have been."""
    harness, a, b, peer_b, peer_a = segmenting()
    late = []

    def slow(source, destination, datagram):
        if datagram[0] != 2:
            return [datagram]
        late.append((harness.now + 1900, datagram))
        return []

    harness.filter = slow
    for _ in range(100):
        a.transmit(*RUN)
        harness.advance(100)
        while late and late[0][0] <= harness.now:
            a.receive(late.pop(0)[1], b.addr, "src-b")
    assert a.pairs == 1 and not peer_b.probe_lost and peer_b.segments == segmentation.SEGMENTS
    assert peer_b.probe_wait == 5000


def test_the_other_half_is_not_reported():
    """The peer drops the second half, but a clock that went back is something else."""
    harness, a, b, peer_b, peer_a = segmenting()
    run_for(harness, a, 5000)
    assert a.pairs == 1
    names = [event for event, _, _ in b.tables.events.read(peer_a.number)]
    assert INITIATION_REPLAYED not in names


def test_the_responder_waits_longer():
    harness, a, b, peer_b, peer_a = segmenting()
    end = harness.now + 4500
    while harness.now < end:
        b.transmit(BACK, BACK)
        harness.advance(250)
    assert not b.pairs
    while harness.now < end + 2000:
        b.transmit(BACK, BACK)
        harness.advance(250)
    assert b.pairs == 1 and not peer_a.probe


def test_both_ends_lose_runs():
    harness, a, b, peer_b, peer_a = segmenting()
    a.loses_segments = b.loses_segments = True
    for _ in range(240):
        a.transmit(*RUN)
        b.transmit(BACK, BACK)
        harness.advance(250)
    assert a.told == [1] and b.told == [1]


def test_another_path_is_tested_again():
    """Another endpoint, or another link, is another path. Other changes of routes lead to a test in five minutes."""
    harness, a, b, peer_b, peer_a = segmenting()
    a.loses_segments = True
    run_for(harness, a, 20000)
    assert segmentation.is_lost(peer_b)
    a.device.set_endpoint(peer_b, b.addr, harness.now)
    assert peer_b.segments == segmentation.SEGMENTS and not peer_b.probe_at and not peer_b.probe_lost
    run_for(harness, a, 20000)
    assert segmentation.is_lost(peer_b)
    peer_b.best_link = peer_b.probe_link = 2
    segmentation.source_chosen(peer_b, False, harness.now)
    assert segmentation.is_lost(peer_b) and peer_b.probe_at == harness.now + 5 * MINUTE
    peer_b.best_link = 3
    segmentation.source_chosen(peer_b, True, harness.now)
    assert peer_b.segments == segmentation.SEGMENTS and not peer_b.probe_at


def test_tests_do_not_come_all_at_once():
    """Two peers with runs at the same time are tested one after the other."""
    harness, a, b, peer_b, peer_a = segmenting()
    c = harness.node("c")
    c.add(a, ((A4, 32),))
    peer_c = a.add(c, ((b"\x0a\0\0\3", 32),))
    to_c = ipv4(A4, b"\x0a\0\0\3", b"hello")
    a.transmit(to_c)
    harness.advance(2500)
    a.transmit(PACKET, PACKET, to_c, to_c)
    assert a.pairs == 1
    harness.advance(1000)
    a.transmit(to_c, to_c)
    assert a.pairs == 2 and not peer_c.probe


def test_an_interface_that_goes_down():
    harness, a, b, peer_b, peer_a = segmenting()
    a.loses_segments = True
    while not a.pairs:
        run_for(harness, a, 100, step=100)
    assert peer_b.probe == segmentation.PAIR
    a.device.down()
    assert not peer_b.probe
    a.device.up(harness.now)
    before = a.pairs
    a.transmit(PACKET)
    assert a.pairs == before and 1 in types(a)


def talk(harness, a, b, times, answer_after=50, gap=600):
    """Let `a` send a run, and `b` one packet after so many ms, if it is not None. Both again and again, with a gap."""
    for _ in range(times):
        a.transmit(*RUN)
        if answer_after is not None:
            harness.advance(answer_after)
            b.transmit(BACK)
        harness.advance(gap)
        for one in harness.nodes.values():
            del one.got[:], one.sent[:]


def test_no_test_without_a_suspicion():
    """Each run is followed by a packet from the peer within 180 ms."""
    harness, a, b, peer_b, peer_a = segmenting(segmentation.IF_SUSPECTED)
    talk(harness, a, b, 500)
    assert not a.pairs and not peer_b.suspicion


def test_three_runs_without_an_answer_are_a_suspicion():
    """What the peer sends later, to a packet that was sent again alone, shows that the path works otherwise."""
    harness, a, b, peer_b, peer_a = segmenting(segmentation.IF_SUSPECTED)
    a.loses_segments = True
    talk(harness, a, b, 3, answer_after=200)
    assert not a.pairs and peer_b.suspicion == 3 and peer_b.segments == segmentation.SEGMENTS
    talk(harness, a, b, 30, answer_after=200)
    assert a.pairs == 3 and a.told == [1] and segmentation.is_lost(peer_b) and peer_b.segments == 1
    a.loses_segments = False
    peer_b.probe_at = 0
    talk(harness, a, b, 10)
    assert a.pairs == 4 and a.told == [1, segmentation.SEGMENTS] and not peer_b.suspicion


def test_a_slow_path_costs_one_test_in_an_hour():
    harness, a, b, peer_b, peer_a = segmenting(segmentation.IF_SUSPECTED)
    talk(harness, a, b, 4000, answer_after=200)
    assert a.pairs == 1 and a.told == [] and peer_b.segments == segmentation.SEGMENTS
    talk(harness, a, b, 1000, answer_after=200)
    assert a.pairs == 2


def test_a_peer_that_is_silent_raises_no_suspicion():
    """A peer that is gone, or only listens, sends nothing in between: it is not the runs."""
    harness, a, b, peer_b, peer_a = segmenting(segmentation.IF_SUSPECTED)
    talk(harness, a, b, 15, answer_after=None)
    assert not a.pairs and peer_b.suspicion <= 1 + 15 * 0.6 / 10  # the passive keepalives, one in 10 s


def test_answers_outweigh_single_losses():
    """Every third run is lost: that is a lossy path, not one that loses all runs."""
    harness, a, b, peer_b, peer_a = segmenting(segmentation.IF_SUSPECTED)
    for _ in range(50):
        a.loses_segments = True
        talk(harness, a, b, 1, answer_after=200)
        a.loses_segments = False
        talk(harness, a, b, 2)
    assert not a.pairs


def test_what_is_watched_ends_with_the_interface():
    harness, a, b, peer_b, peer_a = segmenting(segmentation.IF_SUSPECTED)
    a.transmit(*RUN)
    harness.advance(1000)
    a.transmit(*RUN)
    assert peer_b.watch_at
    a.device.down()
    assert not peer_b.watch_at and a.tables.timers.next() is None
