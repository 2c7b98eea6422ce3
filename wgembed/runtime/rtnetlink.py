"""Addresses, routes and rules by rtnetlink (RFC 3549; Linux rtnetlink(7)), where pyroute2 is too heavy or cannot run.

One request, one answer: each call raises OSError with the kernel's errno, or returns what was asked for. Addresses are
packed, 4 or 16 bytes.
"""

from struct import pack, unpack_from

from . import abi, system
from . import rtnetlink_abi as rtnl

# The kernel answers at once, or what it said was lost, in ms.
_ANSWER_TIMEOUT_MS = 1000


def _attribute(kind, data):
    return pack(abi.RTATTR, abi.RTATTR_SIZE + len(data), kind) + data + bytes(-len(data) & 3)


def _number(kind, value):
    return _attribute(kind, pack("I", value))


def _dump_of(family):
    """Return the body of the question for all routes, or all rules, of the family."""
    return pack(rtnl.RTMSG, family, 0, 0, 0, 0, 0, 0, 0, 0)


def _family(packed):
    return abi.AF_INET if len(packed) == 4 else abi.AF_INET6


class Route:
    """A route: `destination` packed, its prefix `length`, `table`, and what it leads to, 0 or None where not given.

    mtu          that the route has of its own, 0 for the link's; told, never asked for
    onlink       the gateway is on the link, whatever its address
    unreachable  it leads nowhere, and says so; asked for, never told
    """

    def __init__(self, destination, length, index=0, gateway=None, source=None, metric=0, table=rtnl.RT_TABLE_MAIN):
        self.destination = destination
        self.length = length
        self.index = index
        self.gateway = gateway
        self.source = source
        self.metric = metric
        self.table = table
        self.mtu = 0
        self.onlink = self.unreachable = False

    def __eq__(self, other):
        return self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def _key(self):
        return (self.destination, self.length, self.index, self.gateway, self.metric, self.table)


class RtNetlink:
    """A routing socket for requests. Blocks for the kernel's answer, which comes at once."""

    def __init__(self):
        self._netlink = system.netlink.Netlink(0)
        self._sequence = 0

    def close(self):
        self._netlink.close()

    def _request(self, kind, flags, body):
        """Send a request; returns the bodies of the messages that answer it."""
        self._sequence += 1
        length = abi.NLMSGHDR_SIZE + len(body)
        self._netlink.send(pack(abi.NLMSGHDR, length, kind, rtnl.NLM_F_REQUEST | flags, self._sequence, 0) + body)
        found = []
        end = system.clock.now() + _ANSWER_TIMEOUT_MS
        while True:
            message = self._netlink.receive()
            if message is None:
                if system.clock.now() > end:
                    raise OSError(abi.EIO, "rtnetlink request %d: no answer" % kind)
                continue
            at = 0
            while at + abi.NLMSGHDR_SIZE <= len(message):
                length, answer, _, sequence, _ = unpack_from(abi.NLMSGHDR, message, at)
                if length < abi.NLMSGHDR_SIZE:
                    break
                if sequence == self._sequence:
                    if answer == rtnl.NLMSG_ERROR:
                        errno = -unpack_from("i", message, at + abi.NLMSGHDR_SIZE)[0]
                        if errno:
                            raise OSError(errno, "rtnetlink request %d" % kind)
                        return found
                    if answer == rtnl.NLMSG_DONE:
                        return found
                    found.append(bytes(message[at + abi.NLMSGHDR_SIZE : at + length]))
                at += length + 3 & ~3

    def _change(self, kind, flags, body):
        self._request(kind, rtnl.NLM_F_ACK | flags, body)

    # links

    def set_link(self, index, up=None, mtu=None):
        """Take the link up or down, set its MTU; None leaves that as it is."""
        flags = 0 if up is None else abi.IFF_UP
        body = pack(abi.IFINFOMSG, 0, 0, index, abi.IFF_UP if up else 0, flags)
        if mtu is not None:
            body += _number(abi.IFLA_MTU, mtu)
        self._change(abi.RTM_NEWLINK, 0, body)

    def remove_link(self, index):
        self._change(abi.RTM_DELLINK, 0, pack(abi.IFINFOMSG, 0, 0, index, 0, 0))

    def link(self, index):
        """Return name, MTU and whether it is up, of the link with this number; OSError if there is none."""
        body = self._request(rtnl.RTM_GETLINK, rtnl.NLM_F_ACK, pack(abi.IFINFOMSG, 0, 0, index, 0, 0))[0]
        attributes = _attributes(body, abi.IFINFOMSG_SIZE)
        name = attributes[rtnl.IFLA_IFNAME].rstrip(b"\0").decode()
        return name, unpack_from("I", attributes[abi.IFLA_MTU])[0], bool(unpack_from("I", body, 8)[0] & abi.IFF_UP)

    # addresses

    def add_address(self, index, packed, length):
        """Give the link an address, or do nothing if it has it."""
        body = self._address(index, packed, length, rtnl.IFA_F_NODAD if len(packed) == 16 else 0)
        self._change(abi.RTM_NEWADDR, rtnl.NLM_F_CREATE | rtnl.NLM_F_REPLACE, body)

    def remove_address(self, index, packed, length):
        self._change(rtnl.RTM_DELADDR, 0, self._address(index, packed, length, 0))

    def _address(self, index, packed, length, flags):
        body = pack(rtnl.IFADDRMSG, _family(packed), length, flags, rtnl.RT_SCOPE_UNIVERSE, index)
        return body + _attribute(rtnl.IFA_LOCAL, packed) + _attribute(rtnl.IFA_ADDRESS, packed)

    def addresses(self, index):
        """Return the link's addresses as pairs of packed address and prefix length."""
        found = []
        for body in self._request(rtnl.RTM_GETADDR, rtnl.NLM_F_DUMP, pack(rtnl.IFADDRMSG, 0, 0, 0, 0, 0)):
            _, length, _, _, where = unpack_from(rtnl.IFADDRMSG, body)
            attributes = _attributes(body, rtnl.IFADDRMSG_SIZE)
            packed = attributes.get(rtnl.IFA_LOCAL) or attributes.get(rtnl.IFA_ADDRESS)
            if where == index and packed:
                found.append((packed, length))
        return found

    # routes

    def add_route(self, route, exclusive=False):
        """Add the route. One to the same destination with the same metric in its table is replaced, or raises EEXIST."""
        self._change(
            rtnl.RTM_NEWROUTE, rtnl.NLM_F_CREATE | (rtnl.NLM_F_EXCL if exclusive else rtnl.NLM_F_REPLACE), self._route(route)
        )

    def remove_route(self, route):
        self._change(abi.RTM_DELROUTE, 0, self._route(route))

    def _route(self, route):
        kind = rtnl.RTN_UNREACHABLE if route.unreachable else rtnl.RTN_UNICAST
        is_wide = route.gateway or route.unreachable or len(route.destination) == 16
        scope = rtnl.RT_SCOPE_UNIVERSE if is_wide else rtnl.RT_SCOPE_LINK
        body = pack(
            rtnl.RTMSG, _family(route.destination), route.length, 0, 0, rtnl.RT_TABLE_UNSPEC, rtnl.RTPROT_STATIC, scope,
            kind, rtnl.RTNH_F_ONLINK if route.onlink else 0,
        )  # fmt: skip
        body += _number(rtnl.RTA_TABLE, route.table)
        if route.length:
            body += _attribute(rtnl.RTA_DST, route.destination)
        for kind, value in ((rtnl.RTA_OIF, route.index), (rtnl.RTA_PRIORITY, route.metric)):
            if value:
                body += _number(kind, value)
        for kind, value in ((rtnl.RTA_GATEWAY, route.gateway), (rtnl.RTA_PREFSRC, route.source)):
            if value:
                body += _attribute(kind, value)
        return body

    def routes(self, family):
        """Return the unicast routes of the family, abi.AF_INET or abi.AF_INET6, in all tables, that lead somewhere."""
        found = []
        for body in self._request(rtnl.RTM_GETROUTE, rtnl.NLM_F_DUMP, _dump_of(family)):
            if body[7] == rtnl.RTN_UNICAST and not unpack_from("I", body, 8)[0] & (rtnl.RTNH_F_DEAD | rtnl.RTNH_F_LINKDOWN):
                found += parse_routes(body)
        return found

    def route_to(self, packed, fwmark=0):
        """Return the Route that a packet to this address would take now; OSError if there is none."""
        body = pack(rtnl.RTMSG, _family(packed), len(packed) * 8, 0, 0, 0, 0, 0, 0, 0) + _attribute(rtnl.RTA_DST, packed)
        if fwmark:
            body += _number(rtnl.RTA_MARK, fwmark)
        return parse_routes(self._request(rtnl.RTM_GETROUTE, rtnl.NLM_F_ACK, body)[0])[0]

    # rules

    def add_rule(self, family, table, fwmark=0, inverted=False, suppress_length=None, priority=0):
        """Add a rule that looks up `table`: for packets with the mark, or without it; priority 0 lets the kernel choose."""
        rule = self._rule(family, table, fwmark, inverted, suppress_length, priority)
        self._change(abi.RTM_NEWRULE, rtnl.NLM_F_CREATE | rtnl.NLM_F_EXCL, rule)

    def remove_rule(self, family, table, fwmark=0, inverted=False, suppress_length=None, priority=0):
        self._change(abi.RTM_DELRULE, 0, self._rule(family, table, fwmark, inverted, suppress_length, priority))

    def rules(self, family):
        """Return the rules that look up a table: (table, mark, inverted, suppress length, priority), as in netconf.py."""
        found = []
        for body in self._request(rtnl.RTM_GETRULE, rtnl.NLM_F_DUMP, _dump_of(family)):
            attributes = _attributes(body, rtnl.FIB_RULE_HDR_SIZE)
            table, mark, suppress, priority = [
                unpack_from("I", attributes[kind])[0] if kind in attributes else otherwise
                for kind, otherwise in (
                    (rtnl.FRA_TABLE, body[4]),
                    (rtnl.FRA_FWMARK, 0),
                    (rtnl.FRA_SUPPRESS_PREFIXLEN, rtnl.NO_SUPPRESS_PREFIXLEN),
                    (rtnl.FRA_PRIORITY, 0),
                )  # fmt: skip
            ]
            inverted = unpack_from("I", body, 8)[0] & rtnl.FIB_RULE_INVERT
            found.append((table, mark, inverted >> 1, -1 if suppress == rtnl.NO_SUPPRESS_PREFIXLEN else suppress, priority))
        return found

    def _rule(self, family, table, fwmark, inverted, suppress_length, priority):
        flags = rtnl.FIB_RULE_INVERT if inverted else 0
        body = pack(rtnl.FIB_RULE_HDR, family, 0, 0, 0, rtnl.RT_TABLE_UNSPEC, 0, 0, rtnl.FR_ACT_TO_TBL, flags) + _number(
            rtnl.FRA_TABLE, table
        )
        for kind, value in ((rtnl.FRA_FWMARK, fwmark), (rtnl.FRA_PRIORITY, priority)):
            if value:
                body += _number(kind, value)
        if suppress_length is not None:
            body += _number(rtnl.FRA_SUPPRESS_PREFIXLEN, suppress_length)
        return body


def _attributes(body, at):
    """Return the attributes of a message from offset `at` on, by their kind."""
    found = {}
    while at + abi.RTATTR_SIZE <= len(body):
        length, kind = unpack_from(abi.RTATTR, body, at)
        if length < abi.RTATTR_SIZE:
            break
        found[kind & 0x3FFF] = bytes(body[at + abi.RTATTR_SIZE : at + length])
        at += length + 3 & ~3
    return found


def parse_routes(body):
    """Return the routes that a message tells of: where it has several ways, one for each that works."""
    family, length, _, _, table, _, _, _, flags = unpack_from(rtnl.RTMSG, body)
    attributes = _attributes(body, rtnl.RTMSG_SIZE)

    def number(kind, otherwise):
        return unpack_from("I", attributes[kind])[0] if kind in attributes else otherwise

    ways = [(number(rtnl.RTA_OIF, 0), attributes.get(rtnl.RTA_GATEWAY), flags)]
    if rtnl.RTA_MULTIPATH in attributes:
        ways = _ways(attributes[rtnl.RTA_MULTIPATH])
    own = _attributes(attributes.get(rtnl.RTA_METRICS, b""), 0).get(rtnl.RTAX_MTU)
    found = []
    for index, gateway, flags in ways:
        route = Route(
            attributes.get(rtnl.RTA_DST, bytes(4 if family == abi.AF_INET else 16)), length, index, gateway,
            attributes.get(rtnl.RTA_PREFSRC), number(rtnl.RTA_PRIORITY, 0), number(rtnl.RTA_TABLE, table),
        )  # fmt: skip
        route.mtu = unpack_from("I", own)[0] if own else 0
        route.onlink = bool(flags & rtnl.RTNH_F_ONLINK)
        found.append(route)
    return found


def _ways(hops):
    """Return link, gateway and flags of each of several ways that is not dead."""
    found = []
    at = 0
    while at + rtnl.RTNEXTHOP_SIZE <= len(hops):
        size, flags, _, index = unpack_from(rtnl.RTNEXTHOP, hops, at)
        if size < rtnl.RTNEXTHOP_SIZE:
            break
        if not flags & (rtnl.RTNH_F_DEAD | rtnl.RTNH_F_LINKDOWN):
            found.append((index, _attributes(hops[at : at + size], rtnl.RTNEXTHOP_SIZE).get(rtnl.RTA_GATEWAY), flags))
        at += size + 3 & ~3
    return found
