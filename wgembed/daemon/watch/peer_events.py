"""What happens to peers, for hooks (hooks.py) and the history (history.py).

A PeerEvents is in place of the rings of events (protocol/events.py): it keeps every event as they do, and draws its
conclusions. So it needs no timers, except one alarm while a peer is down. Its events are:

    up            a handshake was completed: the first one, or the first one since the peer was down
    down          the peer does not answer
    outage        the peer has been down for `outage_ms`
    switched      another endpoint or another peer of a group is in use: see failback.py
    roamed        the peer sends from another address; once a minute at most
    key_mismatch  the keys differ, or our answers do not reach the peer; once until the next handshake

A peer is down when three initiations in a row got no answer, which takes 15 s at least, and there is no session or data had
no answer for 15 s. An initiation leaves only if there is data or a keepalive for the peer, so a silent peer is not down.
"""

from ...protocol import noise
from ...protocol.constants import KEEPALIVE_TIMEOUT, REKEY_TIMEOUT
from ...protocol.events import (
    COOKIE_RECEIVED,
    HANDSHAKE_TIMEOUT,
    INITIATION_RECEIVED,
    INITIATION_SENT,
    KEYPAIR_CONFIRMED,
    RESPONSE_INVALID,
    RESPONSE_RECEIVED,
    ROAMED,
    SEND_FAILED,
    Rings,
)  # fmt: skip
from ...runtime import abi, system

UNANSWERED = 3
SILENT_MS = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT
# Data had no answer before the first initiation: the outage began when something last arrived.
_NOTICED_MS = SILENT_MS + 10_000
_ROAM_MS = 60_000
# Invalid responses, and handshakes of the peer that it does not confirm, before it is called a mismatch.
_INVALID = 2
_UNCONFIRMED = 3
_ANSWERS = RESPONSE_RECEIVED, KEYPAIR_CONFIRMED
NO_ANSWER, KEY_MISMATCH, UNDER_LOAD, NO_ROUTE, SEND_ERROR, HANDSHAKE, PEER_MOVED = (
    "no_answer", "key_mismatch", "peer_under_load", "no_route", "sending_fails", "handshake", "peer_moved",
)  # fmt: skip


class _State:
    """The conclusions about a peer.

    is_up     None before the first handshake, and before the peer was first down
    asked     when the first initiation without an answer was sent; a `now` value, as the others
    since     when the outage began
    roamed    when it was last reported that the peer roamed
    """

    __slots__ = ("asked", "has_mismatch", "is_long", "is_up", "roamed", "since")

    def __init__(self):
        self.is_up = self.roamed = None
        self.asked = self.since = 0
        self.has_mismatch = self.is_long = False


class PeerEvents(Rings):
    """The rings of these tables, over the same memory.

    inner      the Rings that keep the events, which can be a HandshakeLog
    outage_ms  how long a peer must be down until that is an outage
    listener   on_event(action, peer, reason, since) is called with each event; `since` is when it began. on_handshake() is
               called after each handshake
    """

    def __init__(self, tables, alarms, outage_ms, listener):
        self._buf = tables.events._buf
        self._tables = tables
        self._alarms = alarms
        self.inner = tables.events
        self.outage_ms = outage_ms
        self._listener = listener
        self._tell = listener.on_event
        self._states = {}  # by the number of the peer

    def note(self, number, event, now):
        self.inner.note(number, event, now)
        if event in _ANSWERS:
            self._answered(number, now)
        elif event in (INITIATION_SENT, HANDSHAKE_TIMEOUT):
            self._asked(number, now)
        elif event in (RESPONSE_INVALID, INITIATION_RECEIVED):
            self._look_for_mismatch(number, now)
        elif event == ROAMED:
            self._roamed(number, now)

    def clear(self, number):
        super().clear(number)
        self._states.pop(number, None)

    def switched(self, peer, reason):
        """Another endpoint or another peer of a group is in use."""
        self._tell("switched", peer, reason, system.clock.now())

    def _state(self, number):
        state = self._states.get(number)
        if state is None:
            state = self._states[number] = _State()
        return state

    def _answered(self, number, now):
        state, peer = self._state(number), self._tables.peer(number)
        was_up, state.is_up = state.is_up, True
        state.asked = 0
        state.has_mismatch = state.is_long = False
        self._listener.on_handshake()
        if not was_up:
            self._tell("up", peer, HANDSHAKE, now if was_up is None else state.since)

    def _asked(self, number, now):
        state, peer = self._state(number), self._tables.peer(number)
        if not state.asked or not peer.unanswered:
            state.asked = now
        if state.is_up is False or peer.unanswered < UNANSWERED or not _is_silent(peer, now):
            return
        state.is_up = False
        state.since = peer.last_rx if peer.last_rx and state.asked - peer.last_rx <= _NOTICED_MS else state.asked
        self._tell("down", peer, self._reason(peer), state.since)
        self._alarms.hasten("outage", state.since + self.outage_ms, self._look_for_outages)

    def _look_for_outages(self):
        now = system.clock.now()
        following = None
        for number, state in list(self._states.items()):
            if state.is_up is not False or state.is_long:
                continue
            due = state.since + self.outage_ms
            if due <= now:
                peer = self._tables.peer(number)
                state.is_long = True
                self._tell("outage", peer, self._reason(peer), state.since)
            elif following is None or due < following:
                following = due
        if following is not None:
            self._alarms.hasten("outage", following, self._look_for_outages)

    def _look_for_mismatch(self, number, now):
        state, peer = self._state(number), self._tables.peer(number)
        if not state.has_mismatch and self._has_mismatch(peer, now):
            state.has_mismatch = True
            self._tell("key_mismatch", peer, KEY_MISMATCH, now)

    def _has_mismatch(self, peer, now):
        invalid = unconfirmed = 0
        for event, count, _ in self._since_answer(peer.number):
            if event == RESPONSE_INVALID:
                invalid += count
            elif event == INITIATION_RECEIVED:
                unconfirmed += count
            elif event == SEND_FAILED:
                return False  # our answers do not leave
        # Beside a session, some answers were lost.
        return invalid >= _INVALID or unconfirmed >= _UNCONFIRMED and not noise.may_send(peer.current, 1, now)

    def _since_answer(self, number):
        """Return the events of the peer since its last handshake, the newest first."""
        found = []
        for entry in reversed(self.read(number)):
            if entry[0] in _ANSWERS:
                break
            found.append(entry)
        return found

    def _reason(self, peer):
        """Return why the peer does not answer, in a word like those of `status`."""
        if self._has_mismatch(peer, system.clock.now()):
            return KEY_MISMATCH
        for event, _, _ in self._since_answer(peer.number):
            if event == COOKIE_RECEIVED:
                return UNDER_LOAD
            if event == SEND_FAILED:
                family = 6 if system.inet.is_ipv6(peer.addr) else 4
                errors = [errno for errno, of in peer.device.host.send_errors() if of == family]
                return NO_ROUTE if errors and errors[0] in (abi.ENETUNREACH, abi.EHOSTUNREACH) else SEND_ERROR
        return NO_ANSWER

    def _roamed(self, number, now):
        state, peer = self._state(number), self._tables.peer(number)
        if state.roamed is None or now - state.roamed >= _ROAM_MS:
            state.roamed = now
            self._tell("roamed", peer, PEER_MOVED, now)


def _is_silent(peer, now):
    """Whether there is no session, or data in it had no answer."""
    if not noise.may_send(peer.current, 1, now):
        return True
    return peer.last_data_tx > peer.last_rx and now - peer.last_rx >= SILENT_MS
