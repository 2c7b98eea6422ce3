"""One interface of a router: what the configuration says of it, and what has come of that."""

from ..config import openwrt_network
from ..protocol import noise
from ..protocol.allowedips import MAX_PREFIXES
from ..protocol.constants import NEVER
from ..runtime import log, system
from ..uapi.server import ControlServer, Refusal
from . import network, peer_diff
from .endpoints import Endpoint
from .interface import Interface
from .process import PREFIXES_PER_PEER

# Room for allowed IPs that come after the start.
_SPARE_PREFIXES = 64


class Member:
    """An interface of the router: its configuration, and what has come of it."""

    def __init__(self, router, config, place):
        self._router = router
        self.name = config.name
        self.config = config
        self.place = place
        self.log = log.Log(config.name, router.level_for(config))
        self.endpoints = {}  # by public key
        self._bound = "", -1
        self.interface = Interface(config.name, router, _prefixes(config), self.log, router.stamps)
        try:
            self.server = ControlServer(self.interface, router.loop, router.alarms, self.log)
        except (Refusal, MemoryError):
            self.interface.close()
            raise
        record = network.record_of(router.run_directory, config.name)
        self.network = network.Network(router.netconf, record, self.log)
        self.network.begin(self.interface.index)

    def peers_present(self):
        """Return how many of the configured peers there are: `wg` may have removed some."""
        return len([peer for peer in self.config.peers if self.interface.device.find(peer.public_key)])

    def check_room(self, config):
        """See that the allowed IPs of another configuration would find room; Refusal if not."""
        allowed = self.interface.device.allowed
        for trie, size in ((allowed.trie4, 4), (allowed.trie6, 16)):
            had, wanted = [
                len([packed for packed, _ in peer_diff.owners(peers) if len(packed) == size])
                for peers in (self.config.peers, config.peers)
            ]
            if wanted + max(trie.used - had, 0) > trie.capacity:
                raise Refusal(
                    "%s: there is room for %d allowed IPs since the start: restart" % (config.where, trie.capacity)
                )

    def set_up(self, old, now):
        """Apply the configuration; `old` is the one that held, None for none. Nothing here can fail."""
        config, device = self.config, self.interface.device
        device.set_private_key(config.private_key, now)
        fresh = peer_diff.apply(device, old.peers if old else [], config.peers, now)
        self._set_endpoints(fresh)

    def _set_endpoints(self, fresh):
        wanted = {peer.public_key: peer for peer in self.config.peers if peer.host}
        for key in list(self.endpoints):
            endpoint, peer = self.endpoints[key], wanted.get(key)
            if peer is None or key in fresh or (peer.host, peer.port) != (endpoint.host, endpoint.port):
                endpoint.close()
                del self.endpoints[key]
        for key, peer in wanted.items():
            if key not in self.endpoints:
                self.endpoints[key] = Endpoint(peer.host, peer.port, _Target(self, key), self._router.names)
                self.endpoints[key].start()

    def on_endpoint(self, key, endpoint):
        """The endpoint of this peer became known, or is another: what waits for an answer need not wait on."""
        device = self.interface.device
        peer = device.find(key)
        if peer is None:
            return
        now = system.clock.now()
        addr = system.udp.make_address(endpoint.address, endpoint.port, endpoint.scope)
        if addr == peer.addr:
            return
        begun = peer.handshake != noise.ZEROED or self._router.tables.staged.count(peer.number)
        device.set_endpoint(peer, addr, now)
        self._router.follow_soon(0)
        if begun and device.is_up:
            # The limit of one initiation in 5 s is for one place, and this is another.
            peer.last_sent_handshake = NEVER
            device.initiate(peer, now, retry=True)

    def follow_network(self, ip, raise_link):
        """Make addresses, routes and MTU fit what the configuration and the machine's routes are now."""
        paths = self._paths(ip)
        wanted = self.plan(paths)
        if wanted.mark != self.interface.mark:
            self.interface.set_mark(wanted.mark)
        self.network.follow(wanted, raise_link, paths)

    def _paths(self, ip):
        members = self._router.members
        outside = [thing for member in members for thing in member.network.outside]
        return network.Paths(ip, [member.interface.index for member in members], outside)

    def plan(self, paths):
        router = self._router
        endpoints = []
        for endpoint in self.endpoints.values():
            if endpoint.address is not None and endpoint.address not in endpoints:
                endpoints.append(endpoint.address)
        routed = [
            (packed, length, member is self)
            for member in router.members
            for peer in member.config.peers
            if peer.route and member.is_found(peer)
            for packed, length in peer.allowed_ips
        ]
        chosen = openwrt_network.index_of(self.config.tunlink) if self.config.tunlink else 0
        index, learnt = self.interface.index, self._learnt()
        return network.plan(self.config, index, self.place, endpoints, routed, paths, chosen, learnt)

    def _learnt(self):
        """Return the packed addresses where the peers are now: those may have moved."""
        peers = [self.interface.device.find(peer.public_key) for peer in self.config.peers]
        return [system.udp.split_address(peer.addr)[0] for peer in peers if peer is not None and peer.addr is not None]

    def is_found(self, peer):
        """Whether the peer's routes may stand: not while its name is looked up, for they may lead to the name server."""
        endpoint = self.endpoints.get(peer.public_key)
        return endpoint is None or endpoint.address is not None

    def bind(self):
        """With `nohostroute`, `tunlink` is what the sockets are bound to."""
        device = openwrt_network.device_of(self.config.tunlink) if self.config.nohostroute and self.config.tunlink else ""
        # By its number as well: a link that is made anew has another one, and sockets stay bound to the old one.
        bound = device, openwrt_network.number_of(device)
        if bound == self._bound:
            return
        self._bound = bound
        try:
            self.interface.bind_to(device)
        except OSError as e:
            self.log.error("cannot bind to %s: %s" % (device, e))

    def close(self):
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.network.end()
        self.server.close()
        self.interface.close()


class _Target:
    """The peer that an endpoint is for; the key alone stands for it, for the peer may go and come back."""

    __slots__ = ("_key", "_member")

    def __init__(self, member, key):
        self._member = member
        self._key = key

    def on_endpoint(self, endpoint):
        self._member.on_endpoint(self._key, endpoint)


def _prefixes(config):
    """Return how many allowed IPs of each family there is room for."""
    configured = sum([len(peer.allowed_ips) for peer in config.peers])
    wanted = max(2 * configured + _SPARE_PREFIXES, PREFIXES_PER_PEER * config.max_peers, system.files.USUAL_PREFIXES)
    return min(wanted, MAX_PREFIXES)
