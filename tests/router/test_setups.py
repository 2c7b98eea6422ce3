"""How people connect a router to its providers, and what happens to these connections: with all traffic in the tunnel.

The peer is in the test's process, behind both providers. The endpoint is inside the allowed IPs, so the tunnel works only as
long as the host route to the endpoint follows the machine's own routes.
"""

import base64
import os
import signal
import socket
import time

import pytest

from ..lab import net, wire
from ..lab.counterpart import Counterpart
from ..lab.router import Keys, Router, interface, peer

PORT = 4571
SERVER, SERVER6 = "198.51.100.2", "2001:db8:5::2"
WANS = {"wan0": "192.0.2", "wan1": "203.0.113"}


class Scene:
    """A router with two links to the network of the peer, `wan0` and `wan1`, whose other ends have the same names."""

    def __init__(self, folder, command):
        self.place, self.isp = net.Namespace(), net.Namespace()
        self.isp.ip("address", "add", f"{SERVER}/32", "dev", "lo")
        for place in (self.place, self.isp):
            for conf in ("all", "default"):
                self.setting(f"net/ipv4/conf/{conf}/rp_filter", 0, place)
        # The kernel answers `talk` with an ICMP error, as often as it is called here.
        self.setting("net/ipv4/icmp_ratelimit", 0)
        for wan in WANS:
            self.connect(wan)
        self.keys = Keys()
        self.other = Counterpart(self.isp, wire.public_key(self.keys.raw), ("192.0.2.2", PORT), address=SERVER)
        self.name = net.unique("s")
        self.router = Router(self.place, folder, command)

    def setting(self, name, value, place=None):
        (place or self.place).run("sh", "-c", f"echo {value} >/proc/sys/{name}")

    def connect(self, wan, near=None):
        """Make the link, and give both ends their addresses; `near` is the link that has the address here, if another."""
        self.place.ip("link", "add", wan, "type", "veth", "peer", "name", wan, "netns", self.isp.name)
        self.isp.ip("address", "add", f"{WANS[wan]}.1/24", "dev", wan)
        self.isp.ip("link", "set", wan, "up")
        self.place.ip("link", "set", wan, "up")
        self.address(wan, near or wan)
        for place in (self.place, self.isp):  # until then, the kernel drops what is sent
            net.poll(lambda place=place: "state UP" in place.ip("link", "show", wan), 5, what=f"{wan} with a carrier")

    def address(self, wan, link):
        self.place.ip("address", "add", f"{WANS[wan]}.2/24", "dev", link)

    def gateway(self, wan, *more):
        self.place.ip("route", "add", "default", "via", f"{WANS[wan]}.1", *more)

    def sections(self, *more, allowed=("0.0.0.0/0",), **options):
        public = base64.b64encode(self.other.mine.public).decode()
        given = {"private_key": self.keys.private, "listen_port": PORT, "addresses": ["10.99.0.1/24"], **options}
        return (
            interface(self.name, **given),
            peer(self.name, public_key=public, allowed_ips=list(allowed), route_allowed_ips=1, endpoint_host=SERVER,
                 endpoint_port=self.other.port),
            *more,
        )  # fmt: skip

    def start(self, within=10, **options):
        self.router.start(*self.sections(**options), within=within)
        self.carries()

    def sends_from(self, within=10):
        """A packet into the tunnel arrives. Returns the address of the datagram's sender."""
        mark, begin, sent = os.urandom(8), time.monotonic(), 0

        def arrives():
            nonlocal sent
            if time.monotonic() >= begin + sent / 2:
                sent += 1
                with self.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    try:
                        sender.sendto(mark, ("10.99.0.2", 53))
                    except OSError:
                        return False
            return any(packet.endswith(mark) for packet in self.other.mine.got)

        self.other.until(arrives, within)
        return self.other.senders[-1][0]

    def carries(self, within=10):
        """A packet into the tunnel arrives, and one comes back. Returns the address of the datagrams' sender."""
        self.sends_from(within)
        self.other.talk()
        return self.other.senders[-1][0]

    def leaves_by(self, address, within=10):
        """Packets arrive from this address, at the latest after `within` seconds, and one comes back.

        Before that, the way back can be closed: the other end sends to the address that it heard last.
        """
        net.poll(lambda: self.sends_from() == address, within, what=f"packets from {address}")
        self.other.talk()

    def close(self):
        print(self.router.log(), self.place.ip("route"))
        self.router.stop() if self.router.log() else None
        self.other.close()
        self.isp.close()
        self.place.close()


@pytest.fixture
def scene(tmp_path, command):
    scene = Scene(tmp_path, command)
    yield scene
    scene.close()


def test_the_address_of_the_link_is_taken_and_given_again(scene):
    """As by DHCP. With the last address, the kernel removes all routes of the link, and reports none of them."""
    scene.gateway("wan0")
    scene.start()
    for _ in range(2):
        scene.place.ip("address", "del", "192.0.2.2/24", "dev", "wan0")
        time.sleep(0.5)
        scene.address("wan0", "wan0")
        scene.gateway("wan0")
        scene.carries()


def test_the_address_is_replaced_at_once(scene):
    scene.gateway("wan0")
    scene.start()
    scene.place.run("ip", "-batch", "-", input="address flush dev wan0\naddress add 192.0.2.2/24 dev wan0\n"
                    "route add default via 192.0.2.1\n")  # fmt: skip
    scene.carries()


@pytest.mark.parametrize("seconds", [0, 3])
def test_the_cable_is_pulled_and_put_in_again(scene, seconds):
    """The routes stay, and are dead for as long."""
    scene.gateway("wan0")
    scene.start()
    scene.isp.ip("link", "set", "wan0", "down")
    time.sleep(seconds)
    scene.isp.ip("link", "set", "wan0", "up")
    scene.carries()


def test_the_link_is_made_anew(scene):
    scene.gateway("wan0")
    scene.start()
    scene.place.ip("link", "delete", "wan0")
    time.sleep(0.5)
    scene.connect("wan0")
    scene.gateway("wan0")
    scene.carries()


def test_two_providers_at_once(scene):
    """One route with two next hops, of which one fails, and the other, and both come back."""
    hops = [word for wan in WANS for word in ("nexthop", "via", f"{WANS[wan]}.1", "dev", wan)]
    scene.place.ip("route", "add", "default", *hops)
    scene.start()
    first = scene.carries()
    for wan in WANS:
        scene.isp.ip("link", "set", wan, "down")
        other = next(network for name, network in WANS.items() if name != wan)
        scene.leaves_by(f"{other}.2")
        scene.isp.ip("link", "set", wan, "up")
        scene.carries()
    assert first


def test_there_is_always_a_route_to_the_endpoint(scene):
    """When the gateway changes, the new host route takes the place of the old one: no packet turns around in the tunnel."""
    scene.gateway("wan0")
    scene.start()
    monitor = scene.place.spawn("ip", "-o", "monitor", "route")

    def is_heard():
        for verb in ("add", "del"):
            scene.place.ip("route", verb, "10.9.0.0/16", "dev", "wan0")
        return "10.9.0.0" in monitor.text()

    net.poll(is_heard, 5, what="news")
    for wan in ("wan1", "wan0"):
        scene.place.ip("route", "replace", "default", "via", f"{WANS[wan]}.1")
        scene.leaves_by(f"{WANS[wan]}.2")
    assert f"{SERVER} via 192.0.2.1" in monitor.text() and f"Deleted {SERVER}" not in monitor.text()


@pytest.mark.parametrize("compatible", [1, 0])
def test_nexthop_objects(scene, compatible):
    """The route stays, and its next hop changes. Without net.ipv4.nexthop_compat_mode, a route has only its number."""
    scene.setting("net/ipv4/nexthop_compat_mode", compatible)
    scene.place.ip("nexthop", "add", "id", "1", "via", "192.0.2.1", "dev", "wan0")
    scene.place.ip("nexthop", "add", "id", "2", "via", "203.0.113.1", "dev", "wan1")
    scene.place.ip("route", "add", "default", "nhid", "1")
    scene.start()
    assert scene.carries() == "192.0.2.2"
    scene.place.ip("nexthop", "replace", "id", "1", "via", "203.0.113.1", "dev", "wan1")
    scene.leaves_by("203.0.113.2")
    scene.place.ip("nexthop", "add", "id", "3", "via", "192.0.2.1", "dev", "wan0")
    scene.place.ip("nexthop", "add", "id", "10", "group", "3")
    scene.place.ip("route", "replace", "default", "nhid", "10")
    scene.leaves_by("192.0.2.2")
    scene.place.ip("nexthop", "replace", "id", "10", "group", "2")
    scene.leaves_by("203.0.113.2")


@pytest.mark.parametrize("compatible", [1, 0])
def test_a_nexthop_object_is_deleted(scene, compatible):
    """The kernel removes its routes, and reports none of IPv4: the other default route is taken."""
    scene.setting("net/ipv4/nexthop_compat_mode", compatible)
    scene.place.ip("nexthop", "add", "id", "1", "via", "192.0.2.1", "dev", "wan0")
    scene.place.ip("route", "add", "default", "nhid", "1")
    scene.gateway("wan1", "metric", "9")
    scene.start()
    assert scene.carries() == "192.0.2.2"
    scene.place.ip("nexthop", "del", "id", "1")
    scene.leaves_by("203.0.113.2")


def test_a_gateway_of_ipv6_for_ipv4(scene):
    """Networks without IPv4 addresses between routers: `via inet6`."""
    for place, address in ((scene.place, "fd00:1::2/64"), (scene.isp, "fd00:1::1/64")):
        place.ip("address", "add", address, "dev", "wan0", "nodad")
    scene.place.ip("address", "del", "192.0.2.2/24", "dev", "wan0")
    scene.place.ip("address", "add", "192.0.2.2/32", "dev", "lo")
    scene.isp.ip("address", "del", "192.0.2.1/24", "dev", "wan0")
    scene.isp.ip("route", "add", "192.0.2.2/32", "via", "inet6", "fd00:1::2", "dev", "wan0")
    scene.place.ip("-4", "route", "add", "default", "via", "inet6", "fd00:1::1", "dev", "wan0")
    before = scene.place.ip("route")
    scene.start()
    assert "via inet6 fd00:1::1" in scene.place.ip("route", "show", SERVER)
    scene.router.stop()
    assert scene.place.ip("route") == before


# Kinds of links


def through(scene, *links):
    """Take the addresses from the links to the provider, and give that of wan0 to the last of these."""
    for wan in WANS:
        scene.place.ip("address", "flush", "dev", wan)
    scene.place.ip("link", "set", links[-1], "up")
    scene.address("wan0", links[-1])
    scene.gateway("wan0")


def bridged(scene):
    """Have the provider's ends of both links in one bridge."""
    scene.isp.ip("link", "add", "switch", "type", "bridge")
    for wan in WANS:
        scene.isp.ip("address", "flush", "dev", wan)
        scene.isp.ip("link", "set", wan, "master", "switch")
    scene.isp.ip("address", "add", "192.0.2.1/24", "dev", "switch")
    scene.isp.ip("link", "set", "switch", "up")


def test_a_bridge_whose_port_is_moved(scene):
    bridged(scene)
    scene.place.ip("link", "add", "up0", "type", "bridge")
    scene.place.ip("link", "set", "wan0", "master", "up0")
    through(scene, "up0")
    scene.start()
    for old, new in (("wan0", "wan1"), ("wan1", "wan0")):
        scene.place.ip("link", "set", old, "nomaster")
        scene.place.ip("link", "set", new, "master", "up0")
        assert scene.carries() == "192.0.2.2"


KINDS = {
    "vlan": ("link", "wan0", "name", "up0", "type", "vlan", "id", "5"),
    "macvlan": ("link", "wan0", "name", "up0", "type", "macvlan", "mode", "bridge"),
    "ipvlan": ("link", "wan0", "name", "up0", "type", "ipvlan", "mode", "l2"),
    "bond": ("up0", "type", "bond", "mode", "active-backup", "miimon", "100"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_on_top_of_another(scene, kind):
    """It is there before, the link below goes down and up, and it is made anew."""
    if scene.place.run("ip", "link", "add", *KINDS[kind], check=False)[0]:
        pytest.skip(f"this kernel has no {kind}")
    if kind == "vlan":
        scene.isp.ip("link", "add", *KINDS[kind])
        scene.isp.ip("address", "flush", "dev", "wan0")
        scene.isp.ip("address", "add", "192.0.2.1/24", "dev", "up0")
        scene.isp.ip("link", "set", "up0", "up")
    if kind == "bond":
        bridged(scene)
        for wan in WANS:
            scene.place.ip("link", "set", wan, "down")
            scene.place.ip("link", "set", wan, "master", "up0")
    through(scene, "up0")
    scene.start()
    scene.isp.ip("link", "set", "wan0", "down")
    if kind != "bond":
        scene.isp.ip("link", "set", "wan0", "up")
    scene.carries()
    if kind != "bond":
        scene.place.ip("link", "delete", "up0")
        scene.place.ip("link", "add", *KINDS[kind])
        through(scene, "up0")
        scene.carries()


def test_the_provider_is_in_a_vrf(scene):
    """With net.ipv4.udp_l3mdev_accept, the socket receives datagrams from all VRFs, and a rule leads its answers there."""
    if scene.place.run("ip", "link", "add", "blue", "type", "vrf", "table", "10", check=False)[0]:
        pytest.skip("this kernel has no vrf")
    scene.setting("net/ipv4/udp_l3mdev_accept", 1)
    scene.place.ip("link", "set", "blue", "up")
    scene.place.ip("link", "set", "wan0", "master", "blue")
    scene.gateway("wan0", "vrf", "blue")
    scene.place.ip("rule", "add", "to", SERVER, "table", "10")
    scene.start()


# Routes and rules


def test_a_rule_leads_to_the_endpoint(scene):
    """The main table has no route outside, and the rule goes, and comes back."""
    scene.gateway("wan0", "table", "100")
    rule = ("to", SERVER, "lookup", "100")
    scene.place.ip("rule", "add", *rule)
    scene.start()
    scene.gateway("wan1")
    assert scene.carries() == "192.0.2.2"
    scene.place.ip("rule", "del", *rule)
    scene.leaves_by("203.0.113.2")
    scene.place.ip("rule", "add", *rule)
    scene.leaves_by("192.0.2.2")


@pytest.mark.parametrize("rp_filter", [0, 1, 2])
@pytest.mark.parametrize("way", ["host route", "fwmark"])
def test_filters_of_the_reverse_path(scene, rp_filter, way):
    """The peer's datagrams come by the link on the route to it. With a mark, the strict filter needs a firewall rule.

    It puts the mark on them, as wg-quick's does.
    """
    for conf in ("all", "default", *WANS):
        scene.setting(f"net/ipv4/conf/{conf}/rp_filter", rp_filter)
    scene.gateway("wan0")
    if way == "fwmark" and rp_filter == 1:
        mark = ("-p", "udp", "--dport", str(PORT), "-j", "MARK", "--set-mark", "77")
        code, told = scene.place.run("iptables", "-t", "mangle", "-A", "PREROUTING", *mark, check=False)
        if code:
            pytest.skip(f"no firewall rule here: {told.strip().splitlines()[0]}")
    scene.start(**({"fwmark": 77} if way == "fwmark" else {}))
    scene.place.ip("route", "replace", "default", "via", "203.0.113.1")
    scene.leaves_by("203.0.113.2")


def many(scene, verb, count, folder):
    file = folder / verb
    file.write_text("".join(f"route {verb} 20.{n >> 8}.{n & 255}.0/24 via 192.0.2.1\n" for n in range(count)))
    return ["ip", "-batch", str(file)]


def test_a_whole_table_of_foreign_routes(scene, command, tmp_path):
    """They are there at the start, go, and come again, with the provider's own route among them."""
    count = 60_000 if "heapsize" not in " ".join(command) else 15_000
    scene.gateway("wan0")
    scene.place.run(*many(scene, "add", count, tmp_path), timeout=60)
    scene.start(within=30)
    before = scene.router.memory()
    for verb in ("del", "add"):
        change = scene.place.spawn(*many(scene, verb, count, tmp_path))
        scene.carries()
        change.finish(60)
    scene.place.ip("route", "replace", "default", "via", "203.0.113.1")
    scene.leaves_by("203.0.113.2", 20)
    assert scene.router.memory() < before + 4096, "the routes of others are not stored"


def test_ten_thousand_routed_prefixes(scene, command):
    if "heapsize" in " ".join(command):
        pytest.skip("so many prefixes need a larger heap: test_many_routes.py has as many as fit")
    scene.gateway("wan0")
    prefixes = [f"100.{n >> 8}.{n & 255}.0/24" for n in range(10_000)]
    scene.start(within=60, allowed=["10.99.0.0/24", *prefixes])
    net.poll(lambda: scene.place.ip("route", "show", "dev", scene.name).count("100.") >= 10_000, 20, what="all routes")
    scene.place.ip("route", "replace", "default", "via", "203.0.113.1")
    scene.carries()


def test_a_link_that_flaps_a_hundred_times_a_second(scene):
    """And gets its route again each time."""
    scene.gateway("wan0")
    scene.start()
    flap = "link set wan0 down\nlink set wan0 up\nroute replace default via 192.0.2.1\n"
    end = time.monotonic() + 3
    while time.monotonic() < end:
        scene.place.run("ip", "-batch", "-", input=flap)
        time.sleep(0.005)
    scene.carries()
    assert scene.router.running() and "Traceback" not in scene.router.log()


# Sizes


@pytest.mark.parametrize("mtu", [68, 576, 1279, 1280, 1420, 9000, 65_455, 65_535])
def test_a_packet_of_the_size_of_the_mtu(scene, mtu):
    """With a link of 1500 bytes to the provider, which carries it in fragments. A datagram has room for 65455 bytes."""
    scene.gateway("wan0")
    scene.start()
    scene.place.ip("link", "set", scene.name, "mtu", str(mtu))
    scene.router.expect(f"MTU is now {mtu}|MTU {mtu} is too large", 5)
    payload = os.urandom(min(mtu, 65_455) - 28)
    with scene.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: not to be cut into fragments inside
        sender.sendto(payload, ("10.99.0.2", 53))
    scene.other.until(lambda: any(packet.endswith(payload) for packet in scene.other.mine.got), 5)


@pytest.mark.parametrize(
    "outer, inner", [(576, 576), (1279, 1219), (1280, 1220), (1420, 1360), (9000, 8940), (65_535, 65_455)]
)
def test_the_mtu_of_the_link_to_the_provider(scene, outer, inner):
    """The tunnel's is 60 less, but at least 576 and at most 65455; a change is followed."""
    for place in (scene.isp, scene.place):
        place.ip("link", "set", "wan0", "mtu", str(outer))
    scene.gateway("wan0")
    scene.start()
    assert scene.router.mtu(scene.name) == inner
    for place in (scene.isp, scene.place):
        place.ip("link", "set", "wan0", "mtu", "1500")
    net.poll(lambda: scene.router.mtu(scene.name) == 1440, 5, what="the MTU after a change")
    scene.carries()


# Time


@pytest.mark.long
def test_the_machine_sleeps_longer_than_a_session_lives(scene):
    """The first packet afterwards begins a new session."""
    scene.gateway("wan0")
    scene.start()
    before = scene.other.keys()
    os.kill(scene.router.pid, signal.SIGSTOP)
    time.sleep(185)
    os.kill(scene.router.pid, signal.SIGCONT)
    scene.carries()
    assert scene.other.keys() != before
