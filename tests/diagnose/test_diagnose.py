"""Why a tunnel is down: each cause is made for real, and the sentence is the one that helps."""

import base64
import json
import socket
import sys
import time

import pytest

from ..lab import faketime, traffic, wire
from ..lab.need import need
from ..lab.net import poll

OTHER = base64.b64encode(wire.public_key(b"\7" * 32)).decode()


def begins(sentences, *beginnings):
    """The first sentences are these."""
    assert [s[: len(b)] for s, b in zip(sentences, beginnings, strict=False)] == list(beginnings), sentences


def setconf(peer, text):
    peer.tool("setconf", peer.interface, "/dev/stdin", input=text)


def start(broken, knowing=None, family=4):
    broken.tunnel.start(knowing if knowing is not None else (broken.near, broken.far), family)


@pytest.mark.side_by_side
def test_nothing_is_wrong(broken):
    start(broken)
    broken.tunnel.reach(broken.near)
    assert broken.diagnose(broken.near) == ["no problem found", "no problem found"]
    assert broken.diagnose(broken.far, broken.near.key) == ["no problem found"]
    assert broken.status(broken.near) == "up"


@pytest.mark.side_by_side
def test_in_another_network_namespace(broken):
    """Neither its own routes nor pings are evidence in this one."""
    start(broken)
    broken.tunnel.reach(broken.near)
    name, third = broken.near.interface, broken.namespace()
    broken.near.place.ip("link", "set", name, "netns", third.name)
    down = f"The interface is down, in another network namespace. Run `ip link set {name} up` there."
    poll(lambda: broken.diagnose(broken.near) == [down], 10)
    third.ip("address", "add", broken.tunnel.inside(broken.near) + "/24", "dev", name)
    third.ip("link", "set", name, "up")
    third.run(*traffic.ping_command(broken.tunnel.inside(broken.far), count=1, patience=5))
    note = "The interface is in another network namespace. Its encrypted packets leave from this one."
    assert broken.diagnose(broken.near) == [note, "no problem found"]
    command = [sys.executable, "-m", "wgembed", "status", "--interval", "0"]
    assert ", in another network namespace, public key " in broken.run(command, broken.near, name)
    assert json.loads(broken.run([*command, "--json"], broken.near, name))["interfaces"][0]["other_namespace"] is True


# Keys


@pytest.mark.side_by_side
def test_wrong_public_key_of_the_peer_here(broken):
    """It is for another key: mac1 fails over there."""
    start(broken, knowing=(broken.near,))
    text = broken.tunnel.configuration(broken.near, 4).replace(broken.far.key, OTHER)
    setconf(broken.near, text)
    broken.send(broken.near, 2, 5.5)
    told = broken.diagnose(broken.near, OTHER)
    begins(told, "The peer does not answer at 192.0.2.2:51821, after 2 handshakes.")
    assert OTHER in told[0] and broken.near.key in told[0]
    begins(
        broken.diagnose(broken.far),
        "Handshakes arrive from 192.0.2.1:51820 for another public key than ours. On that machine, the public_key of "
        "this end must be " + broken.far.key,
    )


@pytest.mark.side_by_side
def test_unknown_key(broken):
    """Our key is not configured over there."""
    start(broken, knowing=(broken.near,))
    setconf(broken.far, broken.tunnel.configuration(broken.far).replace(broken.near.key, OTHER))
    broken.send(broken.near, 2, 5.5)
    begins(
        broken.diagnose(broken.near), "no problem found", "The peer does not answer at 192.0.2.2:51821, after 2 handshakes"
    )
    begins(
        broken.diagnose(broken.far),
        f"Handshakes arrive from 192.0.2.1:51820 with the unknown public key {broken.near.key}. If",
        "The peer has no endpoint here, and it has not started",
    )
    assert broken.status(broken.far) == "waiting for peer"


@pytest.mark.side_by_side
def test_unknown_key_from_a_known_endpoint(broken):
    start(broken)
    text = broken.tunnel.configuration(broken.far, 4).replace(broken.near.key, OTHER)
    setconf(broken.far, text)
    broken.send(broken.near, 1)
    broken.send(broken.far, 2, 5.5)
    begins(
        broken.diagnose(broken.far, OTHER),
        f"Handshakes from the peer's endpoint have the public key {broken.near.key}, but here the peer has {OTHER}.",
    )


@pytest.mark.side_by_side
def test_wrong_preshared_key(broken):
    start(broken)
    text = broken.tunnel.configuration(broken.near, 4) + "PresharedKey = " + OTHER + "\n"
    setconf(broken.near, text)
    broken.send(broken.near, 2, 5.5)
    begins(
        broken.diagnose(broken.near, broken.far.key),
        "The peer answers, but its answer cannot be decrypted. Set the same preshared_key",
    )
    begins(broken.diagnose(broken.far, broken.near.key), "The peer started 2 handshakes and used none of our answers.")
    assert broken.status(broken.near) == broken.status(broken.far) == "key mismatch"


@pytest.mark.side_by_side
def test_the_interface_has_no_key(broken):
    start(broken)
    broken.near.tool("set", broken.near.interface, "private-key", "/dev/null")
    begins(broken.diagnose(broken.near), "The interface has no private key")
    assert broken.status(broken.near) == "no private key"


@pytest.mark.side_by_side
def test_clock_behind_the_peers_memory(broken):
    """The peer has taken a later handshake than ours can be."""
    past = need(faketime.environment, "@2020-01-01 00:00:00")
    start(broken, knowing=(broken.near,))
    ahead = wire.initiation(broken.near.private, broken.far.public, wire.tai64n(time.time() + 5000))
    with broken.far_site.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(ahead, ("192.0.2.2", broken.far.port))
    broken.send(broken.near, 2, 5.5)
    begins(broken.diagnose(broken.far, broken.near.key), "The peer's handshake timestamps went backwards: its clock")
    begins(
        broken.diagnose(broken.near, broken.far.key, prefix=["env", *(f"{name}={value}" for name, value in past.items())]),
        "The clock of this machine was never set. A peer does not answer handshakes older",
        "The peer does not answer at 192.0.2.2:51821, after 2 handshakes",
    )


# Endpoints


@pytest.mark.side_by_side
def test_no_endpoint(broken):
    start(broken, knowing=())
    assert broken.diagnose(broken.near, broken.far.key) == [
        "The peer has no endpoint here, and it has not started a handshake. Set its endpoint_host, or ping from the peer."
    ]
    assert broken.status(broken.near) == "waiting for peer"


@pytest.mark.side_by_side
def test_the_port_is_closed(broken):
    start(broken)
    broken.near.set_endpoint(broken.far, broken.far_site.endpoint(4, 9))
    broken.send(broken.near, 2, 5.5)
    assert broken.diagnose(broken.near, broken.far.key) == [
        "The peer's endpoint 192.0.2.2:9 cannot be reached: no program listens on the port (port unreachable)."
    ]


@pytest.mark.side_by_side
@pytest.mark.parametrize("family", [4, 6])
def test_no_such_host(broken, family):
    start(broken, family=family)
    nobody = {4: "192.0.2.99:7", 6: "[2001:db8::99]:7"}[family]
    broken.near.set_endpoint(broken.far, nobody)
    broken.send(broken.near, 2, 5.5)
    told = broken.diagnose(broken.near, broken.far.key)
    begins(told, f"The peer's endpoint {nobody} cannot be reached: there is no route, or the host")


@pytest.mark.side_by_side
def test_no_route(broken):
    start(broken)
    broken.near.set_endpoint(broken.far, "203.0.113.1:7")
    broken.send(broken.near)
    begins(broken.diagnose(broken.near, broken.far.key), "Datagrams to 203.0.113.1:7 cannot be sent: there is no route.")
    assert broken.status(broken.near) == "no route"


@pytest.mark.side_by_side
def test_a_firewall_of_this_machine(broken):
    """A prohibiting route stands for it: both refuse to send."""
    start(broken)
    broken.near.place.ip("route", "add", "prohibit", "192.0.2.2/32")
    broken.send(broken.near)
    told = broken.diagnose(broken.near, broken.far.key)
    begins(told, "Datagrams to 192.0.2.2:51821 cannot be sent: a firewall on the path or on this machine rejects them.")
    assert broken.status(broken.near) == "sending fails"


@pytest.mark.side_by_side
def test_endpoint_in_the_tunnel_itself(broken):
    start(broken)
    place = broken.near.place
    broken.near.set_endpoint(broken.far, "203.0.113.1:7")
    place.ip("route", "add", "203.0.113.0/24", "dev", broken.near.interface)
    broken.send(broken.near)
    begins(
        broken.diagnose(broken.near, broken.far.key),
        f"The route to the peer's endpoint 203.0.113.1:7 leads into {broken.near.interface} itself",
    )


@pytest.mark.side_by_side
def test_the_interface_is_down(broken):
    start(broken)
    broken.near.place.ip("link", "set", broken.near.interface, "down")
    name = broken.near.interface
    assert broken.diagnose(broken.near)[0] == f"The interface is down. Run `ip link set {name} up`."
    assert broken.status(broken.near) == "down"


@pytest.mark.side_by_side
def bound(other):
    """Take the port, once the daemon has left it; whether that succeeded."""
    try:
        other.bind(("0.0.0.0", 51820))
    except OSError:
        return False
    return True


def test_the_port_is_taken(broken):
    """`ip link set up` does not help: the link is up, and the daemon waits for the port."""
    start(broken)
    name, place = broken.near.interface, broken.near.place
    place.ip("link", "set", name, "down")
    with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        poll(lambda: bound(other), 5, what="the port")
        place.ip("link", "set", name, "up")
        told = broken.diagnose(broken.near)[0]
        assert broken.status(broken.near) == "down"
    assert told == (
        "The interface is down because port 51820 cannot be used: Address already in use (98). Choose another listen_port, "
        "or stop the program that uses the port."
    )


# What comes back


@pytest.mark.side_by_side
def test_one_way_traffic(broken):
    """It hears us, and what it sends back is not routed into its tunnel."""
    start(broken)
    for setting in ("ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"):
        broken.far.place.run("sh", "-c", f"echo 1 > /proc/sys/net/{setting}")
    broken.send(broken.near, 16, 1)
    begins(broken.diagnose(broken.near, broken.far.key), "The peer receives our packets but sends nothing back")
    begins(
        broken.diagnose(broken.far, broken.near.key),
        "The peer's packets arrive, but this machine sends nothing back",
    )


@pytest.mark.side_by_side
def test_nothing_comes_back_after_the_handshake(broken):
    """A NAT or firewall lets the handshake through and nothing else."""
    start(broken)
    broken.relay(lambda is_back, datagram: not is_back or datagram[0] != 4)
    broken.send(broken.near, 18, 1)
    begins(broken.diagnose(broken.near, broken.far.key), "Handshakes succeed, but no data comes back: a firewall")


def test_the_peer_is_under_load(broken):
    """It answers with cookies: a flood of handshakes with a good mac1 makes it so."""
    start(broken, knowing=(broken.near,))
    messages = wire.anonymous_initiations(broken.far.public)
    with wire.Flood(broken.far_site.place, 4, ("192.0.2.2", broken.far.port), messages) as flood:
        poll(lambda: flood.cookies, 10, what="load")
        # Between two bursts of the flood it may have a quiet moment, and answer: then once more.
        for _ in range(5):
            broken.send(broken.near)
            told = broken.diagnose(broken.near, broken.far.key)
            if told != ["no problem found"]:
                break
            broken.near.restart()
        begins(told, "The peer is under load and answers with cookies")
        assert broken.status(broken.near) == "peer under load"


@pytest.mark.side_by_side
def test_packets_from_an_address_that_is_not_allowed(broken):
    start(broken)
    broken.tunnel.reach(broken.near)
    place = broken.far.place
    place.ip("addr", "add", "10.99.0.1/32", "dev", broken.far.interface)
    place.run("ping", "-n", "-c", "1", "-W", "1", "-I", "10.99.0.1", "10.77.0.1", check=False)
    begins(
        broken.diagnose(broken.near, broken.far.key),
        "Packets of the peer from 10.99.0.1 are dropped because this address is not in its allowed_ips.",
    )


@pytest.mark.side_by_side
def test_packets_to_an_address_that_is_unroutable(broken):
    start(broken)
    broken.tunnel.reach(broken.near)
    broken.near.place.ip("route", "add", "10.98.0.0/24", "dev", broken.near.interface)
    broken.send(broken.near, address="10.98.0.7")
    begins(broken.diagnose(broken.near), "Packets to 10.98.0.7 are dropped because no peer has")


@pytest.mark.side_by_side
def test_overlapping_allowed_ips(broken):
    start(broken)
    broken.near.tool("set", broken.near.interface, "peer", OTHER, "allowed-ips", "10.77.0.2/32")
    begins(
        broken.diagnose(broken.near, broken.far.key),
        "Another peer has some of the same allowed_ips, and got them. Give each network to one peer only.",
    )


@pytest.mark.side_by_side
def test_no_allowed_ips(broken):
    start(broken)
    broken.near.tool("set", broken.near.interface, "peer", broken.far.key, "allowed-ips", "")
    begins(broken.diagnose(broken.near, broken.far.key), "The peer has no allowed_ips, so no packets can go to it")
    assert broken.status(broken.near) == "no allowed ips"


@pytest.mark.side_by_side
def test_a_black_hole_for_large_packets(broken):
    start(broken)
    broken.relay(lambda is_back, datagram: len(datagram) <= 1332)
    broken.tunnel.reach(broken.near)
    # 1332 bytes hold a packet of 1300, which is padded to a multiple of 16.
    begins(broken.diagnose(broken.near, broken.far.key), "Packets of more than 1296 bytes are lost on the path")


@pytest.mark.side_by_side
def test_mtu_that_the_link_cannot_take(broken):
    start(broken)
    broken.tunnel.reach(broken.near)
    broken.near.place.ip("link", "set", "outer", "mtu", "1400")
    told = broken.diagnose(broken.near, broken.far.key)
    begins(told, "MTU 1420 is too large for the path to the peer's endpoint. Set option mtu '1340'")


@pytest.mark.side_by_side
def test_two_devices_with_the_same_key(broken):
    """The same private key at two places: the far end sees its peer jump."""
    start(broken)
    twin = broken.twin()
    twin.start()
    twin.load(broken.tunnel.configuration(broken.near, 4))
    twin.addresses = broken.near.addresses
    twin.raise_()
    broken.tunnel.reach(broken.near)
    traffic.reach(twin.place, "10.77.0.2")
    # From now on each takes the answers away from the other.
    for daemon in (broken.near, twin, broken.near, twin):
        traffic.ping(daemon.place, "10.77.0.2", count=1, patience=1)
    begins(broken.diagnose(broken.far, broken.near.key), "The peer's address changed")
