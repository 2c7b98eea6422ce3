"""What the network must look like, worked out from tables of routes; and a model of the kernel that follows them."""

import random
import socket

import pytest

from wgembed.config import options as config
from wgembed.daemon import network, network_plan
from wgembed.daemon.network_plan import Paths, plan
from wgembed.runtime import abi
from wgembed.runtime.address import covers, masked
from wgembed.runtime.rtnetlink import Route
from wgembed.runtime.rtnetlink_abi import RT_TABLE_MAIN

from ..unit.support import Log

TUNNEL, OTHER, LAN, WAN, WAN2, LO = 9, 8, 2, 3, 4, 1


def ip(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def prefix(text):
    host, _, length = text.partition("/")
    return ip(host), int(length) if length else 8 * len(ip(host))


def route(where, index, gateway=None, metric=0, table=RT_TABLE_MAIN, mtu=0):
    found = Route(*prefix(where), index, gateway and ip(gateway), None, metric, table)
    found.mtu = mtu
    return found


class Table:
    """In place of the kernel's: routes, and links with their MTU."""

    def __init__(self, *routes, links=()):
        self.all = list(routes)
        self._links = {LO: ("lo", 65536), LAN: ("lan", 1500), WAN: ("wan", 1492), WAN2: ("wan2", 1400), **dict(links)}
        self.asked = 0

    def routes(self, family):
        self.asked += 1
        size = 4 if family == abi.AF_INET else 16
        return [one for one in self.all if len(one.destination) == size]

    def route_to(self, packed, fwmark):
        """As with rules that lead datagrams with the mark 9 to another provider."""
        if fwmark != 9:
            raise OSError(101, "no route")
        return route("0.0.0.0/0", WAN2, "198.51.100.1", mtu=500)

    def link(self, index):
        if index not in self._links:
            raise OSError(19, "no such link")
        name, mtu = self._links[index]
        return name, mtu, True


PROVIDER = route("0.0.0.0/0", WAN, "192.0.2.1")
PROVIDER6 = route("::/0", WAN, "fe80::1", metric=512)
BACKUP = route("0.0.0.0/0", WAN2, "198.51.100.1", metric=20)
HOME = route("10.0.0.0/24", LAN)


def paths(*routes, tunnels=(TUNNEL,), ours=()):
    return Paths(Table(*routes), tunnels, ours)


@pytest.mark.parametrize(
    "address,length,expected",
    [
        ("10.1.2.3", 32, "10.1.2.3"),
        ("10.1.2.3", 31, "10.1.2.2"),
        ("10.1.2.255", 25, "10.1.2.128"),
        ("255.255.255.255", 1, "128.0.0.0"),
        ("10.1.2.3", 16, "10.1.0.0"),
        ("10.1.2.3", 0, "0.0.0.0"),
        ("fd00::ffff", 127, "fd00::fffe"),
        ("ffff::1", 3, "e000::"),
    ],
)
def test_masked(address, length, expected):
    assert masked(ip(address), length) == ip(expected)


@pytest.mark.parametrize(
    "network_,address,expected",
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/9", "10.127.0.1", True),
        ("10.0.0.0/9", "10.128.0.1", False),
        ("0.0.0.0/0", "1.2.3.4", True),
        ("0.0.0.0/0", "::", False),
        ("::/0", "1.2.3.4", False),
        ("10.9.9.9/8", "10.1.1.1", True),
        ("1.2.3.4/32", "1.2.3.4", True),
        ("1.2.3.4/32", "1.2.3.5", False),
        ("1.2.3.4/31", "1.2.3.5", True),
        ("fd00::/7", "fc00::1", True),
        ("fd00::/8", "fc00::1", False),
    ],
)
def test_covers(network_, address, expected):
    assert covers(*prefix(network_), ip(address)) is expected


@pytest.mark.parametrize(
    "routes,index,expected",
    [
        ([PROVIDER, HOME], 0, PROVIDER),
        ([PROVIDER, BACKUP], 0, PROVIDER),
        ([BACKUP, PROVIDER], 0, PROVIDER),
        ([BACKUP], 0, BACKUP),
        ([PROVIDER, BACKUP], WAN2, BACKUP),
        ([PROVIDER], WAN2, None),
        ([HOME], 0, None),
        ([], 0, None),
        # A longer prefix goes before a better metric.
        ([PROVIDER, more := route("203.0.113.0/24", LAN, "10.0.0.7", metric=999)], 0, more),
        # Two ways of one route: the first, or the one by the link.
        ([PROVIDER, twin := route("0.0.0.0/0", WAN2, "198.51.100.1")], 0, PROVIDER),
        ([PROVIDER, twin], WAN2, twin),
        # What leads into a tunnel of ours, stands in another table, or leads nowhere is none.
        ([route("203.0.113.0/24", TUNNEL), PROVIDER], 0, PROVIDER),
        ([route("203.0.113.0/24", LAN, table=100), PROVIDER], 0, PROVIDER),
        ([route("203.0.113.0/24", 0), PROVIDER], 0, PROVIDER),
        ([route("::/0", WAN)], 0, None),
    ],
)
def test_the_way_to_an_address(routes, index, expected):
    assert paths(*routes).find(ip("203.0.113.9"), index) is expected


def test_a_host_route_of_ours_is_not_what_it_goes_by():
    own = route("203.0.113.9/32", WAN, "192.0.2.1")
    ours = [network_plan.host_route(ip("203.0.113.9"), own)]
    assert ours == [("route", "203.0.113.9", 32, WAN, "192.0.2.1", 0, RT_TABLE_MAIN)]
    assert paths(own, BACKUP, ours=ours).find(ip("203.0.113.9")) is BACKUP
    assert paths(own, BACKUP).find(ip("203.0.113.9")) is own
    # Of IPv6 the kernel makes the metric 1024.
    own6 = route("2001:db8::9/128", WAN, "fe80::1", metric=1024)
    ours = [network_plan.host_route(ip("2001:db8::9"), own6)]
    assert paths(own6, PROVIDER6, ours=ours).find(ip("2001:db8::9")) is PROVIDER6


def test_routes_are_asked_for_once_a_family():
    table = Table(PROVIDER)
    found = Paths(table, (), ())
    for _ in range(5):
        found.find(ip("1.1.1.1"))
    assert table.asked == 1
    found.find(ip("::1"))
    assert table.asked == 2


def test_a_kernel_that_tells_no_routes():
    class Broken(Table):
        def routes(self, family):
            raise OSError(97)

    assert Paths(Broken(), (), ()).find(ip("::1")) is None
    assert network_plan.way_out(Broken(), []) == [None, None]


@pytest.mark.parametrize(
    "routes,expected",
    [
        ([], [None, None]),
        ([PROVIDER], [(WAN, ip("192.0.2.1")), None]),
        ([BACKUP, PROVIDER6], [(WAN2, ip("198.51.100.1")), (WAN, ip("fe80::1"))]),
        ([PROVIDER, BACKUP], [(WAN, ip("192.0.2.1")), None]),
        ([route("0.0.0.0/0", TUNNEL)], [None, None]),
        ([route("0.0.0.0/1", LAN)], [None, None]),
        ([route("0.0.0.0/0", WAN)], [(WAN, None), None]),
    ],
)
def test_the_way_out(routes, expected):
    assert network_plan.way_out(Table(*routes), [TUNNEL]) == expected


def interface(**options):
    found = config.InterfaceConfig("wg0", "interface 'wg0'", b"wg0", 1)
    for name, value in options.items():
        setattr(found, name, value)
    return found


def planned(options=None, endpoints=(), own=(), others=(), routes=(PROVIDER, PROVIDER6, HOME), tunnel_link=0, place=0):
    routed = [(*prefix(text), True) for text in own] + [(*prefix(text), False) for text in others]
    return plan(
        interface(**options or {}), TUNNEL, place, [ip(text) for text in endpoints], routed, paths(*routes), tunnel_link
    )


END, END6 = "203.0.113.9", "2001:db8::9"
HOST = ("route", END, 32, WAN, "192.0.2.1", 0, RT_TABLE_MAIN)
NOWHERE = ("route", END, 32, 0, "-", 0, RT_TABLE_MAIN, "unreachable")
HOST6 = ("route", END6, 128, WAN, "fe80::1", 0, RT_TABLE_MAIN)


def into(where, length, metric=0, table=RT_TABLE_MAIN):
    return ("route", where, length, TUNNEL, "-", metric, table)


HALVES = [into("0.0.0.0", 1), into("128.0.0.0", 1)]
HALVES6 = [into("::", 1), into("8000::", 1)]
SETTING = ("setting", "net/ipv4/conf/all/src_valid_mark", "1", "0")


def table_rules(family, table, *addresses):
    """The rules of netifd for a table: for an address and its network, each, and for what starts here."""
    found = []
    for address, network_ in addresses:
        found.append(("rule", family, table, 0, 0, -1, 10000, "from", address))
        found.append(("rule", family, table, 0, 0, -1, 20000, "to", network_))
    return [*found, ("rule", family, table, 0, 0, -1, 90000 + TUNNEL, "iif", "lo")] if family == 4 else found


def rules(family, mark):
    return [("rule", family, mark, mark, 1, -1, 32765), ("rule", family, RT_TABLE_MAIN, 0, 0, 0, 32764)]


@pytest.mark.parametrize(
    "how,things,mark",
    [
        ({}, [], 0),
        ({"own": ["10.5.6.7/16"]}, [into("10.5.0.0", 16)], 0),
        ({"own": ["10.5.0.0/16", "10.5.1.1/16"]}, [into("10.5.0.0", 16)], 0),
        (
            {"own": ["10.5.0.0/16"], "options": {"metric": 7, "table4": 77}},
            [*table_rules(4, 77), into("10.5.0.0", 16, 7, 77)],
            0,
        ),
        # An endpoint that no tunnel takes along needs no route of its own.
        ({"endpoints": [END]}, [], 0),
        ({"endpoints": [END], "own": ["203.0.114.0/24"]}, [into("203.0.114.0", 24)], 0),
        ({"endpoints": [END], "own": ["203.0.113.0/24"]}, [HOST, into("203.0.113.0", 24)], 0),
        ({"endpoints": [END], "others": ["203.0.113.0/24"]}, [HOST], 0),
        ({"endpoints": [END, END6, END], "own": ["0.0.0.0/0"]}, [HOST, *HALVES], 0),
        ({"endpoints": [END, END6], "own": ["0.0.0.0/0", "::/0"]}, [HOST, HOST6, *HALVES, *HALVES6], 0),
        (
            {"endpoints": ["10.0.0.7"], "own": ["10.0.0.0/8"]},
            [("route", "10.0.0.7", 32, LAN, "-", 0, RT_TABLE_MAIN), into("10.0.0.0", 8)],
            0,
        ),
        # Without a way outside it must not come back into its own tunnel.
        ({"endpoints": [END], "own": ["0.0.0.0/0"], "routes": []}, [NOWHERE, *HALVES], 0),
        ({"endpoints": [END], "own": ["203.0.113.0/24"], "routes": []}, [NOWHERE, into("203.0.113.0", 24)], 0),
        ({"endpoints": [END], "others": ["203.0.113.0/24"], "routes": []}, [], 0),
        ({"endpoints": [END], "own": ["0.0.0.0/0"], "others": ["203.0.113.0/24"], "routes": []}, HALVES, 0),
        (
            {"endpoints": [END], "own": ["0.0.0.0/0"], "routes": [], "options": {"table4": 77}},
            [*table_rules(4, 77), into("0.0.0.0", 0, 0, 77)],
            0,
        ),
        ({"endpoints": [END], "routes": []}, [], 0),
        (
            {"endpoints": [END], "own": ["0.0.0.0/0"], "options": {"metric": 5}},
            [HOST, into("0.0.0.0", 0, 5)],
            0,
        ),
        # tunlink: always a route, over that link; none where the link is not there.
        (
            {"endpoints": [END], "tunnel_link": WAN2, "routes": [PROVIDER, BACKUP]},
            [("route", END, 32, WAN2, "198.51.100.1", 0, RT_TABLE_MAIN)],
            0,
        ),
        ({"endpoints": [END], "tunnel_link": None, "own": ["0.0.0.0/0"]}, [NOWHERE, *HALVES], 0),
        ({"endpoints": [END], "tunnel_link": None}, [], 0),
        ({"endpoints": [END], "tunnel_link": WAN2}, [], 0),
        # Marks and rules
        ({"options": {"fwmark": 7}, "own": ["10.5.0.0/16"]}, [into("10.5.0.0", 16)], 7),
        ({"options": {"nohostroute": True}, "endpoints": [END], "own": ["203.0.113.0/24"]}, [into("203.0.113.0", 24)], 0),
        (
            {"options": {"nohostroute": True}, "endpoints": [END], "own": ["0.0.0.0/0"]},
            [SETTING, *rules(4, 51820), into("0.0.0.0", 0, 0, 51820)],
            51820,
        ),
        (
            {"options": {"fwmark": 7}, "endpoints": [END, END6], "own": ["0.0.0.0/0", "::/0"], "place": 3},
            [SETTING, *rules(4, 7), *rules(6, 7), into("0.0.0.0", 0, 0, 7), into("::", 0, 0, 7)],
            7,
        ),
        (
            {"options": {"nohostroute": True}, "own": ["::/0"], "place": 2},
            [*rules(6, 51822), into("::", 0, 0, 51822)],
            51822,
        ),
        (
            {"options": {"nohostroute": True, "table4": 77}, "own": ["0.0.0.0/0"]},
            [*table_rules(4, 77), into("0.0.0.0", 0, 0, 77)],
            0,
        ),
        # Another prefix of ours or another interface's takes the endpoint all the same.
        (
            {"options": {"fwmark": 7}, "endpoints": [END], "own": ["0.0.0.0/0"], "others": ["203.0.113.0/24"]},
            [HOST, SETTING, *rules(4, 7), into("0.0.0.0", 0, 0, 7)],
            7,
        ),
        (
            {"options": {"addresses": [(ip("10.77.0.1"), 24), (ip("fd77::1"), 64)]}, "own": ["10.5.0.0/16"]},
            [("address", TUNNEL, "10.77.0.1", 24), ("address", TUNNEL, "fd77::1", 64), into("10.5.0.0", 16)],
            0,
        ),
        # With a metric or a table of its own, the networks of the addresses have it too; the other family has not.
        (
            {"options": {"addresses": [(ip("10.77.0.1"), 24)], "metric": 7}},
            [("address", TUNNEL, "10.77.0.1", 24, "noprefixroute"), into("10.77.0.0", 24, 7)],
            0,
        ),
        (
            {"options": {"addresses": [(ip("10.77.0.1"), 24), (ip("fd77::1"), 64)], "table6": 66}},
            [
                ("address", TUNNEL, "10.77.0.1", 24),
                ("address", TUNNEL, "fd77::1", 64, "noprefixroute"),
                into("fd77::", 64, 0, 66),
                *table_rules(6, 66, ("fd77::1/128", "fd77::1/64")),
            ],
            0,
        ),
    ],
)
def test_what_is_wanted(how, things, mark):
    wanted = planned(**how)
    assert wanted.objects == things
    assert wanted.fwmark == mark


def test_default_routes_where_netifd_is(monkeypatch):
    """One route, which mwan3 and pbr recognise: before the provider's, and in IPv6 with a lower metric."""
    monkeypatch.setattr(Paths, "has_netifd", True)
    wanted = planned(endpoints=[END], own=["0.0.0.0/0", "::/0"])
    assert wanted.objects == [HOST, (*into("0.0.0.0", 0), "first"), into("::", 0, 1)]
    assert planned({"metric": 5}, own=["0.0.0.0/0", "::/0"]).objects == [into("0.0.0.0", 0, 5), into("::", 0, 5)]


@pytest.mark.parametrize(
    "how,mtu",
    [
        ({}, 1412),
        ({"routes": []}, 1420),
        ({"routes": [PROVIDER6]}, 1412),
        ({"routes": [BACKUP]}, 1320),
        ({"endpoints": [END]}, 1432),
        ({"endpoints": [END6]}, 1412),
        ({"endpoints": [END, END6]}, 1412),
        ({"endpoints": ["10.0.0.7"]}, 1440),
        ({"endpoints": [END], "routes": []}, 1420),
        ({"endpoints": [END], "routes": [route("203.0.113.0/24", WAN, mtu=1000)]}, 940),
        ({"endpoints": [END], "routes": [route("203.0.113.0/24", WAN, mtu=500)]}, 576),
        (
            {
                "endpoints": [END],
                "routes": [route("203.0.113.0/24", WAN, mtu=500)],
                "options": {"addresses": [prefix("fd00::1/64")]},
            },
            1280,
        ),
        ({"endpoints": [END], "routes": [route(END, LO)]}, 1420),
        ({"endpoints": [END], "routes": [route(END, 77)]}, 1420),
        ({"endpoints": [END], "options": {"mtu": 1300}}, 1300),
        ({"endpoints": [END], "tunnel_link": WAN2, "routes": [PROVIDER, BACKUP]}, 1340),
        ({"endpoints": [END], "tunnel_link": None}, 1432),
        ({"routes": [route("0.0.0.0/1", LAN)]}, 1420),
        # Rules have another way for datagrams with a mark.
        ({"endpoints": [END], "options": {"fwmark": 9}}, 1340),
        ({"endpoints": [END], "options": {"fwmark": 9}, "routes": []}, 1340),
        ({"endpoints": [END], "options": {"fwmark": 8}}, 1432),
        ({"endpoints": [END], "options": {"fwmark": 9}, "tunnel_link": WAN}, 1432),
    ],
)
def test_the_mtu(how, mtu):
    assert planned(**how).mtu == mtu


class Kernel:
    """Policy routing as Linux does it, over the routes outside and what a plan adds."""

    def __init__(self, outside, things):
        self._routes = {}
        for one in outside:
            self._add(one.table, one.destination, one.length, one.metric, one.index)
        self._rules = {4: [(32766, RT_TABLE_MAIN, 0, 0, -1)], 16: [(32766, RT_TABLE_MAIN, 0, 0, -1)]}
        for kind, *words in things:
            if kind == "route":
                where, length, index, _, metric, table, *_ = words
                self._add(table, ip(where), length, metric, index)
            elif kind == "rule":
                family, table, mark, inverted, suppress, priority = words
                self._rules[4 if family == 4 else 16].append((priority, table, mark, inverted, suppress))

    def _add(self, table, destination, length, metric, index):
        assert masked(destination, length) == destination, "the kernel refuses bits past the prefix"
        key = (destination, length, metric)
        assert key not in self._routes.setdefault(table, {}), "the kernel has such a route already"
        self._routes[table][key] = index

    def lookup(self, packed, mark):
        for _, table, wanted, inverted, suppress in sorted(self._rules[len(packed)]):
            if wanted and (mark == wanted) == bool(inverted):
                continue
            found = [
                (-length, metric, index)
                for (destination, length, metric), index in self._routes.get(table, {}).items()
                if len(destination) == len(packed) and masked(packed, length) == destination
            ]
            if found and -min(found)[0] > suppress:
                return min(found)[2]
        return None


def _random_prefix(chance, size):
    """Few addresses and lengths: prefixes are to lie in each other."""
    length = chance.choice([0, 0, 1, 2, 3, 8 * size] if size == 4 else [0, 1, 2, 8 * size])
    packed = bytes([chance.choice([0x20, 0x60, 0xA0])]) + bytes(size - 1)
    return masked(packed, length), length


@pytest.mark.parametrize("seed", range(300))
def test_packets_go_where_they_should(seed):
    """Whatever is configured, the tunnel's own datagrams stay outside, and what is for the tunnel goes in."""
    chance = random.Random(seed)
    outside = [Route(bytes(size), 0, WAN, bytes([9]) * size, None, 1024) for size in (4, 16)]
    for size in (4, 16):
        for _ in range(chance.randrange(3)):
            where, length = _random_prefix(chance, size)
            if length > 1:
                outside.append(
                    Route(where, length, chance.choice([LAN, WAN2]), bytes([chance.randrange(9)]) * size, None, 2048)
                )
    outside = list({(one.destination, one.length): one for one in outside}.values())
    endpoints = []
    for _ in range(chance.randrange(1, 4)):
        size = chance.choice([4, 4, 16])
        endpoints.append(bytes([chance.choice([0x20, 0x60, 0xA0])]) + bytes(size - 2) + b"\7")
    own = [_random_prefix(chance, chance.choice([4, 4, 16])) for _ in range(chance.randrange(4))]
    options = interface(
        nohostroute=chance.random() < 0.3, fwmark=chance.choice([0, 0, 7]), metric=chance.choice([0, 0, 5]), addresses=[]
    )
    routed = [(where, length, True) for where, length in own]
    wanted = plan(options, TUNNEL, 0, endpoints, routed, Paths(Table(*outside), [TUNNEL], ()), 0)
    before, after = Kernel(outside, []), Kernel(outside, wanted.objects)
    swallowed = network_plan.swallows
    for packed in endpoints:
        if not swallowed(options, packed, routed):
            assert after.lookup(packed, wanted.fwmark) == before.lookup(packed, 0), "an endpoint stays outside"
        else:
            assert options.nohostroute and after.lookup(packed, wanted.fwmark) == TUNNEL
    for where, length in own:
        inside = where[:-1] + b"\5"
        if length == 8 * len(where) or inside in endpoints:
            continue
        longer = [one for one in outside if one.length >= max(length, 1) and masked(inside, one.length) == one.destination]
        if not longer:
            assert after.lookup(inside, 0) == TUNNEL, "what is for the tunnel goes in"
    # What nobody routes is left alone.
    stranger = b"\xe0\0\0\1"
    if not any(covers(where, length, stranger) for where, length in own):
        assert after.lookup(stranger, 0) == before.lookup(stranger, 0)


class Later:
    """Carries out nothing until it is told what came of it."""

    def __init__(self):
        self.waiting = []

    def submit(self, requests, done):
        self.waiting.append((requests, done))

    def after(self, function):
        self.submit((), lambda answers: function())

    def answer(self, errno):
        requests, done = self.waiting.pop(0)
        done([errno] * len(requests))


@pytest.mark.parametrize("ends", [False, True])
def test_what_a_link_that_has_gone_was_to_have_is_no_error(tmp_path, ends):
    """A reload took the interface away while the kernel was still being asked for an address of its link."""
    conf, log = Later(), Log()
    one = network.Network(conf, str(tmp_path / "wg0.added"), log)
    one.begin(TUNNEL)
    wanted = network_plan.Plan()
    wanted.mtu, wanted.objects = 1380, [("address", TUNNEL, "10.0.0.2", 24)]
    one.follow(wanted, True)
    if ends:
        one.end()
    conf.answer(19)
    assert (log.lines == []) is ends
    while conf.waiting:
        conf.answer(0)


def test_a_link_that_could_not_be_set_is_set_later(tmp_path):
    """Though no later plan is for a new or changed configuration: up, and with its MTU."""
    conf = Later()
    one = network.Network(conf, str(tmp_path / "wg0.added"), Log())
    one.begin(TUNNEL)
    wanted = network_plan.Plan()
    wanted.mtu = 1380
    one.follow(wanted, True)
    conf.answer(105)
    for errno in (105, 0):
        one.follow(wanted, False)
        assert conf.waiting[0][0] == [("set", ("link", TUNNEL, 1, 1380))]
        conf.answer(errno)
    one.follow(wanted, False)
    assert not conf.waiting


@pytest.mark.parametrize(
    "obj,text",
    [
        (("address", 1, "10.0.0.2", 24), "add address 10.0.0.2/24 dev lo"),
        (("route", "10.0.0.0", 24, 1, "-", 0, RT_TABLE_MAIN), "add route 10.0.0.0/24 dev lo"),
        (("route", "::", 0, 1, "-", 0, 51820), "add route ::/0 dev lo table 51820"),
        (("route", "192.0.2.1", 32, 99999, "10.0.0.1", 0, RT_TABLE_MAIN), "add route 192.0.2.1/32 via 10.0.0.1 dev if99999"),
        (("route", "192.0.2.1", 32, 0, "-", 0, RT_TABLE_MAIN, "unreachable"), "add route unreachable 192.0.2.1/32"),
        (("rule", 6, 51820, 51820, 1, -1, 32765), "add IPv6 rule for table 51820"),
        (("link", 1, 1, 1420), "set link dev lo up mtu 1420"),
        (("link", 1, 0, 1420), "set link dev lo mtu 1420"),
        (("setting", "net/ipv4/conf/all/src_valid_mark", "1", "0"), "write 1 to /proc/sys/net/ipv4/conf/all/src_valid_mark"),
    ],
)
def test_a_refusal_names_object_link_and_error(tmp_path, obj, text):
    conf, log = Later(), Log()
    one = network.Network(conf, str(tmp_path / "wg0.added"), log)
    one.begin(1)
    wanted = network_plan.Plan()
    wanted.mtu, wanted.objects = 1420, [obj]
    one._mtu = 1420
    one.follow(wanted, False)
    conf.answer(22)
    [line] = log.lines
    assert line.startswith(f"cannot {text}: Invalid argument (22); ")


def test_a_route_whose_place_was_refused_to_another_is_still_ours(tmp_path):
    """The provider's link was down for a moment: its route was refused, and "unreachable" must not stay for ever."""
    conf = Later()
    one = network.Network(conf, str(tmp_path / "wg0.added"), Log())
    one.begin(TUNNEL)
    nowhere, there = network_plan.Plan(), network_plan.Plan()
    nowhere.mtu = there.mtu = 1380
    nowhere.objects = [("route", "192.0.2.9", 32, 0, "-", 0, RT_TABLE_MAIN, "unreachable")]
    there.objects = [("route", "192.0.2.9", 32, WAN, "192.0.2.1", 0, RT_TABLE_MAIN)]
    one.follow(nowhere, True)
    conf.answer(0)
    for errno in (101, 101, 0):
        one.follow(there, False)
        assert conf.waiting[0][0] == [("set", there.objects[0])]
        conf.answer(errno)
        assert one.outside == (nowhere if errno else there).objects
    one.follow(there, False)
    assert not conf.waiting


def test_what_goes_while_the_kernel_is_asked_comes_back(tmp_path):
    """Somebody deletes a route while a child process still makes others: the news of it must not be lost."""
    conf, log, again = Later(), Log(), []
    one = network.Network(conf, str(tmp_path / "wg0.added"), log, again.append)
    one.begin(TUNNEL)
    wanted = network_plan.Plan()
    wanted.mtu, wanted.objects = 1380, [("route", "10.1.0.0", 24, TUNNEL, "-", 0, RT_TABLE_MAIN)]
    there = route("10.1.0.0/24", TUNNEL)
    one.follow(wanted, True, paths())
    conf.answer(0)
    one.follow(wanted, False, paths(there))
    assert not conf.waiting, "all is there"
    other = network_plan.Plan()
    other.mtu, other.objects = 1380, [*wanted.objects, ("route", "10.2.0.0", 24, TUNNEL, "-", 0, RT_TABLE_MAIN)]
    one.follow(other, False, paths(there))
    assert one.lost(wanted.objects[0])
    for raise_link in (True, False):
        one.follow(other, raise_link, paths())
    conf.answer(0)
    assert again == [True], "what was seen before is out of date"
    one.follow(other, False, paths(route("10.2.0.0/24", TUNNEL)))
    assert conf.waiting.pop()[0] == [("add", wanted.objects[0])]
