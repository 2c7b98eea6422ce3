"""Addresses, routes, rules and MTU that `wgembed run` makes, with real packets; and that it takes away just those."""

import re
import socket
import sys

import pytest

from ..lab import micropython, net, traffic
from ..lab.need import need
from ..lab.router import Keys, interface, peer, rest

HEAP = "1M"
DEFAULTS = ["0.0.0.0/0", "::/0"]


@pytest.fixture(params=["pyroute2", "rtnetlink", "micropython"])
def command(request):
    """The runtimes, and on CPython who carries out the changes; on MicroPython there is no choice."""
    return need(micropython.command, HEAP) if request.param == "micropython" else [sys.executable, "-m", "wgembed"]


@pytest.fixture
def hands(request, command):
    """The environment that says who carries out the changes."""
    return {"WGEMBED_PYROUTE2": "0"} if "rtnetlink" in request.node.callspec.id else {}


def _is_settled(place):
    """Whether each address of IPv6 has its local route, which the kernel adds a moment later."""
    addresses = re.findall(r"inet6 ([^/ ]+)", place.ip("-6", "-o", "addr", "show", "scope", "global"))
    routes = place.ip("-6", "route", "show", "table", "local")
    return all(f"local {address} " in routes for address in addresses)


def everything(place):
    """All routes and rules, and the settings that are touched; not link-local ones, which the kernel makes in its time."""
    net.poll(lambda: _is_settled(place), 5, what="the local routes")
    told = [
        place.ip(*family, kind, "show", *more)
        for family in ([], ["-6"])
        for kind, *more in (["rule"], ["route", "table", "all"])
    ]
    told.append(place.run("cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark")[1])
    return "\n".join(line for line in "".join(told).splitlines() if "fe80:" not in line)


def with_gateways(harness):
    """Behind `far` stands the internet: `near` has default routes there."""
    for route in (("192.0.2.2",), ("2001:db8::2",)):
        harness.near.place.ip("route", "add", "default", "via", *route)


def add_inside(harness, *addresses):
    """Addresses beyond the tunnel."""
    for address in addresses:
        harness.far.place.ip("addr", "add", address, "dev", "lo")


@pytest.mark.parametrize("family", [4, 6])
def test_all_traffic_goes_into_the_tunnel_but_its_own(harness, hands, family):
    """A default route as OpenWrt has it: a host route keeps the endpoint outside."""
    with_gateways(harness)
    add_inside(harness, "203.0.113.9/32", "2001:db8:9::9/128")
    place = harness.near.place
    before = everything(place)
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(family=family, allowed_ips=DEFAULTS, route_allowed_ips=1))
    for address in ("203.0.113.9", "2001:db8:9::9"):
        traffic.reach(place, address)
        assert f"dev {pair.name} " in place.ip("route", "get", address)
    assert " dev outer " in place.ip("route", "get", pair.far.site.outer[family])
    assert int(pair.router.dump(pair.name)[1][6]) > 300, "it went through the tunnel"
    assert "default via 192.0.2.2" in place.ip("route", "show"), "the provider's route stays"
    pair.router.stop()
    assert everything(place) == before


@pytest.mark.parametrize("options", [{"nohostroute": 1}, {"fwmark": "0x1234"}], ids=str)
def test_a_default_route_in_a_table_of_its_own(harness, hands, options):
    """A default route as wg-quick has it: a rule keeps what carries the mark outside."""
    with_gateways(harness)
    add_inside(harness, "203.0.113.9/32", "2001:db8:9::9/128")
    place = harness.near.place
    before = everything(place)
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(**options), pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1))
    for address in ("203.0.113.9", "2001:db8:9::9"):
        traffic.reach(place, address)
        assert f"dev {pair.name} " in place.ip("route", "get", address)
    mark = options.get("fwmark", "0xca6c")
    assert pair.router.dump(pair.name)[0][3] == mark
    assert f"not from all fwmark {mark} lookup" in place.ip("rule", "show")
    assert "suppress_prefixlength 0" in place.ip("rule", "show")
    assert "192.0.2.2 via" not in place.ip("route", "show"), "no host route is needed"
    # Without the default route the rules go as well, and the mark that was ours.
    pair.router.reload(pair.interface(nohostroute=1), pair.peer(allowed_ips=["10.77.0.2"], route_allowed_ips=1))
    assert "fwmark" not in place.ip("rule", "show")
    assert pair.router.dump(pair.name)[0][3] == "off"
    traffic.reach(place, "10.77.0.2")
    pair.router.stop()
    assert everything(place) == before


@pytest.mark.parametrize("options", [{"fwmark": "0x77"}, {"nohostroute": 1}], ids=str)
def test_with_marks_others_traffic_to_the_endpoint_goes_into_the_tunnel(harness, hands, options):
    """A host route takes everything for that address outside, whoever sends it: docs/others-bugs.md, ServerIP."""
    with_gateways(harness)
    endpoint = "203.0.113.77"
    add_inside(harness, endpoint + "/32")
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far()
    peer = pair.peer(0, endpoint_host=endpoint, endpoint_port=pair.far.port, allowed_ips=DEFAULTS, route_allowed_ips=1)
    pair.router.start(pair.interface(**options), peer)
    traffic.reach(place, "10.77.0.2")
    assert f"dev {pair.name} " in place.ip("route", "get", endpoint)
    assert f"dev {pair.name} " not in place.ip("route", "get", endpoint, "mark", pair.router.dump(pair.name)[0][3])
    pair.router.reload(pair.interface(), peer)
    net.poll(lambda: f"dev {pair.name} " not in place.ip("route", "get", endpoint), 5, what="a host route without marks")


def test_what_was_there_before_stays(harness, hands):
    """A route or rule of somebody else's, the same as ours would be, is neither taken over nor taken away.

    test_meaning.py shows what the log says of a network that another link has, as 192.0.2.0/24 here.
    """
    with_gateways(harness)
    place = harness.near.place
    place.ip("route", "add", "192.0.2.2/32", "dev", "outer", "scope", "link")
    place.ip("rule", "add", "table", "main", "suppress_prefixlength", "0", "priority", "32764")
    before = everything(place)
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(allowed_ips=["192.0.2.0/24", "10.77.0.2"], route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    pair.router.reload(pair.interface(fwmark=7), pair.peer(allowed_ips=[*DEFAULTS, "10.77.0.2"], route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    assert pair.router.log().count("cannot") == 1
    pair.router.stop()
    assert everything(place) == before


def test_after_a_crash_the_next_start_clears_up(harness, hands):
    with_gateways(harness)
    place = harness.near.place
    before = everything(place)
    pair = harness.pair(**hands)
    pair.start_far()
    full = [pair.interface(), pair.peer(allowed_ips=[*DEFAULTS], route_allowed_ips=1)]
    for sections in (full, [pair.interface(nohostroute=1), full[1]]):
        pair.router.start(*sections)
        traffic.reach(place, "10.77.0.2")
        pair.router.kill()
        net.poll(lambda: place.run("ip", "link", "show", pair.name, check=False)[0], 5)
        assert everything(place) != before
        pair.router.start(pair.interface())
        kept = everything(place)
        assert "192.0.2.2 " not in kept.replace("via 192.0.2.2 ", "") and "fwmark" not in kept
        pair.router.stop()
        assert everything(place) == before


def test_after_a_crash_what_is_no_longer_wanted_is_cleared_up_too(harness, hands):
    """The interface has another name at the next start, or none at all."""
    with_gateways(harness)
    place = harness.near.place
    before = everything(place)
    pair = harness.pair(**hands)
    pair.start_far()
    for other in (interface(net.unique("r"), private_key=Keys().private), "\n"):
        pair.router.start(pair.interface(), pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1))
        traffic.reach(place, "10.77.0.2")
        pair.router.kill()
        net.poll(lambda: place.run("ip", "link", "show", pair.name, check=False)[0], 5)
        assert "\n192.0.2.2 dev" in place.ip("route", "show")
        pair.router.start(other)
        assert "\n192.0.2.2 dev" not in place.ip("route", "show")
        pair.router.stop()
        assert everything(place) == before
        assert not list(pair.router.run_directory.glob("*.added"))


def test_a_table_of_the_owners_choice(harness, hands):
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.router.start(
        pair.interface(ip4table=77, ip6table="local", metric=5),
        pair.peer(allowed_ips=["0.0.0.0/0", "fd78::/16"], route_allowed_ips=1),
        peer(pair.name, public_key=Keys().public, allowed_ips="10.1.0.0/16"),
    )  # fmt: skip
    assert f"default dev {pair.name}" in place.ip("route", "show", "table", "77")
    assert f"fd78::/16 dev {pair.name}" in place.ip("-6", "route", "show", "table", "local")
    assert "0.0.0.0/1" not in place.ip("route", "show") and "10.1.0.0" not in place.ip("route", "show", "table", "all")
    assert "fwmark" not in place.ip("rule", "show")


@pytest.mark.parametrize("family,link,mtu", [(4, 1500, 1440), (6, 1500, 1420), (4, 1492, 1432), (6, 1492, 1412)])
def test_the_mtu_follows_the_way_to_the_endpoint(harness, hands, family, link, mtu):
    """1492 is PPPoE's."""
    for site in (harness.near, harness.far):
        site.place.ip("link", "set", "outer", "mtu", str(link))
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(family=family))
    assert pair.router.mtu(pair.name) == mtu
    place = harness.near.place
    traffic.reach(place, "fd77::2")
    pair.far.set_mtu(mtu)
    # The largest packet goes through in one piece outside as well: nothing was cut up.
    assert traffic.ping(place, "fd77::2", size=mtu - 48, fragment=False).lost == 0
    frags = place.run("sh", "-c", "cat /proc/net/snmp /proc/net/snmp6 | grep -E 'FragCreates|FragOKs'", check=False)[1]
    assert all(int(line.split()[1]) == 0 for line in frags.splitlines() if line.startswith("Ip6"))
    for site in (harness.near, harness.far):
        site.place.ip("link", "set", "outer", "mtu", "1400")
    place.ip("route", "add", "198.51.100.9", "via", "192.0.2.2")  # news of routes
    net.poll(lambda: pair.router.mtu(pair.name) == mtu - link + 1400, 5, what="the MTU of the new way")


def test_the_mtu_without_an_endpoint_is_that_of_the_default_route(harness, hands):
    pair = harness.pair(**hands)
    pair.router.start(pair.interface(), pair.peer(family=None))
    assert pair.router.mtu(pair.name) == 1420
    harness.near.place.ip("link", "set", "outer", "mtu", "1492")
    harness.near.place.ip("route", "add", "default", "via", "192.0.2.2")
    net.poll(lambda: pair.router.mtu(pair.name) == 1412, 5)


def test_a_mtu_of_the_routes_own(harness, hands):
    harness.near.place.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.2", "mtu", "1300")
    pair = harness.pair(**hands)
    pair.router.start(pair.interface(addresses="10.77.0.1/24"), pair.peer(endpoint_host="198.51.100.9"))
    assert pair.router.mtu(pair.name) == 1240


def test_a_narrow_way_leaves_ipv6_what_it_needs(harness, hands):
    """The kernel takes IPv6 from a link with less than 1280: better the datagrams are cut up on the way."""
    harness.near.place.ip("route", "add", "192.0.2.2", "dev", "outer", "mtu", "1300")
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(allowed_ips=["10.77.0.2", "fd77::/16"], route_allowed_ips=1))
    traffic.reach(harness.near.place, "fd77::2")
    assert pair.router.mtu(pair.name) == 1280
    assert "cannot" not in pair.router.log()
    assert traffic.ping(harness.near.place, "fd77::2", size=1232).lost == 0
    pair.router.reload(pair.interface(addresses="10.77.0.1/24"), pair.peer(allowed_ips="10.77.0.2"))
    net.poll(lambda: pair.router.mtu(pair.name) == 1240, 3)


class Second:
    """A second way out of `near`: another link to `far`."""

    def __init__(self, harness):
        self.near, self.far = harness.near.place, harness.far.place
        self.near.ip("link", "add", "wan2", "type", "veth", "peer", "name", "wan2", "netns", self.far.name)
        for place, number in ((self.near, 1), (self.far, 2)):
            place.ip("addr", "add", f"198.51.100.{number}/24", "dev", "wan2")
            place.ip("link", "set", "wan2", "up")


def test_the_host_route_follows_when_the_way_out_changes(harness, hands):
    """Two providers; the endpoint lies behind both. The first one fails in the middle of a transfer."""
    second = Second(harness)
    add_inside(harness, "203.0.113.1/32")
    place = harness.near.place
    place.ip("route", "add", "default", "via", "192.0.2.2", "metric", "10")
    place.ip("route", "add", "default", "via", "198.51.100.2", "metric", "20")
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(endpoint_host="203.0.113.1", allowed_ips=DEFAULTS, route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    assert "via 192.0.2.2 dev outer" in place.ip("route", "get", "203.0.113.1")
    place.ip("link", "set", "outer", "down")
    net.poll(lambda: "via 198.51.100.2 dev wan2" in place.ip("route", "get", "203.0.113.1"), 5, what="the other way")
    traffic.reach(place, "10.77.0.2", within=20)
    assert second


def test_without_a_way_out_nothing_goes_round_in_the_tunnel(harness, hands):
    """Sent to an endpoint that the default route covers, each packet would come back into the tunnel, and grow."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    place.ip("link", "set", "outer", "down")
    rest(1.5)
    before = int(pair.router.dump(pair.name)[1][6])
    place.run("ping", "-n", "-c", "10", "-i", "0.05", "-W", "1", "10.77.0.2", check=False)
    assert int(pair.router.dump(pair.name)[1][6]) - before < 10000
    assert f"dev {pair.name}" in place.ip("route", "get", "203.0.113.9"), "and nothing past it"
    place.ip("link", "set", "outer", "up")
    place.ip("route", "add", "default", "via", "192.0.2.2")
    traffic.reach(place, "10.77.0.2", within=20)
    assert "cannot" not in pair.router.log()
    net.poll(lambda: "unreachable" not in everything(place), 3, what="the host route in place of the unreachable one")


def test_where_the_peer_has_moved_to_stays_outside_as_well(harness, hands):
    with_gateways(harness)
    place, far = harness.near.place, harness.far.place
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    far.ip("addr", "add", "198.51.100.7/32", "dev", "lo")
    far.ip("route", "change", "192.0.2.0/24", "dev", "outer", "src", "198.51.100.7")
    pair.far.restart()
    pair.far.tool("set", pair.far.interface, "peer", pair.keys.public, "endpoint", harness.near.endpoint(4, 51820))
    traffic.reach(far, "10.77.0.1")
    assert pair.router.dump(pair.name)[1][2] == "198.51.100.7:51821"
    # Until here the way back is the one that it came by; news of routes make that void.
    place.ip("route", "add", "198.18.0.0/24", "via", "192.0.2.2")
    net.poll(lambda: "via 192.0.2.2 dev outer" in place.ip("route", "get", "198.51.100.7"), 3, what="the host route")
    before = int(pair.router.dump(pair.name)[1][6])
    assert traffic.ping(place, "10.77.0.2", count=5).lost == 0
    assert int(pair.router.dump(pair.name)[1][6]) - before < 10000


@pytest.mark.parametrize("family", [4, 6])
def test_an_end_without_a_way_out(harness, hands, family):
    """Nor is it left behind by who ends then, or is killed."""
    place = harness.near.place
    pair = harness.pair(**hands)
    place.ip("link", "set", "outer", "down")
    for end in (pair.router.kill, pair.router.stop):
        pair.router.start(pair.interface(), pair.peer(family=family, allowed_ips=DEFAULTS, route_allowed_ips=1))
        net.poll(lambda: f"unreachable {harness.far.outer[family]} " in everything(place), 3)
        end()
    assert "unreachable" not in everything(place)


def test_tunlink_chooses_the_way(harness, hands):
    Second(harness)
    add_inside(harness, "203.0.113.1/32")
    place = harness.near.place
    place.ip("route", "add", "default", "via", "192.0.2.2", "metric", "10")
    place.ip("route", "add", "default", "via", "198.51.100.2", "metric", "20")
    pair = harness.pair(**hands)
    pair.start_far()
    options = {"endpoint_host": "203.0.113.1"}
    pair.router.start(pair.interface(tunlink="wan2"), pair.peer(**options))
    traffic.reach(place, "10.77.0.2")
    assert "via 198.51.100.2 dev wan2" in place.ip("route", "get", "203.0.113.1")
    # Without a host route the sockets are bound to it: the routes of the machine stay as they are.
    pair.router.reload(pair.interface(tunlink="wan2", nohostroute=1), pair.peer(**options))
    assert "via 192.0.2.2 dev outer" in place.ip("route", "get", "203.0.113.1")
    harness.near.place.run("ip", "route", "del", "default", "metric", "10")
    place.ip("route", "add", "blackhole", "203.0.113.1/32", "metric", "99")
    assert traffic.ping(place, "10.77.0.2").received


def test_another_address_of_ours_in_mid_transfer(harness, hands):
    """The provider gives us another address: TCP through the tunnel goes on."""
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(persistent_keepalive=25))
    place, far = harness.near.place, harness.far.place
    traffic.reach(place, "10.77.0.2")
    with traffic.echo(far) as port, traffic.connect(place, "10.77.0.2", port) as stream:
        for number in (1, 7, 8):
            if number > 1:
                harness.near.readdress(4, f"192.0.2.{number}")
            stream.sendall(b"%d" % number)
            assert stream.recv(9) == b"%d" % number
    seen = far.run("wg", "show", pair.far.interface, "endpoints")[1]
    assert "192.0.2.8:51820" in seen
    assert pair.router.running()


def test_no_ipv6_on_the_machine(harness, hands):
    place = harness.near.place
    for which in ("all", "default"):
        place.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{which}/disable_ipv6")
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(allowed_ips=["10.77.0.2", "fd77::2"], route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    assert f"cannot add address fd77::1/64 dev {pair.name}: Permission denied (13)" in pair.router.log()


def test_one_interface_inside_another(harness, hands):
    """The endpoint of the second tunnel lies behind the first one, and is left there."""
    pair = harness.pair(**hands)
    pair.start_far("10.55.0.0/16")
    second = net.unique("r")
    pair.router.start(
        pair.interface(), pair.peer(allowed_ips=["10.77.0.2", "10.50.0.0/16"], route_allowed_ips=1),
        interface(second, private_key=Keys().private, addresses="10.60.0.1"),
        peer(second, public_key=Keys().public, endpoint_host="10.77.0.2", allowed_ips="10.61.0.0/16", route_allowed_ips=1),
    )  # fmt: skip
    traffic.reach(harness.near.place, "10.77.0.2")
    with harness.far.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("10.77.0.2", 51820))
        end.settimeout(10)
        harness.near.place.run("ping", "-c", "1", "-W", "1", "10.61.0.1", check=False)
        assert len(end.recv(256)) == 148, "the initiation came through the first tunnel"


def test_what_others_take_away_comes_back(harness, hands):
    """Addresses and routes that the kernel takes along with others, and those that somebody deletes."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far("10.77.0.9/32")
    everywhere = pair.peer(allowed_ips=[*DEFAULTS, "10.77.0.0/24"], route_allowed_ips=1)
    pair.router.start(pair.interface(addresses=["10.77.0.9/24", "10.77.0.1/24", "fd77::1/64"]), everywhere)
    traffic.reach(place, "10.77.0.2")
    # With its first address goes the network's route, and the second address.
    pair.router.reload(pair.interface(addresses=["10.77.0.1/24", "fd77::1/64"]), everywhere)
    net.poll(lambda: "10.77.0.1/24" in place.ip("addr", "show", pair.name), 3, what="the address")
    pair.router.reload(pair.interface(addresses=["10.77.0.1/32", "fd77::1/64"]), everywhere)
    net.poll(lambda: "10.77.0.0/24" in place.ip("route", "show", "dev", pair.name), 3, what="the route")
    place.ip("route", "del", "0.0.0.0/1", "dev", pair.name)
    net.poll(lambda: "0.0.0.0/1" in place.ip("route", "show", "dev", pair.name), 3, what="the route of IPv4")
    place.ip("-6", "route", "del", "8000::/1", "dev", pair.name)
    net.poll(lambda: "8000::/1" in place.ip("-6", "route", "show", "dev", pair.name), 3, what="the route of IPv6")
    assert "cannot" not in pair.router.log()


def test_rules_that_others_take_away_come_back(harness, hands):
    """Without them all that the tunnel should have would go past it."""
    with_gateways(harness)
    add_inside(harness, "203.0.113.9/32", "2001:db8:9::9/128")
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far()
    before = everything(place)
    pair.router.start(pair.interface(nohostroute=1), pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1))
    traffic.reach(place, "203.0.113.9")
    made = [place.ip(f"-{family}", "rule") for family in (4, 6)]
    for family in (4, 6):
        for priority in (32764, 32765):
            place.ip(f"-{family}", "rule", "del", "priority", str(priority))
    net.poll(lambda: [place.ip(f"-{family}", "rule") for family in (4, 6)] == made, 5, what="the rules")
    traffic.reach(place, "203.0.113.9")
    pair.router.stop()
    assert everything(place) == before


def test_a_link_that_is_away_for_a_moment(harness, hands):
    """The provider's link goes and comes, and the kernel has taken the host route to the endpoint with it."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    place.run("sh", "-c", "ip link set outer down; ip link set outer up; ip route add default via 192.0.2.2")
    net.poll(lambda: place.ip("route", "show", "192.0.2.2/32"), 3, what="the host route")
    traffic.reach(place, "10.77.0.2", within=20)
    pair.router.stop()
    assert not place.ip("route", "show", "192.0.2.2/32")


def test_the_link_of_tunlink_is_made_anew(harness, hands):
    """As with PPPoE, which has a new link of the old name after each dialling."""
    Second(harness)
    add_inside(harness, "203.0.113.1/32")
    place = harness.near.place
    place.ip("route", "add", "default", "via", "198.51.100.2", "metric", "20")
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(
        pair.interface(tunlink="wan2", nohostroute=1), pair.peer(endpoint_host="203.0.113.1", persistent_keepalive=1)
    )
    traffic.reach(place, "10.77.0.2")
    place.ip("link", "del", "wan2")
    Second(harness)
    place.ip("route", "add", "default", "via", "198.51.100.2", "metric", "20")
    traffic.reach(place, "10.77.0.2", within=10)
    assert "cannot bind" not in pair.router.log()


def test_the_link_of_tunlink_comes_late(harness, hands):
    add_inside(harness, "203.0.113.1/32")
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(
        pair.interface(tunlink="wan2", nohostroute=1), pair.peer(endpoint_host="203.0.113.1", persistent_keepalive=1)
    )
    rest(6)  # of the tries every 5 s, none may leave a socket behind
    Second(harness)
    place.ip("route", "add", "default", "via", "198.51.100.2", "metric", "20")
    traffic.reach(place, "10.77.0.2", within=10)


def link_local(place, link):
    """The link-local address of a link."""
    net.poll(lambda: "inet6 fe80" in place.ip("address", "show", "dev", link, "scope", "link"), 5)
    return re.search(r"inet6 (fe80\S+)/", place.ip("address", "show", "dev", link, "scope", "link"))[1]


def wire_anew(harness):
    """A wire whose link `wan` comes late, and has another ifindex each time; the far end keeps its address."""
    harness.near.place.ip("link", "add", "wan", "type", "veth", "peer", "name", "wan", "netns", harness.far.place.name)
    for site in (harness.near, harness.far):
        site.place.ip("link", "set", "wan", "address", "02:00:00:00:00:0%d" % (1 if site is harness.near else 2))
        site.place.ip("link", "set", "wan", "up")
    return link_local(harness.near.place, "wan"), link_local(harness.far.place, "wan")


ABSENT = r"endpoint_host fe80::ff:fe00:2%wan: there is no link wan; make it, or name another link"


@pytest.mark.parametrize("default", [False, True])
def test_the_link_of_an_endpoint_comes_late_and_is_made_anew(harness, hands, default):
    """Also if all packets of IPv6 go into the tunnel, whose routes a link-local endpoint does not use."""
    place = harness.near.place
    pair = harness.pair(**hands)
    pair.start_far()
    more = {"allowed_ips": ["10.77.0.2/32", "::/0"], "route_allowed_ips": 1} if default else {}
    pair.router.start(pair.interface(), pair.peer(endpoint_host="fe80::ff:fe00:2%wan", persistent_keepalive=1, **more))
    net.poll(lambda: re.search(ABSENT, pair.router.log()), 5)
    said = place.run(*harness.command, "diagnose", pair.name, check=False)
    assert "The link wan of the peer's endpoint [fe80::ff:fe00:2%wan]:51821 does not exist." in said[1], said
    said = place.run(*harness.command, "check", "--config-dir", str(pair.router.config.parent), check=False)
    assert "option endpoint_host: link wan does not exist" in said[1], said
    for _ in range(2):
        wire_anew(harness)
        traffic.reach(place, "10.77.0.2", within=15)
        count = pair.router.log().count("there is no link wan")
        place.ip("link", "del", "wan")
        net.poll(lambda count=count: pair.router.log().count("there is no link wan") == count + 1, 5)
        assert "fe80::ff:fe00:2 " not in place.ip("-6", "route", "show", "table", "all")
    place.ip("link", "add", "other", "type", "veth", "peer", "name", "other2")
    rest(1)
    assert pair.router.log().count("there is no link wan") == count + 1


@pytest.mark.parametrize("endpoint", ["203.0.113.1", "2001:db8:f::1"])
def test_a_gateway_outside_all_networks(harness, hands, endpoint):
    """Providers give one address and no network: the way to their gateway is said with the route to it."""
    add_inside(harness, "203.0.113.1/32", "2001:db8:f::1/128")
    place = harness.near.place
    for network, address, gateway in (
        ("192.0.2.1/24", "192.0.2.1/32", "192.0.2.2"), ("2001:db8::1/64", "2001:db8::1/128", "2001:db8::2")
    ):  # fmt: skip
        place.ip("addr", "del", network, "dev", "outer")
        place.ip("addr", "add", address, "dev", "outer", *["nodad"] * (":" in address))
        place.ip("route", "add", "default", "via", gateway, "dev", "outer", "onlink")
    before = everything(place)
    pair = harness.pair(**hands)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(endpoint_host=endpoint, allowed_ips=DEFAULTS, route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    assert "cannot" not in pair.router.log()
    pair.router.stop()
    assert everything(place) == before
