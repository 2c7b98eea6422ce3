"""Options mean here what they mean to OpenWrt's netifd: default routes, tables, routes that others have, links set down."""

import json

import pytest

from ..lab import net, traffic
from ..lab.router import Keys, interface, peer, rest, section, with_folders
from .test_network import DEFAULTS, Second, add_inside, everything, with_gateways

PROVIDER = "default via 192.0.2.2 dev outer"


@pytest.fixture
def on_openwrt(tmp_path):
    """A command that runs another one where /sbin/netifd exists."""
    for name in ("upper", "work"):
        (tmp_path / "sbin" / name).mkdir(parents=True)
    (tmp_path / "sbin/upper/netifd").touch()
    options = f"lowerdir=/usr/sbin,upperdir={tmp_path}/sbin/upper,workdir={tmp_path}/sbin/work"
    return ["sh", "-c", f'mount -t overlay overlay -o {options} /usr/sbin && exec "$@"', "sh"]


def connected(place, family=4):
    """What mwan3 takes for connected networks, which go past its policies: the numeric prefixes of the main table."""
    words = [line.split()[0] for line in place.ip(f"-{family}", "route", "show").splitlines()]
    return {word for word in words if word[0].isdigit() or ":" in word}


def defaults(place, family=4):
    lines = place.ip(f"-{family}", "route", "show", "default").splitlines()
    return [" ".join(line.split(" metric")[0].split()).partition(" proto")[0] for line in lines]


def to_everywhere(pair, **options):
    return pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1, **options)


# The default route


@pytest.mark.parametrize("family", [4, 6])
def test_a_default_route_that_mwan3_understands(harness, on_openwrt, family):
    """It is one, and goes before the provider's, which is there when the tunnel goes."""
    with_gateways(harness)
    add_inside(harness, "203.0.113.9/32", "2001:db8:9::9/128")
    place = harness.near.place
    outside = {number: connected(place, number) for number in (4, 6)}
    before = everything(place)
    pair = harness.pair(prefix=on_openwrt)
    pair.start_far()
    pair.router.start(pair.interface(), to_everywhere(pair, family=family))
    for address in ("203.0.113.9", "2001:db8:9::9"):
        traffic.reach(place, address)
        assert f"dev {pair.name} " in place.ip("route", "get", address)
    assert [line.split(" dev ")[1].split()[0] for line in defaults(place)] == [pair.name, "outer"]
    inside = {4: {"10.77.0.0/24"}, 6: {"fd77::/64"}}
    inside[family].add(pair.far.site.outer[family])  # the host route
    for number in (4, 6):
        assert connected(place, number) - outside[number] == inside[number]
    pair.router.stop()
    assert everything(place) == before


def test_without_netifd_other_programs_can_add_their_default_route(harness):
    """`ip route add` fails where a default route with this metric exists, so ours are two halves there."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(), to_everywhere(pair))
    traffic.reach(place, "10.77.0.2")
    place.ip("route", "del", "default")
    place.ip("route", "add", "default", "via", "192.0.2.2")
    assert {"0.0.0.0/1", "128.0.0.0/1"} <= connected(place)


@pytest.mark.parametrize("verb", ["replace", "prepend"])
def test_a_provider_that_comes_back(harness, on_openwrt, verb):
    """Netifd replaces the first default route, which is ours, without a message about that; others put theirs before."""
    with_gateways(harness)
    add_inside(harness, "203.0.113.9/32")
    place = harness.near.place
    pair = harness.pair(prefix=on_openwrt)
    pair.start_far()
    pair.router.start(pair.interface(), to_everywhere(pair))
    traffic.reach(place, "203.0.113.9")
    for _ in range(3):
        place.ip("route", "del", "default", "via", "192.0.2.2")
        rest(0.3)
        place.ip("route", verb, "default", "via", "192.0.2.2")
        net.poll(lambda: f"dev {pair.name} " in place.ip("route", "get", "203.0.113.9"), 1, what="the way into the tunnel")
        net.poll(lambda: len(defaults(place)) == 2, 1, what="both default routes")
    traffic.reach(place, "203.0.113.9")
    assert "cannot" not in pair.router.log()


def test_the_default_route_of_another_tunnel(harness, on_openwrt):
    """When the first of two tunnels goes, packets go into the second one at once, not past it."""
    with_gateways(harness)
    add_inside(harness, "203.0.113.9/32")
    place = harness.near.place
    pair = harness.pair(prefix=on_openwrt)
    pair.start_far()
    other, keys = net.unique("v"), Keys()
    second = (
        interface(other, private_key=keys.private, addresses="10.78.0.1/24"),
        peer(other, public_key=Keys().public, endpoint_host="192.0.2.77", allowed_ips="0.0.0.0/0", route_allowed_ips=1),
    )
    first = pair.interface(), to_everywhere(pair)
    pair.router.start(*second, *first)
    traffic.reach(place, "203.0.113.9")
    pair.router.reload(*second)
    assert f"dev {other} " in place.ip("route", "get", "203.0.113.9")
    pair.router.reload(*second, *first)
    net.poll(lambda: len(defaults(place)) == 3, 2, what="all default routes")
    before = pair.router.switches()
    rest(1)
    assert pair.router.switches() - before < 15, "they do not strive for the first place"


def test_a_default_route_that_is_not_wanted(harness):
    """`defaultroute '0'` leaves out the default routes, and what belongs to them; the other routes stay."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair()
    pair.start_far()
    routed = pair.peer(allowed_ips=[*DEFAULTS, "10.5.0.0/16", "fd05::/16"], route_allowed_ips=1)
    for options in ({}, {"fwmark": "0x77"}, {"nohostroute": 1}, {"ip4table": 100, "ip6table": 100}):
        sections = pair.interface(defaultroute="0", **options), routed
        if pair.router.log():
            pair.router.reload(*sections)
        else:
            pair.router.start(*sections)
        traffic.reach(place, "10.77.0.2")
        for family, wanted in ((4, "10.5.0.0/16"), (6, "fd05::/16")):
            routes = place.ip(f"-{family}", "route", "show", "table", "all", "dev", pair.name)
            assert wanted in routes
            assert not {"default", "0.0.0.0/1", "::/1"} & {line.split()[0] for line in routes.splitlines()}
        assert "fwmark" not in place.ip("rule", "show")
    pair.router.reload(pair.interface(defaultroute="1"), routed)
    net.poll(lambda: "0.0.0.0/1" in place.ip("route", "show"), 3, what="the default route")


# Tables and metrics


def test_tables_with_the_rules_of_netifd(harness):
    """What comes from the tunnel's addresses, or goes to their networks, uses the table, and the rest only as a last way."""
    with_gateways(harness)
    add_inside(harness, "10.50.0.1/32", "fd50::1/128")
    place = harness.near.place
    before = everything(place)
    pair = harness.pair()
    pair.start_far()
    routed = pair.peer(allowed_ips=["10.77.0.0/24", "10.50.0.0/16", "fd77::/64", "fd50::/16"], route_allowed_ips=1)
    pair.router.start(pair.interface(ip4table="100", ip6table="101"), routed)
    index = json.loads(place.ip("-j", "link", "show", pair.name))[0]["ifindex"]
    for family, table, own, network, beyond in (
        (4, 100, "10.77.0.1", "10.77.0.0/24", "10.50.0.1"),
        (6, 101, "fd77::1", "fd77::/64", "fd50::1"),
    ):
        rules = [" ".join(line.split()) for line in place.ip(f"-{family}", "rule", "show").splitlines()]
        assert f"10000: from {own} lookup {table}" in rules
        assert f"20000: from all to {own}/{network.partition('/')[2]} lookup {table}" in rules
        assert (f"{90000 + index}: from all iif lo lookup {table}" in rules) == (family == 4)
        assert network in place.ip(f"-{family}", "route", "show", "table", str(table))
        assert pair.name not in place.ip(f"-{family}", "route", "show", "table", "main").replace("fe80", "")
        place.run("ping", "-c5", "-W1", "-I", own, beyond)
    assert "dev outer" in place.ip("route", "get", "10.50.0.1"), "the provider's default route takes the others"
    pair.router.reload(pair.interface(), routed)
    assert "lookup 100" not in place.ip("rule", "show") and "10.77.0.0/24" in place.ip("route", "show", "dev", pair.name)
    traffic.reach(place, "10.50.0.1")
    pair.router.stop()
    assert everything(place) == before


def test_a_metric_is_that_of_the_networks_of_addresses_too(harness):
    place = harness.near.place
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(metric=70), pair.peer(allowed_ips=["10.77.0.2", "10.50.0.0/16"], route_allowed_ips=1))
    traffic.reach(place, "10.77.0.2")
    for family, network in ((4, "10.77.0.0/24"), (4, "10.50.0.0/16"), (6, "fd77::/64")):
        lines = place.ip(f"-{family}", "route", "show").splitlines()
        [line] = [line for line in lines if line.startswith(network)]
        assert f"dev {pair.name}" in line and "metric 70" in line


# Routes that others have


def test_the_same_network_at_both_ends(harness):
    """The log says what has the route; `check` and `diagnose` too; when it goes, ours is there at once."""
    place = harness.near.place
    place.ip("link", "add", "lan", "type", "veth", "peer", "name", "lan2")
    place.ip("addr", "add", "10.50.0.2/24", "dev", "lan")
    for end in ("lan", "lan2"):
        place.ip("link", "set", end, "up")
    pair = harness.pair()
    pair.start_far()
    sections = pair.interface(), pair.peer(allowed_ips=["10.77.0.2", "10.50.0.0/24"], route_allowed_ips=1)
    pair.router.start(*sections)
    traffic.reach(place, "10.77.0.2")
    told = f"cannot add route 10.50.0.0/24 dev {pair.name}: lan has this route already, so"
    assert pair.router.log().count(told) == 1

    def run(*command):
        return place.run(*harness.command, *command, check=False)[1]

    assert "lan also has a route to 10.50.0.0/24, so packets do not" in run(
        "check", "--config-dir", str(pair.router.config.parent)
    )
    assert "The route to 10.50.0.0/24 leads to lan, so packets to this network do not" in run("diagnose", pair.name)
    pair.router.reload(*sections)
    assert pair.router.log().count(told) == 1, "it is not said again"
    place.ip("link", "del", "lan")
    net.poll(lambda: "10.50.0.0/24" in place.ip("route", "show", "dev", pair.name), 1, what="the route")
    place.ip("route", "del", "10.50.0.0/24", "dev", pair.name)
    net.poll(lambda: "10.50.0.0/24" in place.ip("route", "show", "dev", pair.name), 1, what="the route again")
    # The same with a route that goes without its link.
    place.ip("route", "add", "10.51.0.0/24", "dev", "outer")
    sections = pair.interface(), pair.peer(allowed_ips=["10.77.0.2", "10.51.0.0/24"], route_allowed_ips=1)
    pair.router.reload(*sections)
    net.poll(lambda: "outer has this route" in pair.router.log(), 2, what="a line about the other route")
    place.ip("route", "del", "10.51.0.0/24", "dev", "outer")
    net.poll(lambda: "10.51.0.0/24" in place.ip("route", "show", "dev", pair.name), 1, what="the route")


# A link that its owner sets down


def test_a_reload_leaves_a_link_down(harness):
    """The init script reloads after each event of the network. Only a change of the configuration raises the link."""
    place = harness.near.place
    pair = harness.pair()
    pair.start_far()
    sections = pair.interface(), pair.peer(allowed_ips=["10.77.0.2", "10.50.0.0/16"], route_allowed_ips=1)
    pair.router.start(*sections)
    traffic.reach(place, "10.77.0.2")
    place.ip("link", "set", pair.name, "down")
    for _ in range(2):
        pair.router.reload(*sections)
        rest(0.5)
        assert "UP" not in place.ip("link", "show", pair.name).split(">")[0]
    assert "ERROR" not in pair.router.log()
    place.ip("link", "set", pair.name, "up")
    traffic.reach(place, "10.77.0.2", within=20)
    net.poll(lambda: "10.50.0.0/16" in place.ip("route", "show", "dev", pair.name), 2, what="the route")
    place.ip("link", "set", pair.name, "down")
    pair.router.reload(pair.interface(mtu=1400), sections[1])
    traffic.reach(place, "10.77.0.2", within=20)


# Providers with tables of their own


def test_providers_with_tables_of_their_own(harness):
    """The tunnel's datagrams have a mark, and a rule leads them to a table: `check` and the MTU go by that."""
    place = harness.near.place
    place.ip("link", "add", "ppp", "mtu", "1400", "type", "veth", "peer", "name", "ppp2")
    place.ip("addr", "add", "198.51.100.2/24", "dev", "ppp")
    for end in ("ppp", "ppp2"):
        place.ip("link", "set", end, "up")
    place.ip("route", "add", "default", "via", "198.51.100.1", "table", "201")
    place.ip("rule", "add", "fwmark", "0x77", "lookup", "201")
    pair = harness.pair()
    sections = pair.interface(fwmark="0x77"), pair.peer(0, endpoint_host="203.0.113.5", endpoint_port=51820)
    pair.router.start(*sections)
    assert pair.router.mtu(pair.name) == 1340
    code, told = place.run(*harness.command, "check", "--config-dir", str(pair.router.config.parent), check=False)
    assert code == 0 and "no route" not in told
    pair.router.reload(pair.interface(), sections[1])
    code, told = place.run(*harness.command, "check", "--config-dir", str(pair.router.config.parent), check=False)
    assert code == 1 and "there is no route to 203.0.113.5" in told


def test_the_host_route_follows_providers_with_tables(harness):
    """All routes are in tables, and the tunnel's table could be asked before the provider's: the ifindex decides."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair()
    pair.start_far()
    place.ip("link", "add", "later", "type", "veth", "peer", "name", "later2")
    pair.router.start(pair.interface(ip4table=300), pair.peer(allowed_ips=["0.0.0.0/0", "fd77::/64"], route_allowed_ips=1))
    place.ip("addr", "add", "198.51.100.2/24", "dev", "later")
    for end in ("later", "later2"):
        place.ip("link", "set", end, "up")
    endpoint = pair.far.site.outer[4]
    assert f"{endpoint} via" not in place.ip("route", "show"), "it is in a connected network"
    far = pair.peer(0, endpoint_host="203.0.113.5", allowed_ips="0.0.0.0/0", route_allowed_ips=1)
    pair.router.reload(pair.interface(ip4table=300), far)
    net.poll(lambda: "203.0.113.5 via 192.0.2.2 dev outer" in place.ip("route"), 2, what="the host route")
    place.ip("route", "del", "default", "via", "192.0.2.2")
    net.poll(lambda: "203.0.113.5" not in place.ip("route"), 2, what="no host route")
    place.ip("route", "add", "default", "via", "198.51.100.1", "table", "201")
    net.poll(lambda: "203.0.113.5 via 198.51.100.1 dev later" in place.ip("route"), 2, what="the host route by the other")
    place.ip("route", "del", "default", "table", "201")
    net.poll(lambda: "203.0.113.5" not in place.ip("route"), 2, what="no host route")


# The link of tunlink


def test_the_link_of_a_modem_appears(harness):
    """Only the state of netifd names it. Until it is there, log, status and check name the option."""
    add_inside(harness, "203.0.113.1/32")
    with_gateways(harness)
    folders = {path: harness.folder / path[1:].replace("/", "-") for path in ("/etc/config", "/var/state")}
    for folder in folders.values():
        folder.mkdir()
    sections = (
        section("interface", "lte", {"proto": "mbim", "device": "/dev/cdc-wdm0"}),
        section("interface", "lte_4", {"proto": "dhcp", "device": "@lte"}),
    )
    (folders["/etc/config"] / "network").write_text("\n".join(sections))
    prefix = with_folders(harness.folder / "mounts", folders)
    pair = harness.pair(prefix=prefix)
    pair.start_far()
    place = harness.near.place

    def problems():
        told = json.loads(place.run(*harness.command, "status", "--json", pair.name)[1])
        return told["interfaces"][0]["problems"]

    why = "option tunlink: network lte_4 has no link yet; bring the network up, or name another one"
    pair.router.start(pair.interface(tunlink="lte_4"), pair.peer(endpoint_host="203.0.113.1"))
    assert problems() == [why]
    assert f"  problem: {why}\n" in place.run(*harness.command, "status", pair.name)[1]
    assert f"Problem of the configuration: {why}." in place.run(*harness.command, "diagnose", pair.name, check=False)[1]
    traffic.reach(place, "10.77.0.2")
    assert not place.ip("route", "show", "203.0.113.1/32")
    for number in (1, 2):
        (folders["/var/state"] / "network").write_text("network.lte.up='1'\nnetwork.lte.ifname='wan2'\n")
        Second(harness)
        place.ip("route", "add", "default", "via", "198.51.100.2", "metric", "20")
        net.poll(lambda: "dev wan2" in place.ip("route", "show", "203.0.113.1/32"), 5, what="the host route")
        traffic.reach(place, "10.77.0.2")
        net.poll(lambda: not problems(), 5, what="no problem")
        assert pair.router.log().count(f"error: {why}") in (0, number) and pair.router.log().count(why) == number
        place.ip("link", "del", "wan2")
        net.poll(problems, 5, what="the problem")


def test_a_default_route_for_a_type_of_service(harness, on_openwrt):
    """The kernel sorts it before ours for ever. It is not for our packets, and nothing is done about it."""
    with_gateways(harness)
    place = harness.near.place
    pair = harness.pair(prefix=on_openwrt)
    pair.start_far()
    pair.router.start(pair.interface(), to_everywhere(pair))
    traffic.reach(place, "10.77.0.2")
    place.ip("route", "add", "default", "via", "192.0.2.77", "tos", "0x10")
    rest(0.5)
    before = pair.router.switches()
    rest(1)
    assert pair.router.switches() - before < 15
    assert f"dev {pair.name} " in place.ip("route", "get", "203.0.113.9")
