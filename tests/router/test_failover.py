"""Several endpoints of a peer, on real daemons: one is cut off, and comes back."""

import base64
import json
import re

import pytest

from ..lab import net, peers, relay, traffic
from ..lab.need import need, programs
from ..lab.router import peer, rest

INSIDE = "10.77.0.2"
FIRST, SECOND = "192.0.2.2", "192.0.2.3"
# 15 to 20 s until silence is noticed, and an attempt of 5 s and jitter by each endpoint.
SWITCH_S = 20 + 6 + 6


@pytest.fixture
def two_addresses(harness):
    """A pair whose far end has two addresses."""
    need(programs, "nft")
    pair = harness.pair()
    harness.far.place.ip("addr", "add", f"{SECOND}/24", "dev", "outer")
    pair.start_far()
    return pair


def cut(place, address, is_deaf=False):
    """Drop all datagrams to and from the address, or only those to it."""
    place.run("nft", "add", "table", "inet", "cut")
    place.run("nft", "add", "chain", "inet", "cut", "in", "{ type filter hook input priority 0; }")
    place.run("nft", "add", "rule", "inet", "cut", "in", "ip", "daddr", address, "udp", "dport", "1-65535", "drop")
    if not is_deaf:
        place.run("nft", "add", "chain", "inet", "cut", "out", "{ type filter hook output priority 0; }")
        place.run("nft", "add", "rule", "inet", "cut", "out", "ip", "saddr", address, "udp", "sport", "1-65535", "drop")


def mend(place):
    place.run("nft", "delete", "table", "inet", "cut")


def peer_of(pair, **options):
    endpoints = [f"{FIRST}:{pair.far.port}", f"{SECOND}:{pair.far.port}"]
    return pair.peer(family=None, endpoint_host=endpoints, **options)


def statuses(pair):
    """The peers in the JSON of `wgembed status`."""
    command = [*pair.router.command, "status", "--interval=0", "--json", pair.name]
    text = pair.router.place.run(*command)[1]
    return json.loads(text)["interfaces"][0]["peers"]


def status(pair):
    return statuses(pair)[0]


def endpoint(pair):
    return pair.router.dump(pair.name)[1][2].partition(":")[0]


def test_the_next_endpoint_is_used_and_then_the_first_again(harness, two_addresses):
    pair, place = two_addresses, harness.near.place
    pair.router.start(pair.interface(), peer_of(pair, failback_time=12))
    traffic.reach(place, INSIDE)
    assert endpoint(pair) == FIRST
    cut(harness.far.place, FIRST)
    begin = net.time.monotonic()
    traffic.reach(place, INSIDE, within=SWITCH_S + 5)
    assert net.time.monotonic() - begin < SWITCH_S
    assert endpoint(pair) == SECOND
    seen = status(pair)
    assert seen["endpoint_choices"] == [f"{FIRST}:{pair.far.port}", f"{SECOND}:{pair.far.port}"]
    assert seen["failover"]["switches"] == 1 and seen["failover"]["reason"] == "no_answer"
    assert seen["endpoint_host"] == f"{SECOND}:{pair.far.port}"
    mend(harness.far.place)
    # No packet is lost while the first endpoint is tested and used again. A failed test may have come before.
    pings = traffic.ping(place, INSIDE, count=150, interval=0.2)
    net.poll(lambda: endpoint(pair) == FIRST, 90, what="the first endpoint")
    assert pings.lost == 0
    seen = status(pair)
    assert seen["failover"]["switches"] == 2 and seen["failover"]["reason"] == "answers_again"
    assert "answers again" in pair.router.log()


def test_an_endpoint_that_hears_nothing(harness, two_addresses):
    """The peer calls from there, but our answers do not arrive."""
    pair, place = two_addresses, harness.near.place
    pair.router.start(pair.interface(), peer_of(pair, failback_time=600))
    traffic.reach(place, INSIDE)
    cut(harness.far.place, FIRST, is_deaf=True)
    traffic.reach(place, INSIDE, within=60)
    assert endpoint(pair) == SECOND


class Hub:
    """A second hub with another key, on a network of its own behind the router."""

    ADDRESS = "198.51.100.2"

    def __init__(self, harness, pair):
        self.place = harness.namespace()
        near = harness.near.place
        near.ip("link", "add", "outer2", "type", "veth", "peer", "name", "outer", "netns", self.place.name)
        near.ip("addr", "add", "198.51.100.1/24", "dev", "outer2")
        near.ip("link", "set", "outer2", "up")
        self.place.ip("addr", "add", f"{self.ADDRESS}/24", "dev", "outer")
        self.place.ip("link", "set", "outer", "up")
        site = net.Site(self.place, "outer", 2)
        site.outer[4] = self.ADDRESS
        self.daemon = peers.WireguardGo(site, 51822)
        harness.closing(self.daemon.end)
        self.daemon.addresses = [f"{INSIDE}/24"]
        self.daemon.start()
        self.daemon.load(
            f"[Interface]\nPrivateKey = {base64.b64encode(self.daemon.private).decode()}\nListenPort = 51822\n"
            f"[Peer]\nPublicKey = {pair.keys.public}\nAllowedIPs = 10.77.0.1/32\n"
        )
        self.daemon.raise_()

    def section(self, pair, **options):
        return peer(pair.name, public_key=self.daemon.key, endpoint_host=self.ADDRESS, endpoint_port=51822,
                    backup_of="hub", **options)  # fmt: skip


def owner(pair):
    """The public key of the peer with the address INSIDE."""
    [key] = [line[0] for line in pair.router.dump(pair.name)[1:] if f"{INSIDE}/32" in line[3].split(",")]
    return key


@pytest.mark.parametrize("keepalive", [0, 5])
def test_a_backup_gets_the_allowed_ips_and_gives_them_back(harness, keepalive):
    need(programs, "nft")
    pair, place = harness.pair(), harness.near.place
    pair.start_far()
    hub = Hub(harness, pair)
    first = pair.peer(description="hub", failback_time=12, route_allowed_ips=1)
    pair.router.start(pair.interface(), first, hub.section(pair, persistent_keepalive=keepalive))
    traffic.reach(place, INSIDE)
    assert owner(pair) == pair.far.key
    routes = place.ip("route", "show", "dev", pair.name)
    cut(harness.far.place, FIRST)
    begin = net.time.monotonic()
    traffic.reach(place, INSIDE, within=SWITCH_S + 5)
    assert net.time.monotonic() - begin < SWITCH_S
    assert owner(pair) == hub.daemon.key and place.ip("route", "show", "dev", pair.name) == routes
    assert [one["backup"]["role"] for one in statuses(pair)] == ["standby", "active"]
    assert statuses(pair)[0]["state"] == "standby" and statuses(pair)[0]["failover"]["switches"] == 1
    # A reload changes nothing.
    more = pair.peer(description="hub", failback_time=12, route_allowed_ips=1, allowed_ips=["10.77.0.2/32", "10.99.0.0/24"])
    pair.router.reload(pair.interface(), more, hub.section(pair, persistent_keepalive=keepalive))
    assert owner(pair) == hub.daemon.key and traffic.ping(place, INSIDE).lost == 0
    assert statuses(pair)[1]["allowed_ips"] == ["10.77.0.2/32", "10.99.0.0/24"]
    mend(harness.far.place)
    pings = traffic.ping(place, INSIDE, count=150, interval=0.2)
    net.poll(lambda: owner(pair) == pair.far.key, 90, what="the first peer")
    assert pings.lost == 0 and traffic.ping(place, INSIDE).lost == 0
    assert statuses(pair)[0]["failover"]["reason"] == "answers_again"
    # Without the backup, the first peer keeps what it has.
    pair.router.reload(pair.interface(), more)
    assert owner(pair) == pair.far.key and traffic.ping(place, INSIDE).lost == 0


def test_the_backup_is_removed_while_it_is_in_use(harness):
    need(programs, "nft")
    pair, place = harness.pair(), harness.near.place
    pair.start_far()
    hub = Hub(harness, pair)
    first = pair.peer(description="hub", endpoint_host="192.0.2.77")
    pair.router.start(pair.interface(), first, hub.section(pair))
    traffic.reach(place, INSIDE, within=20)
    assert owner(pair) == hub.daemon.key
    pair.router.reload(pair.interface(), pair.peer(description="hub"))
    traffic.reach(place, INSIDE)
    assert owner(pair) == pair.far.key


def answers_no_pings(place):
    """Let the machine drop pings that come out of its tunnel, and answer all else."""
    place.run("nft", "add", "table", "inet", "mute")
    place.run("nft", "add", "chain", "inet", "mute", "in", "{ type filter hook input priority 0; }")
    for word in ("icmp", "icmpv6"):
        place.run("nft", "add", "rule", "inet", "mute", "in", word, "type", "echo-request", "drop")


def answers_pings(place):
    place.run("nft", "delete", "table", "inet", "mute")


@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2"])
def test_a_hub_that_answers_handshakes_and_no_pings(harness, address):
    """Its backup is used, and the reason is shown. Pings that others sent have their answers."""
    need(programs, "nft")
    pair, place = harness.pair(), harness.near.place
    pair.start_far()
    hub = Hub(harness, pair)
    hub.place.ip("addr", "add", "fd77::2/64", "dev", hub.daemon.interface)
    pair_of_hub = f"10.77.0.1/32,{pair.INSIDE['near'][1]}/128"
    hub.place.run("wg", "set", hub.daemon.interface, "peer", pair.keys.public, "allowed-ips", pair_of_hub)
    first = pair.peer(description="hub", ping_check=address, ping_interval=2, failback_time=0)
    pair.router.start(pair.interface(), first, hub.section(pair))
    traffic.reach(place, INSIDE)
    net.poll(lambda: statuses(pair)[0]["ping"]["answer_ms"] is not None, 10, what="the first answer")
    seen = statuses(pair)[0]
    assert seen["ping"] == {"address": address, "lost": 0, "answer_ms": seen["ping"]["answer_ms"]}
    assert 0 <= seen["ping"]["answer_ms"] < 1000 and seen["failover"]["switches"] == 0
    assert traffic.ping(place, address, count=20, interval=0.2).lost == 0
    answers_no_pings(harness.far.place)
    net.poll(lambda: owner(pair) == hub.daemon.key, 20, what="the backup")
    net.poll(lambda: statuses(pair)[1]["ping"]["lost"] == 0, 10, what="an answer through the backup")
    assert [one["backup"]["role"] for one in statuses(pair)] == ["standby", "active"]
    assert statuses(pair)[1]["failover"]["reason"] == "no_ping"
    assert "is in use now: no answer to ping through the one before" in pair.router.log()
    assert traffic.ping(place, address).lost == 0
    text = place.run(*pair.router.command, "status", "--interval=0", pair.name)[1]
    assert "because of no answer to ping through the one before; 1 switches" in text and f"    ping {address}: " in text


def test_an_address_that_answers_by_no_endpoint(harness, two_addresses):
    """The tunnel works, and does not change all the time."""
    pair, place = two_addresses, harness.near.place
    pair.router.start(pair.interface(), peer_of(pair, ping_check=INSIDE, ping_interval=2, failback_time=0))
    traffic.reach(place, INSIDE)
    answers_no_pings(harness.far.place)
    net.poll(lambda: status(pair)["failover"]["switches"] == 2, 60, what="a switch to each endpoint")
    rest(20)
    seen = status(pair)
    assert seen["failover"]["switches"] == 2 and seen["ping"]["lost"] > 5 and seen["state"] == "up"
    assert "no answer to ping from" in place.run(*pair.router.command, "status", "--interval=0", pair.name)[1]
    answers_pings(harness.far.place)
    net.poll(lambda: status(pair)["ping"]["lost"] == 0, 10, what="an answer")


def test_the_fastest_endpoint_is_used(harness, two_addresses):
    """The first one is behind a relay that takes 80 ms for a round trip."""
    pair, place = two_addresses, harness.near.place
    slow = relay.Relay(harness.far, 51999, pair.far.port)
    harness.closing(slow.close)

    def late(is_back, datagram):
        net.time.sleep(0.04)
        return (datagram,)

    slow.change = late
    endpoints = [f"{FIRST}:51999", f"{SECOND}:{pair.far.port}"]
    section = pair.peer(family=None, endpoint_host=endpoints, endpoint_order="fastest", failback_time=12)
    pair.router.start(pair.interface(), section)
    traffic.reach(place, INSIDE)
    assert endpoint(pair) == FIRST
    pings = place.spawn("ping", "-n", "-i", "0.5", "-c", "300", "-w", "150", INSIDE)
    net.poll(lambda: endpoint(pair) == SECOND, 120, what="the second endpoint")
    assert " time=8" in pings.text()
    seen, text = status(pair), place.run(*pair.router.command, "status", "--interval=0", pair.name)[1]
    times = [seen["endpoint_times_ms"][one] for one in endpoints]
    assert times[0] >= 80 > times[1] + 20, times
    assert seen["failover"]["reason"] == "answers_faster" and seen["failover"]["switches"] == 1
    assert f"answers: {endpoints[1]} in {times[1]} ms, {endpoints[0]} in " in text
    assert "is in use now: it answers faster" in pair.router.log()
    rest(3)
    numbers = [int(number) for number in re.findall(r"icmp_seq=(\d+) ", pings.text())]
    assert numbers == list(range(1, len(numbers) + 1)), "no ping is lost"
    pings.stop()
