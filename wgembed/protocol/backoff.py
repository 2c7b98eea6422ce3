"""How often a peer that does not answer is called.

As in Linux, an initiation is repeated every 5 s and jitter, up to twenty times after the last packet for the peer. Then the
handshake times out. In Linux, the next packet or persistent keepalive begins the same again at once. So a peer that is away
for a year gets millions of initiations, and a hub that returns gets those of all its peers within 5 s. Here, the time
between two initiations doubles after the first twenty, up to RETRY_INTERVAL_MAX (timers.retry_interval), and the jitter
grows from the second one on. A packet after a longer pause starts a handshake at once. An earlier one waits until the peer
may be called again: the handshake is deferred. So a peer that is back is called within 90 s, if there is a packet for it.

    peer.unanswered  initiations in a row that got no answer, whatever they were for
    peer.attempts    those of this handshake; each packet for the peer sets it back to 0. -1: the handshake is deferred
"""

from .timers import jitter, retry_interval  # isort: skip (first: modules that load one another take up MicroPython's stack)
from . import events, segmentation
from .constants import MAX_TIMER_HANDSHAKES, NEVER, REKEY_TIMEOUT

_UNANSWERED_MAX = 255
# In ms. The peers of a machine that is in another network are called within this time.
_SOON = 1_000


def must_wait(device, peer, now):
    """Whether a handshake that is needed now must wait, because a timer of the peer will start it."""
    peer.attempts = min(peer.attempts, 0)
    if peer.retransmit_at and peer.last_sent_handshake != NEVER:
        return True  # or traffic would repeat the initiation a moment before the timer, which would never be due
    if not peer.unanswered:
        return False
    if now - peer.last_sent_handshake >= retry_interval(peer) or peer.addr is None or not device.is_up:
        return False
    device.tables.timers.handshake_deferred(peer)
    return True


def due(device, peer, now):
    """Repeat an initiation that got no answer, start a handshake that was deferred, or give up."""
    timers, interval = device.tables.timers, retry_interval(peer)
    if segmentation.unanswered(device, peer, now):
        return
    is_deferred = peer.attempts < 0
    if not is_deferred:
        peer.unanswered = min(peer.unanswered + 1, _UNANSWERED_MAX)
        if peer.attempts * interval > MAX_TIMER_HANDSHAKES * REKEY_TIMEOUT:
            device.purge(peer)
            device.tables.events.note(peer.number, events.HANDSHAKE_TIMEOUT, now)
            timers.handshake_timed_out(peer, now)
            return
    peer.attempts += 1
    peer.forget_source()
    if not is_deferred:
        device.host.unanswered(peer)
    device.initiate(peer, now, retry=True)
    if not peer.retransmit_at and now - peer.last_sent_handshake < REKEY_TIMEOUT:
        # No initiation left, because we have just answered one of the peer, which may never confirm our response.
        timers.handshake_initiated(peer, peer.last_sent_handshake + 1)


def hasten(device, now):
    """Call all peers that do not answer again soon, because the machine is in another network."""
    peer = device.first
    while peer is not None:
        call_soon(device, peer, now)
        peer = peer.after


def call_soon(device, peer, now):
    """Forget that the peer did not answer. If it is to be called, call it soon."""
    if peer.unanswered:
        peer.unanswered = 0
        if peer.retransmit_at:
            peer.retransmit_at = max(now, peer.last_sent_handshake + REKEY_TIMEOUT) + jitter(_SOON)
            device.tables.timers.settle(peer)
