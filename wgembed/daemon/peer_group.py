"""A peer and its backups (`option backup_of`): the one in use has the allowed IPs. Routes do not change.

The next peer is used when an initiation to the one in use got no answer from any of its endpoints, with the two exceptions
of endpoint_list.py. Packets that wait for a handshake go to the next peer, too. Meanwhile, the first peer is tested with
trials (protocol/trial.py), or, if it has a persistent keepalive, by its session. It is used again as failback.py says.
"""

from ..protocol import noise, trial
from ..protocol.constants import REKEY_TIMEOUT
from ..protocol.timers import jitter
from ..runtime import system
from .endpoint_list import ANSWERS_AGAIN, NO_ANSWER, NO_PING, PATIENCE, log_switch, options_of, seems_well
from .failback import Failback


class PeerGroup:
    """`members` are PeerConfigs, first the peer that the others replace. `owner` is the RouterInterface.

    ping  a ping_check.PingCheck, or None
    """

    def __init__(self, members, owner, alarms):
        first = members[0]
        self._options = options_of(first)
        self.failback = Failback(members[0].failback * 1000)
        self._owner = owner
        self._alarms = alarms
        self._alarm = "backup %d" % id(self)
        self._number = 0
        self._is_silent = self._is_testing = self._was_answered = False
        self._failed = 0  # initiations to the peer in use, in a row, without an answer
        self._pings_failed = 0  # of the peer in use, which can have other endpoints
        self._why = ""  # why another peer is tried, if the reason is a special one
        self._prefixes = []
        self.ping = None
        self.use(members)
        if first.ping is not None:
            from .ping_check import PingCheck

            paths = sum(self._endpoints)
            in_use, failed = lambda: self._peer(self._number), self._ping_failed
            self.ping = PingCheck(first.ping, first.ping_interval, owner, alarms, paths, in_use, failed)

    def use(self, members):
        """The configuration of the same members, which can have other allowed IPs now."""
        self.keys = [member.public_key for member in members]
        self._endpoints = [max(len(member.hosts), 1) for member in members]
        used = self._peer(self._number)
        before, self._prefixes = self._prefixes, members[0].allowed_ips
        for packed, length in before:
            if used is not None and (packed, length) not in self._prefixes:
                self._device.allowed.remove(packed, length, used.number)
        self._give()

    def is_configured(self, members):
        """Whether these are the same peers in the same order."""
        same = self.keys == [member.public_key for member in members]
        return same and self._options == options_of(members[0])

    def close(self, config):
        """The group ends. Give the allowed IPs back to the first peer, whose PeerConfig is `config`, or None."""
        self._alarms.cancel(self._alarm)
        if self.ping is not None:
            self.ping.close()
        if config is not None:
            self._number = 0
            self._prefixes = config.allowed_ips
            self._give()

    def is_in_use(self, public_key):
        return self.keys[self._number] == public_key

    def _peer(self, number):
        return self._device.find(self.keys[number])

    @property
    def _device(self):
        return self._owner.interface.device

    def _give(self):
        """Give the allowed IPs to the peer in use."""
        peer = self._peer(self._number)
        if peer is not None:
            for packed, length in self._prefixes:
                self._device.allowed.insert(packed, length, peer.number)

    # What the peers do

    def unanswered(self, peer):
        """An initiation to the peer got no answer, or data got none (0 attempts)."""
        if not self.is_in_use(peer.public_key):
            return
        if not peer.attempts:
            self._is_silent = True
            return
        self._failed += 1
        if self._failed < self._endpoints[self._number]:
            return  # another endpoint of the peer comes first
        if self._failed > PATIENCE or not seems_well(peer, self._is_silent):
            self._why = ""
            self._use_next(peer)

    def _ping_failed(self):
        """The address of ping_check did not answer: use the next endpoint of the peer, or the next peer."""
        endpoint = self._owner.endpoints.get(self.keys[self._number])
        if self.ping.switches == 1:
            self._pings_failed = 0  # it has answered meanwhile
        self._pings_failed += 1
        if self._pings_failed < self._endpoints[self._number]:
            endpoint.ping_failed()
            return
        self._why = NO_PING
        self._use_next(self._peer(self._number))

    def _use_next(self, before):
        for step in range(1, len(self.keys)):
            number = (self._number + step) % len(self.keys)
            peer = self._peer(number)
            if peer is not None and peer.addr is not None:
                self._move(number, before, peer)
                return

    def _move(self, number, before, peer):
        now, device = system.clock.now(), self._device
        self._number = number
        self._is_silent = False
        self._failed = self._pings_failed = 0
        self._give()
        staged, arena = device.tables.staged, device.arena
        while before is not None and staged.count(before.number):
            if staged.peek(before.number) > arena.slot_size:
                staged.discard(before.number)  # the MTU of the link became smaller in the meantime
                continue
            size = staged.pop(before.number, arena.buffer, arena.packets[0])
            staged.push(peer.number, arena.buffer, arena.packets[0], size)
        if noise.may_send(peer.current, 1, now):
            self._arrived(NO_ANSWER, now)
        device.send_keepalive(peer, now)

    def on_source(self, peer):
        """A handshake with the peer was completed."""
        now = system.clock.now()
        if self.is_in_use(peer.public_key):
            self._is_silent = False
            self._failed = 0
            self._arrived(NO_ANSWER if self._number else ANSWERS_AGAIN, now)

    def _arrived(self, reason, now):
        reason = self._why or reason
        is_new = self.failback.arrived(self._number, reason, now)
        if is_new:
            self._why = ""
            log_switch(self._owner, self.keys[self._number], "", reason)
        if self.ping is not None:
            self.ping.begin(now, is_new)
        if self._number:
            self._plan(now)
        else:
            self._alarms.cancel(self._alarm)

    # Tests of the first peer

    def _plan(self, now):
        delay = self.failback.delay_ms()
        if delay is not None:
            self._alarms.hasten(self._alarm, now + delay + jitter(delay // 10), self._test)

    def _test(self):
        now, first, used = system.clock.now(), self._peer(0), self._peer(self._number)
        if first is None or used is None or not noise.may_send(used.current, 1, now):
            return  # the next handshake plans the test again
        if first.persistent_keepalive and noise.may_send(first.current, 1, now):
            if self.failback.tested(True, now):
                self._return(first)
            else:
                self._plan(now)
            return
        self._was_answered = False
        self._is_testing = first.addr is not None and trial.begin(self._device, first, first.addr, now)
        self._alarms.set(self._alarm, now + REKEY_TIMEOUT, self._end_test)

    def on_trial_answered(self, peer, now):
        """The peer answered a trial. Return whether to use the session: None if it was not a test of this group."""
        if not self._is_testing or peer.public_key != self.keys[0]:
            return None
        self._was_answered = True
        if not self.failback.tested(True, now):
            return False
        self._number = 0
        self._give()
        return True

    def _end_test(self):
        now, first = system.clock.now(), self._peer(0)
        if first is None:
            return
        if not self._was_answered:
            self.failback.tested(False, now)
        if self._is_testing:
            trial.end(first)
        self._is_testing = False
        self._plan(now)

    def _return(self, first):
        self._move(0, self._peer(self._number), first)

    def network_changed(self):
        """The machine is in another network: test the first peer soon."""
        if self._number:
            self.failback.forget_failures()
            self._plan(system.clock.now())
