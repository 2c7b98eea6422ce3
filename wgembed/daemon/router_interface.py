"""One interface of a router, with its configuration and its network.

A RouterInterface owns the Interface that carries its packets, and is the owner whose methods that calls (interface.py).
It passes calls that concern all interfaces on to the router.
"""

from ..config import openwrt_network
from ..errors import UserError, cause
from ..protocol import backoff, noise
from ..protocol.allowedips import MAX_PREFIXES, NARROW
from ..protocol.constants import NEVER
from ..runtime import abi, log, rtnetlink, system
from ..runtime.pause import through
from ..uapi.server import ControlServer
from . import network, network_plan, peer_diff
from .capacity import PREFIXES_PER_PEER
from .endpoints import Endpoint
from .interface import Interface

# Places for allowed IPs that are added after the start.
_SPARE_PREFIXES = 64


class RouterInterface:
    """An interface of the router, with its configuration and its network.

    slot  the number of the interface in the router, from 0; no other interface has it while this one exists
    """

    def __init__(self, router, config, slot):
        self._router = router
        self.name = config.name
        self.config = config
        self.slot = slot
        self.log = log.Log(config.name, router.level_for(config))
        self._bound = "", None
        self._tunlink = 0  # the ifindex of the link of `tunlink`, 0 without `tunlink`, None if the link does not exist
        prefixes = _prefixes(config, router.least_prefixes)
        self.interface = Interface(config.name, router, self, prefixes, self.log, router.timestamps)
        self.endpoints, self.groups = self.interface.endpoints, self.interface.groups
        try:
            self.server = ControlServer(self.interface, router.loop, router.alarms, self.log)
        except UserError as e:
            # The tunnel works without it, for example where /var/run is read-only.
            self.log.error("%s; `wg` and `wgembed status` do not show the interface" % e)
            self.server = None
        except MemoryError:
            self.interface.close()
            raise
        record = network.record_of(router.run_directory, config.name)
        self.network = network.Network(router.netconf, record, self.log, self._follow_again)
        self.network.begin(self.interface.index)
        self.network.adopt()

    def peers_present(self):
        """Return how many of the configured peers exist: `wg` can have removed some."""
        return len([peer for peer in through(self.config.peers) if self.interface.device.find(peer.public_key)])

    def check_capacity(self, config):
        """Check that there are places for the allowed IPs of another configuration; UserError if not."""
        allowed = self.interface.device.allowed
        for trie, size in ((allowed.trie4, 4), (allowed.trie6, 16)):
            had, wanted = [
                len([packed for packed, _ in through(peer_diff.owners(peers)) if len(packed) == size])
                for peers in (self.config.peers, config.peers)
            ]
            if wanted + max(trie.used - had, 0) > trie.capacity:
                raise UserError(
                    "%s: too many allowed IPs: the daemon started with places for %d; restart it"
                    % (config.where, trie.capacity)
                )

    def set_up(self, old, now):
        """Apply the configuration; `old` is the previous one, or None. No errors. Returns whether they differ."""
        config, device = self.config, self.interface.device
        before = device.identity.public
        device.set_private_key(config.private_key, now)
        fresh = peer_diff.sync_peers(device, old.peers if old else [], config.peers, now)
        self._set_endpoints(fresh)
        self._set_groups()
        return old is None or before != device.identity.public or not config.is_like(old)

    def _set_endpoints(self, fresh):
        wanted = {peer.public_key: peer for peer in self.config.peers if peer.host}
        for key in list(self.endpoints):
            endpoint, peer = self.endpoints[key], wanted.get(key)
            if peer is None or key in fresh or not endpoint.is_configured(peer):
                endpoint.close()
                del self.endpoints[key]
        for key, peer in wanted.items():
            if key not in self.endpoints:
                self.endpoints[key] = self._make_endpoint(peer)
                self.endpoints[key].start()

    def _set_groups(self):
        by_key = {peer.public_key: peer for peer in through(self.config.peers)}
        members_of = {}
        for peer in through(self.config.peers):
            if peer.primary is not None:
                members_of.setdefault(peer.primary, [by_key[peer.primary]]).append(peer)
        wanted = list(members_of.values())
        if wanted or self.groups:
            from .peer_group import PeerGroup  # few routers need it

            before = list(self.groups)
            self.groups.clear()
            for members in wanted:
                same = [group for group in before if group.is_configured(members)]
                if same:
                    before.remove(same[0])
                    same[0].use(members)
                self.groups.append(same[0] if same else PeerGroup(members, self, self._router.alarms))
            for group in before:
                group.close(by_key.get(group.keys[0]))

    def group_of(self, public_key):
        """Return the PeerGroup of the peer, or None."""
        for group in self.groups:
            if public_key in group.keys:
                return group
        return None

    def _make_endpoint(self, peer):
        names = self._router.host_names
        if not peer.hosts:
            return Endpoint(peer.public_key, peer.host, peer.port, self, names)
        from .endpoint_list import EndpointList, options_of  # few routers need it

        kind = EndpointList
        if peer.order == "fastest":
            from .fastest import Fastest as kind
        key, alarms = peer.public_key, self._router.alarms
        made = kind(key, peer.hosts, peer.failback, self, names, alarms, options_of(peer))
        if peer.ping is not None and not peer.has_backup:
            from .ping_check import PingCheck

            paths, in_use = len(peer.hosts), lambda: self.interface.device.find(key)
            made.ping = PingCheck(peer.ping, peer.ping_interval, self, alarms, paths, in_use, made.ping_failed)
        return made

    def on_endpoint(self, endpoint):
        """The endpoint of a peer became known, or changed: send a waiting initiation again, to the new address."""
        device = self.interface.device
        peer = device.find(endpoint.public_key)
        if peer is None:
            return
        now = system.clock.now()
        addr = system.inet.make_address(endpoint.address, endpoint.port, endpoint.scope)
        if addr == peer.addr:
            return
        is_again = endpoint.last_scope is not None and peer.addr is not None
        if is_again and system.inet.split_address(peer.addr)[2] != endpoint.last_scope:
            # The link was made anew, but the peer is elsewhere now.
            return
        begun = peer.handshake != noise.ZEROED or self._router.tables.staged.count(peer.number)
        device.set_endpoint(peer, addr, now)
        self._router.on_endpoint(endpoint)
        self._router.follow_soon(0)
        if begun and device.is_up:
            # The limit of one initiation in 5 s is for one address, and this is another one.
            peer.last_sent_handshake = NEVER
            device.initiate(peer, now, retry=True)

    def on_spare_endpoint(self, endpoint):
        """The address of an endpoint that is not in use became known, or changed: it can need a host route."""
        self._router.on_endpoint(endpoint)
        self._router.follow_soon(0)

    def on_no_link(self, endpoint):
        """The link after % in the option endpoint_host does not exist."""
        self.log.error(
            "endpoint_host %s: there is no link %s; make it, or name another link. The peer is tried when it appears"
            % (endpoint.host, endpoint.link)
        )

    def follow_links(self):
        """Look for the links of the endpoints again."""
        for endpoint in self.endpoints.values():
            endpoint.follow_link()

    def network_changed(self):
        """The machine is in another network: what did not answer is tried again soon."""
        backoff.hasten(self.interface.device, system.clock.now())
        for one in list(self.endpoints.values()) + self.groups:
            one.network_changed()

    def uses_links(self):
        """Whether `tunlink` or an endpoint names a link."""
        return bool(self.config.tunlink) or any(endpoint.link for endpoint in self.endpoints.values())

    def follow_network(self, ip, raise_link):
        """Adapt addresses, routes and MTU to the configuration and the current routes of the machine."""
        if self.interface.is_away:
            return
        paths = self._paths(ip)
        wanted = self.plan(paths)
        if wanted.fwmark != self.interface.fwmark:
            self.interface.set_fwmark(wanted.fwmark)
        self.network.follow(wanted, raise_link, paths, self.interface.link_is_up)

    def _follow_again(self, raise_link):
        self._router.follow((self,) if raise_link else ())

    def _paths(self, ip):
        interfaces = self._router.router_interfaces
        outside = [thing for one in interfaces for thing in one.network.outside]
        paths = network_plan.Paths(ip, [one.interface.index for one in interfaces], outside, self._router.outside)
        paths.has_netifd = self._router.has_netifd
        return paths

    def watched(self):
        """Return the packed addresses of endpoints whose routes matter."""
        return [packed for endpoint in through(self.endpoints.values()) for packed in endpoint.addresses] + self._learnt()

    def _can_need_route(self, packed):
        """Whether an endpoint that was learnt can need a host route: it can be inside one of our tunnels."""
        return bool(self.config.tunlink) or self._router.is_inside(packed)

    def on_source(self, peer):
        endpoint = self.endpoints.get(peer.public_key)
        if endpoint is not None:
            endpoint.on_source(peer)
        group = self.group_of(peer.public_key)
        if group is not None:
            group.on_source(peer)
        packed = system.inet.split_address(peer.addr)[0]
        if self._can_need_route(packed) and not self._router.outside.is_watched(packed):
            self._router.follow_soon()

    def lost_route(self, index, body, outside):
        """The kernel removed the route in the message `body`. Return whether it was added for this interface.

        index    the ifindex of the route
        outside  its Routes, if they matter outside the tunnels
        """
        if index and index == self.interface.index:
            objects = [obj for route in rtnetlink.parse_routes(bytes(body)) for obj in network_plan.tunnel_routes(route)]
        else:
            objects = [network_plan.host_route(route.destination, route) for route in outside]
        was_ours = False
        for obj in objects:
            was_ours = self.network.lost(obj) or was_ours
        return was_ours

    def is_held(self, body):
        """Whether the route in the message `body` was instead of one of ours."""
        size = 4 if body[0] == abi.AF_INET else 16
        return self.network.is_held(rtnetlink.destination(body, size), body[1])

    def plan(self, paths):
        router = self._router
        endpoints = []
        for endpoint in self.endpoints.values():
            endpoints += [packed for packed in endpoint.addresses if packed not in endpoints]
        routed = [
            (packed, length, one is self)
            for one in router.router_interfaces
            for peer in one.config.peers
            if one.config.kill_switch or one.is_found(peer)
            for packed, length in through(network_plan.routed_prefixes(one.config, peer))
        ]
        index, learnt = self.interface.index, self._learnt()
        return network_plan.plan(self.config, index, self.slot, endpoints, routed, paths, self._tunlink, learnt)

    def _learnt(self):
        """Return the packed addresses of the peers' current endpoints, which can be new, if they can need a host route."""
        peers = [self.interface.device.find(peer.public_key) for peer in through(self.config.peers)]
        addresses = [system.inet.split_address(peer.addr)[0] for peer in peers if peer is not None and peer.addr is not None]
        return [packed for packed in addresses if self._can_need_route(packed)]

    def is_found(self, peer):
        """Whether the peer's routes can be added: not before its name is resolved, as they can cover the name server."""
        group = self.group_of(peer.public_key)
        found = [self.endpoints.get(key) for key in (group.keys if group else [peer.public_key])]
        return any(endpoint is None or endpoint.address is not None for endpoint in found)

    def follow_tunlink(self):
        """Look for the link of `tunlink` again. With `nohostroute`, bind the sockets to it."""
        name = self.config.tunlink
        device = openwrt_network.device_of(name) if name else ""
        self._tunlink = system.inet.ifindex(device) if device else None if name else 0
        why = ""
        if self._tunlink is None:
            why = "option tunlink: " + openwrt_network.why_missing(name)
        if why != self.interface.problems.get("tunlink", ""):
            self.interface.problems["tunlink"] = why
            if why:
                self.log.error("%s. Until then, datagrams take the default route" % why)
        if self.config.nohostroute:
            self._bind(device)
        else:
            self._bind("")

    def _bind(self, device):
        # Compare the ifindex too: a link that is created again has a new one, and the sockets stay bound to the old one.
        bound = device, self._tunlink or None if device else None
        if bound == self._bound or self._tunlink is None:
            return
        self._bound = bound
        try:
            self.interface.bind_to(device)
        except OSError as e:
            self.log.error("cannot bind the sockets to %s: %s" % (device, cause(e)))

    # Owner of the interface

    def on_lost(self):
        self._router.on_lost(self)

    def on_renamed(self):
        if self.server is not None:
            self.server.rename(self.interface.name)

    def on_moved(self):
        """Addresses and routes are managed only while the link is in our namespace."""
        if self.interface.is_away:
            self.network.leave()
        else:
            self.network.begin(self.interface.index)
            self._router.follow_soon(0)

    def on_up(self):
        self._router.follow_soon(0)

    def on_down(self):
        self.network.went_down()

    def on_flapped(self):
        self.on_down()
        self.on_up()

    def on_no_port(self):
        self._router.retry_ports()

    def on_trial_answered(self, peer, now):
        group = self.group_of(peer.public_key)
        answer = None if group is None else group.on_trial_answered(peer, now)
        return self.endpoints[peer.public_key].on_trial_answered(now) if answer is None else answer

    def on_unanswered(self, peer):
        endpoint = self.endpoints.get(peer.public_key)
        if endpoint is not None:
            endpoint.unanswered(peer.attempts)
        group = self.group_of(peer.public_key)
        if group is not None:
            group.unanswered(peer)

    def on_switched(self, public_key, reason):
        """Another endpoint of the peer is in use, or this peer in place of another one."""
        if self._router.watch is not None:
            self._router.watch.switched(self.interface.device.find(public_key), reason)

    def close(self, for_good=False):
        """Remove the interface; `for_good`: it is no longer configured, so the routes of kill_switch end as well."""
        for group in self.groups:
            group.close(None)
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.network.end(for_good)
        if self.server is not None:
            self.server.close()
        self.interface.close()


def _prefixes(config, least):
    """Return the number of places for allowed IPs of each family."""
    configured = sum([len(peer.allowed_ips) for peer in config.peers])
    wanted = max(2 * configured + _SPARE_PREFIXES, PREFIXES_PER_PEER * config.max_peers, least)
    # A wide table takes more memory for each prefix, so it is only for those that need it.
    return min(wanted, NARROW if configured + _SPARE_PREFIXES <= NARROW else MAX_PREFIXES)
