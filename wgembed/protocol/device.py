"""A WireGuard device: the one place where the parts of the protocol meet.

The device calls the machine through its host:

    host.send(addr, src, buf, size, tos) -> SEND_OK, SEND_LOST or SEND_BAD_SOURCE
    host.reply(addr, src, buf, size)              send to an address that no peer has; the packets of peers go first
    host.send_run(addr, src, arena, first, end, ecn, segments) -> as `send`; sends the messages in the slots `first` to
                                                  `end` - 1, at most `segments` in one send
    host.send_pair, tests_segments, segments_changed  see segmentation.py
    host.deliver(view, packets, lengths, count)   write `count` IP packets, by offset and length, to the tunnel device
    host.address_bytes(addr) -> bytes             the IP address in network order, then the port, 2 bytes
    host.realtime() -> (sec, nsec)                since 1970
    host.source(peer, is_new) -> src              `peer.called_at` or None; not is_new: routes of the machine changed
    host.trial_answered(peer, now) -> bool        whether to move to the endpoint that answered a trial: see trial.py
    host.unanswered(peer)                         an initiation got no answer (`peer.attempts` counts them), or nothing
                                                  came for 15 s after data (0): the host can change the endpoint

`addr` and `src` are objects of the host. The device keeps them, compares them and passes them back. If `src` is None,
the machine chooses the source address. The host keeps in `peer.best_link` what it needs to choose a source.

Leaving:   transmit: route, send_run: pad, seal, send, timers; without a key: stage, initiate
Arriving:  receive: open_run, replay, endpoint, promotion, rekey, timers, inner packet, deliver;
           handshake messages go to the backlog, and `handshakes` handles them after the data
"""

from .. import crypto
from . import backoff, cookie, drops, ecn, events, icmp, messages, noise, own_datagrams, replay, segmentation, trial
from .allowedips import AllowedIPs
from .backlog import Backlog

# isort: off
from .constants import (
    COOKIE_REPLY_SIZE, DEFAULT_MTU, ECN_CE, ECN_MASK, HANDSHAKE_DSCP, HANDSHAKE_WORK, INITIATION_INTERVAL, INITIATION_SIZE,
    MESSAGE_COOKIE_REPLY, MESSAGE_INITIATION, MESSAGE_TRANSPORT, NEVER, REKEY_AFTER_MESSAGES,
    REKEY_AFTER_TIME, REKEY_ON_RECEIVE_AFTER, REKEY_TIMEOUT, RESPONSE_SIZE, SEND_BAD_SOURCE, SEND_OK, TRANSPORT_OVERHEAD,
)  # fmt: skip
from .ip import (
    IPV4_DESTINATION, IPV4_HEADER, IPV4_LENGTH, IPV4_SOURCE, IPV6_DESTINATION, IPV6_HEADER, IPV6_LENGTH, IPV6_SOURCE,
)  # fmt: skip

# isort: on
from .tai64n import Tai64n


class Device:
    """One interface: its keys, its peers and its allowed IPs. All devices of the process share `tables`."""

    def __init__(self, tables, arena, inbox, host, prefixes4=4096, prefixes6=4096, timestamps=None):
        self.tables = tables
        self.arena = arena
        self.inbox = inbox
        self.host = host
        self.identity = noise.Identity()
        self.checker = cookie.CookieChecker()
        self.allowed = AllowedIPs(prefixes4, prefixes6, tables.capacity, tables.alloc)
        self.backlog = Backlog()
        self.drops = [0] * len(drops.NAMES)
        self.unmatched_handshakes = events.UnmatchedHandshakes()
        self.unroutable = events.Address()  # the last destination that is in no peer's allowed IPs
        self.source_not_allowed = events.Address()  # the last source that is not in the allowed IPs of its peer
        self.timestamps = timestamps or Tai64n()
        self.is_up = False
        self.mtu = DEFAULT_MTU  # of the tunnel device; packets are never padded beyond it
        self.first = self.last = None  # the list of peers, in the order in which they were added
        self._routes = 0  # counts changes of the machine's routes
        self.probe_at = 0  # when segmented sends are next tested: see segmentation.py
        self.readers = []  # objects that read this list in several turns; `peer` of each is the next peer to read
        self._by_key = {}
        self._initiation = bytearray(INITIATION_SIZE)
        self._response = bytearray(RESPONSE_SIZE)
        self._reply = bytearray(COOKIE_REPLY_SIZE)
        self._icmp = bytearray(icmp.UNREACHABLE_MAX)
        self._icmp_packet = [0]
        self._icmp_length = [0]

    # Configuration. A function that raises has changed nothing.

    def set_private_key(self, private, now):
        """Use these 32 bytes as private key. All zero removes the key. Old sessions only receive; new handshakes begin."""
        clamped = memoryview(bytearray(32))
        if any(private):
            noise.clamp(clamped, private)
        unchanged = crypto.equal(clamped, self.identity.private)
        crypto.memzero(clamped)
        if unchanged:
            return
        self.identity.set(private)
        self.checker.set_identity(self.identity.public)
        own = self._by_key.get(self.identity.public)
        if own is not None:
            self.remove_peer(own)
        peer = self.first
        while peer is not None:
            self._precompute(peer)
            noise.expire(peer)
            peer.last_sent_handshake = NEVER
            peer.unanswered = 0
            if self.is_up:
                if peer.persistent_keepalive:
                    self.send_keepalive(peer, now)  # without a key, the one at the start of the interface could not leave
                else:
                    self.send_staged(peer, now)
            peer = peer.after

    def _precompute(self, peer):
        shared = peer.secret(noise.STATIC_STATIC, 32)
        if not self.identity.present or not crypto.x25519(shared, self.identity.private, peer.public_key):
            crypto.memzero(shared)

    def find(self, public_key):
        """Return the peer with this public key, or None."""
        return self._by_key.get(bytes(public_key))

    def add_peer(self, public_key):
        """Return a new peer with this public key. TableFull if the peer table is full."""
        peer = self.tables.allocate()
        peer.device = self
        peer.public_key = bytes(public_key)
        self._by_key[peer.public_key] = peer
        peer.before = self.last
        if self.last is None:
            self.first = peer
        else:
            self.last.after = peer
        self.last = peer
        self._precompute(peer)
        return peer

    def remove_peer(self, peer):
        """Remove the peer and wipe its keys, sessions and staged packets."""
        for reader in self.readers:
            if reader.peer is peer:
                reader.peer = peer.after
        if peer.before is None:
            self.first = peer.after
        else:
            peer.before.after = peer.after
        if peer.after is None:
            self.last = peer.before
        else:
            peer.after.before = peer.before
        peer.before = peer.after = peer.device = None
        del self._by_key[peer.public_key]
        self.allowed.remove_peer(peer.number)
        self.source_not_allowed.forget(peer.number)
        self.tables.release(peer)

    def remove_all_peers(self):
        while self.first is not None:
            self.remove_peer(self.first)

    def allow(self, peer, packed, cidr, now):
        """Give the prefix to the peer. If another peer has the prefix, it moves. TableFull if the table is full."""
        had = self.allowed.insert(packed, cidr, peer.number)
        if had >= 0 and had != peer.number:
            self.tables.events.note(had, events.ALLOWED_IP_MOVED, now)

    def set_preshared_key(self, peer, psk):
        """Use this preshared key, 32 bytes, from the next handshake on. All zero means no preshared key."""
        peer.secret(noise.PRESHARED, 32)[:] = psk

    def set_endpoint(self, peer, addr, now):
        """Send to `addr` from now on. The machine chooses the source address."""
        was_unknown = peer.addr is None
        self.tables.move(peer, addr)
        peer.forget_source()
        segmentation.reset(peer)
        if was_unknown and self.is_up and peer.persistent_keepalive:
            self.send_keepalive(peer, now)

    def set_persistent_keepalive(self, peer, seconds, now):
        """Send a packet every `seconds`, to keep the path open; 0 turns this off. If the device is up, it begins at once."""
        turned_on = seconds and not peer.persistent_keepalive
        peer.persistent_keepalive = seconds
        if not seconds:
            peer.persistent_at = 0
        elif turned_on and self.is_up:
            self.send_keepalive(peer, now)

    def forget_sources(self):
        """Let the machine choose source addresses again, because the port or the fwmark changed."""
        peer = self.first
        while peer is not None:
            peer.forget_source()
            peer = peer.after

    def routes_changed(self):
        """Routes changed: before the next packet to each peer, ask the host for the source again."""
        self._routes += 1

    def _choose_source(self, peer, is_new, now):
        peer.routes_seen = self._routes
        peer.src = None if peer.called_at is None else self.host.source(peer, is_new)
        segmentation.source_chosen(peer, is_new, now)

    def up(self, now):
        """Start: the interface is up and its sockets are open."""
        self.is_up = True
        peer = self.first
        while peer is not None:
            self.send_staged(peer, now)  # the machine may send before the host knows that the interface is up
            if peer.persistent_keepalive:
                self.send_keepalive(peer, now)
            peer = peer.after

    def down(self):
        """Stop: the interface is down. Remove the sessions and all packets and messages that wait."""
        self.is_up = False
        self.backlog.clear()
        peer = self.first
        while peer is not None:
            self.tables.timers.stop(peer)
            segmentation.reset(peer)
            self.purge(peer)
            trial.end(peer)
            peer.drop_handshake()
            peer.drop_keypairs()
            peer.last_sent_handshake = NEVER
            peer = peer.after

    # Leaving

    def transmit(self, now, count):
        """Send the packets in the arena's slots 0 to `count` - 1. `arena.lengths` has the size of each, in bytes."""
        first = 0
        while first < count:
            peer = self._route(now, first)
            end = first + 1
            if peer is not None:
                if end < count:
                    end = self.arena.end_of_run(first, count, peer, self.host)
                self._send_run(now, peer, first, end)
            first = end

    def _route(self, now, slot):
        """Return the peer for the packet in the slot. None if no peer can take it: it is then counted, and answered."""
        arena = self.arena
        buf, packet, size = arena.buffer, arena.packets[slot], arena.lengths[slot]
        version = buf[packet] >> 4
        if version == 4 and size >= IPV4_HEADER:
            where, width = packet + IPV4_DESTINATION, 4
            number = self.allowed.lookup4(buf, where)
        elif version == 6 and size >= IPV6_HEADER:
            where, width = packet + IPV6_DESTINATION, 16
            number = self.allowed.lookup6(buf, where)
        else:
            self.drops[drops.TX_NOT_IP] += 1
            return None
        if number < 0:
            # Multicast and broadcast packets of the machine itself do not show a wrong configuration.
            if buf[where] < 0xE0 or width == 16 and buf[where] != 0xFF:
                self.unroutable.note(buf, where, width, -1, now)
            self._unreachable(packet, size, drops.TX_NO_PEER)
            return None
        peer = self.tables.peer(number)
        if peer.addr is None:
            self._unreachable(packet, size, drops.TX_NO_ENDPOINT)
            return None
        if own_datagrams.is_own(buf, packet, size, peer):
            self.drops[drops.TX_LOOP] += 1
            return None
        return peer

    def _unreachable(self, packet, size, reason):
        self.drops[reason] += 1
        length = icmp.unreachable(self._icmp, self.arena.buffer, packet, size)
        if length:
            self._icmp_length[0] = length
            self.host.deliver(self._icmp, self._icmp_packet, self._icmp_length, 1)

    def _send_run(self, now, peer, first, end):
        """Send the packets in the slots `first` to `end` - 1, or stage them. All go to this peer, with the same ECN bits."""
        keypair = peer.current
        if not noise.may_send(keypair, end - first, now):
            self._stage(now, peer, first, end)
            return
        arena = self.arena
        data = arena.lengths[first] > 0  # otherwise the run is one keepalive
        outer = ecn.encapsulate(ecn.inner(arena.buffer, arena.packets[first])) if data else 0
        total = arena.seal(first, end, keypair.sending, keypair.header, keypair.counter, self.mtu)
        keypair.counter += end - first
        if peer.routes_seen != self._routes:
            self._choose_source(peer, False, now)
        result = self.host.send_run(peer.addr, peer.src, arena, first, end, outer, peer.segments)
        if result == SEND_BAD_SOURCE:
            peer.forget_source()
            result = self.host.send_run(peer.addr, None, arena, first, end, outer, peer.segments)
        if result == SEND_OK:
            peer.tx_bytes += total
        else:
            self.drops[drops.TX_SEND] += end - first
            self._note(peer, events.SEND_FAILED, now)
        timers = self.tables.timers
        timers.authenticated_sent(peer, now)
        if data:
            timers.data_sent(peer, now)
        self._keep_fresh_sending(peer, keypair, now)
        if end - first > 1 and peer.probe_at <= now:
            segmentation.begin(self, peer, now)

    def _stage(self, now, peer, first, end):
        arena = self.arena
        for slot in range(first, end):
            self.drops[drops.TX_STAGED] += self.tables.staged.push(
                peer.number, arena.buffer, arena.packets[slot], arena.lengths[slot]
            )
        self.initiate(peer, now)

    def purge(self, peer):
        self.drops[drops.TX_STAGED] += self.tables.staged.purge(peer.number)

    def send_staged(self, peer, now):
        """Send the packets that wait for the peer. If there is no key yet, start a handshake."""
        staged, arena, number = self.tables.staged, self.arena, peer.number
        while staged.count(number):
            if not noise.may_send(peer.current, 1, now):
                self.initiate(peer, now)
                return
            if staged.peek(number) > arena.slot_size:
                self.drops[drops.TX_STAGED] += 1  # the MTU of the link became smaller in the meantime
                staged.discard(number)
                continue
            arena.lengths[0] = staged.pop(number, arena.buffer, arena.packets[0])
            self._send_run(now, peer, 0, 1)

    def send_keepalive(self, peer, now):
        """Send the packets that wait for the peer, or an empty packet. If there is no key, start a handshake."""
        if self.tables.staged.count(peer.number):
            self.send_staged(peer, now)
        elif noise.may_send(peer.current, 1, now):
            self.arena.lengths[0] = 0
            self._send_run(now, peer, 0, 1)
        else:
            self.initiate(peer, now)

    def _keep_fresh_sending(self, peer, keypair, now):
        if keypair.counter > REKEY_AFTER_MESSAGES or (keypair.initiator and now - keypair.birth >= REKEY_AFTER_TIME):
            self.initiate(peer, now)

    def _keep_fresh_receiving(self, peer, now):
        keypair = peer.current
        if peer.sent_lastminute or keypair is None or not keypair.initiator:
            return
        if now - keypair.birth >= REKEY_ON_RECEIVE_AFTER:
            peer.sent_lastminute = True
            self.initiate(peer, now)

    # Handshakes that we start

    def initiate(self, peer, now, retry=False, probe=segmentation.NONE):
        """Send an initiation, unless a handshake message to this peer left less than REKEY_TIMEOUT ago.

        retry  the initiation repeats one that got no answer: `peer.attempts` keeps its value; see backoff.py
        probe  its part in a test of segmented sends: see segmentation.py
        """
        if not retry and backoff.must_wait(self, peer, now):
            return
        if now - peer.last_sent_handshake < REKEY_TIMEOUT or peer.addr is None or not self.is_up:
            return
        trial.end(peer)
        timestamp = self.timestamps.make(*self.host.realtime())
        if not noise.create_initiation(self.identity, peer, self._initiation, timestamp):
            return
        peer.probe = probe
        self._note(peer, events.INITIATION_SENT, now)
        self._send_handshake(peer, self._initiation, now)
        self.tables.timers.handshake_initiated(peer, now)

    def _send_handshake(self, peer, message, now):
        cookie.add_macs(peer, message, now)
        self.tables.timers.authenticated_sent(peer, now)
        peer.last_sent_handshake = now
        size = len(message)
        send = self.host.send_pair if peer.probe == segmentation.PAIR else self.host.send
        if peer.routes_seen != self._routes:
            self._choose_source(peer, False, now)
        result = send(peer.addr, peer.src, message, size, HANDSHAKE_DSCP)
        if result == SEND_BAD_SOURCE:
            peer.forget_source()
            result = send(peer.addr, None, message, size, HANDSHAKE_DSCP)
        if result == SEND_OK:
            peer.tx_bytes += size
        else:
            self.drops[drops.TX_SEND] += 1
            self._note(peer, events.SEND_FAILED, now)

    # Arriving

    def receive(self, now, size, stride, addr, src, tos):
        """Handle the datagrams in the inbox. They begin at its `start`.

        size       bytes of all datagrams
        stride     distance between two datagrams, in bytes; the last one can be shorter
        addr, src  the address that sent them, and our address that received them
        tos        the outer TOS or traffic class byte
        """
        buf, start = self.inbox.buffer, self.inbox.start
        size += start
        while start < size:
            length = size - start
            if length > stride:
                length = stride
            kind = messages.kind(buf, start, length)
            if kind == MESSAGE_TRANSPORT:
                start += stride * self._open(now, start, size, stride, addr, src, tos)
                continue
            if not kind:
                self.drops[drops.RX_MALFORMED] += 1
            elif not self.backlog.push(buf, start, length, addr, src, self.tables.is_endpoint):
                self.drops[drops.HS_QUEUE_FULL] += 1
            start += stride

    def _open(self, now, start, end, stride, addr, src, tos):
        """Open the run of transport messages that begins at `start`. Returns the number of messages in the run."""
        inbox, tables = self.inbox, self.tables
        found = tables.indices.lookup(inbox.buffer, start + messages.TRANSPORT_RECEIVER) - 1
        peer = tables.peer(found >> 2) if found >= 0 and found & 3 != 3 else None
        if peer is None or peer.device is not self:
            self.drops[drops.RX_UNKNOWN_INDEX] += 1
            return 1
        keypair = peer.keypairs[found & 3]
        if not noise.may_receive(keypair, now):
            self.drops[drops.RX_EXPIRED] += 1
            return 1
        count = inbox.open(start, end, stride, keypair.receiving)
        fresh = self._sift_replays(keypair, count)
        if not fresh:
            return count
        if addr != peer.addr and addr != peer.trial and addr != peer.left:
            self._move(peer, addr, now)
        if src != peer.called_at:
            peer.called_at = src
            self._choose_source(peer, True, now)
        if noise.received_on(peer, keypair):
            self._note(peer, events.KEYPAIR_CONFIRMED, now)
            self._complete(peer)
            self.send_staged(peer, now)
        self._keep_fresh_receiving(peer, now)
        tables.timers.authenticated_received(peer, now)
        self._handle_packets(now, peer, start, stride, count, tos)
        return count

    def _sift_replays(self, keypair, count):
        """Give messages that are not authentic or were replayed the length -1. Returns the number of the others."""
        inbox = self.inbox
        first = inbox.counters[0]
        if inbox.in_order and first >= keypair.top and replay.accept_run(self.tables.windows, keypair, first, count):
            return count
        return self._sift_one_by_one(keypair, count)

    def _sift_one_by_one(self, keypair, count):
        lengths, counters, windows = self.inbox.lengths, self.inbox.counters, self.tables.windows
        fresh = 0
        for i in range(count):
            if lengths[i] < 0:
                self.drops[drops.RX_AUTHENTICATION] += 1
            elif replay.accept(windows, keypair, counters[i]):
                fresh += 1
            else:
                self.drops[drops.RX_REPLAY] += 1
                lengths[i] = -1
        return fresh

    def _handle_packets(self, now, peer, start, stride, count, tos):
        """Check the inner packets of an opened run, and pass the good ones to the host."""
        inbox = self.inbox
        buf, lengths = inbox.buffer, inbox.lengths
        same = inbox.bytes_equal
        mark = tos & ECN_MASK
        inbox.begin()
        trusted = trusted_width = i = 0
        data = False
        while i < count:
            size = lengths[i]
            end = i + 1
            if size > 0:
                data = True
                packet = start + i * stride + messages.TRANSPORT_PACKET
                kind = buf[packet] & 0xF0
                if kind == 0x40 and size >= IPV4_HEADER:
                    length = buf[packet + IPV4_LENGTH] << 8 | buf[packet + IPV4_LENGTH + 1]
                    least, where, width = IPV4_HEADER, packet + IPV4_SOURCE, 4
                elif kind == 0x60 and size >= IPV6_HEADER:
                    length = (buf[packet + IPV6_LENGTH] << 8 | buf[packet + IPV6_LENGTH + 1]) + IPV6_HEADER
                    least, where, width = IPV6_HEADER, packet + IPV6_SOURCE, 16
                else:
                    least, length, width = 1, 0, 0
                if not least <= length <= size:
                    self._count_inner(kind)
                # Most packets have the source of the packet before, which the peer may use.
                elif not (width == trusted_width and same(buf, trusted, where, width)) and not self._is_from(
                    peer, where, width
                ):
                    self._drop_source(peer, where, width, now)
                elif mark and not ecn.decapsulate(buf, packet, mark):
                    self.drops[drops.RX_ECN] += 1
                else:
                    trusted, trusted_width = where, width
                    # An outer CE is copied into the inner packets one by one, so each packet is then a run.
                    end = inbox.append(packet, stride, i, end if mark == ECN_CE else count, where, width)
            elif size == 0:
                inbox.received += TRANSPORT_OVERHEAD
            i = end
        peer.rx_bytes += inbox.received
        if data:
            self.tables.timers.data_received(peer, now)
        if inbox.good:
            self.host.deliver(inbox.view, inbox.packets, inbox.packet_lengths, inbox.good)

    def _count_inner(self, kind):
        """Count a packet that is not IP, or whose header has a wrong length."""
        self.drops[drops.RX_INNER_SIZE if kind in (0x40, 0x60) else drops.RX_INNER_TYPE] += 1

    def _drop_source(self, peer, where, width, now):
        self.drops[drops.RX_INNER_SOURCE] += 1
        self.source_not_allowed.note(self.inbox.buffer, where, width, peer.number, now)
        self._note(peer, events.SOURCE_NOT_ALLOWED, now)

    def _is_from(self, peer, where, width):
        """Whether the source address, `width` bytes at `where`, is in the peer's allowed IPs."""
        lookup = self.allowed.lookup4 if width == 4 else self.allowed.lookup6
        return lookup(self.inbox.buffer, where) == peer.number

    def _move(self, peer, addr, now):
        """Change the peer's endpoint to `addr`."""
        was_known = peer.addr is not None
        self.tables.move(peer, addr)
        peer.forget_source()
        segmentation.reset(peer)
        if was_known:
            self._note(peer, events.ROAMED, now)

    def _note(self, peer, event, now):
        self.tables.events.note(peer.number, event, now)

    # Handshakes that arrive

    def handshakes(self, now, work):
        """Handle messages from the backlog until `work` units are done. Returns the number of messages that still wait.

        A message costs one unit under load, otherwise HANDSHAKE_WORK units.
        """
        backlog = self.backlog
        while backlog.count and work > 0:
            under_load = backlog.under_load(now)
            message, addr, src = backlog.pop()
            reason = self._handle_handshake(message, addr, src, under_load, now)
            if reason:
                self.drops[reason] += 1
            work -= 1 if under_load else HANDSHAKE_WORK
        return backlog.count

    def _handle_handshake(self, message, addr, src, under_load, now):
        """Handle one message. Returns the drop reason, or 0 if the message was accepted."""
        if message[0] == MESSAGE_COOKIE_REPLY:
            return self._handle_cookie(message, now)
        if not self.identity.present:
            return drops.HS_NO_PRIVATE_KEY
        address = self.host.address_bytes(addr) if under_load else None
        state = self.checker.check(message, address, now)
        if state == cookie.INVALID_MAC:
            self.unmatched_handshakes.note(events.INVALID_MAC1, b"", addr, now)
            return drops.HS_MAC1
        if under_load:
            if state == cookie.VALID_MAC:
                self.checker.reply(self._reply, message, address, now)
                if self.tables.is_endpoint(addr):
                    self.host.send(addr, src, self._reply, COOKIE_REPLY_SIZE, 0)
                else:
                    self.host.reply(addr, src, self._reply, COOKIE_REPLY_SIZE)
                return drops.HS_UNDER_LOAD
            if not self.tables.limiter.allow(address[:-2], now):
                return drops.HS_RATE_LIMIT
        if message[0] == MESSAGE_INITIATION:
            return self._handle_initiation(message, addr, src, now)
        return self._handle_response(message, addr, src, now)

    def _handle_cookie(self, message, now):
        peer, _ = self.tables.owner(message, messages.COOKIE_RECEIVER)
        if peer is None or peer.device is not self or not cookie.consume_reply(peer, message, now):
            return drops.HS_COOKIE
        self._note(peer, events.COOKIE_RECEIVED, now)
        segmentation.interrupted(peer, now)
        return 0

    def _handle_initiation(self, message, addr, src, now):
        public_key = noise.read_initiation(self.identity, message)
        if public_key is None:
            return drops.HS_INITIATION
        peer = self._by_key.get(public_key)
        if peer is None:
            self.unmatched_handshakes.note(events.UNKNOWN_PEER, public_key, addr, now)
            return drops.HS_UNKNOWN_PEER
        timestamp = noise.read_timestamp(peer, message)
        if timestamp is None:
            return drops.HS_INITIATION
        if bytes(timestamp) <= bytes(peer.secret(noise.TIMESTAMP, 12)):
            # The same initiation again is not a clock that went back. It can be the other half of a pair (segmentation.py).
            is_same = crypto.equal(timestamp, peer.secret(noise.TIMESTAMP, 12))
            if not is_same or now - peer.last_initiation >= REKEY_TIMEOUT:
                self._note(peer, events.INITIATION_REPLAYED, now)
            return drops.HS_REPLAY
        if now - peer.last_initiation < INITIATION_INTERVAL or addr == peer.left:
            return drops.HS_FLOOD
        peer.last_initiation = now
        trial.end(peer)
        noise.consume_initiation(peer, message)
        segmentation.interrupted(peer, now)
        self._note(peer, events.INITIATION_RECEIVED, now)
        self._hear_from(peer, addr, src, now)
        peer.rx_bytes += len(message)
        if not noise.create_response(peer, self._response):
            peer.drop_handshake()
            return drops.HS_INITIATION
        noise.begin_session(peer, now)
        self.tables.timers.session_derived(peer, now)
        self._send_handshake(peer, self._response, now)
        self.tables.timers.authenticated_received(peer, now)
        return 0

    def _handle_response(self, message, addr, src, now):
        peer, keypair = self.tables.owner(message, messages.RESPONSE_RECEIVER)
        if peer is None or keypair is not None or peer.device is not self:
            return drops.HS_RESPONSE
        if not noise.consume_response(self.identity, peer, message):
            self._note(peer, events.RESPONSE_INVALID, now)
            return drops.HS_RESPONSE
        if peer.trial is not None and not trial.answered(self, peer, now):
            return 0
        self._note(peer, events.RESPONSE_RECEIVED, now)
        segmentation.answered(self, peer, now)
        self._hear_from(peer, addr, src, now)
        peer.rx_bytes += len(message)
        noise.begin_session(peer, now)
        timers = self.tables.timers
        timers.session_derived(peer, now)
        self._complete(peer)
        timers.authenticated_received(peer, now)
        # The responder uses the new key only after the first packet under it.
        self.send_keepalive(peer, now)
        return 0

    def _hear_from(self, peer, addr, src, now):
        """Send from now on to the address from which the peer's handshake message came."""
        if addr != peer.addr:
            self._move(peer, addr, now)
        peer.called_at = src
        self._choose_source(peer, True, now)

    def _complete(self, peer):
        """Record that the handshake is complete: both ends have the key."""
        self.tables.timers.handshake_complete(peer)
        peer.handshake_sec, peer.handshake_nsec = self.host.realtime()

    # Timers that are due. The table in timers.py describes what each does.

    def expire(self, peer, now):
        """Handle the peer's timers that are due at `now`."""
        if peer.retransmit_at and peer.retransmit_at <= now:
            peer.retransmit_at = 0
            backoff.due(self, peer, now)
        if peer.keepalive_at and peer.keepalive_at <= now:
            peer.keepalive_at = 0
            self.send_keepalive(peer, now)
            if peer.another_keepalive:
                peer.another_keepalive = False
                self.tables.timers.start_keepalive(peer, now)
        if peer.new_handshake_at and peer.new_handshake_at <= now:
            peer.new_handshake_at = 0
            peer.forget_source()
            peer.attempts = 0
            self._note(peer, events.NO_REPLY, now)
            self.host.unanswered(peer)
            self.initiate(peer, now)
        if peer.zero_at and peer.zero_at <= now:
            peer.zero_at = 0
            peer.drop_handshake()
            peer.drop_keypairs()
        if peer.persistent_at and peer.persistent_at <= now:
            peer.persistent_at = 0
            self.send_keepalive(peer, now)
        if peer.watch_at and peer.watch_at <= now:
            peer.watch_at = 0
            segmentation.watched(peer)
