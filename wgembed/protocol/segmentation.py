"""Whether datagrams of segmented sends (UDP GSO) arrive at the peer. The return value of the kernel does not show it.

Some kernels, drivers and hypervisors accept a run of messages in one send, and lose or damage all of its datagrams, while
single datagrams arrive. WireGuard does not acknowledge data, and packets inside the tunnel do not show it either: TCP sends
each lost packet again alone, so answers come, but slowly. Only an initiation has an answer for certain. So the test is an
initiation that leaves twice, in one segmented send: the pair. Both halves have the same length, because Linux 7.0 to 7.1.4
damages only the runs whose last segment is as long as the others. The peer answers the first one that arrives, and drops
the second one as a replay. Each test is a handshake that gives a new key; data is sent under the old one meanwhile.

    the pair is answered                    segmented sends arrive
    the pair is not answered, but then a    the pair was lost: the next runs leave packet by packet, and the next test
    single initiation is answered           follows soon. After LOST such tests in a row, it is reported, and tests
                                            follow after 10 minutes, 20 minutes, and so on, up to 21 hours
    neither is answered; the peer starts    no evidence: nothing changes. Slow: the single initiation took longer than a
    a handshake meanwhile; slow             third of the time that the pair had, so this can be a queue

A test happens only when a run of several packets leaves, and only if there is a suspicion. Some runs are watched: one
after which the peer sends nothing for 180 ms, less than the shortest time after which TCP sends again, is suspicious, if
the peer has sent something since the last suspicious run. Three of those, less the runs that something followed, are a
suspicion. On a healthy path, a run of TCP has an answer, so there is no test. A path that is slow or used in one direction
costs one more handshake in an hour. One lost datagram costs a second of unsegmented sends. With ALWAYS, the first test
comes soon after a session begins, without a suspicion. The side that did not begin the session waits longer, so that both
do not test at the same time. Another link or another endpoint of the peer is another path, which is tested again. After
other changes of routes, the next test comes after five minutes at most.

Fields of the peer: `segments` is the number of messages that one send may have. `probe` is the state of the test,
`probe_at` the time of the next one or of the next run to watch, `probe_lost` the number of tests in a row that failed,
`probe_wait` how long the pair has to be answered, in ms, and `probe_link` the link of the path that was tested.
`watched` is when the run left that is watched until the timer `watch_at`, `suspected` when the last suspicious one left,
and `suspicion` their number.

    host.send_pair(addr, src, buf, size, tos)  send the datagram twice, in one segmented send; returns as `send`
    host.tests_segments                        when segmented sends are tested: NOT_AT_ALL, IF_SUSPECTED or ALWAYS
    host.segments_changed(peer)                tests show that segmented sends to the peer are lost, or arrive again
"""

from .constants import NEVER, REKEY_TIMEOUT
from .timers import jitter

SEGMENTS = 64  # in one send: the number that every kernel accepts

NONE, PAIR, SINGLE = range(3)  # the initiation without an answer is: not of a test, the pair, the single one after it

NOT_AT_ALL, IF_SUSPECTED, ALWAYS = range(3)  # when segmented sends are tested

LOST = 3
_SUSPICION = 3
_ANSWER_WITHIN = 180
_WATCH_EVERY = 500
_WAIT = 1500
_QUIET = 2000  # the time since the last handshake message, on the side that began the session
_RETEST = 3600 * 1000
_AFTER_ROUTES = 300 * 1000
_RETRY = 600 * 1000  # doubled seven times at most


def reset(peer):
    """The path to the peer is new: use segmented sends until a test fails."""
    peer.segments = SEGMENTS
    peer.probe = NONE
    peer.probe_at = peer.probe_lost = peer.suspicion = 0
    peer.probe_wait = _WAIT


def is_lost(peer):
    """Whether segmented sends to the peer are lost, by several tests."""
    return peer.probe_lost >= LOST


def begin(device, peer, now):
    """Watch the run, or send the pair to the peer, if it is time. A run has just left, and the time `probe_at` is over."""
    tests = device.host.tests_segments
    if tests == IF_SUSPECTED and peer.suspicion < _SUSPICION and not peer.probe_lost:
        peer.watched = now
        peer.probe_at = now + _WATCH_EVERY
        device.tables.timers.run_watched(peer, now + _ANSWER_WITHIN)
        return
    quiet = _QUIET if peer.current is not None and peer.current.initiator else REKEY_TIMEOUT
    at = max(peer.last_sent_handshake, peer.last_initiation) + quiet
    if not tests:
        reset(peer)
        at = now + _RETEST
    elif peer.retransmit_at:
        at = now + REKEY_TIMEOUT
    elif at <= now:
        at = max(device.probe_at, now)
    if at > now:
        peer.probe_at = at + jitter()
        return
    device.probe_at = now + 100  # not all peers at once
    peer.probe_at = now + REKEY_TIMEOUT
    peer.last_sent_handshake = NEVER  # the limit of one initiation in 5 s is for those without an answer
    device.initiate(peer, now, probe=PAIR)
    if peer.probe == PAIR:
        device.tables.timers.handshake_initiated(peer, now - REKEY_TIMEOUT + peer.probe_wait)


def watched(peer):
    """The peer had time to answer the run that is watched. What came in the same ms can have been the reason for the run."""
    if peer.last_rx > peer.watched:
        peer.suspicion = max(peer.suspicion - 1, 0)
    elif peer.last_rx > peer.suspected:
        peer.suspicion += 1
        peer.suspected = peer.watched


def unanswered(device, peer, now):
    """An initiation had no answer in time. Returns whether it was the pair: then a single one has left."""
    if peer.probe != PAIR:
        peer.probe = NONE
        return False
    peer.last_sent_handshake = NEVER
    device.initiate(peer, now, retry=True, probe=SINGLE)
    return True


def answered(device, peer, now):
    """The peer answers the last initiation."""
    probe, peer.probe = peer.probe, NONE
    if probe == PAIR:
        was_lost = is_lost(peer)
        peer.segments = SEGMENTS
        peer.probe_lost = peer.suspicion = 0
        peer.probe_at = now + _RETEST
        if was_lost:
            device.host.segments_changed(peer)
    elif probe == SINGLE:
        if 3 * (now - peer.last_sent_handshake) > peer.probe_wait:
            peer.probe_at = now + (_AFTER_ROUTES if peer.probe_wait == REKEY_TIMEOUT else REKEY_TIMEOUT)
            peer.probe_wait = REKEY_TIMEOUT
        else:
            _lose(device, peer, now)


def _lose(device, peer, now):
    peer.segments = 1
    peer.probe_lost = min(peer.probe_lost + 1, LOST + 7)
    if not is_lost(peer):
        peer.probe_at = now + _QUIET
        return
    peer.probe_at = now + (_RETRY << peer.probe_lost - LOST)
    if peer.probe_lost == LOST:
        device.host.segments_changed(peer)


def interrupted(peer, now):
    """The peer starts a handshake, or asks for a cookie: the test shows nothing."""
    if peer.probe:
        peer.probe = NONE
        peer.probe_at = now + REKEY_TIMEOUT + 8 * jitter()
        if peer.retransmit_at:
            peer.retransmit_at = peer.last_sent_handshake + REKEY_TIMEOUT + jitter()


def source_chosen(peer, is_new, now):
    """The source of packets to the peer was chosen again. If the link to the peer is another one, its path is new.

    is_new  see Sources.choose; False: routes of the machine changed
    """
    if peer.best_link and peer.best_link != peer.probe_link:
        if peer.probe_link:
            reset(peer)
        peer.probe_link = peer.best_link
    if not is_new:
        peer.probe_at = min(peer.probe_at, now + _AFTER_ROUTES)
