"""Plans the network of an interface from the configuration and the current routes of the machine.

A default route into the tunnel would also send the tunnel's own datagrams into the tunnel. Two methods prevent that, as in
OpenWrt and in wg-quick. The first is a host route to the endpoint over the current gateway, if a routed prefix covers the
endpoint or `tunlink` selects a link. The second, with `nohostroute` (or, except on OpenWrt, `fwmark`), is a separate table
for the default route, with a rule that exempts packets with our firewall mark. Neither is used with `ip4table` or
`ip6table`.

In the main table, a default route without a metric must go before that of the provider, which stays. On OpenWrt, it is the
first of those with the same metric (IPv4), or has a lower metric (IPv6), so that mwan3 and pbr see that it is one. Netifd
does not mind, because it replaces routes that exist. Elsewhere, a program that adds the provider's route would fail, so the
default route is added as two halves. `defaultroute '0'` leaves it out.

With a table or a metric, the routes to the networks of the interface's addresses have it as well. With a table, rules lead
packets there that come from its addresses, or go to their networks, as netifd's do (interface-ip.c).

With `kill_switch`, each route into the tunnel has a second route behind it in its table, "unreachable", for when the first
is gone. It is more specific than the provider's default route, because default routes become two halves.

Objects of the network are tuples, as in netconf.py. network.py adds and removes them.
"""

from ..protocol.constants import DEFAULT_MTU, IPV4_MIN_MTU, IPV6_MIN_MTU, MAX_MTU
from ..runtime import abi, netconf
from ..runtime.address import covers, format_ip, masked, parse_ip
from ..runtime.pause import through
from ..runtime.rtnetlink_abi import RT_TABLE_MAIN

# IPv6 has no metric 0: the kernel replaces it by this one.
_METRIC_IPV6 = 1024
# The metric of our default route of IPv6 on OpenWrt
_METRIC_DEFAULT6 = 1
# The first firewall mark, and table of default routes, if the configuration has no fwmark. As in wg-quick.
AUTO_FWMARK = 51820
# The rules come directly before those of the kernel, as with wg-quick.
_SUPPRESS_PRIORITY = 32764
_MARK_PRIORITY = 32765
# The priorities of netifd's rules: for an address, for its network, and for what starts here (plus the ifindex; only IPv4)
_ADDRESS_PRIORITY, _NETWORK_PRIORITY, _LOCAL_PRIORITY = 10000, 20000, 90000
_SRC_VALID_MARK = ("setting", "net/ipv4/conf/all/src_valid_mark", "1", "0")

# The overhead of a packet in the tunnel, in bytes, by the size of the outer address: IP, UDP, and 32 of WireGuard.
_OVERHEAD = {4: 60, 16: 80}
# A tunnel that a prefix leads into: the endpoint's, or another one
_OTHER, _OWN = 1, 2
_SIZES = (4, 16)  # of addresses, in bytes: IPv4, IPv6
_UNREACHABLE = "unreachable"
# The metric of the routes of kill_switch, plus the slot of the interface: no other route to the prefix comes after them.
_METRIC_KILL_SWITCH = 4000000000
_FIRST = "first"


class Paths:
    """The routes of the machine outside our tunnels: the main table as it is now.

    ip        a RtNetlink
    tunnels   the ifindex of each of our links
    ours      the host routes that we added, objects of netconf.py
    outside   an OutsideRoutes that watches all addresses that `find` is called with; None: all routes are read
    """

    has_netifd = False  # whether netifd adds the provider's default routes: as on OpenWrt

    def __init__(self, ip, tunnels, ours, outside=None):
        self._ip = ip
        self._outside = outside
        self._tunnels = tunnels
        self._ours = ours
        self._routes = {}
        self._all = {}
        self._defaults = []  # in the order of the kernel
        self._addresses = {}
        self._rules = {}

    def way(self, packed, index=0, fwmark=0):
        """Return the route that a datagram to the address takes outside our tunnels, or None.

        index   only routes through this link are considered, if it is not 0
        fwmark  the firewall mark of the datagram, for which rules can have another table than the main one
        """
        if index:
            return self.find(packed, index)
        found = self.find(packed)
        return self._ask(packed, fwmark) or found if fwmark or found is None else found

    def _ask(self, packed, fwmark):
        """Return the route that the kernel chooses from all its tables, or None if it has none outside our tunnels."""
        try:
            route = self._ip.route_to(packed, fwmark)
        except OSError:
            return None
        route.mtu = 0  # it can be what the kernel learnt for the path, and for a time only
        return None if route.index in self._tunnels else route

    def find(self, packed, index=0):
        """Return the route of the main table to the address, or None. With `index`, only routes through this link count."""
        best = None
        for route in self._family(len(packed)):
            if index and route.index != index or not covers(route.destination, route.length, packed):
                continue
            if best is None or (-route.length, route.metric) < (-best.length, best.metric):
                best = route
        return best

    def find_elsewhere(self, packed):
        """Return a route to the address from another table than the main one, or None."""
        routes = self._outside.elsewhere(len(packed)) if self._outside else ()
        found = [
            (-route.length, route.metric, number)
            for number, route in enumerate(routes)
            if route.index and route.index not in self._tunnels and covers(route.destination, route.length, packed)
        ]
        return routes[min(found)[2]] if found else None

    def has(self, wanted):
        """Whether the address, route or rule, an object of netconf.py, exists; True if the kernel does not answer."""
        if wanted[0] == "address":
            _, index, ip, length, *_ = wanted
            found = self._addresses_of(index)
            return found is None or (parse_ip(ip), length) in found
        if wanted[0] == "route" and _UNREACHABLE not in wanted:
            route = netconf.as_route(wanted)
            size = len(route.destination)
            if size == 16 and not route.metric:
                route.metric = _METRIC_IPV6
            self._family(size)
            return self._all[size] is None or route in self._all[size]
        if wanted[0] == "rule":
            found = self._rules_of(abi.AF_INET if wanted[1] == 4 else abi.AF_INET6)
            return found is None or wanted[2:] in found
        return True

    def is_first(self, wanted):
        """Whether the default route, an object of netconf.py, goes before those outside that have its metric."""
        self._family(len(parse_ip(wanted[1])))
        route = netconf.as_route(wanted)
        for other in self._defaults:
            if other.index in self._tunnels and other != route:
                continue
            if (len(other.destination), other.metric) == (len(route.destination), route.metric):
                return other == route
        return True

    def _rules_of(self, family):
        if family not in self._rules:
            try:
                self._rules[family] = self._ip.rules(family)
            except OSError:
                self._rules[family] = None
        return self._rules[family]

    def _addresses_of(self, index):
        if index not in self._addresses:
            try:
                self._addresses[index] = self._ip.addresses(index)
            except OSError:
                self._addresses[index] = None
        return self._addresses[index]

    def _family(self, size):
        if size not in self._routes:
            try:
                found = self._outside.family(size) if self._outside else self._ip.routes(abi.FAMILIES[size])
                self._all[size] = set(self._outside.all(size) if self._outside else found)
            except OSError:
                found = []
                self._all[size] = None
            self._defaults += [route for route in found if not route.length and route.table == RT_TABLE_MAIN]
            self._routes[size] = [route for route in found if self._is_outside(route)]
        return self._routes[size]

    def _is_outside(self, route):
        return (
            route.table == RT_TABLE_MAIN
            and route.index
            and route.index not in self._tunnels
            and not (route.length == 8 * len(route.destination) and host_route(route.destination, route) in self._ours)
        )

    def mtu(self, route):
        """Return the MTU of the route, 0 if it does not lead outside the machine."""
        try:
            name, mtu, _ = self._ip.link(route.index)
        except OSError:
            return 0
        return 0 if name == "lo" else route.mtu or mtu


def way_out(ip, tunnels, outside=None):
    """Return the current default routes of both families, to detect that the machine is in another network."""
    paths = Paths(ip, tunnels, (), outside)
    routes = [paths.find(bytes(size)) for size in (4, 16)]
    return [(route.index, route.gateway) if route is not None and not route.length else None for route in routes]


def key_of(route):
    """Return what routes of one table must differ in: destination, length, metric and table."""
    metric = route.metric or (_METRIC_IPV6 if len(route.destination) == 16 else 0)
    return route.destination, route.length, metric, route.table


def host_route(packed, route):
    """Return the object of a route to this address only, over the link and gateway of `route`."""
    gateway = format_ip(route.gateway) if route.gateway else "-"
    way = "route", format_ip(packed), len(packed) * 8, route.index, gateway, 0, RT_TABLE_MAIN
    return way + ("onlink",) if route.onlink else way


def tunnel_routes(route):
    """Return the objects of netconf.py that a route of our link can come from: the kernel gives IPv6 a metric."""
    metrics = (0, _METRIC_IPV6) if len(route.destination) == 16 and route.metric == _METRIC_IPV6 else (route.metric,)
    where = format_ip(route.destination)
    found = [("route", where, route.length, route.index, "-", metric, route.table) for metric in metrics]
    return found + [obj + (_FIRST,) for obj in found if not route.length]


class Plan:
    """The planned `mtu` and `fwmark`, and the planned `objects` in the order to add them."""

    def __init__(self):
        self.mtu = 0
        self.fwmark = 0
        self.objects = []
        self._known = set()

    def add(self, wanted):
        """Add the object to the plan, unless the object is None or already planned."""
        if wanted is not None and wanted not in self._known:
            self._known.add(wanted)
            self.objects.append(wanted)


def routed_prefixes(config, peer):
    """Return the prefixes of the peer that are routed into the interface: pairs of packed address and length."""
    if not peer.route or config.defaultroute:
        return peer.allowed_ips if peer.route else ()
    return [prefix for prefix in through(peer.allowed_ips) if prefix[1]]


def plan(config, index, slot, endpoints, routed, paths, tunnel_link, learnt=()):
    """Return the Plan for an interface.

    config       its InterfaceConfig
    index        the ifindex of its link
    slot         the number of the interface in the router, from 0
    endpoints    packed addresses of the configured endpoints
    routed       triples for the prefixes that are routed into one of our tunnels: packed address, length, and whether the
                 tunnel is that of this interface
    paths        the Paths of the machine
    tunnel_link  the ifindex of the link of `tunlink`, 0 without `tunlink`, None if the link does not exist
    learnt       packed addresses of the current endpoints of the peers
    """
    own = [(packed, length) for packed, length, is_own in through(routed) if is_own]
    apart = _families_apart(config, own, paths.has_netifd)
    tunnelled = _Tunnelled(routed, apart)
    wanted = Plan()
    wanted.fwmark = config.fwmark or (AUTO_FWMARK + slot if apart else 0)
    wanted.mtu = config.mtu or _mtu(endpoints, paths, tunnel_link or 0, wanted.fwmark, _least_mtu(config, own))
    _plan_addresses(wanted, config, index)
    if not config.nohostroute:
        ways = endpoints + [packed for packed in learnt if packed not in endpoints]
        _plan_host_routes(wanted, config, ways, tunnelled, paths, tunnel_link)
    _plan_rules(wanted, apart)
    _plan_connected(wanted, config, index)
    _plan_routes(wanted, config, index, own, apart, paths, slot)
    return wanted


def _families_apart(config, own, has_netifd):
    """Return the families, as sizes of addresses, whose default route goes into a separate table."""
    if not config.nohostroute and (has_netifd or not config.fwmark):
        return []
    routed = [len(packed) for packed, length in through(own) if not length]
    return [size for size in _SIZES if size in routed and not _table(config, size)]


def _table(config, size):
    """Return the configured table for routes of this family, 0 for none."""
    return config.table4 if size == 4 else config.table6


def _least_mtu(config, own):
    """Return the minimum MTU, which is larger with IPv6 in the tunnel."""
    has_ipv6 = any(len(packed) == 16 for packed, _ in through(config.addresses + own))
    return IPV6_MIN_MTU if has_ipv6 else IPV4_MIN_MTU


def _plan_addresses(wanted, config, index):
    for packed, length in config.addresses:
        address = "address", index, format_ip(packed), length
        wanted.add(address + ("noprefixroute",) if _is_connected_apart(config, len(packed)) else address)


def _is_connected_apart(config, size):
    """Whether the routes to the networks of the addresses have another metric or table than the kernel's."""
    return bool(config.metric or config.table_rules and _table(config, size))


def _plan_connected(wanted, config, index):
    """Route the networks of the addresses, if the kernel does not, and let packets use a separate table."""
    for packed, length in config.addresses:
        size = len(packed)
        table, family = _table(config, size), 4 if size == 4 else 6
        if _is_connected_apart(config, size):
            where = format_ip(masked(packed, length))
            wanted.add(("route", where, length, index, "-", config.metric, table or RT_TABLE_MAIN))
        if table and config.table_rules:
            for priority, kind, bits in ((_ADDRESS_PRIORITY, "from", 8 * size), (_NETWORK_PRIORITY, "to", length)):
                prefix = "%s/%d" % (format_ip(packed), bits)
                wanted.add(("rule", family, table, 0, 0, -1, priority, kind, prefix))
    if config.table4 and config.table_rules:
        wanted.add(("rule", 4, config.table4, 0, 0, -1, _LOCAL_PRIORITY + index, "iif", "lo"))


def _plan_host_routes(wanted, config, ways, tunnelled, paths, tunnel_link):
    """Keep each endpoint outside the tunnel, by a host route if necessary."""
    for packed in through(ways):
        if is_link_local(packed):
            continue
        is_main = not _table(config, len(packed))
        wanted.add(_host_route_for(packed, tunnelled, paths, tunnel_link, is_main))


def is_link_local(packed):
    """Whether the address needs a link beside it. Datagrams to it leave by this link, whatever the routes are."""
    return len(packed) == 16 and packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def _plan_rules(wanted, apart):
    """Let all packets except our own datagrams use the separate table with the default route, if there is one."""
    for size in apart:
        family = 4 if size == 4 else 6
        if size == 4:
            wanted.objects.append(_SRC_VALID_MARK)
        wanted.objects.append(("rule", family, wanted.fwmark, wanted.fwmark, 1, -1, _MARK_PRIORITY))
        wanted.objects.append(("rule", family, RT_TABLE_MAIN, 0, 0, 0, _SUPPRESS_PRIORITY))


def _plan_routes(wanted, config, index, own, apart, paths, slot):
    """Route the prefixes into the tunnel."""
    behind = "-", _METRIC_KILL_SWITCH + slot
    for packed, length in through(own):
        metric, more = config.metric, ()
        table = _table(config, len(packed)) or RT_TABLE_MAIN
        parts = [(masked(packed, length), length)]
        halves = [(bytes((first,)) + packed[1:], 1) for first in (0, 128)]
        if not length and config.kill_switch:
            parts += halves
        if not length and len(packed) in apart:
            table = wanted.fwmark
        elif not length and table == RT_TABLE_MAIN and not metric:
            if not paths.has_netifd:
                parts = halves
            elif len(packed) == 4:
                more = (_FIRST,)
            else:
                metric = _METRIC_DEFAULT6
        for part, bits in parts:
            where = "route", format_ip(masked(part, bits)), bits
            wanted.add(where + (index, "-", metric, table) + (more if not bits else ()))
            if config.kill_switch and bits:
                wanted.add(where + (0,) + behind + (table, _UNREACHABLE, netconf.KILL_SWITCH))


def _host_route_for(packed, tunnelled, paths, tunnel_link, is_main):
    """Return the route that keeps the endpoint outside, or None; `is_main`: our routes are in the main table."""
    route = None
    longest = tunnelled.longest(packed)
    if tunnel_link or tunnel_link == 0 and longest is not None:
        route = paths.find(packed, tunnel_link)
        if route is None and not tunnel_link:
            route = paths.find_elsewhere(packed)
    if route is not None:
        return host_route(packed, route)
    if is_main and longest == _OWN:
        # Without a route outside, a datagram would go into the tunnel, and its datagram again.
        return "route", format_ip(packed), len(packed) * 8, 0, "-", 0, RT_TABLE_MAIN, _UNREACHABLE
    return None


class _Tunnelled:
    """The prefixes that lead into our tunnels, without default routes in a separate table.

    routed, apart  see `plan` and `_families_apart`
    """

    def __init__(self, routed, apart):
        self._by_length = {4: {}, 16: {}}  # size of addresses: prefix length: first address: _OWN or _OTHER
        for prefix, length, is_own in through(routed):
            size = len(prefix)
            if not (is_own and not length and size in apart):
                prefixes = self._by_length[size].setdefault(length, {})
                first = masked(prefix, length)
                prefixes[first] = _OWN if is_own else prefixes.get(first, _OTHER)

    def longest(self, packed):
        """Return _OWN or _OTHER for the tunnel that the longest prefix of the address leads into, None for no tunnel."""
        by_length = self._by_length[len(packed)]
        for length in sorted(by_length, reverse=True):
            whose = by_length[length].get(masked(packed, length))
            if whose is not None:
                return whose
        return None


def swallows(config, packed, routed):
    """Whether the route to the endpoint would lead into a tunnel, and no option prevents that."""
    if not config.nohostroute or config.tunlink:
        return False
    if _table(config, len(packed)):
        return False
    own = [(prefix, length) for prefix, length, is_own in routed if is_own]
    return _Tunnelled(routed, _families_apart(config, own, False)).longest(packed) is not None


def best_mtu(packed, route, paths):
    """Return the largest MTU of a tunnel to the address over the route, 0 if it does not lead outside the machine."""
    size = paths.mtu(route)
    return size and size - _OVERHEAD[len(packed)]


def _mtu(endpoints, paths, tunnel_link, fwmark, least):
    """Return the largest MTU at which no datagram to an endpoint is fragmented, but not less than `least`."""
    found = []
    for packed in endpoints:
        route = paths.way(packed, tunnel_link, fwmark)
        size = best_mtu(packed, route, paths) if route is not None else 0
        if size:
            found.append(size)
    if not found and not endpoints:
        # A peer that starts the handshake comes over the default route, perhaps over IPv6.
        for size in (4, 16):
            route = paths.find(bytes(size), tunnel_link)
            outside = paths.mtu(route) if route is not None and not route.length else 0
            if outside:
                found.append(outside - _OVERHEAD[16])
    return min(max(min(found), least), MAX_MTU) if found else DEFAULT_MTU
