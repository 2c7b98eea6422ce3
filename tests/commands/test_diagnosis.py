"""The rules of diagnose, on what a daemon could tell: above all where nothing is wrong, and where a cause is another's."""

import pytest

from wgembed.commands import diagnosis, status_model
from wgembed.commands.host_facts import HostFacts
from wgembed.daemon import network_plan
from wgembed.runtime import ping, system

OURS, THEIRS, OTHER = "aa" * 32, "bb" * 32, "cc" * 32
NOW = 1_800_000_000
ENDPOINT = ("endpoint", "192.0.2.2:7")
ALLOWED = ("allowed_ip", "10.7.0.2/32")


class Quiet:
    """A machine on which all is well, and whose questions nobody answers."""

    def __init__(self):
        self.asked = []

    def time(self):
        return NOW

    def is_name(self, endpoint):
        return False

    def explain(self, errno):
        return "error %d" % errno

    def leads_into_tunnel(self, interface, endpoint):
        return False

    def missing_link(self, endpoint):
        return ""

    def taken_by(self, interface, peer):
        return None

    def refusal(self, interface, endpoint):
        self.asked.append("refusal")
        return ""

    def port_error(self, port):
        return None

    def best_mtu(self, interface, endpoint):
        return 0

    def is_within(self, text, prefix):
        return HostFacts.is_within(self, text, prefix)

    def answers(self, interface, peer):
        self.asked.append("answers")
        return False

    def largest_packet(self, interface, peer):
        self.asked.append("largest_packet")
        return 0


def told(*peers, interface=()):
    """Return the Interface with these lines and peers, each with the lines that it has beyond the usual."""
    lines = [("up", "1"), ("own_public_key", OURS), ("mtu", "1420"), *interface]
    for number, peer in enumerate(peers):
        lines += [("public_key", "%064x" % number if number else THEIRS), ALLOWED, *peer]
    return status_model.parse("wg0", lines)


def last(*ages_ms):
    """Return the lines on when anything came, data came and data left; None for never."""
    names = "last_rx_ms", "last_data_rx_ms", "last_data_tx_ms"
    return [(name, str(age)) for name, age in zip(names, ages_ms, strict=True) if age is not None]


def state(interface, number=0):
    return status_model.state(interface, interface.peers[number], NOW)


def about(interface, machine=None, number=0):
    found = diagnosis.about_peer(interface, interface.peers[number], machine or Quiet())
    return [sentence for _, sentence in found]


def starts(sentences, *beginnings):
    assert [s[: len(b)] for s, b in zip(sentences, beginnings, strict=True)] == list(beginnings), sentences


# What is over


def test_a_datagram_that_was_lost_before_others_arrived():
    """The way out was gone for a moment, or a queue was full."""
    lines = [ENDPOINT, ("session", "60000,initiator"), *last(900, 900, 900),
             ("event", "response_received,1,60"), ("event", "send_failed,3,30")]  # fmt: skip
    assert about(told(lines, interface=[("send_error", "101,4")])) == []


@pytest.mark.parametrize("errno", [11, 105])
def test_a_queue_that_is_full_is_no_refusal(errno):
    lines = [ENDPOINT, ("session", "60000,initiator"), *last(9, 9, 9),
             ("event", "response_received,1,60"), ("event", "send_failed,255,0")]  # fmt: skip
    assert about(told(lines, interface=[("send_error", "%d,4" % errno)])) == []


def test_what_the_kernel_refuses_although_something_comes():
    lines = [ENDPOINT, ("session", "60000,initiator"), *last(9, 9, 900),
             ("event", "response_received,1,60"), ("event", "send_failed,8,1")]  # fmt: skip
    starts(about(told(lines, interface=[("send_error", "1,4")])), "Datagrams to 192.0.2.2:7 cannot be sent: error 1")


def test_a_destination_and_a_source_that_are_allowed_by_now():
    where = [("unroutable", "10.9.0.1,5000"), ("source_not_allowed", "10.9.0.2,5000," + THEIRS)]
    interface = told([ENDPOINT], interface=where)
    assert [s[:20] for _, s in diagnosis.about_interface(interface, Quiet())] == ["Packets to 10.9.0.1 "]
    starts(about(interface), "Packets of the peer from 10.9.0.2 ")
    interface = told([ENDPOINT, ("allowed_ip", "10.9.0.0/30")], interface=where)
    assert diagnosis.about_interface(interface, Quiet()) == [] == about(interface)


def test_twenty_attempts_are_not_forgotten():
    lines = [ENDPOINT, ("event", "initiation_sent,20,400"), ("event", "handshake_timeout,1,395")]
    assert state(told(lines)) == "no answer"
    starts(about(told(lines)), "The peer does not answer at 192.0.2.2:7, after 20 handshakes")
    lines += [("event", "response_received,1,390"), ("last_handshake_time_sec", "1")]
    assert state(told(lines)) == "idle" and about(told(lines)) == []


def test_another_preshared_key_is_not_forgotten_either():
    refused = [("event", "initiation_sent,1,410"), ("event", "response_invalid,1,410")] * 3
    interface = told([ENDPOINT, *refused, ("event", "handshake_timeout,1,400")])
    assert state(interface) == "key mismatch"
    starts(about(interface), "The peer answers, but its answer cannot be decrypted")


def test_twenty_cookies():
    cookies = [("event", "initiation_sent,1,410"), ("event", "cookie_received,1,410")] * 2
    interface = told([ENDPOINT, *cookies, ("event", "handshake_timeout,1,400")])
    assert state(interface) == "no answer"
    starts(about(interface), "The peer does not answer at 192.0.2.2:7, after 2 handshakes")


def test_a_prefix_that_was_lost_long_ago():
    """It may have been meant: it is told, and no more."""
    lines = [ENDPOINT, ("session", "1000,responder"), *last(9, 9, 9),
             ("event", "allowed_ip_moved,1,7200")]  # fmt: skip
    interface, machine = told(lines), Quiet()
    [(weight, sentence)] = diagnosis.about_peer(interface, interface.peers[0], machine)
    assert weight == diagnosis.NOTE and sentence == "Another peer got some of the peer's allowed_ips 2 h ago."
    assert machine.asked == ["largest_packet"]


# A datagram may arrive twice


def test_an_initiation_that_came_twice():
    replayed, confirmed = "initiation_replayed,1,1", "keypair_confirmed,1,1"
    for events in ((replayed, confirmed), (confirmed, replayed)):
        lines = [ENDPOINT, ("session", "1000,responder"), ("last_rx_ms", "900"), ("event", "initiation_received,1,1")]
        assert about(told(lines + [("event", event) for event in events])) == []
    starts(about(told([ENDPOINT, ("event", "initiation_replayed,2,1")])), "The peer's handshake timestamps went backwards")


# Which family


def test_an_error_of_the_other_family():
    """A name with addresses of both: the machine has no IPv6, and over IPv4 nobody answers."""
    lines = [ENDPOINT, ("event", "initiation_sent,1,9"), ("event", "send_failed,1,9"), ("event", "initiation_sent,2,1"),
             ("attempt", "3")]  # fmt: skip
    interface = told(lines, interface=[("send_error", "101,6")])
    assert state(interface) == "handshaking"
    starts(about(interface), "The peer does not answer at 192.0.2.2:7, after 3 handshakes")
    interface = told(lines, interface=[("send_error", "101,6"), ("send_error", "1,4")])
    assert state(interface) == "sending fails"
    starts(about(interface), "Datagrams to 192.0.2.2:7 cannot be sent: error 1")


# Traffic


def traffic(session, rx_ms, data_rx_ms, data_tx_ms, *lines):
    return told([ENDPOINT, ("session", "%d,initiator" % session), *last(rx_ms, data_rx_ms, data_tx_ms), *lines])


def test_a_tunnel_that_falls_asleep():
    """Question and answer lie on two sides of what is fresh."""
    machine = Quiet()
    assert about(traffic(60_000, 9, 179_900, 180_100), machine) == [] == about(traffic(60_000, 9, 180_100, 179_900), machine)
    assert about(traffic(60_000, 9, 200_000, 100_000), machine) == []


def test_one_answer_that_was_lost():
    """It has led to a new handshake, and whether that helps is not known yet."""
    silent = ("event", "no_reply,1,3"), ("event", "initiation_sent,1,3"), ("event", "response_received,1,3")
    assert about(traffic(3000, 3000, 20_000, 9, *silent)) == []
    before = ("event", "no_reply,1,19"), ("event", "initiation_sent,1,19"), ("event", "response_received,1,19")
    assert about(traffic(3000, 3000, 18_000, 9, *before, *silent)) == [], "there was data in between"
    starts(about(traffic(3000, 3000, 40_000, 9, *before, *silent)), "Handshakes succeed, but no data comes back")
    starts(about(traffic(3000, 3000, None, 9, *silent)), "Handshakes succeed, but no data comes back")


def test_one_way_traffic():
    starts(about(traffic(60_000, 9, None, 100)), "The peer receives our packets but sends nothing back")
    starts(about(traffic(60_000, 9, 900_000, 100)), "The peer receives our packets but sends nothing back")
    starts(about(traffic(60_000, 9, 100, 900_000)), "The peer's packets arrive, but this machine sends nothing back")


def test_a_peer_that_only_listens():
    """It gets our log messages and has nothing to say; but a ping it answers."""
    machine = Quiet()
    machine.answers = lambda interface, peer: True
    assert about(traffic(60_000, 9, None, 100), machine) == []


def test_who_sleeps_is_not_woken():
    """Pings that stay without an answer are one-way traffic to whoever looks next."""
    machine = Quiet()
    assert about(traffic(60_000, 9, 400_000, 400_000), machine) == [] and machine.asked == []
    assert about(traffic(60_000, 9, 400, 400), machine) == [] and machine.asked == ["largest_packet"]


# Unmatched handshakes


def unmatched(reason, endpoint, key=""):
    return "unmatched_handshake", "%s,1,1000,%s,%s" % (reason, endpoint, key)


def sentences(interface):
    """What is said of the interface, then of each of its peers."""
    first = [sentence for _, sentence in diagnosis.about_interface(interface, Quiet())]
    return [first, *[about(interface, number=number) for number in range(len(interface.peers))]]


def test_an_unmatched_handshake_from_the_endpoint_is_told_of_though_we_are_silent():
    own, peers = sentences(told([ENDPOINT], interface=[unmatched("unknown_peer", "192.0.2.2:9", OTHER)]))
    assert own == []
    starts(peers, "Handshakes from the peer's endpoint have the public key zMzM")


def test_an_unmatched_handshake_beside_a_peer_that_is_well():
    """Two machines behind one NAT."""
    well = [ENDPOINT, ("session", "1000,responder"), ("last_rx_ms", "900")]
    own, peers = sentences(told(well, interface=[unmatched("unknown_peer", "192.0.2.2:9", OTHER)]))
    starts(own, "Handshakes arrive from 192.0.2.2:9 with the unknown public key zMzM")
    assert peers == []


def test_an_unmatched_handshake_that_may_be_one_of_two():
    idle = [ENDPOINT, ("last_handshake_time_sec", "0")]
    own, first, second = sentences(told(idle, idle, interface=[unmatched("invalid_mac1", "192.0.2.2:9")]))
    starts(own, "Handshakes arrive from 192.0.2.2:9 for another public key than ours")
    assert first == second == []


def test_a_peer_with_a_new_key():
    """It was well with the old one, and does not answer any more."""
    lines = [ENDPOINT, ("last_handshake_time_sec", "1"), ("event", "initiation_sent,2,1"), ("attempt", "2")]
    own, peers = sentences(told(lines, interface=[unmatched("unknown_peer", "192.0.2.2:9", OTHER)]))
    assert own == []
    starts(peers, "Handshakes from the peer's endpoint have the public key zMzM")


# The machine


class Route:
    def __init__(self, index):
        self.index = index


@pytest.fixture
def machine(monkeypatch):
    machine = HostFacts()
    monkeypatch.setattr(system.inet, "ifindex", {"wg0": 9, "eth0": 2}.get)
    monkeypatch.setattr(machine._ip, "route_to", lambda packed, fwmark=0: Route(9))
    return machine


def test_a_link_local_endpoint_is_where_its_scope_says(machine, monkeypatch):
    """The tunnel has link-local addresses as well, and may have the route that is found first."""
    interface = told([])
    assert machine.leads_into_tunnel(interface, "192.0.2.1:7") and machine.leads_into_tunnel(interface, "[fe80::1%9]:7")
    assert not machine.leads_into_tunnel(interface, "[fe80::1%2]:7")
    links = []
    monkeypatch.setattr(network_plan.Paths, "find", lambda paths, packed, index=0: links.append(index))
    machine.best_mtu(interface, "[fe80::1%2]:7")
    machine.best_mtu(interface, "192.0.2.1:7")
    assert links == [2, 0]


def test_sockets_that_are_bound_to_a_link(machine, monkeypatch):
    interface = told([], interface=[("link", "eth0")])
    assert not machine.leads_into_tunnel(interface, "192.0.2.1:7")
    links = []
    monkeypatch.setattr(network_plan.Paths, "find", lambda paths, packed, index=0: links.append(index))
    monkeypatch.setattr(ping, "port_error", lambda addr, fwmark, link, timeout_ms: links.append(link) or 0)
    assert machine.best_mtu(interface, "192.0.2.1:7") == 0 and machine.refusal(interface, "192.0.2.1:7") == ""
    assert links == [2, "eth0"]


def test_the_link_of_an_endpoint_that_is_missing(machine):
    """The route to a link-local address without its link is not the route that its datagrams take."""
    interface = told([("endpoint_host", "[fe80::1%eth7]:7"), ("endpoint_found", "fe80::1")])
    assert machine.missing_link("[fe80::1%eth7]:7") == "eth7" and machine.missing_link("[fe80::1%4000000]:7") == "4000000"
    for endpoint in ("[fe80::1%eth0]:7", "[fe80::1%1]:7", "[fe80::1]:7", "192.0.2.1:7", "a.example:7", ""):
        assert machine.missing_link(endpoint) == ""
    assert not machine.leads_into_tunnel(interface, "[fe80::1]:7")
    sentences = [text for _, text in diagnosis.about_peer(interface, interface.peers[0], machine)]
    assert sentences == [
        "The link eth7 of the peer's endpoint [fe80::1%eth7]:7 does not exist. Make this link, or set endpoint_host with "
        "another one."
    ]


def test_an_endpoint_at_a_link_that_is_gone(machine):
    """As wireguard-go tells it."""
    interface = told([])
    assert not machine.leads_into_tunnel(interface, "[fe80::1%eth7]:7")
    assert machine.refusal(interface, "[fe80::1%eth7]:7") == "" and machine.best_mtu(interface, "[fe80::1%eth7]:7") == 0


def test_many_silent_peers_are_not_asked_for_hours(machine, monkeypatch):
    clock = [0]
    monkeypatch.setattr(system.clock, "now", lambda: clock[0])

    def wait(*arguments):
        clock[0] += 3500
        return 0

    monkeypatch.setattr(ping, "port_error", wait)
    monkeypatch.setattr(ping, "echo", wait)
    interface = told([ENDPOINT])
    for _ in range(500):
        machine.refusal(interface, "192.0.2.1:7")
        machine.largest_packet(interface, interface.peers[0])
        machine.answers(interface, interface.peers[0])
    assert clock[0] < 60_000 and machine.is_out_of_time


def test_ips_in_prefixes(machine):
    assert machine.is_within("10.9.0.1", "10.9.0.0/24") and machine.is_within("fd00::1", "::/0")
    assert not machine.is_within("10.9.1.1", "10.9.0.0/24") and not machine.is_within("10.9.0.1", "::/0")


def test_names_and_addresses(machine):
    assert machine.is_name("vpn.example.org:7")
    for endpoint in ("192.0.2.1:7", "[fe80::1%eth0]:7", "[2001:db8::1]:7"):
        assert not machine.is_name(endpoint)
