"""One WireGuard interface: a protocol device with its tunnel device, sockets and link.

The interface is the `host` of its device: protocol/device.py lists the methods of a host.
"""

from ..errors import cause
from ..packets.queue_limit import QueueLimit
from ..protocol import drops, segmentation
from ..protocol.constants import DEFAULT_MTU, HANDSHAKE_WORK, MAX_MTU, SEND_LOST
from ..protocol.device import Device
from ..runtime import abi, address, offloads, system, tun_device
from ..runtime import link as link_module

_inet = system.inet
_now = system.clock.now

# The number of receives, or datagrams, before the loop looks at the tunnel device again. A flood of single messages must
# fill the backlog faster than the device empties it, because the device detects load by the backlog.
_RECEIVES = 64
_DATAGRAMS = 128
# The time for handshakes without a break, in ms. While there is data, data gets this many times that before handshakes
# continue, on a slow machine too. Messages that do not fit into the backlog are dropped, which costs little.
_STRETCH_MS = 2
_DATA_SHARE = 12
# The least room for datagrams that wait, in bytes as the kernel counts them, and for packets before the tunnel device.
_LEAST_BYTES = 96 * 1024
_LEAST_PACKETS = 32
# How that room grows again (see packets/queue_limit.py). While the length of the device's queue is changed, the kernel drops
# packets for a moment; a change of the receive buffer costs nothing.
_GROWTH_OF_BYTES = 500, 3
_GROWTH_OF_PACKETS = 2000, 0
# What the kernel counts for a datagram besides its bytes, roughly: drivers differ. A receive counts as one more datagram.
_OVERHEAD_BYTES = 256
_AWAY = "the interface was moved to another network namespace; its sockets stay in this one"


class Interface:
    """The interface `name`; OSError or UserError if it cannot be made.

    process     shared by all interfaces: tables, arena, inbox, fastpath, loop, and fit_arena()
    owner       its methods are called:
                on_lost()           the link was deleted
                on_renamed()        the link has another `name` now
                on_moved()          the link was moved to another network namespace or back: see `is_away`
                on_up()             the link came up, and its sockets are open
                on_down()           the link went down, and the sockets are closed
                on_flapped()        the link was down for a moment: sessions stay, but the kernel has removed routes
                on_no_port()        the link came up, but the port cannot be used now
                on_source(peer)     the peer's endpoint can be another, or its packets come to another address
                on_trial_answered(peer, now)  another endpoint of the peer answered: whether to move there
                on_unanswered(peer) an initiation to the peer got no answer, or data to it none for 15 s
    prefixes    the maximum number of allowed IPs of each family
    log         a runtime.log.Log
    timestamps  the source of timestamps for initiations; by default a Tai64n of the device

    endpoints   the configured endpoints, an endpoints.Endpoint by public key; the owner fills it
    groups      peers with backups, each a peer_group.PeerGroup; the owner fills it
    """

    def __init__(self, name, process, owner, prefixes, log, timestamps=None):
        self.arena = process.arena
        self.inbox = process.inbox
        self.fwmark = 0
        self.endpoints = {}
        self.groups = []
        self._process = process
        self._owner = owner
        self._log = log
        self._loop = process.loop
        self._port = 0
        self._refused_port = None
        self.bound_to = ""
        self.problems = {}  # sentences for `status`, by what they are about
        self.tests_segments = 0
        self.handshakes_at = 0  # when the backlog is next looked at
        self._carries = False  # whether there was data since it was
        self._sockets = ()
        self._ipv4 = self._ipv6 = None
        self._tun = _open_port(name, process)
        self._lost_alarm = "lost %d" % self._tun.fd
        self._is_lost = False
        self._link = None
        try:
            self._link = link_module.Link(self._tun.fd, process.news, process.rtsocket, self._handle_news)
            self._link.prepare(DEFAULT_MTU)
            self.device = Device(process.tables, process.arena, process.inbox, self, prefixes, prefixes, timestamps)
        except (OSError, MemoryError):
            if self._link is not None:
                self._link.close()
            system.files.close(self._tun.fd)
            raise
        link = self._link
        self._tun_limit = QueueLimit(
            "queue %d" % self._tun.fd,
            _LEAST_PACKETS,
            link_module.QUEUE_LENGTH,
            _GROWTH_OF_PACKETS,
            link.set_queue_length,
            process.alarms,
        )
        self._udp_limits = []
        self.realtime = system.clock.realtime
        self.address_bytes = address.address_bytes
        self.unanswered = owner.on_unanswered
        self.trial_answered = owner.on_trial_answered
        self.verbose = log.verbose  # for handshake_log.py
        self._loop.watch(self._tun.fd, self._on_tun, is_packets=True)
        self._loop.after_turn.append(self._after_turn)

    @property
    def name(self):
        """The current name of the link."""
        return self._link.name

    @property
    def index(self):
        """The ifindex of the link, 0 if it is not known."""
        return self._link.index

    @property
    def link_is_up(self):
        """Whether the link is up, even if its port cannot be used."""
        return self._link.is_up

    @property
    def is_away(self):
        """Whether the link is in another network namespace than the sockets."""
        return self._link.nsid is not None

    @property
    def unconfirmed_at(self):
        """When the configuration before the one in use returns, a `now` value; 0 if it does not."""
        return self._process.unconfirmed_at

    def send_errors(self):
        """Return (errno, 4 or 6) for each family whose last datagram the kernel refused, or that the kernel lacks."""
        errors = [(socket.errno, 6 if socket.ipv6 else 4) for socket in self._sockets if socket.errno]
        for family, socket in ((4, self._ipv4), (6, self._ipv6)):
            if socket is None and self._sockets:
                errors.append((abi.EAFNOSUPPORT, family))
        return errors

    def close(self):
        """Remove the interface and wipe its keys."""
        self._close_sockets()
        self.device.remove_all_peers()
        self.device.identity.clear()
        self._process.alarms.cancel(self._lost_alarm)
        self._tun_limit.close()
        self._loop.forget(self._tun.fd)
        self._loop.after_turn.remove(self._after_turn)
        self._link.close()
        system.files.close(self._tun.fd)

    # Host of the device

    def send(self, addr, src, buf, size, tos):
        socket = self._ipv6 if _inet.is_ipv6(addr) else self._ipv4
        return SEND_LOST if socket is None else socket.send(addr, src, buf, size, tos)

    def reply(self, addr, src, buf, size):
        socket = self._ipv6 if _inet.is_ipv6(addr) else self._ipv4
        return SEND_LOST if socket is None else socket.reply(addr, src, buf, size)

    def send_pair(self, addr, src, buf, size, tos):
        socket = self._ipv6 if _inet.is_ipv6(addr) else self._ipv4
        return SEND_LOST if socket is None else socket.send_pair(addr, src, buf, size, tos)

    def segments_changed(self, peer):
        system.heap.reserve()
        from . import offload_log

        system.heap.release(are_few=True)
        offload_log.segments_changed(self._log, peer)

    def source(self, peer, is_new):
        if is_new:
            self._owner.on_source(peer)
        return self._process.sources.choose(peer, self.fwmark, is_new)

    def send_run(self, addr, src, arena, first, end, ecn, segments):
        socket = self._ipv6 if _inet.is_ipv6(addr) else self._ipv4
        return SEND_LOST if socket is None else socket.send_run(addr, src, arena, first, end, ecn, segments)

    def deliver(self, view, packets, lengths, count):
        self._carries = True
        self._count_refused(self._tun.write_batch(view, packets, lengths, count))

    def _count_refused(self, count):
        if count >= offloads.JOIN_REFUSED:
            count -= offloads.JOIN_REFUSED
            self._process.join_refused(self._log)
        if count:
            self.device.drops[drops.RX_TUN] += count

    # Events

    def _on_tun(self, events):
        tun, arena = self._tun, self.arena
        try:
            count = tun.read_batch(arena)
        except OSError as e:
            # This can be a pause in the owner's work on its interfaces, so the owner is called after the turn.
            reason = "the interface was deleted" if e.errno == abi.EBADFD else "the tunnel device is gone: %s" % cause(e)
            self._process.alarms.set(self._lost_alarm, _now(), lambda: self._lose(reason))
            return
        self._carries = True
        now = _now()
        taken = tun.taken(arena, count)
        while count:
            self.device.transmit(now, count)
            count = tun.read_rest(arena)
        if taken:
            self._tun_limit.left(now, taken)
        else:
            self._tun_limit.was_full = False

    def _lose(self, reason):
        if not self._is_lost:  # the device and the kernel's news can both report it
            self._is_lost = True
            self._log.error(reason)
            self._owner.on_lost()

    def _on_udp(self, socket, limit):
        now = _now()
        taken = 0
        for _ in range(_RECEIVES):
            if taken >= _DATAGRAMS:
                break
            if not socket.receive(self.inbox):
                limit.was_full = False
                break
            self.device.receive(now, socket.length, socket.stride, socket.addr, socket.src, socket.tos)
            taken += socket.length // (socket.stride or 1) + 1
        self._count_refused(self._tun.flush())
        if taken >= _DATAGRAMS:
            limit.left(now, taken * (socket.stride + _OVERHEAD_BYTES))

    def _after_turn(self):
        if self.device.backlog.count and self.handshakes_at <= _now():
            self._work_on_handshakes()

    def _work_on_handshakes(self):
        begin = now = _now()
        while now < begin + _STRETCH_MS and self.device.handshakes(now, HANDSHAKE_WORK):
            now = _now()
        now = _now()
        if self._carries:
            self.handshakes_at = now + _DATA_SHARE * (now - begin)
        self._carries = False

    def _handle_news(self, news):
        if news & link_module.LINK_GONE:
            self._lose("the interface was deleted")
            return
        if news & link_module.LINK_RENAMED:
            self._log.note("the interface is now called %s" % self.name)
            self._owner.on_renamed()
        if news & link_module.LINK_MOVED:
            self._log.note(_AWAY if self.is_away else "the interface is back in this network namespace")
            self._owner.on_moved()
        if news & link_module.LINK_FLAPPED and self.device.is_up:
            self._owner.on_flapped()
        if news & link_module.LINK_CHANGED:
            system.heap.reserve()
            self.follow_link()
            system.heap.release(are_few=True)

    def follow_link(self):
        """Apply the MTU of the link, and whether the link is up."""
        mtu = min(self._link.mtu, MAX_MTU)
        if mtu != self._link.mtu:
            self._log.error("MTU %d is too large: packets over %d bytes do not fit into a datagram" % (self._link.mtu, mtu))
        if mtu != self.device.mtu:
            self._log.verbose("MTU is now %d" % mtu)
            self.device.mtu = mtu
            self._process.fit_arena()
        if self._link.is_up and not self.device.is_up:
            self._up()
        elif self.device.is_up and not self._link.is_up:
            self._log.verbose("interface down")
            self.device.down()
            self._close_sockets()
            self._owner.on_down()

    def _up(self):
        if not self.is_away:
            self._link.send_no_redirects()
        try:
            self._open_sockets(self._port)
        except OSError as e:
            if self._refused_port != self._port:
                self._log.error("cannot listen on port %d: %s" % (self._port, cause(e)))
            self._refused_port = self._port
            self._owner.on_no_port()
            return
        self._refused_port = None
        self._port = self.listen_port  # keep a port that the kernel has chosen
        self._log.verbose("interface up, listening on port %d" % self._port)
        self.device.up(_now())
        self._owner.on_up()

    # Sockets

    @property
    def listen_port(self):
        """The port that the sockets are bound to, or the one that they will be bound to; 0 for any."""
        return self._sockets[0].port if self._sockets else self._port

    def set_listen_port(self, port):
        """Listen on another port, 0 for any. OSError if the port cannot be used; the old one is kept then."""
        if port == self.listen_port and (self._sockets or not self.device.is_up):
            return
        self.device.forget_sources()
        if self.device.is_up:
            self._open_sockets(port)
        self._port = port
        if self._link.is_up and not self.device.is_up:
            self._up()  # the interface had no port until now

    def release_port(self):
        """Leave the port to another interface. Until `set_listen_port` sets a new one, nothing is sent or received."""
        self.device.forget_sources()
        self._close_sockets()
        self._port = 0

    def set_fwmark(self, fwmark):
        """Set the firewall mark of outgoing packets, 0 for no mark."""
        for socket in self._sockets:
            socket.set_fwmark(fwmark)
        self.fwmark = fwmark
        self.device.forget_sources()

    def bind_to(self, link):
        """Send datagrams only through the link of this name, "" for any. OSError if the link does not exist."""
        for socket in self._sockets:
            socket.bind_to(link)
        self.bound_to = link
        self.device.forget_sources()

    def _open_sockets(self, port):
        """Bind both families to one port, then close the old sockets."""
        sockets = bind_pair(port, self.fwmark)
        try:
            for socket in sockets if self.bound_to else ():
                socket.bind_to(self.bound_to)
        except OSError:
            for socket in sockets:
                socket.close()
            raise
        self._close_sockets()
        self._sockets = sockets
        self.use_offloads()
        for socket in sockets:
            if socket.ipv6:
                self._ipv6 = socket
            else:
                self._ipv4 = socket
            self._watch_socket(socket)

    def use_offloads(self):
        """Apply the switches of the process, which can have changed."""
        process = self._process
        for socket in self._sockets:
            process.offloads.use(socket)
            can_test = process.offloads.gso is None and socket.gso_limit > 0
            self.tests_segments = process.offloads.tests if can_test else segmentation.NOT_AT_ALL
        if process.fastpath is not None:
            process.fastpath.use_offload(_set_offload(self._tun.fd, process.offloads))

    def offloads(self):
        """Return the switches (runtime.offloads.Offloads), the open sockets, and the C library, or None."""
        return self._process.offloads, self._sockets, self._process.fastpath

    def _watch_socket(self, socket):
        limit = QueueLimit(
            "queue %d" % socket.fd,
            _LEAST_BYTES,
            socket.receive_room,
            _GROWTH_OF_BYTES,
            socket.set_receive_room,
            self._process.alarms,
        )
        self._udp_limits.append(limit)
        self._loop.watch(socket.fd, lambda events: self._on_udp(socket, limit), is_packets=True)

    def _close_sockets(self):
        for socket in self._sockets:
            self._loop.forget(socket.fd)
            socket.close()
        for limit in self._udp_limits:
            limit.close()
        self._sockets = ()
        self._udp_limits = []
        self._ipv4 = self._ipv6 = None


def _open_port(name, process):
    """Create the tunnel device and return its port; UserError."""
    if process.fastpath is None:
        return system.tun.TunPort(tun_device.open_tun(name))
    fd = tun_device.open_tun(name, tun_device.IFF_VNET_HDR)
    return process.fastpath.port(fd, _set_offload(fd, process.offloads))


def _set_offload(fd, offloads):
    return tun_device.set_offload(fd, offloads.tun is not False, offloads.tun or not offloads.uso_fault)


def bind_pair(port, fwmark):
    """Return sockets for IPv4 and IPv6 on the same port, or one socket if the machine lacks the other family."""
    for _ in range(100):
        sockets = []
        try:
            for ipv6 in (False, True):
                try:
                    sockets.append(system.udp.UdpSocket(ipv6, sockets[0].port if sockets else port, fwmark))
                except OSError as e:
                    if e.errno not in abi.NO_FAMILY or (ipv6 and not sockets):
                        raise
            return sockets
        except OSError as e:
            for socket in sockets:
                socket.close()
            if port or not sockets or e.errno != abi.EADDRINUSE:
                raise
    raise OSError(abi.EADDRINUSE, "no port is free for both IPv4 and IPv6")
