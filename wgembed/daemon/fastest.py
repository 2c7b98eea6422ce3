"""`option endpoint_order 'fastest'`: of several endpoints, the one that answers a handshake fastest is used.

In a round, all endpoints are tested with trials (protocol/trial.py), the one in use first. Rounds follow each other after
half of the hold time, while there is traffic. An endpoint is used when it was faster in three rounds in a row, by a fifth
and by 5 ms, and no other was faster still. When the tunnel moves again within four hold times, the hold time doubles, up to
16 times.
"""

from ..protocol import noise, trial
from ..protocol.constants import REKEY_TIMEOUT
from ..protocol.timers import jitter
from ..runtime import system
from .endpoint_list import FASTER, EndpointList

_FIRST_MS = 30_000
_LEAST_MS = 6_000
_ROUNDS = 3
_LEAST_GAIN_MS = 5
_STABLE = 4
_LONGEST_HOLD = 16


def is_faster(one_ms, other_ms):
    """Whether the first time is less by a fifth, and by 5 ms."""
    return 5 * one_ms <= 4 * other_ms and one_ms + _LEAST_GAIN_MS <= other_ms


class Fastest(EndpointList):
    """See EndpointList.

    times  of each endpoint, how long its last answer took in ms, or None
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.times = [None] * len(self.hosts)
        self._wins = [0] * len(self.hosts)
        self._left = []  # the numbers of the endpoints that are tested in this round
        self._tested = 0
        self._sent = self._round_at = 0
        self._base = None  # the time of the endpoint in use in this round
        self._moved_at = None
        self._hold = self.failback.base_ms

    def on_source(self, peer):
        super().on_source(peer)
        self.failback.hold_ms = self._hold

    def _settled(self, number, now):
        if self._hold and not self._left:
            delay = max(self._hold // 2, _LEAST_MS)
            if not self._round_at:
                delay = min(delay, _FIRST_MS)
            self._alarms.hasten(self._alarm, now + delay + jitter(delay // 10), self._test)

    def _test(self):
        """Test the next endpoint of the round, or begin a round if there was traffic since the last one."""
        now, peer = system.clock.now(), self._peer()
        if peer is None or not noise.may_send(peer.current, 1, now):
            self._left = []
            return  # the next handshake plans the next round
        if not self._left:
            if max(peer.last_data_tx, peer.last_data_rx) <= self._round_at:
                return
            self._round_at, self._base = now, None
            self._left = [self._number] + [number for number in range(len(self._all)) if number != self._number]
        number = self._left[0]
        addr = self._addr_of(number)
        if addr is None:
            self._end(number)
            return
        if trial.begin(self._owner.interface.device, peer, addr, now):
            self._tested, self._sent, self._was_answered = number, now, False
            self._alarms.set(self._alarm, now + REKEY_TIMEOUT, self._end_test)
        else:
            self._alarms.set(self._alarm, now + REKEY_TIMEOUT, self._test)

    def on_trial_answered(self, now):
        self._was_answered = True
        number, took = self._tested, now - self._sent
        self.times[number] = took
        if number == self._number:
            self._base = took
            return False
        if self._base is None:
            return False
        self._wins[number] = self._wins[number] + 1 if is_faster(took, self._base) else 0
        others = [time for time in self.times if time is not None]
        if self._wins[number] < _ROUNDS or any(is_faster(time, took) for time in others):
            return False
        again = self._moved_at is not None and now - self._moved_at < _STABLE * self._hold
        self._hold = min(2 * self._hold, _LONGEST_HOLD * self.failback.base_ms) if again else self.failback.base_ms
        self._moved_at = now
        self._wins = [0] * len(self._all)
        self._left = []
        self._number = number
        self._why = FASTER
        return True

    def _end_test(self):
        peer = self._peer()
        if peer is None or not self._left:
            return
        number = self._left[0]
        # If the test was ended by another handshake, it shows nothing.
        if not self._was_answered and peer.trial is not None:
            self.times[number] = None
            self._wins[number] = 0
        trial.end(peer)
        self._end(number)

    def _end(self, number):
        now = system.clock.now()
        self._left.remove(number)
        if self._left:
            self._alarms.set(self._alarm, now + jitter(), self._test)
        else:
            self._settled(self._number, now)

    def network_changed(self):
        """The machine is in another network: measure soon."""
        self._round_at = 0
        self._settled(self._number, system.clock.now())
