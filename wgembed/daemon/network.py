"""What the machine's network must look like for an interface, and getting there and back.

`plan` works out what is wanted from the configuration and the routes that there are; `Network` makes the difference
between that and what it has put in place, and takes away exactly what it added. What belongs to the tunnel device goes
with it. The rest, host routes to endpoints and policy rules, is written down in /var/run/wgembed before it is made, so
that after a crash the next start can clear up.

A default route into the tunnel would take the tunnel's own datagrams along. Two ways keep them out, as OpenWrt and
wg-quick have them: a host route to the endpoint over the gateway that leads there now (where a routed prefix covers
the endpoint, or `tunlink` chooses the way), or, with `nohostroute` or `fwmark`, the default route in a table of its
own with a rule that exempts what carries our mark. With an ip4table or ip6table of the owner's choice, rules are the
owner's business.

In the main table a default route stands as two halves: one of the same metric is there already, the provider's, and
must outlast us.
"""

from ..protocol.arena import MAX_MTU
from ..protocol.constants import DEFAULT_MTU
from ..runtime import abi, netconf, system
from ..runtime.address import covers, format_ip, masked, parse_ip

MAIN_TABLE = 254
# IPv6 has no metric 0: the kernel makes it this.
_METRIC_IPV6 = 1024
# The mark and table of default routes where the configuration names none, as in wg-quick.
AUTO_MARK = 51820
# Rules stand right before those of the kernel, as with wg-quick.
_SUPPRESS_PRIORITY = 32764
_MARK_PRIORITY = 32765
_SRC_VALID_MARK = ("setting", "net/ipv4/conf/all/src_valid_mark", "1", "0")

# What a tunnelled packet costs on the way: outer IP, UDP, and WireGuard's 32.
_OVERHEAD = {4: 60, 16: 80}
_LEAST_MTU = 576
# With less the kernel takes IPv6 from the link.
_LEAST_MTU_IPV6 = 1280
_RECORD = ".added"
_UNREACHABLE = "unreachable"


class Paths:
    """How the machine reaches the outside without our tunnels: the main table as it is now.

    ip        a RtNetlink
    tunnels   the numbers of our own links
    ours      host routes that we have added, as things of netconf.py
    """

    def __init__(self, ip, tunnels, ours):
        self._ip = ip
        self._tunnels = tunnels
        self._ours = ours
        self._routes = {}
        self._all = {}
        self._addresses = {}
        self._rules = {}

    def find(self, packed, index=0):
        """Return the route to the address (by the link `index` alone, if given), or None."""
        best = None
        for route in self._family(len(packed)):
            if index and route.index != index or not covers(route.destination, route.length, packed):
                continue
            if best is None or (-route.length, route.metric) < (-best.length, best.metric):
                best = route
        return best

    def has(self, thing):
        """Whether the address, route or rule, a thing of netconf.py, stands. What we are not told of does."""
        if thing[0] == "address":
            _, index, ip, length = thing
            found = self._addresses_of(index)
            return found is None or (parse_ip(ip), length) in found
        if thing[0] == "route" and thing[-1] != _UNREACHABLE:
            route = netconf.as_route(thing)
            size = len(route.destination)
            if size == 16 and not route.metric:
                route.metric = _METRIC_IPV6
            self._family(size)
            return self._all[size] is None or route in self._all[size]
        if thing[0] == "rule":
            found = self._rules_of(abi.AF_INET if thing[1] == 4 else abi.AF_INET6)
            return found is None or thing[2:] in found
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
                found = self._ip.routes(abi.AF_INET if size == 4 else abi.AF_INET6)
                self._all[size] = set(found)
            except OSError:
                found = []
                self._all[size] = None
            self._routes[size] = [route for route in found if self._is_outside(route)]
        return self._routes[size]

    def _is_outside(self, route):
        return (
            route.table == MAIN_TABLE
            and route.index
            and route.index not in self._tunnels
            and not (route.length == 8 * len(route.destination) and host_route(route.destination, route) in self._ours)
        )

    def mtu(self, route):
        """Return the MTU of what takes the route; 0 if it leads nowhere outside."""
        try:
            name, mtu, _ = self._ip.link(route.index)
        except OSError:
            return 0
        return 0 if name == "lo" else route.mtu or mtu


def way_out(ip, tunnels):
    """Return where the default routes lead now: what changes when the machine is connected otherwise."""
    paths = Paths(ip, tunnels, ())
    routes = [paths.find(bytes(size)) for size in (4, 16)]
    return [(route.index, route.gateway) if route is not None and not route.length else None for route in routes]


def host_route(packed, route):
    """Return the thing that is a route to this address alone, the way that `route` goes."""
    gateway = format_ip(route.gateway) if route.gateway else "-"
    thing = "route", format_ip(packed), len(packed) * 8, route.index, gateway, 0, MAIN_TABLE
    return thing + ("onlink",) if route.onlink else thing


class Plan:
    """What is wanted: `mtu`, `mark`, and `things`, in the order to add them."""

    def __init__(self):
        self.mtu = 0
        self.mark = 0
        self.things = []


def plan(config, index, place, endpoints, routed, paths, tunnel_link, learnt=()):
    """Return the Plan for an interface.

    config       its InterfaceConfig
    index        the number of its link
    place        which of our interfaces it is, from 0
    endpoints    packed addresses of the endpoints that are known by the configuration
    routed       (packed, length) of the prefixes that shall lead into one of our tunnels, and whether it is by this
                 interface: triples
    tunnel_link  the number of the link that `tunlink` names, 0 for none, -1 if it is not there
    learnt       packed addresses of the endpoints where the peers are now
    """
    wanted = Plan()
    tables = {4: config.table4, 16: config.table6}
    own = [(packed, length) for packed, length, is_own in routed if is_own]
    apart = [size for size in (4, 16) if _is_apart(config, size, own, tables[size])]
    wanted.mark = config.fwmark or (AUTO_MARK + place if apart else 0)
    inside = [packed for packed, _ in config.addresses + own]
    least = _LEAST_MTU_IPV6 if any(len(packed) == 16 for packed in inside) else _LEAST_MTU
    wanted.mtu = config.mtu or _mtu(endpoints, paths, max(tunnel_link, 0), least)
    for packed, length in config.addresses:
        wanted.things.append(("address", index, format_ip(packed), length))
    if not config.nohostroute:
        for packed in endpoints + [packed for packed in learnt if packed not in endpoints]:
            is_main = not tables[len(packed)]
            thing = _host_route_for(packed, routed, apart, paths, tunnel_link, is_main)
            if thing is not None and thing not in wanted.things:
                wanted.things.append(thing)
    for size in apart:
        family = 4 if size == 4 else 6
        if size == 4:
            wanted.things.append(_SRC_VALID_MARK)
        wanted.things.append(("rule", family, wanted.mark, wanted.mark, 1, -1, _MARK_PRIORITY))
        wanted.things.append(("rule", family, MAIN_TABLE, 0, 0, 0, _SUPPRESS_PRIORITY))
    for packed, length in own:
        table = tables[len(packed)] or MAIN_TABLE
        halves = [(masked(packed, length), length)]
        if not length and len(packed) in apart:
            table = wanted.mark
        elif not length and table == MAIN_TABLE and not config.metric:
            halves = [(bytes((first,)) + packed[1:], 1) for first in (0, 128)]
        for part, bits in halves:
            thing = ("route", format_ip(masked(part, bits)), bits, index, "-", config.metric, table)
            if thing not in wanted.things:
                wanted.things.append(thing)
    return wanted


def _is_apart(config, size, own, table):
    """Whether the default route of this family goes into a table of its own."""
    return not table and (config.nohostroute or config.fwmark) and (bytes(size), 0) in [(masked(p, n), n) for p, n in own]


def _host_route_for(packed, routed, apart, paths, tunnel_link, is_main):
    """Return what keeps the endpoint outside, if that is needed; `is_main`: our own routes stand in the main table."""
    taken = tunnel_link or _is_swallowed(packed, routed, apart)
    route = paths.find(packed, tunnel_link) if taken else None
    if route is not None:
        return host_route(packed, route)
    if is_main and _comes_back(packed, routed, apart):
        # With no way outside a datagram would be a packet for the tunnel, and so would what comes of that.
        return "route", format_ip(packed), len(packed) * 8, 0, "-", 0, MAIN_TABLE, _UNREACHABLE
    return None


def _comes_back(packed, routed, apart):
    """Whether of our routes that take the endpoint along, the longest is one into the endpoint's own tunnel."""
    best = -1, False
    for prefix, length, is_own in routed:
        if covers(prefix, length, packed) and not (is_own and not length and len(prefix) in apart):
            best = max(best, (length, is_own))
    return best[1]


def _is_swallowed(packed, routed, apart):
    """Whether the routes into our tunnels would take the endpoint along."""
    for prefix, length, is_own in routed:
        if covers(prefix, length, packed) and not (is_own and not length and len(prefix) in apart):
            return True
    return False


def swallows(config, packed, routed):
    """Whether the endpoint would lead into a tunnel, and nothing in the configuration prevents it."""
    if not config.nohostroute or config.tunlink:
        return False
    own = [(prefix, length) for prefix, length, is_own in routed if is_own]
    tables = {4: config.table4, 16: config.table6}
    if tables[len(packed)]:
        return False
    return _is_swallowed(packed, routed, [size for size in (4, 16) if _is_apart(config, size, own, tables[size])])


def best_mtu(packed, route, paths):
    """Return the largest MTU of a tunnel to the address over the route; 0 if it leads nowhere outside."""
    size = paths.mtu(route)
    return size and size - _OVERHEAD[len(packed)]


def _mtu(endpoints, paths, tunnel_link, least):
    """Return the largest MTU with which no datagram to an endpoint has to be cut up, but `least` at least."""
    found = []
    for packed in endpoints:
        route = paths.find(packed, tunnel_link)
        size = best_mtu(packed, route, paths) if route is not None else 0
        if size:
            found.append(size)
    if not found and not endpoints:
        # Whoever calls will come by the default route, over IPv6 perhaps.
        for size in (4, 16):
            route = paths.find(bytes(size), tunnel_link)
            outside = paths.mtu(route) if route is not None and not route.length else 0
            if outside:
                found.append(outside - _OVERHEAD[16])
    return min(max(min(found), least), MAX_MTU) if found else DEFAULT_MTU


class Network:
    """What has been added for one interface.

    netconf  carries out the requests
    record   the file for what outlives the link
    """

    def __init__(self, conf, record, log):
        self._conf = conf
        self._record = record
        self._log = log
        self._added = []
        self._refused = {}
        self._mtu = 0
        self._is_waiting = False  # for answers; until then nobody knows what of it is ours
        self._next = None  # what to do then
        self._is_over = False  # what is carried out still has no link any more

    @property
    def outside(self):
        """What has been added that does not go with the link."""
        return [thing for thing in self._added if self._outlives(thing)]

    @property
    def is_refused(self):
        """Whether the kernel refused something."""
        return bool(self._refused)

    def _outlives(self, thing):
        return thing[0] in ("rule", "setting") or thing[0] == "route" and thing[3] != self.index

    def begin(self, index):
        """The link is there, with this number."""
        self.index = index

    def went_down(self):
        """The kernel takes routes with a link that goes down, and addresses of IPv6."""
        self._added = self.outside
        self._mtu = 0

    def follow(self, wanted, raise_link, paths=None):
        """Make the network as planned; `raise_link`: also take the link up.

        paths  to see what stands of it: the kernel takes routes along with links, and addresses with the first one of
               their network; None where that is not known
        """
        if self._is_waiting:
            raise_link = raise_link or self._next is not None and self._next[1]
            self._next = (wanted, raise_link)
            return
        gone = [thing for thing in self._added if thing not in wanted.things]
        new = [thing for thing in wanted.things if thing not in self._added or paths is not None and not paths.has(thing)]
        requests = [("del", thing) for thing in reversed(gone)]
        requests += [("add", thing) for thing in new if thing[0] == "address"]
        if raise_link or wanted.mtu != self._mtu:
            requests.append(("set", ("link", self.index, 1 if raise_link else 0, wanted.mtu)))
        requests += [("add", thing) for thing in new if thing[0] != "address"]
        if not requests:
            return
        self._mtu = wanted.mtu
        self._added = [thing for thing in self._added if thing not in gone and thing not in new] + new
        if any(self._outlives(thing) for _, thing in requests):
            self._write_record()
        self._is_waiting = True
        self._conf.submit(requests, lambda answers: self._take(requests, answers))

    def _take(self, requests, answers):
        """See what came of it. What was there before is nobody's to remove, unless it goes with our link anyway."""
        foreign = []
        for (verb, thing), errno in zip(requests, answers):  # noqa: B905 (MicroPython's zip has no strict)
            if verb == "del" or not errno:
                self._refused.pop(thing, None)
                continue
            if errno == abi.EEXIST and not self._outlives(thing):
                continue
            foreign.append(thing)
            if errno != abi.EEXIST and not self._is_over and self._refused.get(thing) != errno:
                self._refused[thing] = errno
                self._log.error("%s: error %d of the kernel's" % (_in_words(thing), errno))
        if foreign:
            self._added = [thing for thing in self._added if thing not in foreign]
            self._write_record()
        self._is_waiting = False
        following, self._next = self._next, None
        if following:
            self.follow(*following)

    def end(self):
        """Take away what does not go with the link."""
        self._next = None
        self._is_over = True
        self._conf.after(self._end)

    def _end(self):
        requests = [("del", thing) for thing in reversed(self.outside)]
        self._added = []
        if requests:
            self._conf.submit(requests, lambda answers: None)
        _forget(self._record)

    def _write_record(self):
        outside = self.outside
        if not outside:
            _forget(self._record)
            return
        text = "".join([netconf.format_request("add", thing) + "\n" for thing in outside])
        try:
            system.files.write_new(self._record, text.encode())
        except OSError as e:
            self._log.error("cannot write %s: %s" % (self._record, e))


def record_of(directory, name):
    """Return the path of the record for the interface of this name."""
    return "%s/%s%s" % (directory, name, _RECORD)


def clear_up(directory, is_served, conf):
    """Take away what a daemon that was killed has left behind, by its records; not that of one that is_served(name)."""
    for file in system.files.names(directory):
        if file.endswith(_RECORD) and not is_served(file[: -len(_RECORD)]):
            _clear_up(directory + "/" + file, conf)


def _clear_up(record, conf):
    try:
        text = system.files.read_file(record).decode()
    except (OSError, UnicodeError):
        return
    requests = []
    for line in text.split("\n"):
        try:
            requests.insert(0, ("del", netconf.parse_request(line)[1]))
        except ValueError:
            continue
    if requests:
        conf.submit(requests, lambda answers: None)
    _forget(record)


def _forget(path):
    try:
        system.files.remove(path)
    except OSError:
        return


def _in_words(thing):
    """Return what could not be done, for people."""
    kind = thing[0]
    if kind == "address":
        return "cannot add the address %s/%d" % (thing[2], thing[3])
    if kind == "route":
        return "cannot add the route %s/%d" % (thing[1], thing[2])
    if kind == "rule":
        return "cannot add the rule for table %d of IPv%d" % (thing[2], thing[1])
    if kind == "link":
        return "cannot take the link up with MTU %d" % thing[3]
    return "cannot set /proc/sys/%s" % thing[1]
