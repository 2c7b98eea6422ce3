"""Addresses, routes and rules by rtnetlink (RFC 3549; Linux rtnetlink(7)), where pyroute2 is too heavy or cannot run.

One request, one answer: each call raises OSError with the kernel's errno, or returns what was asked for. Addresses are
packed, 4 or 16 bytes.
"""

from struct import pack, unpack_from

from . import abi, system

_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_GETLINK = 18
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTM_GETADDR = 22
_RTM_NEWROUTE = 24
_RTM_DELROUTE = 25
_RTM_GETROUTE = 26
_RTM_NEWRULE = 32
_RTM_DELRULE = 33
_RTM_GETRULE = 34

_NLM_F_REQUEST = 1
_NLM_F_ACK = 4
_NLM_F_DUMP = 0x300
_NLM_F_REPLACE = 0x100
_NLM_F_EXCL = 0x200
_NLM_F_CREATE = 0x400
_NLMSG_ERROR = 2
_NLMSG_DONE = 3

_IFF_UP = 1
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_F_NODAD = 2
_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PRIORITY = 6
_RTA_PREFSRC = 7
_RTA_METRICS = 8
_RTA_MULTIPATH = 9
_RTA_TABLE = 15
_RT_TABLE_UNSPEC = 0
_RT_TABLE_MAIN = 254
_RTPROT_STATIC = 4
_RT_SCOPE_UNIVERSE = 0
_RT_SCOPE_LINK = 253
_RTN_UNICAST = 1
_RTN_UNREACHABLE = 7
_RTAX_MTU = 2
_RTNH_F_DEAD = 1
_RTNH_F_ONLINK = 4
_RTNH_F_LINKDOWN = 16
_FRA_PRIORITY = 6
_FRA_FWMARK = 10
_FRA_SUPPRESS_PREFIXLEN = 14
_FRA_TABLE = 15
_FIB_RULE_INVERT = 2
_NO_SUPPRESSION = 0xFFFFFFFF
_FR_ACT_TO_TBL = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4

_HEADER = 16
# The kernel answers at once, or what it said was lost, in ms.
_PATIENCE = 1000


def _attribute(kind, data):
    return pack("HH", 4 + len(data), kind) + data + bytes(-len(data) & 3)


def _number(kind, value):
    return _attribute(kind, pack("I", value))


def _family(packed):
    return abi.AF_INET if len(packed) == 4 else abi.AF_INET6


class Route:
    """A route: `destination` packed, its prefix `length`, `table`, and what it leads to, 0 or None where not given.

    mtu          that the route has of its own, 0 for the link's; told, never asked for
    onlink       the gateway is on the link, whatever its address
    unreachable  it leads nowhere, and says so; asked for, never told
    """

    def __init__(self, destination, length, index=0, gateway=None, source=None, metric=0, table=_RT_TABLE_MAIN):
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
        length = _HEADER + len(body)
        self._netlink.send(pack("IHHII", length, kind, _NLM_F_REQUEST | flags, self._sequence, 0) + body)
        found = []
        end = system.clock.now() + _PATIENCE
        while True:
            message = self._netlink.receive()
            if message is None:
                if system.clock.now() > end:
                    raise OSError(abi.EIO, "rtnetlink request %d: no answer" % kind)
                continue
            at = 0
            while at + _HEADER <= len(message):
                length, answer, _, sequence = unpack_from("IHHI", message, at)
                if length < _HEADER:
                    break
                if sequence == self._sequence:
                    if answer == _NLMSG_ERROR:
                        errno = -unpack_from("i", message, at + _HEADER)[0]
                        if errno:
                            raise OSError(errno, "rtnetlink request %d" % kind)
                        return found
                    if answer == _NLMSG_DONE:
                        return found
                    found.append(bytes(message[at + _HEADER : at + length]))
                at += length + 3 & ~3

    def _change(self, kind, flags, body):
        self._request(kind, _NLM_F_ACK | flags, body)

    # links

    def set_link(self, index, up=None, mtu=None):
        """Take the link up or down, set its MTU; None leaves that as it is."""
        flags = 0 if up is None else _IFF_UP
        body = pack("BxHiII", 0, 0, index, _IFF_UP if up else 0, flags)
        if mtu is not None:
            body += _number(_IFLA_MTU, mtu)
        self._change(_RTM_NEWLINK, 0, body)

    def remove_link(self, index):
        self._change(_RTM_DELLINK, 0, pack("BxHiII", 0, 0, index, 0, 0))

    def link(self, index):
        """Return name, MTU and whether it is up, of the link with this number; OSError if there is none."""
        body = self._request(_RTM_GETLINK, _NLM_F_ACK, pack("BxHiII", 0, 0, index, 0, 0))[0]
        attributes = _attributes(body, 16)
        name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
        return name, unpack_from("I", attributes[_IFLA_MTU])[0], bool(unpack_from("I", body, 8)[0] & _IFF_UP)

    # addresses

    def add_address(self, index, packed, length):
        """Give the link an address, or do nothing if it has it."""
        body = self._address(index, packed, length, _IFA_F_NODAD if len(packed) == 16 else 0)
        self._change(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_REPLACE, body)

    def remove_address(self, index, packed, length):
        self._change(_RTM_DELADDR, 0, self._address(index, packed, length, 0))

    def _address(self, index, packed, length, flags):
        body = pack("BBBBI", _family(packed), length, flags, _RT_SCOPE_UNIVERSE, index)
        return body + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)

    def addresses(self, index):
        """Return the link's addresses as pairs of packed address and prefix length."""
        found = []
        for body in self._request(_RTM_GETADDR, _NLM_F_DUMP, pack("BxxxI", 0, 0)):
            length, where = unpack_from("xBxxI", body)
            attributes = _attributes(body, 8)
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if where == index and packed:
                found.append((packed, length))
        return found

    # routes

    def add_route(self, route, exclusive=False):
        """Add the route. One to the same destination with the same metric in its table is replaced, or raises EEXIST."""
        self._change(_RTM_NEWROUTE, _NLM_F_CREATE | (_NLM_F_EXCL if exclusive else _NLM_F_REPLACE), self._route(route))

    def remove_route(self, route):
        self._change(_RTM_DELROUTE, 0, self._route(route))

    def _route(self, route):
        kind = _RTN_UNREACHABLE if route.unreachable else _RTN_UNICAST
        is_wide = route.gateway or route.unreachable or len(route.destination) == 16
        scope = _RT_SCOPE_UNIVERSE if is_wide else _RT_SCOPE_LINK
        body = pack(
            "BBBBBBBBI", _family(route.destination), route.length, 0, 0, _RT_TABLE_UNSPEC, _RTPROT_STATIC, scope,
            kind, _RTNH_F_ONLINK if route.onlink else 0,
        )  # fmt: skip
        body += _number(_RTA_TABLE, route.table)
        if route.length:
            body += _attribute(_RTA_DST, route.destination)
        for kind, value in ((_RTA_OIF, route.index), (_RTA_PRIORITY, route.metric)):
            if value:
                body += _number(kind, value)
        for kind, value in ((_RTA_GATEWAY, route.gateway), (_RTA_PREFSRC, route.source)):
            if value:
                body += _attribute(kind, value)
        return body

    def routes(self, family):
        """Return the unicast routes of the family, abi.AF_INET or abi.AF_INET6, in all tables, that lead somewhere."""
        found = []
        for body in self._request(_RTM_GETROUTE, _NLM_F_DUMP, pack("B", family) + bytes(11)):
            if body[7] == _RTN_UNICAST and not unpack_from("I", body, 8)[0] & (_RTNH_F_DEAD | _RTNH_F_LINKDOWN):
                found += parse_routes(body)
        return found

    def route_to(self, packed, mark=0):
        """Return the Route that a packet to this address would take now; OSError if there is none."""
        body = pack("BB", _family(packed), len(packed) * 8) + bytes(10) + _attribute(_RTA_DST, packed)
        if mark:
            body += _number(16, mark)  # RTA_MARK
        return parse_routes(self._request(_RTM_GETROUTE, _NLM_F_ACK, body)[0])[0]

    # rules

    def add_rule(self, family, table, mark=0, inverted=False, suppress_length=None, priority=0):
        """Add a rule that looks up `table`: for packets with the mark, or without it; priority 0 lets the kernel choose."""
        rule = self._rule(family, table, mark, inverted, suppress_length, priority)
        self._change(_RTM_NEWRULE, _NLM_F_CREATE | _NLM_F_EXCL, rule)

    def remove_rule(self, family, table, mark=0, inverted=False, suppress_length=None, priority=0):
        self._change(_RTM_DELRULE, 0, self._rule(family, table, mark, inverted, suppress_length, priority))

    def rules(self, family):
        """Return the rules that look up a table: (table, mark, inverted, suppress length, priority), as in netconf.py."""
        found = []
        for body in self._request(_RTM_GETRULE, _NLM_F_DUMP, pack("B", family) + bytes(11)):
            attributes = _attributes(body, 12)
            table, mark, suppress, priority = [
                unpack_from("I", attributes[kind])[0] if kind in attributes else otherwise
                for kind, otherwise in (
                    (_FRA_TABLE, body[4]), (_FRA_FWMARK, 0), (_FRA_SUPPRESS_PREFIXLEN, _NO_SUPPRESSION), (_FRA_PRIORITY, 0),
                )  # fmt: skip
            ]
            inverted = unpack_from("I", body, 8)[0] & _FIB_RULE_INVERT
            found.append((table, mark, inverted >> 1, -1 if suppress == _NO_SUPPRESSION else suppress, priority))
        return found

    def _rule(self, family, table, mark, inverted, suppress_length, priority):
        flags = _FIB_RULE_INVERT if inverted else 0
        body = pack("BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_UNSPEC, 0, 0, _FR_ACT_TO_TBL, flags) + _number(_FRA_TABLE, table)
        for kind, value in ((_FRA_FWMARK, mark), (_FRA_PRIORITY, priority)):
            if value:
                body += _number(kind, value)
        if suppress_length is not None:
            body += _number(_FRA_SUPPRESS_PREFIXLEN, suppress_length)
        return body


def _attributes(body, at):
    """Return the attributes of a message from offset `at` on, by their kind."""
    found = {}
    while at + 4 <= len(body):
        length, kind = unpack_from("HH", body, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = bytes(body[at + 4 : at + length])
        at += length + 3 & ~3
    return found


def parse_routes(body):
    """Return the routes that a message tells of: where it has several ways, one for each that works."""
    family, length, _, _, table = unpack_from("BBBBB", body)
    attributes = _attributes(body, 12)

    def number(kind, otherwise):
        return unpack_from("I", attributes[kind])[0] if kind in attributes else otherwise

    ways = [(number(_RTA_OIF, 0), attributes.get(_RTA_GATEWAY), unpack_from("I", body, 8)[0])]
    if _RTA_MULTIPATH in attributes:
        ways = _ways(attributes[_RTA_MULTIPATH])
    own = _attributes(attributes.get(_RTA_METRICS, b""), 0).get(_RTAX_MTU)
    found = []
    for index, gateway, flags in ways:
        route = Route(
            attributes.get(_RTA_DST, bytes(4 if family == abi.AF_INET else 16)), length, index, gateway,
            attributes.get(_RTA_PREFSRC), number(_RTA_PRIORITY, 0), number(_RTA_TABLE, table),
        )  # fmt: skip
        route.mtu = unpack_from("I", own)[0] if own else 0
        route.onlink = bool(flags & _RTNH_F_ONLINK)
        found.append(route)
    return found


def _ways(hops):
    """Return link, gateway and flags of each of several ways that is not dead."""
    found = []
    at = 0
    while at + 8 <= len(hops):
        size, flags, _, index = unpack_from("HBBi", hops, at)
        if size < 8:
            break
        if not flags & (_RTNH_F_DEAD | _RTNH_F_LINKDOWN):
            found.append((index, _attributes(hops[at : at + size], 8).get(_RTA_GATEWAY), flags))
        at += size + 3 & ~3
    return found
