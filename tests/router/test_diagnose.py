"""What `wgembed diagnose` says of a router's tunnels: what the configuration and the network make wrong."""

import json

import pytest

from ..lab import traffic
from ..lab.net import poll
from ..lab.router import Keys


def ask(harness, pair, *arguments):
    return harness.near.place.run(*harness.command, *arguments, pair.name, check=False, timeout=60)[1]


def sentences(harness, pair):
    return [line.strip() for line in ask(harness, pair, "diagnose").split("\n") if line.startswith("  ")]


def state(harness, pair):
    return json.loads(ask(harness, pair, "status", "--json", "--interval", "0"))["interfaces"][0]["peers"][0]["state"]


def test_nothing_is_wrong(harness):
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer())
    traffic.reach(harness.near.place, "10.77.0.2")
    assert sentences(harness, pair) == ["no problem found", "no problem found"]


def test_a_name_that_does_not_resolve(harness):
    names = harness.names()
    pair = harness.pair(prefix=names.prefix)
    names.set("vpn.example.org")
    pair.router.start(pair.interface(), pair.peer(endpoint_host="vpn.example.org"))
    assert sentences(harness, pair)[1:] == [
        "The peer's endpoint_host vpn.example.org cannot be resolved. Check the DNS of this machine."
    ]
    assert state(harness, pair) == "name not resolved"
    names.set("vpn.example.org 192.0.2.2")
    pair.start_far()
    traffic.reach(harness.near.place, "10.77.0.2")
    assert sentences(harness, pair)[1:] == ["no problem found"]
    [interface] = json.loads(ask(harness, pair, "status", "--json"))["interfaces"]
    assert interface["peers"][0]["endpoint_host"] == "vpn.example.org:51821"


def test_the_endpoint_lies_in_the_tunnel(harness):
    """nohostroute, and no default route of the tunnel: nothing keeps the endpoint outside."""
    harness.near.place.ip("route", "add", "203.0.113.0/24", "via", "192.0.2.2")
    pair = harness.pair()
    allowed = ["203.0.113.0/25", "10.77.0.2/32"]
    pair.router.start(
        pair.interface(nohostroute=1), pair.peer(endpoint_host="203.0.113.1", allowed_ips=allowed, route_allowed_ips=1)
    )
    poll(lambda: pair.name in harness.near.place.ip("route", "get", "203.0.113.1"), 5)
    assert sentences(harness, pair)[1] == (
        f"The route to the peer's endpoint 203.0.113.1:51821 leads into {pair.name} itself. Add a host route, or set "
        "nohostroute '0'."
    )


def test_two_peers_with_the_same_allowed_ips(harness):
    pair = harness.pair()
    pair.router.start(pair.interface(), pair.peer(), pair.other_peer(1, allowed_ips=["10.77.0.2/32", "10.78.1.0/24"]))
    assert sentences(harness, pair)[1].startswith("Another peer has some of the same allowed_ips, and got them")


@pytest.mark.parametrize("theirs", [None, Keys().public], ids=["missing", "other"])
def test_preshared_keys_that_differ(harness, theirs):
    pair = harness.pair()
    pair.start_far()
    if theirs:
        pair.far.tool("set", pair.far.interface, "peer", pair.keys.public, "preshared-key", "/dev/stdin", input=theirs)
    pair.router.start(pair.interface(), pair.peer(preshared_key=Keys().public))
    traffic.ping(harness.near.place, "10.77.0.2", count=1)
    assert sentences(harness, pair)[1].startswith(
        "The peer answers, but its answer cannot be decrypted. Set the same preshared_key"
    )
    assert state(harness, pair) == "key mismatch"


def test_the_port_is_closed(harness):
    pair = harness.pair()
    pair.router.start(pair.interface(), pair.peer())
    traffic.ping(harness.near.place, "10.77.0.2", count=7, interval=1)
    assert sentences(harness, pair)[1].startswith(
        "The peer's endpoint 192.0.2.2:51821 cannot be reached: no program listens on the port"
    )
