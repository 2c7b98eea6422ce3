"""The invariants, checked from outside: on the wire, at the delivery of packets, and in the tables of a node.

All checks raise Violation.
"""

from wgembed.protocol import drops, noise
from wgembed.protocol.constants import (
    COOKIE_REPLY_SIZE,
    DEFAULT_MTU,
    HANDSHAKE_WORK,
    MAX_STAGED_PACKETS,
    MAX_TIMER_HANDSHAKES,
    MESSAGE_COOKIE_REPLY,
    MESSAGE_INITIATION,
    MESSAGE_RESPONSE,
    REJECT_AFTER_MESSAGES,
    REJECT_AFTER_TIME,
    REKEY_TIMEOUT,
    TRANSPORT_OVERHEAD,
    UNDER_LOAD_HANDSHAKES,
    UNDER_LOAD_TIME,
)

_HOUR = 3_600_000
_NO_KEYS = bytes(64)
_NO_HANDSHAKE = bytes(noise.COOKIE - noise.HASH)
_TIMERS = ("retransmit_at", "keepalive_at", "new_handshake_at", "zero_at", "persistent_at", "watch_at")
# Drops that need no X25519.
_CHEAP = (
    drops.HS_MAC1, drops.HS_UNDER_LOAD, drops.HS_RATE_LIMIT, drops.HS_NO_PRIVATE_KEY, drops.HS_COOKIE,
)  # fmt: skip


class Violation(AssertionError):
    """An invariant is violated."""


def want(condition, what, *more):
    if not condition:
        raise Violation(" ".join([what] + [str(m) for m in more]))


# On the wire


class Wire:
    """Checks all messages that are sent: no counter is used twice under a key, and no key beyond its limits.

    The name of a key is its sender and the receiver index. A key begins when a responder sends its response, or with the
    first packet of an initiator, which must follow the response at once.
    """

    def __init__(self, sim):
        self._sim = sim
        self._announced = {}  # index: (how often it was announced, when)
        self._keys = {}  # (sender's number, index): [which announcement, next counter, birth]

    def handshake(self, node, message, size):
        now, kind = self._sim.now, message[0]
        if kind == MESSAGE_COOKIE_REPLY:
            want(size == COOKIE_REPLY_SIZE, "a cookie reply of another size")
            self._sim.counts.cookies += 1
            return
        want(kind in (MESSAGE_INITIATION, MESSAGE_RESPONSE), "a handshake message of no kind")
        index = bytes(message[4:8])
        self._announced[index] = (self._announced.get(index, (0, 0))[0] + 1, now)
        if kind == MESSAGE_RESPONSE:
            receiver = bytes(message[8:12])
            self._keys[node.number, receiver] = [self._announced.get(receiver, (0, 0))[0], 0, now]
        else:
            self._sim.counts.initiations += 1
        if len(self._announced) > 4096:
            self._forget(now)

    def transport(self, node, message):
        now = self._sim.now
        self._sim.counts.transport += 1
        index = message[4:8]
        announced = self._announced.get(index)
        want(announced is not None, "a packet for an index that nobody announced")
        key = self._keys.get((node.number, index))
        if key is None or key[0] != announced[0]:
            key = self._keys[node.number, index] = [announced[0], 0, now]
        counter = int.from_bytes(message[8:16], "little")
        want(counter >= key[1], "a nonce a second time:", counter)
        want(counter == key[1], "nonces left out before", counter)
        want(counter < REJECT_AFTER_MESSAGES, "a key used for too many messages")
        want(now - key[2] < REJECT_AFTER_TIME, "a key used too long: for", now - key[2], "ms")
        key[1] = counter + 1
        padded = len(message) - TRANSPORT_OVERHEAD
        want(padded % 16 == 0 or padded >= node.mtu, "not padded:", padded)
        # A packet that waited for a key has the MTU of an earlier time.
        most = node.mtu if now - node.mtu_since > MAX_TIMER_HANDSHAKES * REKEY_TIMEOUT * 2 else DEFAULT_MTU
        want(padded <= most, "padded beyond the MTU:", padded)

    def jump(self, node, header, counter):
        """Follow a test that has increased the counter itself."""
        index = header[4:8]
        key = self._keys.get((node.number, index))
        if key is None or key[0] != self._announced[index][0]:
            key = self._keys[node.number, index] = [self._announced[index][0], 0, self._sim.now]
        key[1] = counter

    def _forget(self, now):
        self._announced = {i: a for i, a in self._announced.items() if now - a[1] < _HOUR}
        self._keys = {k: v for k, v in self._keys.items() if now - v[2] < _HOUR}


# At the delivery


def may_deliver(node, sender, source):
    """Check that `node` may accept a packet with this inner source from `sender`, under the key that was just used."""
    want(node.receiving is not None and node.receiving[1] is not None, "delivered what came in no session")
    peer = node.receiving[0]
    known = node.owner_of(source)
    want(known is not None and known.peer is peer, "delivered a packet with a source not allowed for its peer")
    want(known.public == sender.public or known.public in sender.old_publics, "delivered as another peer's")
    want(node.receiving_birth is not None, "delivered under a key that is not alive")
    age = node.now - node.receiving_birth
    want(age < REJECT_AFTER_TIME, "delivered under a key of", age, "ms")


# In the tables


def frame(machine):
    """Return the identities and sizes of the buffers, which must not change while the process runs."""
    tables, inbox, arena = machine.tables, machine.inbox, machine.arena
    held = [
        tables.records, tables.windows, tables.indices._low, tables.indices._high, tables.indices._owner,
        tables.staged._data, tables.staged._rest, tables.limiter._tag, tables.limiter._full_at, tables._at,
        tables.events._buf, arena.buffer, arena.lengths, inbox.buffer, inbox.packets, inbox.lengths,
    ]  # fmt: skip
    for node in machine.nodes:
        device = node.device
        held += [device.backlog._view, device.backlog._addr, device.drops]
        held += [device.allowed.trie4._key, device.allowed.trie6._key]
    return [(id(one), len(one)) for one in held]


def _peers(machine):
    """Return the peers of all devices."""
    peers = []
    for node in machine.nodes:
        peer = node.device.first
        while peer is not None:
            want(peer.device is node.device, "a peer of another device")
            peers.append(peer)
            peer = peer.after
    return peers


def check(machine):
    """Check the tables of the process."""
    tables = machine.tables
    used = waiting = armed = 0
    blocks = tables.staged.free_blocks
    next_at = tables.timers.next()
    peers = _peers(machine)
    for peer in peers:
        used += _check_secrets(peer)
        waiting += tables.staged.count(peer.number)
        armed += _check_timers(peer, next_at)
    want(tables.used == len(peers), "a place in the peer table leaks")
    want(tables.indices.used == used, "an index leaks:", tables.indices.used, "used,", used, "alive")
    want(0 <= blocks <= tables.staged._blocks, "the staged pool holds more than it has")
    want(waiting or blocks == tables.staged._blocks, "blocks of the staged pool leak")
    want(waiting <= tables.staged._blocks - blocks, "more packets staged than blocks taken")
    want(len(tables.timers._heap) >= armed, "a peer with a timer is not in the heap")


def _check_secrets(peer):
    """Check keypairs and handshake. Returns the number of their indices."""
    alive = used = 0
    lookup = peer.tables.indices.lookup
    for keypair in peer.keypairs:
        if keypair.index is None:
            start = noise.KEYPAIRS + keypair.number * 64
            want(peer.secret(start, 64) == _NO_KEYS, "a keypair's slot is not wiped")
            continue
        alive += 1
        want(keypair is peer.current or keypair is peer.previous or keypair is peer.next, "a keypair out of rotation")
        want(lookup(keypair.index, 0) == peer.number * 4 + keypair.number + 1, "an index leads elsewhere")
    named = (peer.current is not None) + (peer.previous is not None) + (peer.next is not None)
    want(named == alive, "a slot in rotation twice, or without a key")
    used = alive
    if peer.handshake_index is not None:
        used += 1
        want(lookup(peer.handshake_index, 0) == peer.number * 4 + 4, "a handshake's index leads elsewhere")
    if peer.handshake == noise.ZEROED:
        want(peer.handshake_index is None, "no handshake has an index")
        want(peer.secret(noise.HASH, len(_NO_HANDSHAKE)) == _NO_HANDSHAKE, "a handshake is not wiped")
    want(peer.tables.staged.count(peer.number) <= MAX_STAGED_PACKETS, "too many staged packets")
    return used


def _check_timers(peer, next_at):
    """Check that the device wakes up for each timer of the peer. Returns 1 if the peer has a timer, otherwise 0."""
    wake = 0
    for at in [getattr(peer, name) for name in _TIMERS]:
        if at and (not wake or at < wake):
            wake = at
    if not wake:
        return 0
    want(peer.heap_index >= 0 and peer.wake <= wake, "the heap does not know of a timer")
    want(next_at is not None and next_at <= wake, "the device would sleep through a timer")
    return 1


def check_fired(machine):
    """Check, after the timers were handled, that no timer is due."""
    now = machine.now
    for peer in _peers(machine):
        for name in _TIMERS:
            at = getattr(peer, name)
            want(not at or at > now, "a timer due and not fired:", name)


def check_frame(machine):
    """Check that no buffer grew and that free records are wiped. It is too slow for a check after every event."""
    want(frame(machine) == machine.frame, "a table is not what it was at the start")
    tables = machine.tables
    for number in range(tables.capacity):
        if number >= len(tables._peers) or tables._peers[number].device is None:
            start = number * noise.RECORD_SIZE
            record = tables.records[start : start + noise.RECORD_SIZE]
            want(record == bytes(noise.RECORD_SIZE), "the record of a peer removed is not wiped")


def check_silent(machine):
    """Check that nothing is left after ten minutes without a packet: no key, no timer, no index, no packet."""
    for peer in _peers(machine):
        want(not any(peer.secret(noise.HASH, noise.COOKIE - noise.HASH)), "a handshake outlives 540 s")
        want(not any(peer.secret(noise.KEYPAIRS, 192)), "keys outlive 540 s")
    want(machine.tables.indices.used == 0, "indices outlive their keys")
    want(machine.tables.timers.next() is None, "an idle device wakes up")


# The limiter


class Limits:
    """Compares the messages that pass under load with exact buckets for each address or IPv6 /64: 20 a second, 5 at once."""

    def __init__(self):
        self._last_load = None

    def forget(self):
        """Start again, because the process has started again."""
        self._last_load = None

    def watch(self, node):
        """Let the device handle one message of its backlog."""
        device, now = node.device, node.now
        backlog = device.backlog
        if backlog.count >= UNDER_LOAD_HANDSHAKES:
            self._last_load = now
        under_load = self._last_load is not None and now - self._last_load < UNDER_LOAD_TIME
        before = backlog.count
        addr = backlog._addr[backlog._first]
        kind = backlog._view[backlog._first * 148]
        cheap = sum([device.drops[i] for i in _CHEAP])
        device.handshakes(now, 1 if under_load else HANDSHAKE_WORK)
        want(backlog.count == before - 1, "not one message at a time")
        if not under_load or kind == MESSAGE_COOKIE_REPLY or sum([device.drops[i] for i in _CHEAP]) != cheap:
            return
        node.sim.counts.passed_limiter += 1
        _spend(node.machine, node.address_bytes(addr)[:-2], now)


def _spend(machine, ip, now):
    """Count a handshake in the bucket of the address, (tokens in ms, time). All devices of a process share the buckets."""
    ip = ip if len(ip) == 4 else ip[:8]
    tokens, at = machine.buckets.get(ip, (250, now))
    tokens = min(250, tokens + now - at)
    want(tokens >= 50, "the rate limit is exceeded")
    machine.buckets[ip] = (tokens - 50, now)
    if len(machine.buckets) > 256:
        machine.buckets = {k: v for k, v in machine.buckets.items() if now - v[1] < 1_000}
