"""`option ping_check`: whether an address answers pings through the tunnel, for a peer with several endpoints or backups.

A hub can answer handshakes while its own uplink is cut off. So the daemon sends an echo request to the address, in a packet
from the interface's own address. The answer passes to the kernel, which ignores it, as no program asked. A second after a
handshake, and then every ten seconds, it asks while there is other traffic; with `ping_interval` it asks at that interval
always. Five answers that are missing in a row, two seconds each, mean that another endpoint or peer must be used.

If the address answers through none of them, it can be the address that is dead: they are tried again only after a minute
then, and twice as late each time, up to an hour.
"""

from struct import pack_into

from .. import crypto
from ..protocol import noise
from ..protocol.icmp import checksum
from ..protocol.ip import ICMP, ICMPV6
from ..runtime import address, system

_SOON_MS = 1_000
_PERIOD_MS = 10_000
_WAIT_MS = 2_000
_MOST_LOST = 5
_REST_MS = 60_000
_LONGEST_REST_MS = 3_600_000
_TOKEN = 8  # bytes


class PingCheck:
    """The state of the check.

    packed      the address
    interval_s  of `ping_interval`, 0 without it
    owner       the RouterInterface
    paths       the number of endpoints and peers that can be used
    peer        peer() returns the protocol's peer in use, or None
    failed      failed() uses the next path

    lost        answers in a row that are missing
    switches    for which there was no answer since
    answer_ms   how long the last answer took, None before the first
    """

    def __init__(self, packed, interval_s, owner, alarms, paths, peer, failed):
        self.packed = packed
        self.interval_s = interval_s
        self.lost = 0
        self.answer_ms = None
        self._owner = owner
        self._alarms = alarms
        self._alarm = "ping %d" % id(self)
        self._paths = paths
        self._peer = peer
        self._failed = failed
        self._token = b""  # of the request that waits for its answer
        self._asked = 0
        self._seen = 0  # the time of the last traffic that was ours
        self.switches = 0
        self._rest_until = 0

    def close(self):
        self._alarms.cancel(self._alarm)
        self._forget()

    def begin(self, now, is_new):
        """A handshake was completed; `is_new`: by another path than before."""
        if is_new:
            self._forget()
            self.lost = 0
            self._seen = 0
            self._alarms.set(self._alarm, now + _SOON_MS, self._ask)
        else:
            self._alarms.hasten(self._alarm, now + _SOON_MS, self._ask)

    def _ask(self):
        """Send the next request. If the one before had no answer, count that."""
        now, peer = system.clock.now(), self._peer()
        is_lost = bool(self._token)
        self._forget()
        if peer is None or not noise.may_send(peer.current, 1, now):
            return  # the next handshake begins again
        if is_lost:
            self.lost += 1
            if self.lost >= _MOST_LOST and now >= self._rest_until:
                self._give_up(now)
                return
        is_sure = not is_lost or self.lost >= _MOST_LOST
        if is_sure and not self.interval_s and self._seen >= max(peer.last_data_tx, peer.last_data_rx):
            return  # no traffic but ours
        source = self._source()
        if source is None:
            return
        self._send(source, now)
        # After the last one that counts, there is time.
        wait = _WAIT_MS if self.lost < _MOST_LOST else max(self._period(), _WAIT_MS)
        self._alarms.set(self._alarm, now + wait, self._ask)

    def _give_up(self, now):
        self.switches += 1
        rounds, left = self.switches // self._paths, self.switches % self._paths
        if not left:
            self._rest_until = now + min(_REST_MS << min(rounds - 1, 6), _LONGEST_REST_MS)
        self._alarms.set(self._alarm, now + self._period(), self._ask)  # if there is no other path
        self._failed()

    def _period(self):
        return self.interval_s * 1000 or _PERIOD_MS

    def _source(self):
        """Return the packed address of ours to ask from: the one in the network of the address, or the first, or None."""
        own = [one for one in self._owner.config.addresses if len(one[0]) == len(self.packed)]
        for packed, length in own:
            if address.masked(packed, length) == address.masked(self.packed, length):
                return packed
        return own[0][0] if own else None

    def _send(self, source, now):
        interface = self._owner.interface
        arena, device = interface.arena, interface.device
        token = bytearray(_TOKEN)
        crypto.random_fill(token)
        buf = arena.buffer
        at = arena.packets[0]
        width = len(source)
        if width == 4:
            body = at + 20
            pack_into(">BBHHHBBH", buf, at, 0x45, 0, 36, 0, 0, 64, ICMP, 0)
            buf[at + 12 : at + 16] = source
            buf[at + 16 : body] = self.packed
            pack_into(">H", buf, at + 10, checksum(buf, at, body))
        else:
            body = at + 40
            pack_into(">IHBB", buf, at, 6 << 28, 16, ICMPV6, 64)
            buf[at + 8 : at + 24] = source
            buf[at + 24 : body] = self.packed
        end = body + 8 + _TOKEN
        pack_into(">BBHHH", buf, body, 8 if width == 4 else 128, 0, 0, 0x5747, 0)
        buf[body + 8 : end] = token
        total = checksum(buf, body, end) if width == 4 else checksum(buf, at + 8, end, 16 + ICMPV6)
        pack_into(">H", buf, body + 2, total)
        arena.lengths[0] = end - at
        self._token = bytes(token)
        self.size = end - at
        _listen(interface, self)
        device.transmit(now, 1)
        self._asked = self._seen = now

    def on_packet(self, view, at):
        """A packet of the size of ours has arrived from a peer."""
        width = len(self.packed)
        source, body, reply = (at + 12, at + 20, 0) if width == 4 else (at + 8, at + 40, 129)
        if view[at] >> 4 != (4 if width == 4 else 6) or view[body] != reply:
            return
        if bytes(view[body + 8 : body + 8 + _TOKEN]) != self._token or bytes(view[source : source + width]) != self.packed:
            return
        now = system.clock.now()
        self.answer_ms = now - self._asked
        self._seen = now
        self.lost = self.switches = self._rest_until = 0
        self._forget()
        self._alarms.set(self._alarm, now + self._period(), self._ask)

    def _forget(self):
        if self._token:
            self._token = b""
            _unlisten(self._owner.interface, self)


class _Ear:
    """It replaces the method `deliver` of an interface while checks wait for an answer: otherwise, packets cost nothing."""

    def __init__(self, deliver):
        self.checks = []
        self._deliver = deliver

    def deliver(self, view, packets, lengths, count):
        for check in list(self.checks):
            for i in range(count):
                if lengths[i] == check.size and check in self.checks:
                    check.on_packet(view, packets[i])
        self._deliver(view, packets, lengths, count)


def _listen(interface, check):
    ear = getattr(interface, "ear", None)
    if ear is None:
        ear = interface.ear = _Ear(interface.deliver)
    if not ear.checks:
        interface.deliver = ear.deliver
    ear.checks.append(check)


def _unlisten(interface, check):
    interface.ear.checks.remove(check)
    if not interface.ear.checks:
        del interface.deliver
