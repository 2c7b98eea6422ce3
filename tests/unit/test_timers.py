"""The timers: the heap compared with a plain list, and every row of the table in timers.py."""

from wgembed.protocol import drops, noise
from wgembed.protocol.constants import (
    KEEPALIVE_TIMEOUT,
    MAX_TIMER_HANDSHAKES,
    NO_REPLY_JITTER_MAX,
    REJECT_AFTER_TIME,
    REKEY_TIMEOUT,
    REKEY_TIMEOUT_JITTER_MAX,
)
from wgembed.protocol.timers import Timers, jitter, longest_jitter, retry_interval

from .harness import A4, B4, connected, ipv4, pair
from .support import Random

PACKET = ipv4(A4, B4, b"hello")
BACK = ipv4(B4, A4, b"world")
NAMES = ("retransmit_at", "keepalive_at", "new_handshake_at", "zero_at", "persistent_at", "watch_at")
NOW = 5_000_000


class Peer:
    """The part of a peer that the timers use."""

    def __init__(self, number=0):
        self.number = number
        self.wake = 0
        self.heap_index = -1
        self.attempts = self.unanswered = self.persistent_keepalive = 0
        self.another_keepalive = self.sent_lastminute = False
        for name in NAMES:
            setattr(self, name, 0)


def armed(peer):
    return {name: getattr(peer, name) for name in NAMES if getattr(peer, name)}


def check_heap(timers, peers):
    """Check the heap: parents are due before children, positions are right, and each peer with a timer is in it in time."""
    heap = timers._heap
    for index in range(len(heap)):
        assert heap[index].heap_index == index
        assert heap[(index - 1) // 2 if index else 0].wake <= heap[index].wake
    assert len([peer for peer in peers if peer.heap_index >= 0]) == len(heap)
    for peer in peers:
        times = list(armed(peer).values())
        if times:
            assert peer.heap_index >= 0 and peer.wake <= min(times)


# The heap


def happen(timers, random, peer, now):
    """Trigger a random event of the peer."""
    event = random.below(11)
    if event == 0:
        timers.handshake_initiated(peer, now)
    elif event == 1:
        timers.handshake_complete(peer)
    elif event == 2:
        timers.session_derived(peer, now)
    elif event == 3:
        timers.data_sent(peer, now)
    elif event == 4:
        timers.data_received(peer, now)
    elif event == 5:
        timers.authenticated_sent(peer, now)
    elif event == 6:
        timers.authenticated_received(peer, now)
    elif event == 7:
        timers.handshake_timed_out(peer, now)
    elif event == 8:
        timers.settle(peer)
    elif event == 9:
        timers.run_watched(peer, now + 180)
    else:
        timers.stop(peer)


def fire(timers, peers, now):
    """Handle all timers that are due at `now`. They must be exactly those of the model."""
    expected = sorted([(peer.number, name) for peer in peers for name, at in armed(peer).items() if at <= now])
    fired, last = [], 0
    while True:
        peer = timers.due(now)
        if peer is None:
            break
        assert last <= peer.wake <= now, "in the order in which they are due"
        last = peer.wake
        for name, at in armed(peer).items():
            if at <= now:
                setattr(peer, name, 0)
                fired.append((peer.number, name))
        timers.settle(peer)
    assert sorted(fired) == expected


def test_heap_like_a_list():
    for seed in range(12):
        random = Random(seed)
        timers, now = Timers(), NOW
        peers = [Peer(number) for number in range(1 + random.below(40))]
        for peer in peers:
            peer.persistent_keepalive = random.below(2) * random.below(60)
        for _ in range(400):
            happen(timers, random, peers[random.below(len(peers))], now)
            check_heap(timers, peers)
            times = [at for peer in peers for at in armed(peer).values()]
            if times:
                assert timers.next() <= min(times), "nobody sleeps through a timer"
            now += random.below(700)
            if random.below(4) == 0:
                now += random.below(30_000)
                fire(timers, peers, now)
        for peer in peers:
            timers.settle(peer)
        times = [at for peer in peers for at in armed(peer).values()]
        assert timers.next() == (min(times) if times else None)
        fire(timers, peers, now + 10 * REJECT_AFTER_TIME)
        assert timers.next() is None and [peer.heap_index for peer in peers] == [-1] * len(peers)


def test_an_empty_heap_is_never_due():
    timers = Timers()
    assert timers.next() is None and timers.due(1 << 50) is None
    peer = Peer()
    timers.settle(peer)
    timers.stop(peer)
    assert timers.next() is None and peer.heap_index == -1


def test_due_to_the_millisecond():
    timers, peer = Timers(), Peer()
    timers.session_derived(peer, NOW)
    at = timers.next()
    assert timers.due(at - 1) is None and timers.due(at) is peer


def test_a_later_timer_leaves_the_heap_alone():
    """A packet costs one comparison if an earlier timer is due anyway."""
    timers, peer = Timers(), Peer()
    timers.data_received(peer, NOW)
    wake = timers.next()
    timers.data_sent(peer, NOW + 1)
    timers.session_derived(peer, NOW + 1)
    assert timers.next() == wake
    timers.authenticated_sent(peer, NOW + 2)
    assert timers.next() == wake, "stopped, and found out when it would have been due"
    timers.settle(peer)
    assert timers.next() == peer.new_handshake_at


def test_stop_all():
    timers, peer = Timers(), Peer()
    peer.persistent_keepalive = 25
    timers.handshake_initiated(peer, NOW)
    timers.session_derived(peer, NOW)
    timers.data_sent(peer, NOW)
    timers.data_received(peer, NOW)
    timers.data_received(peer, NOW)
    timers.authenticated_received(peer, NOW)
    peer.attempts = 5
    timers.stop(peer)
    assert armed(peer) == {} and peer.heap_index == -1 and timers.next() is None
    assert peer.attempts == 0 and not peer.another_keepalive


def test_jitter():
    seen = {jitter() for _ in range(2000)}
    assert min(seen) >= 0 and max(seen) <= REKEY_TIMEOUT_JITTER_MAX
    assert len(seen) > 250


# The table: what an event stops and starts


def within(at, least, most=REKEY_TIMEOUT_JITTER_MAX):
    """Whether the time is `least` after NOW, plus the random jitter, which is at most `most`."""
    return NOW + least <= at <= NOW + least + most


def test_row_handshake_initiated():
    timers, peer = Timers(), Peer()
    timers.handshake_initiated(peer, NOW - 3_000)
    timers.handshake_initiated(peer, NOW)
    assert list(armed(peer)) == ["retransmit_at"] and within(peer.retransmit_at, REKEY_TIMEOUT), "anew"


def test_jitter_grows_with_each_initiation_without_an_answer():
    timers, peer = Timers(), Peer()
    longest = []
    for peer.unanswered in range(25):
        interval, most = retry_interval(peer), longest_jitter(peer)
        timers.handshake_initiated(peer, NOW)
        assert within(peer.retransmit_at, interval, most)
        longest.append((interval, most))
    assert longest[0] == (REKEY_TIMEOUT, REKEY_TIMEOUT_JITTER_MAX), "the first is as in Linux"
    assert longest[3:20] == [(REKEY_TIMEOUT, REKEY_TIMEOUT // 2)] * 17
    assert longest[20:] == [(interval, interval // 2) for interval in (10_000, 20_000, 40_000, 60_000, 60_000)]


def test_row_handshake_deferred():
    timers, peer = Timers(), Peer()
    peer.unanswered, peer.last_sent_handshake = 30, NOW - 20_000
    timers.handshake_deferred(peer)
    assert list(armed(peer)) == ["retransmit_at"] and within(peer.retransmit_at, 40_000, 30_000)
    assert peer.attempts == -1


def test_row_handshake_complete():
    timers, peer = Timers(), Peer()
    timers.handshake_initiated(peer, NOW)
    peer.attempts, peer.sent_lastminute = 7, True
    timers.handshake_complete(peer)
    assert armed(peer) == {} and peer.attempts == 0 and not peer.sent_lastminute


def test_row_session_derived():
    timers, peer = Timers(), Peer()
    timers.session_derived(peer, NOW - 100_000)
    timers.session_derived(peer, NOW)
    assert armed(peer) == {"zero_at": NOW + 3 * REJECT_AFTER_TIME}, "anew"


def test_row_data_sent():
    timers, peer = Timers(), Peer()
    timers.data_sent(peer, NOW)
    at = peer.new_handshake_at
    assert list(armed(peer)) == ["new_handshake_at"]
    assert within(at, KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, NO_REPLY_JITTER_MAX)
    timers.data_sent(peer, NOW + 9_000)
    assert peer.new_handshake_at == at, "the first packet that was not answered counts"


def test_row_data_received():
    timers, peer = Timers(), Peer()
    timers.data_received(peer, NOW)
    assert armed(peer) == {"keepalive_at": NOW + KEEPALIVE_TIMEOUT} and not peer.another_keepalive
    timers.data_received(peer, NOW + 4_000)
    assert armed(peer) == {"keepalive_at": NOW + KEEPALIVE_TIMEOUT} and peer.another_keepalive


def test_row_any_authenticated_sent():
    timers, peer = Timers(), Peer()
    timers.data_received(peer, NOW)
    timers.data_sent(peer, NOW)
    timers.authenticated_sent(peer, NOW)
    assert list(armed(peer)) == ["new_handshake_at"]


def test_row_any_authenticated_received():
    timers, peer = Timers(), Peer()
    timers.data_received(peer, NOW)
    timers.data_sent(peer, NOW)
    timers.authenticated_received(peer, NOW)
    assert list(armed(peer)) == ["keepalive_at"]


def test_row_any_authenticated_either():
    for event in (Timers.authenticated_sent, Timers.authenticated_received):
        timers, peer = Timers(), Peer()
        event(timers, peer, NOW)
        assert armed(peer) == {}, "no interval, no timer"
        peer.persistent_keepalive = 25
        event(timers, peer, NOW - 20_000)
        event(timers, peer, NOW)
        assert armed(peer) == {"persistent_at": NOW + 25_000}, "anew"


# The table: what happens when a timer is due


def silent(harness):
    harness.filter = lambda source, destination, datagram: []


def types(node):
    return ["k" if m[0] == 4 and len(m) == 32 else m[0] for m, *_ in node.sent]


def only(peer, name, now, timers):
    """Give the peer only this timer, due now."""
    timers.stop(peer)
    setattr(peer, name, now)
    timers.settle(peer)


def test_row_retransmit_due():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_TIMEOUT)
    silent(harness)
    a.device.initiate(peer_b, harness.now)
    assert peer_b.src == "src-b" and types(a) == [1]
    harness.advance(REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER_MAX)
    assert types(a) == [1, 1] and peer_b.src is None and peer_b.attempts == 1
    assert peer_b.retransmit_at, "and so on"


def test_row_retransmit_due_after_the_twentieth():
    harness, a, b, peer_b, peer_a = pair()
    silent(harness)
    a.transmit(PACKET)
    a.tables.timers.data_received(peer_b, harness.now)
    only(peer_b, "retransmit_at", harness.now + 1, a.tables.timers)
    peer_b.attempts = MAX_TIMER_HANDSHAKES
    peer_b.last_sent_handshake -= REKEY_TIMEOUT
    harness.advance(1)
    assert types(a) == [1, 1] and not peer_b.zero_at and a.tables.staged.count(peer_b.number) == 1
    peer_b.keepalive_at = peer_b.retransmit_at + 60_000
    given_up = peer_b.retransmit_at
    harness.advance(given_up - harness.now)
    assert types(a) == [1, 1], "that was all"
    assert armed(peer_b) == {"zero_at": given_up + 3 * REJECT_AFTER_TIME}, "keepalive stopped, zero started"
    assert a.tables.staged.count(peer_b.number) == 0 and a.drop(drops.TX_STAGED) == 1


def test_row_retransmit_due_leaves_a_running_zero_timer():
    harness, a, b, peer_b, peer_a = connected()
    silent(harness)
    zero_at = peer_b.zero_at
    peer_b.attempts = MAX_TIMER_HANDSHAKES + 1
    peer_b.retransmit_at = harness.now + 1_000
    a.tables.timers.settle(peer_b)
    harness.advance(1_000)
    assert armed(peer_b)["zero_at"] == zero_at


def test_row_keepalive_due():
    harness, a, b, peer_b, peer_a = connected()
    only(peer_b, "keepalive_at", harness.now + 1, a.tables.timers)
    harness.advance(1)
    assert types(a) == ["k"] and armed(peer_b) == {}


def test_row_keepalive_due_with_another_one_after_it():
    harness, a, b, peer_b, peer_a = connected()
    only(peer_b, "keepalive_at", harness.now + 1, a.tables.timers)
    peer_b.another_keepalive = True
    harness.advance(1)
    assert types(a) == ["k"] and armed(peer_b) == {"keepalive_at": harness.now + KEEPALIVE_TIMEOUT}
    harness.advance(KEEPALIVE_TIMEOUT)
    assert types(a) == ["k", "k"] and armed(peer_b) == {}


def test_row_new_handshake_due():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_TIMEOUT)
    silent(harness)
    only(peer_b, "new_handshake_at", harness.now + 1, a.tables.timers)
    assert peer_b.src == "src-b"
    harness.advance(1)
    assert types(a) == [1] and a.sent[0][2] is None and peer_b.src is None
    assert list(armed(peer_b)) == ["retransmit_at"]


def test_row_zero_due():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_TIMEOUT)
    silent(harness)
    a.device.initiate(peer_b, harness.now)
    assert peer_b.handshake != noise.ZEROED and peer_b.current is not None
    only(peer_b, "zero_at", harness.now + 1, a.tables.timers)
    harness.advance(1)
    assert peer_b.handshake == noise.ZEROED and a.tables.indices.used == 0
    assert peer_b.current is peer_b.previous is peer_b.next is None
    assert not any(peer_b.secret(noise.HASH, noise.COOKIE - noise.HASH))
    assert not any(peer_b.secret(noise.KEYPAIRS, 192))
    assert armed(peer_b) == {}


def test_row_persistent_due():
    harness, a, b, peer_b, peer_a = connected()
    peer_b.persistent_keepalive = 25
    only(peer_b, "persistent_at", harness.now + 1, a.tables.timers)
    harness.advance(1)
    assert types(a) == ["k"] and armed(peer_b) == {"persistent_at": harness.now + 25_000}


def test_row_retransmit_due_without_a_private_key():
    """Nothing can be sent. Then nothing is repeated, and packets wait for the next key."""
    harness, a, b, peer_b, peer_a = pair()
    silent(harness)
    a.transmit(PACKET)
    a.device.set_private_key(bytes(32), harness.now)
    harness.advance(60_000)
    assert peer_b.attempts == 1 and armed(peer_b) == {} and a.tables.staged.count(peer_b.number) == 1
