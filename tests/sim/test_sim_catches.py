"""The simulation finds faults: each fault in the protocol is found by the invariant that it violates."""

import pytest

from wgembed.packets import arena
from wgembed.protocol import backoff, constants, device, noise, peers, ratelimiter, replay, staged, tai64n, timers

from . import simcheck, simnode
from .simscenario import Scenario


def found(topology="hub", devices=2, together=1, days=3, seeds=(31, 32, 33)):
    """Return the text of the first Violation."""
    for seed in seeds:
        scenario = Scenario(seed, devices, topology, together)
        try:
            scenario.run(days)
        except (simcheck.Violation, AssertionError) as error:
            return str(error)
        finally:
            scenario.sim.close()
    return "nothing"


FAULTS = {}


def fault(*complaints, **how):
    def register(make):
        FAULTS[make.__name__] = make, complaints, how
        return make

    return register


def test_without_a_fault_there_is_no_complaint():
    assert found() == found("mesh", 4, 2, 1) == "nothing"


@fault("delivered twice")
def replay_window_off(patch):
    patch.setattr(replay, "accept", lambda windows, keypair, counter: True)
    patch.setattr(replay, "accept_run", lambda windows, keypair, first, count: True)


@fault("delivered twice")
def replay_window_ignores_its_lower_end(patch):
    accept = replay.accept

    def forgetful(windows, keypair, counter):
        return counter + 1 + constants.COUNTER_WINDOW_SIZE < keypair.top or accept(windows, keypair, counter)

    patch.setattr(replay, "accept", forgetful)


@fault("a source not allowed")
def allowed_ips_not_checked(patch):
    patch.setattr(device.Device, "_is_from", lambda self, peer, where, width: True)


@fault("a source not allowed", topology="hub", devices=4)
def allowed_ips_of_any_peer(patch):
    def is_anybodys(self, peer, where, width):
        lookup = self.allowed.lookup4 if width == 4 else self.allowed.lookup6
        return lookup(self.inbox.buffer, where) >= 0

    patch.setattr(device.Device, "_is_from", is_anybodys)


@fault("an index leaks")
def index_of_a_replaced_handshake_leaks(patch):
    patch.setattr(peers.Peer, "free_handshake_index", lambda self: setattr(self, "handshake_index", None))


@fault("a keypair's slot is not wiped")
def keypair_not_wiped(patch):
    wipe = peers.Peer.wipe
    patch.setattr(peers.Peer, "wipe", lambda self, field, size: None if size == 64 else wipe(self, field, size))


@fault("a handshake is not wiped")
def handshake_not_wiped(patch):
    wipe = peers.Peer.wipe
    patch.setattr(peers.Peer, "wipe", lambda self, field, size: None if field == noise.HASH else wipe(self, field, size))


@fault("the record of a peer removed is not wiped")
def removed_peer_not_wiped(patch):
    wipe = peers.Peer.wipe
    patch.setattr(peers.Peer, "wipe", lambda self, field, size: size == noise.RECORD_SIZE or wipe(self, field, size))


@fault("a key used too long")
def sending_after_reject_after_time(patch):
    patch.setattr(
        noise,
        "may_send",
        lambda keypair, count, now: (
            keypair is not None and keypair.usable and keypair.counter + count <= constants.REJECT_AFTER_MESSAGES
        ),
    )


@fault("a key used for too many messages", "too large", "int too", "out of range", "argument out")
def sending_after_reject_after_messages(patch):
    patch.setattr(
        noise,
        "may_send",
        lambda keypair, count, now: (
            keypair is not None and keypair.usable and now - keypair.birth < constants.REJECT_AFTER_TIME
        ),
    )


@fault("delivered under a key of")
def receiving_after_reject_after_time(patch):
    patch.setattr(noise, "may_receive", lambda keypair, now: True)


@fault("a nonce a second time")
def counter_of_a_batch_counts_one(patch):
    send_run = device.Device._send_run

    def reusing(self, now, peer, first, end):
        keypair = peer.current
        before = keypair.counter if keypair is not None else 0
        send_run(self, now, peer, first, end)
        if keypair is not None and keypair.counter > before + 1:
            keypair.counter = before + 1

    patch.setattr(device.Device, "_send_run", reusing)


@fault("the rate limit is exceeded")
def limiter_off(patch):
    patch.setattr(ratelimiter.RateLimiter, "allow", lambda self, ip, now: True)


@fault("the rate limit is exceeded")
def limiter_of_each_port(patch):
    patch.setattr(ratelimiter, "TOKEN_MAX", 2 * ratelimiter.TOKEN_MAX)


@fault("the heap does not know of a timer", "would sleep through a timer")
def timers_heap_not_told_of_an_earlier_one(patch):
    def lazy(self, peer, at):
        if peer.heap_index < 0:
            self._append(peer, at)
            self._up(peer)

    patch.setattr(timers.Timers, "_hasten", lazy)


@fault("a timer due and not fired", "wants to be woken at once")
def timers_a_moment_late(patch):
    patch.setattr(timers.Timers, "due", lambda self, now: self._heap[0] if self._heap and self._heap[0].wake < now else None)


@fault("keys outlive 540 s")
def keys_never_zeroed(patch):
    patch.setattr(timers.Timers, "session_derived", lambda self, peer, now: None)


@fault("do not talk again")
def no_retransmission(patch):
    patch.setattr(backoff, "due", lambda device, peer, now: None)
    initiate = device.Device.initiate
    patch.setattr(
        device.Device,
        "initiate",
        lambda self, peer, now, retry=False: (
            None if peer.attempts else initiate(self, peer, now, retry) or setattr(peer, "attempts", 1)
        ),
    )


@fault("do not talk again")
def a_dead_session_is_not_noticed(patch):
    patch.setattr(timers.Timers, "data_sent", lambda self, peer, now: None)


@fault("do not talk again")
def roaming_on_handshakes_only(patch):
    patch.setattr(
        device.Device, "_move", lambda self, peer, addr, now: None if peer.addr is not None else self.tables.move(peer, addr)
    )


@fault("lost in calm weather", seeds=range(31, 55))
def responder_sends_before_the_key_is_confirmed(patch):
    begin = noise.begin_session

    def hasty(peer, now):
        begin(peer, now)
        if peer.next is not None:
            noise.received_on(peer, peer.next)

    patch.setattr(noise, "begin_session", hasty)


@fault("do not talk again", seeds=range(31, 37))
def a_pause_without_a_limit(patch):
    patch.setattr(timers, "retry_interval", lambda peer: constants.REKEY_TIMEOUT << min(peer.unanswered // 4, 9))


@fault("lost in calm weather")
def the_previous_key_is_dropped_at_a_rekey(patch):
    begin = noise.begin_session

    def forgetful(peer, now):
        begin(peer, now)
        peer.drop_keypair(peer.previous)
        peer.previous = None

    patch.setattr(noise, "begin_session", forgetful)


@fault("lost in calm weather")
def staged_packets_are_forgotten(patch):
    patch.setattr(device.Device, "send_staged", lambda self, peer, now: self.purge(peer))


@fault("blocks of the staged pool leak", "more packets staged")
def blocks_of_large_packets_leak(patch):
    discard = staged.StagedPool.discard

    def leaking(self, peer):
        size = discard(self, peer)
        if size > 512:
            self.free_blocks -= 1
        return size

    patch.setattr(staged.StagedPool, "discard", leaking)


@fault("a timestamp went back")
def no_mark_on_flash(patch):
    class Forgetful(tai64n.Tai64n):
        def __init__(self, flash, run, save, log):
            super().__init__()

    patch.setattr(simnode, "Timestamps", Forgetful)


@fault("a table is not what it was")
def a_buffer_that_grows(patch):
    accept = replay.accept

    def growing(windows, keypair, counter):
        windows.extend(b"\0")
        return accept(windows, keypair, counter)

    patch.setattr(replay, "accept", growing)


@fault("an idle device wakes up", "an idle device sends", "outlive 540 s")
def keepalive_answers_keepalive(patch):
    received = timers.Timers.authenticated_received

    def chatty(self, peer, now):
        received(self, peer, now)
        self.start_keepalive(peer, now)

    patch.setattr(timers.Timers, "authenticated_received", chatty)


@fault("delivered another packet")
def a_run_is_delivered_in_the_wrong_place(patch):
    append = arena.Inbox.append

    def shifted(self, packet, stride, first, count, where, width):
        end = append(self, packet, stride, first, count, where, width)
        if self.good > 1:
            self.packet_lengths[self.good - 1] -= 1
        return end

    patch.setattr(arena.Inbox, "append", shifted)


@fault("a session of another device", devices=3, together=2)
def packets_of_another_device_are_taken(patch):
    """The other device shares the process, and so the table of indices."""
    open_run = device.Device._open

    def careless(self, now, start, *rest):
        peer, keypair = self.tables.owner(self.inbox.buffer, start + 4)
        if keypair is None:
            return open_run(self, now, start, *rest)
        owner, peer.device = peer.device, self
        try:
            return open_run(self, now, start, *rest)
        finally:
            peer.device = owner

    patch.setattr(device.Device, "_open", careless)


@fault("the rate limit is exceeded", devices=2, together=2)
def a_limiter_for_each_device(patch):
    make = device.Device.__init__
    take = device.Device._handle_handshake

    def own(self, *arguments):
        make(self, *arguments)
        self.limiter = ratelimiter.RateLimiter(64)

    def limited(self, message, addr, src, under_load, now):
        self.tables.limiter, shared = self.limiter, self.tables.limiter
        try:
            return take(self, message, addr, src, under_load, now)
        finally:
            self.tables.limiter = shared

    patch.setattr(device.Device, "__init__", own)
    patch.setattr(device.Device, "_handle_handshake", limited)


@fault("padded beyond the MTU")
def padding_for_a_mtu_of_before(patch):
    patch.setattr(device.Device, "mtu", property(lambda self: constants.DEFAULT_MTU, lambda self, mtu: None), raising=False)


@fault("not padded")
def no_padding(patch):
    patch.setattr(device.Device, "mtu", property(lambda self: 0, lambda self, mtu: None), raising=False)


@pytest.mark.parametrize("name", FAULTS)
def test_is_caught(name, monkeypatch):
    make, complaints, how = FAULTS[name]
    make(monkeypatch)
    told = found(**how)
    assert any(complaint in told for complaint in complaints), told
