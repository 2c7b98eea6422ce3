"""All timers of a peer: what starts and stops them, and the heap that finds the peer whose timer is due next.

    event                       stops             starts (+: if it does not run, !: again from the beginning)
    handshake initiated                           ! retransmit        5 s + jitter; later more (retry_interval)
    handshake needed before it is allowed         + retransmit        when it is allowed
    handshake complete          retransmit
    session derived                               ! zero              540 s
    data sent                                     + new handshake     15 s + longer jitter
    data received                                 + keepalive         10 s; if running, another one after it
    any authenticated sent      keepalive
    any authenticated received  new handshake
    any authenticated either                      ! persistent        its interval, if there is one
    run watched                                   ! watch             180 ms (segmentation.py)

    timer due                   what happens (Device.expire)
    retransmit                  source address forgotten, initiation again; after the twentieth (backoff.py): keepalive
                                stopped, staged packets purged, zero started if it does not run
    keepalive                   an empty packet is sent
    new handshake               source address forgotten, initiation
    zero                        handshake and keypairs wiped
    persistent                  an empty packet is sent
    watch                       whether the peer sent something after the run is noted

(WireGuard paper, 6; Linux timers.c; OpenBSD if_wg.c.) `data` is a packet that is not empty. An empty one is a
keepalive. `authenticated` is any packet of a session and any valid handshake message. The peer keeps the times of the
last ones for the control socket (`last_rx`, `last_data_rx`, `last_data_tx`).

To start a timer, its time is written into the peer. The heap changes only if this time is earlier than the time of the
peer in the heap, so most packets cost one comparison. A timer that is stopped later costs one wake-up at most.
"""

from .. import crypto
from .constants import (
    KEEPALIVE_TIMEOUT,
    MAX_TIMER_HANDSHAKES,
    NO_REPLY_JITTER_MAX,
    REJECT_AFTER_TIME,
    REKEY_TIMEOUT,
    REKEY_TIMEOUT_JITTER_MAX,
    RETRY_INTERVAL_MAX,
)

# Random bytes for a hundred timers, because nearly every batch of packets starts a timer.
_drawn = bytearray(200)
_used = len(_drawn)


def jitter(most=REKEY_TIMEOUT_JITTER_MAX):
    """Return a random time from 0 to `most`, in ms, which is less than 65536."""
    global _used
    if _used == len(_drawn):
        crypto.random_fill(_drawn)
        _used = 0
    _used += 2
    return (_drawn[_used - 2] << 8 | _drawn[_used - 1]) % (most + 1)


def retry_interval(peer):
    """Return the time between two initiations to the peer, in ms, without jitter.

    It is REKEY_TIMEOUT for the first twenty without an answer, as in Linux. Then it doubles with each initiation, up to
    RETRY_INTERVAL_MAX, because traffic or a persistent keepalive would start twenty again, for as long as the peer is away.
    """
    doublings = peer.unanswered - MAX_TIMER_HANDSHAKES - 1
    if doublings <= 0:
        return REKEY_TIMEOUT
    return min(REKEY_TIMEOUT << min(doublings, 4), RETRY_INTERVAL_MAX)


def longest_jitter(peer):
    """Return the longest jitter after the interval, in ms. It doubles with each initiation without an answer, up to half of
    the interval. So the peers of a machine that was away do not all call it at the same time.
    """
    return min(REKEY_TIMEOUT_JITTER_MAX << min(peer.unanswered, 8), retry_interval(peer) // 2)


def _retry_time(peer, since):
    """Return when an initiation may follow the one at the time `since`."""
    return since + retry_interval(peer) + jitter(longest_jitter(peer))


class Timers:
    """A binary heap of peers by `peer.wake`. `peer.heap_index` is the position of a peer in the heap, or -1."""

    __slots__ = ("_heap",)

    def __init__(self):
        self._heap = []

    def next(self):
        """Return the earliest time at which a timer may be due, or None."""
        return self._heap[0].wake if self._heap else None

    def due(self, now):
        """Return a peer with a timer that may be due, or None."""
        return self._heap[0] if self._heap and self._heap[0].wake <= now else None

    # events

    def handshake_initiated(self, peer, now):
        peer.retransmit_at = _retry_time(peer, now)
        self._hasten(peer, peer.retransmit_at)

    def handshake_deferred(self, peer):
        """A handshake is needed earlier than the peer may be called again."""
        peer.attempts = -1  # no initiation has left yet
        peer.retransmit_at = _retry_time(peer, peer.last_sent_handshake)
        self._hasten(peer, peer.retransmit_at)

    def handshake_complete(self, peer):
        peer.retransmit_at = 0
        peer.attempts = peer.unanswered = 0
        peer.sent_lastminute = False

    def session_derived(self, peer, now):
        peer.zero_at = now + REJECT_AFTER_TIME * 3
        self._hasten(peer, peer.zero_at)

    def data_sent(self, peer, now):
        peer.last_data_tx = now
        if not peer.new_handshake_at:
            peer.new_handshake_at = now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + jitter(NO_REPLY_JITTER_MAX)
            self._hasten(peer, peer.new_handshake_at)

    def data_received(self, peer, now):
        peer.last_data_rx = now
        if peer.keepalive_at:
            peer.another_keepalive = True
        else:
            self.start_keepalive(peer, now)

    def start_keepalive(self, peer, now):
        peer.keepalive_at = now + KEEPALIVE_TIMEOUT
        self._hasten(peer, peer.keepalive_at)

    def authenticated_sent(self, peer, now):
        peer.keepalive_at = 0
        self._traversal(peer, now)

    def authenticated_received(self, peer, now):
        peer.last_rx = now
        peer.new_handshake_at = 0
        self._traversal(peer, now)

    def handshake_timed_out(self, peer, now):
        """The handshake failed: the last initiation got no answer."""
        peer.keepalive_at = 0
        if not peer.zero_at:
            self.session_derived(peer, now)
        if not peer.persistent_at:
            self._traversal(peer, now)  # it can have been due before this initiation could be repeated

    def run_watched(self, peer, at):
        peer.watch_at = at
        self._hasten(peer, at)

    def _traversal(self, peer, now):
        if peer.persistent_keepalive:
            peer.persistent_at = now + peer.persistent_keepalive * 1000
            self._hasten(peer, peer.persistent_at)

    def stop(self, peer):
        """Stop all timers of the peer."""
        peer.retransmit_at = peer.keepalive_at = peer.new_handshake_at = peer.zero_at = peer.persistent_at = 0
        peer.watch_at = 0
        peer.attempts = peer.unanswered = 0
        peer.another_keepalive = False
        self.settle(peer)

    # the heap

    def settle(self, peer):
        """Move the peer in the heap to the position of its earliest timer, after timers were stopped or handled."""
        wake = 0
        for at in (
            peer.retransmit_at, peer.keepalive_at, peer.new_handshake_at, peer.zero_at, peer.persistent_at, peer.watch_at,
        ):  # fmt: skip
            if at and (not wake or at < wake):
                wake = at
        if not wake:
            self._remove(peer)
            return
        if peer.heap_index < 0:
            self._append(peer, wake)
        peer.wake = wake
        self._up(peer)
        self._down(peer)

    def _hasten(self, peer, at):
        if peer.heap_index < 0:
            self._append(peer, at)
        elif at >= peer.wake:
            return
        peer.wake = at
        self._up(peer)

    def _append(self, peer, wake):
        peer.wake = wake
        peer.heap_index = len(self._heap)
        self._heap.append(peer)

    def _remove(self, peer):
        index = peer.heap_index
        if index < 0:
            return
        last = self._heap.pop()
        peer.heap_index = -1
        if last is not peer:
            self._heap[index] = last
            last.heap_index = index
            self._up(last)
            self._down(last)

    def _up(self, peer):
        heap = self._heap
        index = peer.heap_index
        while index > 0:
            parent = heap[(index - 1) >> 1]
            if parent.wake <= peer.wake:
                break
            heap[index] = parent
            index, parent.heap_index = parent.heap_index, index
        heap[index] = peer
        peer.heap_index = index

    def _down(self, peer):
        heap = self._heap
        index = peer.heap_index
        while 2 * index + 1 < len(heap):
            child = 2 * index + 1
            if child + 1 < len(heap) and heap[child + 1].wake < heap[child].wake:
                child += 1
            if heap[child].wake >= peer.wake:
                break
            other = heap[child]
            heap[index] = other
            other.heap_index = index
            index = child
        heap[index] = peer
        peer.heap_index = index


def expire_timers(tables, now):
    """Handle the timers that are due at `now`, of the peers of all devices."""
    timers = tables.timers
    while True:
        peer = timers.due(now)
        if peer is None:
            return
        peer.device.expire(peer, now)
        timers.settle(peer)
