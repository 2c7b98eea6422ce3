"""Options of peers with several ways: which peer backup_of means, the order, pings, and what is refused."""

import pytest

from wgembed.config import options, uci

from .config_cases import PEERS, interface, peer

NET = b"\x0a\0\0\0", 8


def read(*sections):
    return options.read(uci.parse(b"wgembed", (interface() + "".join(sections)).encode()), "FILE").interfaces[0].peers


def first(*lines):
    return peer("option description hub", "option allowed_ips '10.0.0.0/8 fd00::/8'", *lines, key=PEERS[0])


@pytest.mark.parametrize("name", ["hub", PEERS[0]])
def test_by_description_or_key(name):
    hub, backup = read(first(), peer(f"option backup_of '{name}'", key=PEERS[1]))
    assert backup.primary == hub.public_key and hub.primary is None
    # The order of the sections does not matter.
    backup, hub = read(peer(f"option backup_of '{name}'", key=PEERS[1]), first())
    assert backup.primary == hub.public_key


def test_allowed_ips_of_both_belong_to_the_first():
    allowed = "option allowed_ips '10.9.9.9/8 192.0.2.7'"
    hub, backup = read(first(), peer("option backup_of hub", allowed, key=PEERS[1]))
    assert len(hub.allowed_ips) == 2 and backup.allowed_ips == [(b"\xc0\0\2\7", 32)]


@pytest.mark.parametrize("sections, sentence", [
    ([first(), peer("option backup_of hut", key=PEERS[1])],
     "no other peer of the interface has the public key or description 'hut'"),
    ([first("option backup_of hub")], "no other peer of the interface has the public key or description 'hub'"),
    ([first(), peer("option description hub", key=PEERS[1]), peer("option backup_of hub", key=PEERS[2])],
     "several peers have the public key or description 'hub'"),
    ([first(), peer("option backup_of hub", "option description b", key=PEERS[1]), peer("option backup_of b", key=PEERS[2])],
     "wireguard_wg0[1] is a backup itself; name the peer that it replaces"),
])  # fmt: skip
def test_mistakes(sections, sentence):
    with pytest.raises(options.ConfigError) as raised:
        read(*sections)
    [problem] = raised.value.problems
    assert "option backup_of: " + sentence in problem


def test_the_text_is_hidden_if_it_can_be_a_secret():
    with pytest.raises(options.ConfigError) as raised:
        read(first(), peer(f"option backup_of '{PEERS[2]}'", key=PEERS[1]))
    assert PEERS[2] not in str(raised.value)


SEVERAL = "list endpoint_host 'a.example'", "list endpoint_host 'b.example'"


def test_the_order_and_the_address_of_pings():
    lines = "option endpoint_order fastest", "option ping_check ' 10.1.2.3 '", "option ping_interval 60"
    [hub] = (
        options.read(
            uci.parse(b"wgembed", (interface("list addresses 10.0.0.2/24") + first(*SEVERAL, *lines)).encode()), "FILE"
        )
        .interfaces[0]
        .peers
    )
    assert (hub.order, hub.ping, hub.ping_interval, hub.has_backup) == ("fastest", b"\x0a\1\2\3", 60, False)
    text = (
        interface("list addresses fd00::2/64")
        + first("option ping_check fd00::9")
        + peer("option backup_of hub", key=PEERS[1])
    )
    hub, backup = options.read(uci.parse(b"wgembed", text.encode()), "FILE").interfaces[0].peers
    assert hub.ping == b"\xfd" + bytes(14) + b"\x09" and hub.has_backup and backup.ping is None


@pytest.mark.parametrize("option, lines, sentence", [
    ("endpoint_order", [*SEVERAL, "option endpoint_order random"], "expected listed or fastest, got 'random'"),
    ("endpoint_order", ["option endpoint_order fastest"], "the peer has one endpoint; list several in endpoint_host"),
    ("ping_check", [*SEVERAL, "option ping_check a.example"], "'a.example' is not an IP address"),
    ("ping_check", ["option ping_check 10.0.0.1"],
     "the peer has one endpoint and no backup, so there is no other way to use"),
    ("ping_check", [*SEVERAL, "option ping_check 192.0.2.1"], "192.0.2.1 is not in the allowed_ips of the peer"),
    ("ping_check", [*SEVERAL, "option ping_check fd00::1"], "the interface has no address of IPv6 to ask from"),
    ("ping_interval", [*SEVERAL, "option ping_interval 5"], "it needs ping_check"),
    ("ping_interval", [*SEVERAL, "option ping_interval x", "option ping_check 10.0.0.1"],
     "expected a number from 0 to 86400, got 'x'"),
])  # fmt: skip
def test_mistakes_of_order_and_pings(option, lines, sentence):
    with pytest.raises(options.ConfigError) as raised:
        options.read(uci.parse(b"wgembed", (interface("list addresses 10.0.0.2/24") + first(*lines)).encode()), "FILE")
    [problem] = raised.value.problems
    assert f"option {option}: {sentence}" in problem


def test_pings_are_set_at_the_peer_that_is_replaced():
    with pytest.raises(options.ConfigError) as raised:
        read(first(), peer("option backup_of hub", "option ping_check 10.0.0.1", key=PEERS[1]))
    assert "option ping_check: set it at the peer that this one replaces" in str(raised.value)
