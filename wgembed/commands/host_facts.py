"""The facts of the machine that concern a tunnel: routes, MTU, clock, and the answers to probes."""

from ..daemon import network_plan
from ..errors import cause
from ..protocol.constants import IPV4_MIN_MTU, IPV6_MIN_MTU
from ..runtime import abi, address, ping, rtnetlink, system

# The time for an answer, in ms.
_ECHO_TIMEOUT_MS = 1000
# The kernel asks for a neighbour three times, a second apart, before it reports an error. In ms.
_REFUSAL_TIMEOUT_MS = 3500
# If a tunnel does not carry packets of this size, another MTU does not help.
_LEAST = {4: IPV4_MIN_MTU, 16: IPV6_MIN_MTU}
# The number of addresses of a peer that are tried.
_CANDIDATES = 3
# No probe begins later than this after the first one, in ms, because there can be hundreds of silent peers.
_QUESTIONS_TIMEOUT_MS = 20_000

_WORDS = {
    abi.EPERM: "a firewall on this machine drops them",
    abi.EACCES: "a firewall on the path or on this machine rejects them",
    abi.ENETUNREACH: "there is no route",
    abi.EHOSTUNREACH: "there is no route, or the host does not answer on its network",
    abi.ECONNREFUSED: "no program listens on the port (port unreachable)",
    abi.EMSGSIZE: "they are too large for the link",
    abi.EADDRNOTAVAIL: "this machine has no address of this IP version",
    abi.EAFNOSUPPORT: "this machine has no address of this IP version",
    abi.EINVAL: "the kernel does not accept the address",
}


class HostFacts:
    """Provides the facts for the rules of diagnosis.py.

    is_out_of_time  a probe was left out because the others took too long
    """

    def __init__(self):
        self._ip = rtnetlink.RtNetlink()
        self._end = None
        self.is_out_of_time = False

    def _may_ask(self):
        now = system.clock.now()
        if self._end is None:
            self._end = now + _QUESTIONS_TIMEOUT_MS
        self.is_out_of_time = self.is_out_of_time or now >= self._end
        return not self.is_out_of_time

    def time(self):
        """Return the time of the clock in s since 1970."""
        return system.clock.realtime()[0]

    def explain(self, errno):
        """Return what the kernel's error means for datagrams to an endpoint."""
        return _WORDS.get(errno) or cause(OSError(errno))

    def port_error(self, port):
        """Return why no program can listen on the UDP port now, "" if one can, and None if that is not known."""
        from ..daemon.interface import bind_pair  # most of the daemon, only for an interface that is down

        try:
            for socket in bind_pair(port, 0):
                socket.close()
        except OSError as e:
            return cause(e)
        return ""

    def is_name(self, endpoint):
        """Whether the host of HOST:PORT is a name."""
        try:
            address.parse_ip(endpoint.rpartition(":")[0].strip("[]").partition("%")[0])
        except ValueError:
            return True
        return False

    def missing_link(self, endpoint):
        """Return the link after % in HOST:PORT, a name or an ifindex, if it does not exist; otherwise ""."""
        host = endpoint.rpartition(":")[0].strip("[]")
        link = host.partition("%")[2]
        if not link.isdigit():
            return link if link and system.inet.ifindex(link) is None else ""
        try:
            self._ip.link(int(link))
        except OSError:
            return link
        return ""

    def leads_into_tunnel(self, interface, endpoint):
        """Whether the machine's route to the endpoint leads into the tunnel itself."""
        packed, scope = _split(endpoint)
        if not packed or interface.link or interface.is_away or not scope and network_plan.is_link_local(packed):
            return False
        try:
            index = scope or self._ip.route_to(packed, interface.fwmark).index
        except OSError:
            return False
        return index == system.inet.ifindex(interface.name)

    def refusal(self, interface, endpoint):
        """Send a datagram to the endpoint; return the ICMP error in words, or "" without one."""
        packed, _ = _split(endpoint)
        if not packed or not self._may_ask():
            return ""
        addr = address.parse_endpoint(endpoint)
        errno = ping.port_error(addr, interface.fwmark, interface.link, _REFUSAL_TIMEOUT_MS)
        return self.explain(errno) if ping.is_refusal(errno) else ""

    def best_mtu(self, interface, endpoint):
        """Return the largest MTU that the links and routes to the endpoint allow; 0 if that is not known."""
        packed, scope = _split(endpoint)
        if not packed or interface.is_away:
            return 0
        paths = network_plan.Paths(self._ip, [system.inet.ifindex(interface.name)], ())
        route = paths.way(packed, scope or system.inet.ifindex(interface.link) or 0, interface.fwmark)
        return 0 if route is None else network_plan.best_mtu(packed, route, paths)

    def is_within(self, ip, prefix):
        """Whether the address is in the prefix, both as text."""
        host, _, length = prefix.partition("/")
        return address.covers(address.parse_ip(host), int(length), address.parse_ip(ip))

    def taken_by(self, interface, peer):
        """Return (network, link) if another link has the route to an allowed network of the peer, and this one has none."""
        if interface.is_away:
            return None  # the routes are those of the other network namespace
        own = system.inet.ifindex(interface.name)
        for size, family in abi.FAMILIES.items():
            wanted = set()
            for prefix in peer.allowed_ips:
                host, _, length = prefix.partition("/")
                packed = address.parse_ip(host)
                if len(packed) == size and length != "0":
                    wanted.add((packed, int(length)))
            found = {}
            try:
                routes = self._ip.routes(family, lambda *prefix, known=wanted: prefix in known, None) if wanted else ()
            except OSError:
                return None
            for route in routes:
                found.setdefault((route.destination, route.length), []).append(route.index)
            for (packed, length), links in found.items():
                if own not in links:
                    return "%s/%d" % (address.format_ip(packed), length), self._ip.link_name(links[0])
        return None

    def answers(self, interface, peer):
        """Whether an address of the peer answers a ping through the tunnel. True if this network namespace has no tunnel."""
        return interface.is_away or self._answering(interface, peer) is not None

    def largest_packet(self, interface, peer):
        """Return the size of the largest packet that the peer answers; 0 if it answers none."""
        packed = None if interface.is_away else self._answering(interface, peer)
        if packed is None:
            return 0
        if ping.echo(packed, interface.mtu, _ECHO_TIMEOUT_MS, 3):
            return interface.mtu
        return ping.largest(packed, _LEAST[len(packed)], interface.mtu, _ECHO_TIMEOUT_MS // 2)

    def _answering(self, interface, peer):
        """Return the first address of the peer that answers a ping, packed, or None."""
        for packed in self._candidates(interface, peer):
            if self._may_ask() and ping.echo(packed, ping.HEADERS[len(packed)] + 8, _ECHO_TIMEOUT_MS, 2):
                return packed
        return None

    def _candidates(self, interface, peer):
        """Return packed addresses that can be those of the peer itself: single ones, and the first of each network."""
        found = []
        for prefix in peer.allowed_ips:
            host, _, length = prefix.partition("/")
            packed = address.parse_ip(host)
            if int(length) < 8 * len(packed) and not packed[-1]:
                packed = packed[:-1] + b"\1"
            if len(found) < _CANDIDATES and self._is_by(interface, packed):
                found.append(packed)
        return found

    def _is_by(self, interface, packed):
        try:
            return self._ip.route_to(packed).index == system.inet.ifindex(interface.name)
        except OSError:
            return False


def _split(endpoint):
    """Return the packed address of the endpoint, b"" if it has none, and the ifindex of its link, or 0."""
    try:
        packed, _, scope = system.inet.split_address(address.parse_endpoint(endpoint))
    except ValueError:
        return b"", 0
    return packed, scope
