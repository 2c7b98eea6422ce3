"""What the machine looks like to a tunnel: routes, MTU, clock, and what the way to an endpoint answers."""

from ..runtime import abi, address, ping, rtnetlink, system
from . import network

# How long an answer is waited for, in ms.
_PATIENCE = 1000
# The neighbour of an address is asked for three times, a second apart, before the kernel says that there is none.
_REFUSAL_PATIENCE = 3500
# A tunnel that does not take this is not to be helped by another MTU. (IPv6 wants 1280.)
_LEAST = {4: 576, 16: 1280}
# So many addresses of a peer are tried.
_CANDIDATES = 3

_WORDS = {
    abi.EPERM: "a firewall of this machine does not let them out",
    abi.EACCES: "a firewall on the way or of this machine forbids it",
    abi.ENETUNREACH: "no route leads there",
    abi.EHOSTUNREACH: "no route leads there, or the host does not answer on its network",
    abi.ECONNREFUSED: "nothing listens on the port (it answers: port unreachable)",
    abi.EMSGSIZE: "they are too large for the link",
    abi.EADDRNOTAVAIL: "this machine has no address of that family",
    abi.EINVAL: "the kernel does not take the address",
}


class Machine:
    """Answers what the rules of diagnose.py ask."""

    def __init__(self):
        self._ip = rtnetlink.RtNetlink()

    def time(self):
        """Return the seconds since 1970 by the clock."""
        return system.clock.realtime()[0]

    def explain(self, errno):
        """Return what the kernel's error means here."""
        return _WORDS.get(errno, "error %d of the kernel's" % errno)

    def is_name(self, endpoint):
        """Whether the host of HOST:PORT is a name."""
        try:
            address.parse_ip(endpoint.rpartition(":")[0].partition("%")[0])
        except ValueError:
            return True
        return False

    def leads_into_tunnel(self, interface, endpoint):
        """Whether the machine's route to the endpoint is the tunnel itself."""
        try:
            route = self._ip.route_to(_packed(endpoint), interface.fwmark)
            return route.index == system.udp.link_index(interface.name)
        except OSError:
            return False

    def refusal(self, interface, endpoint):
        """Return what the way answers to a datagram to the endpoint, in words; "" for nothing."""
        errno = ping.port_error(address.parse_endpoint(endpoint), interface.fwmark, "", _REFUSAL_PATIENCE)
        return self.explain(errno) if ping.is_refusal(errno) else ""

    def best_mtu(self, interface, endpoint):
        """Return the largest MTU that the links and routes to the endpoint allow; 0 if that is not known."""
        packed = _packed(endpoint)
        paths = network.Paths(self._ip, [_index(interface.name)], ())
        route = paths.find(packed)
        return 0 if route is None else network.best_mtu(packed, route, paths)

    def largest_packet(self, interface, peer):
        """Return the size of the largest packet that the peer answers; 0 if it answers none."""
        for packed in self._candidates(interface, peer):
            least = _LEAST[len(packed)]
            if ping.echo(packed, ping.HEADERS[len(packed)] + 8, _PATIENCE, 2):
                if ping.echo(packed, interface.mtu, _PATIENCE, 3):
                    return interface.mtu
                return ping.largest(packed, least, interface.mtu, _PATIENCE // 2)
        return 0

    def _candidates(self, interface, peer):
        """Return addresses that may be the peer's own: its single ones, and the first of its networks."""
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
            return self._ip.route_to(packed).index == system.udp.link_index(interface.name)
        except OSError:
            return False


def _packed(endpoint):
    return system.udp.split_address(address.parse_endpoint(endpoint))[0]


def _index(name):
    try:
        return system.udp.link_index(name)
    except OSError:
        return 0
