"""Where answers leave from, on a machine with several ways to its peers, and when routes, rules and addresses change."""

import os
import socket
import time

import pytest

from ..lab import net, wire
from ..lab.counterpart import Counterpart
from ..lab.net import poll
from .test_daemon import ask

PORT = 4503
WANS = {"wan0": "192.0.2", "wan1": "203.0.113"}
CLIENT = "198.51.100.2"


@pytest.fixture
def name():
    return net.unique("w")


class World:
    """The daemon's machine, with an interface to each of two networks, and a client behind the router of both."""

    def __init__(self, namespace, name, command):
        self.place, self.name = namespace, name
        self.router, self.client = net.Namespace(), net.Namespace()
        self.others = []
        for wan, network in WANS.items():
            namespace.ip("link", "add", wan, "type", "veth", "peer", "name", wan, "netns", self.router.name)
            self.address(namespace, wan, f"{network}.2/24")
            self.address(self.router, wan, f"{network}.1/24")
            self.setting(namespace, wan, "rp_filter", 0)
        self.client.ip("link", "add", "eth0", "type", "veth", "peer", "name", "lan", "netns", self.router.name)
        self.address(self.client, "eth0", f"{CLIENT}/24")
        self.address(self.router, "lan", "198.51.100.1/24")
        self.client.ip("route", "add", "default", "via", "198.51.100.1")
        self.setting(self.router, "all", "forwarding", 1)
        self.setting(namespace, "all", "rp_filter", 0)
        self.private = wire.generate_private_key()
        child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
        child.expect("ready", 10)
        assert ask(name, f"set=1\nprivate_key={self.private.hex()}\nlisten_port={PORT}\n\n") == "errno=0\n\n"
        namespace.ip("address", "add", "10.99.0.1/24", "dev", name)
        namespace.ip("link", "set", name, "up")
        child.expect("interface up", 5)

    def address(self, place, link, address):
        place.ip("address", "add", address, "dev", link)
        place.ip("link", "set", link, "up")

    def setting(self, place, conf, setting, value):
        place.run("sh", "-c", f"echo {value} >/proc/sys/net/ipv4/conf/{conf}/{setting}")

    def default(self, wan, *more):
        self.place.ip("route", "add", "default", "via", f"{WANS[wan]}.1", "dev", wan, *more)

    def rules(self):
        """Give each address of the daemon's machine a table of its own, as many routers have it."""
        for wan, table in (("wan0", "100"), ("wan1", "101")):
            self.default(wan, "table", table)
            self.place.ip("rule", "add", "from", f"{WANS[wan]}.2", "table", table)

    def caller(self, target):
        """A client that knows where the daemon is, and is not known."""
        other = Counterpart(self.client, wire.public_key(self.private), (target, PORT), address=CLIENT)
        self.others.append(other)
        allowed = f"public_key={other.mine.public.hex()}\nallowed_ip=10.99.0.2/32\n"
        assert ask(self.name, f"set=1\n{allowed}\n") == "errno=0\n\n"
        return other

    def called(self):
        """A server for the daemon to call."""
        other = self.caller("192.0.2.99")
        other.peer.addr = None
        endpoint = f"public_key={other.mine.public.hex()}\nendpoint={CLIENT}:{other.port}\n"
        assert ask(self.name, f"set=1\n{endpoint}\n") == "errno=0\n\n"
        return other

    def send(self, mark):
        with self.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark, ("10.99.0.2", 53))

    def sender_of(self, other):
        """Have the daemon send a packet, and return the address that it came from.

        It is sent again each second: one that leaves before the daemon has heard of a change of routes can be lost.
        """
        mark, begin, sent = os.urandom(8), time.monotonic(), 0

        def arrives():
            nonlocal sent
            if time.monotonic() >= begin + sent:
                self.send(mark)
                sent += 1
            return any(packet.endswith(mark) for packet in other.mine.got)

        other.until(arrives, 10)
        return other.senders[-1][0]

    def close(self):
        for other in self.others:
            other.close()
        self.router.close()
        self.client.close()


@pytest.fixture
def world(namespace, name, command):
    world = World(namespace, name, command)
    yield world
    world.close()


@pytest.mark.parametrize("rp_filter", [0, 2])
def test_in_by_one_link_and_out_by_the_other(world, rp_filter):
    """The only route to the client leaves by another link than its datagrams come in by."""
    for conf in ("all", *WANS):
        world.setting(world.place, conf, "rp_filter", rp_filter)
    world.default("wan1")
    other = world.caller("192.0.2.2")
    other.talk()
    assert other.senders[-1][0] == "203.0.113.2", "as Linux: by the route, with its address"


def test_answers_take_the_link_that_was_called(world):
    """Both networks lead to the client. It called at the dearer one, and may be behind a NAT."""
    world.default("wan0", "metric", "10")
    world.default("wan1", "metric", "20")
    other = world.caller("203.0.113.2")
    other.is_natted = True
    other.talk()
    assert world.sender_of(other) == "203.0.113.2"


EVENTS = {
    "route elsewhere": (("route", "add", "10.50.0.0/16", "via", "192.0.2.1"), ("route", "del", "10.50.0.0/16")),
    "route in another table": (
        ("route", "add", "default", "via", "203.0.113.1", "table", "77"),
        ("route", "del", "default", "table", "77"),
    ),
    "rule": (("rule", "add", "fwmark", "0x77", "table", "77"), ("rule", "del", "fwmark", "0x77", "table", "77")),
    "dearer default": (
        ("route", "add", "default", "via", "203.0.113.1", "metric", "900"),
        ("route", "del", "default", "via", "203.0.113.1", "metric", "900"),
    ),
    "address": (("address", "add", "192.0.2.77/24", "dev", "wan0"), ("address", "del", "192.0.2.77/24", "dev", "wan0")),
    "IPv6 address": (("address", "add", "fd55::1/64", "dev", "wan1"), ("address", "del", "fd55::1/64", "dev", "wan1")),
    "link": (("link", "add", "new", "type", "veth"), ("link", "del", "new")),
    "other link down": (("link", "set", "wan1", "down"), ("link", "set", "wan1", "up")),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_what_changes_nothing_for_a_peer_loses_no_packet(world, event):
    """The client called the second address of the link, is behind a NAT, and is silent: all that is sent to it arrives."""
    world.default("wan0")
    world.place.ip("address", "add", "192.0.2.7/24", "dev", "wan0")
    other = world.caller("192.0.2.7")
    other.is_natted = True
    other.talk()
    marks = []
    for n in range(40):
        if n % 10 == 5:
            world.place.ip(*event[n // 10 % 2])
        marks.append(b"%8d" % n)
        world.send(marks[-1])
        time.sleep(0.02)
    other.until(lambda: any(packet.endswith(marks[-1]) for packet in other.mine.got), 10)
    assert [mark for mark in marks if not any(packet.endswith(mark) for packet in other.mine.got)] == []


def test_a_source_that_goes_is_left(world):
    world.default("wan0")
    world.place.ip("address", "add", "192.0.2.7/24", "dev", "wan0")
    other = world.caller("192.0.2.7")
    other.talk()
    assert world.sender_of(other) == "192.0.2.7"
    world.place.ip("address", "del", "192.0.2.7/24", "dev", "wan0")
    assert world.sender_of(other) == "192.0.2.2"


@pytest.mark.parametrize("has_rules", [False, True])
def test_who_calls_takes_the_best_link(world, has_rules):
    """The other network when the first fails, and the first again when it is back; rules for old addresses or not."""
    if has_rules:
        world.rules()
    world.default("wan0", "metric", "10")
    world.default("wan1", "metric", "20")
    other = world.called()
    assert world.sender_of(other) == "192.0.2.2"
    world.place.ip("route", "del", "default", "metric", "10")
    poll(lambda: world.sender_of(other) == "203.0.113.2", 5)
    other.talk()
    assert world.sender_of(other) == "203.0.113.2"
    world.default("wan0", "metric", "10")
    poll(lambda: world.sender_of(other) == "192.0.2.2", 5)


def test_who_is_called_stays_where_a_rule_leads_it(world):
    """Of a machine whose addresses have tables of their own, the best link changes, and nothing for this client."""
    world.default("wan0", "metric", "10")
    world.rules()
    other = world.caller("203.0.113.2")
    other.is_natted = True
    other.talk()
    world.place.ip("route", "del", "default", "metric", "10")
    world.default("wan0", "metric", "30")
    time.sleep(0.3)
    assert world.sender_of(other) == "203.0.113.2"


def test_a_link_that_fails_while_a_client_is_there(world):
    """The client called at the first network; that loses its route, and what is sent takes the second."""
    world.default("wan0", "metric", "10")
    world.default("wan1", "metric", "20")
    other = world.caller("192.0.2.2")
    other.talk()
    assert world.sender_of(other) == "192.0.2.2"
    world.place.ip("route", "del", "default", "metric", "10")
    poll(lambda: world.sender_of(other) == "203.0.113.2", 5)


def test_a_storm_of_routes(world, tmp_path):
    """Routes change all the time, as with a routing daemon; the peer is where it was, and its packets pass."""
    world.default("wan0")
    other = world.caller("192.0.2.2")
    other.is_natted = True
    other.talk()
    lines = [f"route {verb} 10.{n >> 8}.{n & 255}.0/24 via 203.0.113.1\n" for n in range(2000) for verb in ("add", "del")]
    batch = tmp_path / "routes"
    batch.write_text("".join(lines))
    storm = world.place.spawn("ip", "-batch", batch)
    for _ in range(200):
        assert world.sender_of(other) == "192.0.2.2"
    storm.wait(60)
    assert world.sender_of(other) == "192.0.2.2"
