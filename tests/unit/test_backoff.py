"""How often a peer that is away is called, and how soon it is called when it is back."""

from wgembed.protocol import backoff
from wgembed.protocol.constants import REKEY_TIMEOUT, RETRY_INTERVAL_MAX

from .harness import PACKET, connected, pair, types

MINUTE = 60_000
LONGEST = RETRY_INTERVAL_MAX * 3 // 2


def away(harness):
    harness.filter = lambda source, destination, datagram: []


def calls(harness, node, ms, step, packet=None):
    """Let the time pass in steps, each with the packet if there is one. Return the times of the initiations."""
    at = []
    end = harness.now + ms
    while harness.now < end:
        del node.sent[:]
        if packet:
            node.transmit(packet)
        harness.advance(step)
        at += [harness.now] * types(node).count(1)
    return at


def gaps(at):
    return [at[i + 1] - at[i] for i in range(len(at) - 1)]


def check(at, day, step):
    first = [t for t in at if t <= at[0] + 90_000]
    assert 14 <= len(first) <= 19, "90 s of attempts, nearly as Linux"
    late = gaps(at)[30:]
    assert min(late) >= RETRY_INTERVAL_MAX - step and max(late) <= LONGEST + 30_000, "slow, but it does not stop"
    assert len(at) < 20 + day // RETRY_INTERVAL_MAX


def test_traffic_to_a_peer_that_is_away():
    """Linux sends 17,000 initiations a day."""
    harness, a, b, peer_b, peer_a = connected()
    away(harness)
    check(calls(harness, a, 6 * 60 * MINUTE, 500, PACKET), 6 * 60 * MINUTE, 500)


def test_a_keepalive_to_a_peer_that_is_away():
    for seconds in (3, 25, 120):
        harness, a, b, peer_b, peer_a = connected()
        away(harness)
        a.device.set_persistent_keepalive(peer_b, seconds, harness.now)
        at = calls(harness, a, 6 * 60 * MINUTE, 500)
        late = gaps(at)[40:]
        assert len(at) > 100 and min(late) >= RETRY_INTERVAL_MAX - 500
        assert max(late) <= LONGEST + seconds * 1000 + 500, "it never stops"


def test_a_packet_after_a_pause_is_sent_at_once():
    harness, a, b, peer_b, peer_a = pair()
    away(harness)
    calls(harness, a, 30 * MINUTE, 500, PACKET)
    harness.advance(10 * MINUTE)
    assert peer_b.retransmit_at == 0, "nothing left to send, no more attempts"
    harness.filter = None
    a.transmit(PACKET)
    assert b.got == [PACKET]


def test_a_packet_in_between_waits_for_the_next_call():
    harness, a, b, peer_b, peer_a = pair()
    away(harness)
    a.transmit(PACKET)
    harness.advance(150_000)
    assert peer_b.retransmit_at == 0 and a.tables.staged.count(peer_b.number) == 0, "given up"
    before = peer_b.unanswered
    peer_b.last_sent_handshake = harness.now - REKEY_TIMEOUT
    harness.filter = None
    a.transmit(PACKET)
    assert b.got == [] and peer_b.attempts == -1, "deferred"
    a.transmit(PACKET)
    harness.advance(RETRY_INTERVAL_MAX)
    assert b.got == [PACKET, PACKET] and before == 20 and peer_b.unanswered == 0


def back_after(time):
    """Return the harness, both devices and the peer, which was away for this time, with traffic, and is back."""
    harness, a, b, peer_b, _ = connected()
    away(harness)
    calls(harness, a, time, 500, PACKET)
    harness.filter = None
    del b.got[:]
    return harness, a, b, peer_b


def test_a_peer_that_is_back_is_found_within_one_interval():
    harness, a, b, peer_b = back_after(60 * MINUTE)
    begin = harness.now
    while not b.got:
        a.transmit(PACKET)
        harness.advance(500)
    assert harness.now - begin <= LONGEST
    assert peer_b.unanswered == peer_b.attempts == 0, "forgotten"


def test_the_peer_itself_ends_the_pause():
    harness, a, b, peer_b = back_after(30 * MINUTE)
    harness.advance(11 * MINUTE)
    b.transmit(PACKET)
    assert peer_b.unanswered == 0 and not peer_b.retransmit_at


def test_another_network_ends_the_pause():
    harness, a, b, peer_b, peer_a = pair()
    away(harness)
    calls(harness, a, 30 * MINUTE, 500, PACKET)
    harness.filter = None
    backoff.hasten(a.device, harness.now)
    harness.advance(REKEY_TIMEOUT + 1_000)
    assert PACKET in b.got


def test_what_was_set_down_begins_again_at_once():
    harness, a, b, peer_b, peer_a = pair()
    away(harness)
    calls(harness, a, 30 * MINUTE, 500, PACKET)
    harness.filter = None
    a.device.down()
    a.device.up(harness.now)
    a.transmit(PACKET)
    assert b.got == [PACKET]


def test_traffic_does_not_keep_the_timer_from_being_due():
    """Linux repeats the initiation with the first packet after 5 s, so its timer, which has jitter, is never due."""
    harness, a, b, peer_b, peer_a = pair()
    away(harness)
    told = []
    a.unanswered = lambda peer: told.append(peer.unanswered)
    for _ in range(3_000):
        a.transmit(PACKET)
        harness.advance(10)
    assert told == [1, 2, 3, 4] or told == [1, 2, 3, 4, 5]
