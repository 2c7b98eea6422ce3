"""Addresses, routes and rules by rtnetlink (RFC 3549; Linux rtnetlink(7)), if pyroute2 needs too much memory or cannot run.

Each call sends one request and waits for its answer. It raises OSError with the kernel's errno if the request fails.
Addresses are packed, 4 or 16 bytes.
"""

from struct import pack, unpack_from

from . import abi
from . import rtnetlink_abi as rtnl
from .address import format_ip, parse_ip
from .rtsocket import RtSocket, attribute, attributes
from .rtsocket import number as number_of


def _number(kind, value):
    return attribute(kind, pack("I", value))


def _dump_of(family):
    """Return the body of a request for all routes, or all rules, of the family."""
    return pack(abi.RTMSG, family, 0, 0, 0, 0, 0, 0, 0, 0)


def _family(packed):
    return abi.FAMILIES[len(packed)]


REPLACE, ONLY, FIRST = rtnl.NLM_F_REPLACE, rtnl.NLM_F_EXCL, 0


class Route:
    """A route. A number that is not given is 0, an address that is not given is None.

    destination, length  the prefix: the packed address, and the length in bits
    index                the ifindex of the link
    gateway, source      packed
    mtu                  the route's own MTU, or 0 if it has the MTU of the link. Only in routes that the kernel returns
    onlink               the gateway is on the link, whatever its address is
    unreachable          packets get the answer "unreachable". Only in requests
    protocol             RTPROT_..., which program added it. Only in requests
    is_dead              the link is down, or has no carrier. Only in routes that the kernel returns
    nexthop              the number of the nexthop object, or 0. Only in routes that the kernel returns

    The gateway of an IPv4 route can be an IPv6 address.
    """

    def __init__(self, destination, length, index=0, gateway=None, source=None, metric=0, table=rtnl.RT_TABLE_MAIN):
        self.destination = destination
        self.length = length
        self.index = index
        self.gateway = gateway
        self.source = source
        self.metric = metric
        self.table = table
        self.mtu = self.nexthop = 0
        self.onlink = self.unreachable = self.is_dead = False
        self.protocol = rtnl.RTPROT_STATIC

    def __eq__(self, other):
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def _key(self):
        return (self.destination, self.length, self.index, self.gateway, self.metric, self.table)


class RtNetlink(RtSocket):
    """Requests about links, addresses, routes and rules."""

    # links

    def set_link(self, index, up=None, mtu=None):
        """Set the link up (True) or down (False), and its MTU. None means no change."""
        flags = 0 if up is None else abi.IFF_UP
        body = pack(abi.IFINFOMSG, 0, 0, index, abi.IFF_UP if up else 0, flags)
        if mtu is not None:
            body += _number(abi.IFLA_MTU, mtu)
        self.change(abi.RTM_NEWLINK, 0, body)

    def remove_link(self, index):
        self.change(abi.RTM_DELLINK, 0, pack(abi.IFINFOMSG, 0, 0, index, 0, 0))

    def link(self, index):
        """Return (name, MTU, whether it is up) of the link with this ifindex. OSError if the link does not exist."""
        body = self.ask(abi.RTM_GETLINK, pack(abi.IFINFOMSG, 0, 0, index, 0, 0))
        given = _attributes(body, abi.IFINFOMSG_SIZE)
        try:
            name = given[abi.IFLA_IFNAME].rstrip(b"\0").decode()
            return name, unpack_from("I", given[abi.IFLA_MTU])[0], bool(unpack_from("I", body, 8)[0] & abi.IFF_UP)
        except (KeyError, ValueError):
            raise OSError(abi.EPROTO, "cannot use the kernel's answer about link %d" % index) from None

    def link_name(self, index):
        """Return the name of the link, or as ip(8) does "if" and the ifindex if there is no such link."""
        try:
            return self.link(index)[0]
        except OSError:
            return "if%d" % index

    # addresses

    def add_address(self, index, packed, length, has_route=True):
        """Add an address to the link. Does nothing if the link has the address.

        has_route  the kernel also adds a route to the prefix of the address
        """
        body = self._address(index, packed, length, rtnl.IFA_F_NODAD if len(packed) == 16 else 0)
        if not has_route:
            body += _number(rtnl.IFA_FLAGS, body[2] | rtnl.IFA_F_NOPREFIXROUTE)
        self.change(abi.RTM_NEWADDR, rtnl.NLM_F_CREATE | rtnl.NLM_F_REPLACE, body)

    def remove_address(self, index, packed, length):
        self.change(abi.RTM_DELADDR, 0, self._address(index, packed, length, 0))

    def _address(self, index, packed, length, flags):
        body = pack(rtnl.IFADDRMSG, _family(packed), length, flags, rtnl.RT_SCOPE_UNIVERSE, index)
        return body + attribute(rtnl.IFA_LOCAL, packed) + attribute(rtnl.IFA_ADDRESS, packed)

    def addresses(self, index):
        """Return a list of the link's addresses: pairs of packed address and prefix length."""
        found = []
        everything = pack(rtnl.IFADDRMSG, 0, 0, 0, 0, 0)
        for body in self.dump(lambda: self.request(rtnl.RTM_GETADDR, rtnl.NLM_F_DUMP, everything)):
            if len(body) < abi.IFADDRMSG_SIZE:
                continue
            _, length, _, _, where = unpack_from(rtnl.IFADDRMSG, body)
            given = _attributes(body, abi.IFADDRMSG_SIZE)
            packed = given.get(rtnl.IFA_LOCAL) or given.get(rtnl.IFA_ADDRESS)
            if where == index and packed:
                found.append((packed, length))
        return found

    # routes

    def add_route(self, route, how=REPLACE):
        """Add the route.

        how  if its table has a route with this destination and metric: REPLACE it; ONLY: EEXIST; FIRST: keep it, and put
             the new one before it (only IPv4)
        """
        self.change(abi.RTM_NEWROUTE, rtnl.NLM_F_CREATE | how, self._route(route))

    def remove_route(self, route):
        self.change(abi.RTM_DELROUTE, 0, self._route(route))

    def _route(self, route):
        kind = rtnl.RTN_UNREACHABLE if route.unreachable else abi.RTN_UNICAST
        is_wide = route.gateway or route.unreachable or len(route.destination) == 16
        scope = rtnl.RT_SCOPE_UNIVERSE if is_wide else rtnl.RT_SCOPE_LINK
        body = pack(
            abi.RTMSG, _family(route.destination), route.length, 0, 0, rtnl.RT_TABLE_UNSPEC, route.protocol, scope,
            kind, rtnl.RTNH_F_ONLINK if route.onlink else 0,
        )  # fmt: skip
        body += _number(rtnl.RTA_TABLE, route.table)
        if route.length:
            body += attribute(abi.RTA_DST, route.destination)
        for kind, value in ((abi.RTA_OIF, route.index), (rtnl.RTA_PRIORITY, route.metric)):
            if value:
                body += _number(kind, value)
        gateway = route.gateway
        if gateway and len(gateway) != len(route.destination):
            body += attribute(rtnl.RTA_VIA, pack("H", _family(gateway)) + gateway)
            gateway = None
        for kind, value in ((rtnl.RTA_GATEWAY, gateway), (rtnl.RTA_PREFSRC, route.source)):
            if value:
                body += attribute(kind, value)
        return body

    def routes(self, family, matters=None, table=rtnl.RT_TABLE_MAIN, has_dead=False):
        """Return the unicast routes of the family, abi.AF_INET or abi.AF_INET6, in all tables.

        matters   returns only routes of `table`, or of all tables if that is None, with matters(destination, length)
        has_dead  also returns routes on dead links
        """
        found = []
        size = 4 if family == abi.AF_INET else 16

        def handle(body):
            # Routes for a type of service (body[3]) are not for our datagrams.
            if len(body) < abi.RTMSG_SIZE or body[7] != abi.RTN_UNICAST or body[1] > 8 * size or body[3]:
                return
            is_wanted = matters is None or table in (None, body[4]) and matters(destination(body, size), body[1])
            if is_wanted:
                found.extend(parse_routes(bytes(body)))

        def read():
            found.clear()
            self.request(abi.RTM_GETROUTE, rtnl.NLM_F_DUMP, _dump_of(family), handle)

        self.dump(read)
        # With the sysctl net.ipv4.nexthop_compat_mode 0, a route has the number of its nexthop object, and no next hop.
        for route in [route for route in found if route.nexthop and not route.index]:
            found.remove(route)
            found.extend(_over(route, self._hops(route.nexthop)))
        return [route for route in found if has_dead or not route.is_dead]

    def _hops(self, number):
        """Return (ifindex, gateway, flags) of each next hop of the nexthop object, which can be a group of others."""
        try:
            answer = self.ask(rtnl.RTM_GETNEXTHOP, bytes(rtnl.NHMSG_SIZE) + _number(rtnl.NHA_ID, number))
        except OSError:
            return []  # it was deleted, and its routes
        given = _attributes(answer, rtnl.NHMSG_SIZE)
        group = given.get(rtnl.NHA_GROUP, b"")
        members = [unpack_from("I", group, at)[0] for at in range(0, len(group) - 3, rtnl.NEXTHOP_GRP_SIZE)]
        if members:
            return [hop for member in members if member != number for hop in self._hops(member)]
        index = number_of(given, rtnl.NHA_OIF, 0)
        return [(index, given.get(rtnl.NHA_GATEWAY), unpack_from("I", answer, 4)[0])] if index > 0 else []

    def route_to(self, packed, fwmark=0):
        """Return the Route that a packet to this packed address would take now. OSError if there is no route."""
        body = pack(abi.RTMSG, _family(packed), len(packed) * 8, 0, 0, 0, 0, 0, 0, 0) + attribute(abi.RTA_DST, packed)
        if fwmark:
            body += _number(abi.RTA_MARK, fwmark)
        found = parse_routes(self.ask(abi.RTM_GETROUTE, body))
        if not found:
            raise OSError(abi.EPROTO, "cannot use the kernel's answer about the route to %s" % format_ip(packed))
        return found[0]

    # rules

    def add_rule(self, family, table, fwmark=0, inverted=False, suppress_length=None, priority=0, selector=()):
        """Add a rule that looks up `table` for packets with the fwmark, or with `inverted` for packets without it.

        suppress_length  ignore routes whose prefix is not longer than this; None for none
        priority         0: the kernel chooses
        selector         "from" or "to" and a prefix as text, or "iif" and the name of a link: only for such packets
        """
        rule = self._rule(family, table, fwmark, inverted, suppress_length, priority, selector)
        self.change(abi.RTM_NEWRULE, rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL, rule)

    def remove_rule(self, family, table, fwmark=0, inverted=False, suppress_length=None, priority=0, selector=()):
        self.change(abi.RTM_DELRULE, 0, self._rule(family, table, fwmark, inverted, suppress_length, priority, selector))

    def rules(self, family):
        """Return the rules that look up a table: (table, fwmark, inverted, suppress length, priority, and the selector).

        As in netconf.py.
        """
        found = []
        for body in self.dump(lambda: self.request(rtnl.RTM_GETRULE, rtnl.NLM_F_DUMP, _dump_of(family))):
            if len(body) < rtnl.FIB_RULE_HDR_SIZE:
                continue
            given = _attributes(body, rtnl.FIB_RULE_HDR_SIZE)
            table, mark, suppress, priority = [
                _unsigned(given, kind, otherwise)
                for kind, otherwise in (
                    (rtnl.FRA_TABLE, body[4]),
                    (rtnl.FRA_FWMARK, 0),
                    (rtnl.FRA_SUPPRESS_PREFIXLEN, rtnl.NO_SUPPRESS_PREFIXLEN),
                    (rtnl.FRA_PRIORITY, 0),
                )  # fmt: skip
            ]
            inverted = unpack_from("I", body, 8)[0] & rtnl.FIB_RULE_INVERT
            suppress = -1 if suppress == rtnl.NO_SUPPRESS_PREFIXLEN else suppress
            found.append((table, mark, inverted >> 1, suppress, priority) + _selector(body, given))
        return found

    def _rule(self, family, table, fwmark, inverted, suppress_length, priority, selector):
        flags = rtnl.FIB_RULE_INVERT if inverted else 0
        kind, value = selector or ("", "")
        to = from_ = 0
        chosen = b""
        if kind == "iif":
            chosen = attribute(rtnl.FRA_IIFNAME, value.encode() + b"\0")
        elif kind:
            where, _, length = value.partition("/")
            to, from_ = (int(length), 0) if kind == "to" else (0, int(length))
            chosen = attribute(rtnl.FRA_DST if kind == "to" else rtnl.FRA_SRC, parse_ip(where))
        body = pack(rtnl.FIB_RULE_HDR, family, to, from_, 0, rtnl.RT_TABLE_UNSPEC, 0, 0, rtnl.FR_ACT_TO_TBL, flags)
        body += _number(rtnl.FRA_TABLE, table) + chosen
        for kind, value in ((rtnl.FRA_FWMARK, fwmark), (rtnl.FRA_PRIORITY, priority)):
            if value:
                body += _number(kind, value)
        if suppress_length is not None:
            body += _number(rtnl.FRA_SUPPRESS_PREFIXLEN, suppress_length)
        return body


def _selector(body, given):
    """Return the selector of the rule in a message."""
    if rtnl.FRA_IIFNAME in given:
        return "iif", _text(given[rtnl.FRA_IIFNAME])
    for kind, name, length in ((rtnl.FRA_SRC, "from", body[2]), (rtnl.FRA_DST, "to", body[1])):
        if len(given.get(kind, b"")) in abi.FAMILIES:
            return name, "%s/%d" % (format_ip(given[kind]), length)
    return ()


def _text(name):
    """Return the name of a link as text, "?" if it is not UTF-8."""
    try:
        return name.rstrip(b"\0").decode()
    except ValueError:
        return "?"


def _attributes(body, at):
    return attributes(body, at, len(body))


def destination(body, size):
    """Return the destination of the route in a message: a packed address of `size` bytes."""
    return _find(body, abi.RTA_DST, size) or bytes(size)


def route_link(body):
    """Return the ifindex of the route in a message, 0 if it has several next hops, or none."""
    data = _find(body, abi.RTA_OIF, 4)
    return unpack_from("i", data)[0] if data else 0


def _find(body, wanted, size):
    """Return the attribute of this type and size, without the work for the others; None if there is none."""
    at = abi.RTMSG_SIZE
    while at + abi.RTATTR_SIZE <= len(body):
        length, kind = unpack_from(abi.RTATTR, body, at)
        if length < abi.RTATTR_SIZE:
            break
        if kind == wanted and length == abi.RTATTR_SIZE + size and at + length <= len(body):
            return bytes(body[at + abi.RTATTR_SIZE : at + length])
        at += length + 3 & ~3
    return None


def parse_routes(body):
    """Return a list of the routes in a message, empty if it has none. Each of several next hops becomes a route."""
    if len(body) < abi.RTMSG_SIZE:
        return []
    family, length, _, _, table, _, _, _, flags = unpack_from(abi.RTMSG, body)
    given = _attributes(body, abi.RTMSG_SIZE)
    size = 4 if family == abi.AF_INET else 16
    where = given.get(abi.RTA_DST, bytes(size))
    if family not in abi.FAMILIES.values() or len(where) != size or length > 8 * size:
        return []
    route = Route(
        where, length, 0, None, given.get(rtnl.RTA_PREFSRC), _unsigned(given, rtnl.RTA_PRIORITY, 0),
        _unsigned(given, rtnl.RTA_TABLE, table),
    )  # fmt: skip
    route.mtu = _unsigned(_attributes(given.get(rtnl.RTA_METRICS, b""), 0), rtnl.RTAX_MTU, 0)
    route.nexthop = _unsigned(given, rtnl.RTA_NH_ID, 0)
    if rtnl.RTA_MULTIPATH in given:
        return _over(route, _ways(given[rtnl.RTA_MULTIPATH]))
    return _over(route, [(number_of(given, abi.RTA_OIF, 0), _gateway(given), flags)])


def _over(route, ways):
    """Return a list of this route over each next hop: ifindex, gateway, flags."""
    found = []
    for index, gateway, flags in ways:
        one = Route(route.destination, route.length, index, gateway, route.source, route.metric, route.table)
        one.mtu, one.nexthop = route.mtu, route.nexthop
        one.onlink = bool(flags & rtnl.RTNH_F_ONLINK)
        one.is_dead = bool(flags & (rtnl.RTNH_F_DEAD | rtnl.RTNH_F_LINKDOWN))
        found.append(one)
    return found


def _ways(hops):
    """Return (ifindex, gateway, flags) of each next hop."""
    found = []
    at = 0
    while at + rtnl.RTNEXTHOP_SIZE <= len(hops):
        size, flags, _, index = unpack_from(rtnl.RTNEXTHOP, hops, at)
        if size < rtnl.RTNEXTHOP_SIZE:
            break
        found.append((index, _gateway(_attributes(hops[at : at + size], rtnl.RTNEXTHOP_SIZE)), flags))
        at += size + 3 & ~3
    return found


def _gateway(given):
    """Return the gateway in the attributes of a route or next hop, packed, or None."""
    gateway = given.get(rtnl.RTA_GATEWAY) or given.get(rtnl.RTA_VIA, b"")[2:]  # RTA_VIA begins with the family
    return gateway if len(gateway) in abi.FAMILIES else None


def _unsigned(given, kind, otherwise):
    """Return the attribute of this type as an unsigned number of 32 bits, or `otherwise` if it is missing or too short."""
    data = given.get(kind, b"")
    return unpack_from("I", data)[0] if len(data) >= 4 else otherwise
