"""/etc/config/wgembed: a sentence for every mistake, and what good options mean."""

import os
import subprocess
from pathlib import Path

import pytest

from wgembed.config import keys, route_tables, uci
from wgembed.config import options as config
from wgembed.protocol.allowedips import MAX_PREFIXES
from wgembed.runtime import log

from ..lab import debian
from ..lab.need import need
from . import config_runner
from .config_cases import CASES, FILES, PEERS, PRIVATE, SECRET, interface, peer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "bytes.key").write_bytes(b"\xff" * 44)
    os.mkfifo(folder / "pipe")
    return str(folder)


def test_the_cases_have_names_of_their_own():
    titles = [title for title, _, _ in CASES]
    assert len(titles) == len(set(titles)) > 200


@pytest.mark.parametrize("title,text,lines", CASES, ids=[title for title, _, _ in CASES])
def test_a_mistake_is_told_in_a_sentence(folder, title, text, lines):
    got, _ = config_runner.told(text, folder)
    assert got == config_runner.expected(lines, folder)
    assert not any(secret in line for line in got for secret in (SECRET, SECRET[:20], PRIVATE))


def test_the_same_sentences_under_micropython(folder):
    command = [*need(debian.micropython), "-X", "heapsize=1M", "-m", "tests.config.config_runner", folder]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert done.stdout == f"{len(CASES)} cases\n", done.stdout + done.stderr


def good(text, warnings=()):
    package = uci.parse(b"wgembed", text.encode())
    found = config.read(package, "FILE")
    assert found.warnings == list(warnings)
    return found


def test_nothing_is_a_configuration():
    assert good("").interfaces == []
    assert good("# nothing\n\nconfig globals 'globals'\n\toption ula_prefix 'fd12::/48'\n").interfaces == []


def test_events():
    given = good("config globals\n\toption on_event '/bin/x y'\n\toption outage_minutes 30\n\toption history no\n")
    for found, expected in ((good(""), ("", 5, True)), (given, ("/bin/x y", 30, False))):
        assert (found.on_event, found.outage_minutes, found.history) == expected


def test_defaults():
    (wg0,) = good(interface() + peer()).interfaces
    assert (wg0.name, wg0.where, wg0.private_key, wg0.key_file, wg0.tunlink) == ("wg0", "interface 'wg0'", None, "", "")
    numbers = (wg0.listen_port, wg0.fwmark, wg0.metric, wg0.mtu, wg0.max_peers, wg0.table4, wg0.table6)
    assert numbers == (0,) * 7
    assert (wg0.log_level, wg0.nohostroute, wg0.addresses) == (None, False, [])
    (one,) = wg0.peers
    assert (one.public_key, one.preshared_key, one.host, one.port, one.keepalive) == (b"\1" * 32, None, "", 51820, 0)
    assert (one.route, one.allowed_ips, one.description) == (False, [], "")


def test_values_as_wg_and_netifd_read_them():
    """Commas, blanks and netmasks as OpenWrt accepts them give the usual values."""
    text = interface(
        "option private_key '%s '" % PRIVATE, "option listen_port '51820 '", "option fwmark OFF",
        "option addresses '10.0.0.1/255.255.255.0,fd00::1/64 10.0.0.2/0.0.0.0'",
    ) + peer(
        "option allowed_ips '0.0.0.0/0,\t::/0, 10.0.0.0/8'", "option endpoint_host ' vpn.example.org '",
        "option persistent_keepalive Off", "option route_allowed_ips '1 '", "list allowed_ips '10.1.0.0/16 10.2.0.0/16'",
    )  # fmt: skip
    (wg0,) = config.read(uci.parse(b"wgembed", text.encode()), "FILE").interfaces
    assert keys.encode(wg0.private_key).decode() == PRIVATE
    assert (wg0.listen_port, wg0.fwmark) == (51820, 0)
    assert [n for _, n in wg0.addresses] == [24, 64, 0]
    (one,) = wg0.peers
    assert (one.host, one.keepalive, one.route) == ("vpn.example.org", 0, True)
    assert [n for _, n in one.allowed_ips] == [0, 0, 8, 16, 16]


def test_all_options(folder):
    text = interface(
        "option proto wireguard",
        f"option private_key_file {folder}/good.key",
        "option listen_port 51821",
        "list addresses 10.0.0.1/24",
        "list addresses fd00::1",
        "option mtu 1380",
        "option fwmark 0xAB",
        "option metric 10",
        "option ip4table 100",
        "option ip6table main",
        "option nohostroute yes",
        "option tunlink wan6",
        "option max_peers 40",
        "option log_level verbose",
        "option delegate 0",
        "option force_link 1",
        "option defaultroute 0",
        "option auto 1",
        "option disabled 0",
    ) + peer(
        f"option preshared_key {SECRET}",
        "list allowed_ips 10.1.0.0/16",
        "list allowed_ips fd01::/16",
        "option route_allowed_ips 1",
        "option endpoint_host vpn.example.org",
        "option endpoint_port 443",
        "option persistent_keepalive 25",
        "option description 'B\u00fcro \U0001f600'",
        f"option private_key {SECRET}",
    )
    (wg0,) = good(text).interfaces
    assert keys.encode(wg0.private_key).decode() == PRIVATE
    assert (wg0.listen_port, wg0.mtu, wg0.fwmark, wg0.metric, wg0.max_peers) == (51821, 1380, 0xAB, 10, 40)
    assert (wg0.table4, wg0.table6, wg0.nohostroute, wg0.tunlink, wg0.log_level) == (100, 254, True, "wan6", log.VERBOSE)
    assert wg0.addresses == [(b"\x0a\0\0\1", 24), (b"\xfd" + bytes(14) + b"\1", 128)]
    (one,) = wg0.peers
    assert keys.encode(one.preshared_key).decode() == SECRET
    assert one.allowed_ips == [(b"\x0a\1\0\0", 16), (b"\xfd\1" + bytes(14), 16)]
    assert (one.route, one.host, one.port, one.keepalive) == (True, "vpn.example.org", 443, 25)
    assert one.description == "B\u00fcro \U0001f600"


def test_sections_as_openwrt_has_them():
    """Copied from /etc/config/network of a router, where other networks stand beside them."""
    text = f"""
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'

config globals 'globals'
	option ula_prefix 'fd5c:3b1a:9f7e::/48'

config interface 'vpn'
	option proto 'wireguard'
	option private_key '{PRIVATE}'
	option listen_port '51820'
	list addresses '10.14.0.1/24'
	list addresses 'fd5c:3b1a:9f7e:e::1/64'
	option ip6assign '64'

config wireguard_vpn
	option description 'Phone'
	option public_key '{PEERS[0]}'
	option preshared_key '{SECRET}'
	list allowed_ips '10.14.0.2/32'
	list allowed_ips 'fd5c:3b1a:9f7e:e::2/128'
	option route_allowed_ips '1'
	option persistent_keepalive '25'

config wireguard_vpn 'office'
	option disabled '1'
	option public_key 'not yet'

config wireguard_vpn
	option public_key '{PEERS[1]}'
	option private_key '{SECRET}'
	option allowed_ips '10.14.0.3 10.15.0.0/16'
	option endpoint_host '[2001:db8::1]'
	option endpoint_port '51820'
"""
    (vpn,) = good(
        text,
        [
            "FILE:4: interface 'loopback', option proto: only wireguard is supported, section ignored",
            "FILE:16: interface 'vpn', option ip6assign: no effect in wgembed, option ignored",
        ],
    ).interfaces
    assert vpn.name == "vpn" and keys.encode(vpn.private_key).decode() == PRIVATE
    assert [(one.description, one.host, one.where) for one in vpn.peers] == [
        ("Phone", "", "wireguard_vpn[0]"),
        ("", "2001:db8::1", "wireguard_vpn[2]"),
    ]
    assert vpn.peers[1].allowed_ips == [(b"\x0a\x0e\0\3", 32), (b"\x0a\x0f\0\0", 16)]


@pytest.mark.parametrize("value", ["10.0.0.1 10.0.0.2/24", " 10.0.0.1\t\n10.0.0.2/24  ", "10.0.0.1 10.0.0.1/32 10.0.0.2/24"])
def test_white_space_parts_networks(value):
    assert good(interface(f"option addresses '{value}'")).interfaces[0].addresses == [
        (b"\x0a\0\0\1", 32),
        (b"\x0a\0\0\2", 24),
    ]


@pytest.mark.parametrize(
    "options", [["list mtu 1400"], ["option mtu 1300", "option mtu 1400"], ["list mtu 1300", "option mtu 1400"]]
)
def test_the_last_value_counts_and_a_list_of_one_is_a_value(options):
    assert good(interface(*options)).interfaces[0].mtu == 1400


@pytest.mark.parametrize(
    "name,attribute,value,meaning",
    [
        ("listen_port", "listen_port", "0", 0),
        ("listen_port", "listen_port", "65535", 65535),
        ("listen_port", "listen_port", "0x50", 80),
        ("fwmark", "fwmark", "off", 0),
        ("fwmark", "fwmark", "0xffffffff", 0xFFFFFFFF),
        ("fwmark", "fwmark", "51820", 51820),
        ("mtu", "mtu", "576", 576),
        ("mtu", "mtu", "65455", 65455),
        ("metric", "metric", "4294967295", 0xFFFFFFFF),
        ("ip4table", "table4", "local", 255),
        ("ip6table", "table6", "default", 253),
        ("ip4table", "table4", "4294967295", 0xFFFFFFFF),
        ("nohostroute", "nohostroute", "enabled", True),
        ("nohostroute", "nohostroute", "off", False),
        ("tunlink", "tunlink", "pppoe-wan", "pppoe-wan"),
        ("tunlink", "tunlink", "eth0.2", "eth0.2"),
        ("private_key", "private_key", "generate", None),
        ("max_peers", "max_peers", "16383", 16383),
        ("log_level", "log_level", "silent", log.SILENT),
        ("log_level", "log_level", "debug", log.VERBOSE),
        ("addresses", "addresses", "10.0.0.1/0", [(b"\x0a\0\0\1", 0)]),
        ("private_key_file", "key_file", "/none/wg.key", "/none/wg.key"),
    ],
)
def test_values_of_an_interface(name, attribute, value, meaning):
    assert getattr(good(interface(f"option {name} '{value}'")).interfaces[0], attribute) == meaning


@pytest.mark.parametrize(
    "name,attribute,value,meaning",
    [
        ("persistent_keepalive", "keepalive", "off", 0),
        ("persistent_keepalive", "keepalive", "65535", 65535),
        ("endpoint_port", "port", "1", 1),
        ("endpoint_host", "host", "192.0.2.1", "192.0.2.1"),
        ("endpoint_host", "host", "[::1]", "::1"),
        ("endpoint_host", "host", "fe80::1%eth0", "fe80::1%eth0"),
        ("endpoint_host", "host", "fe80::1%3", "fe80::1%3"),
        ("endpoint_host", "host", "a", "a"),
        ("endpoint_host", "host", "a.b.", "a.b."),
        ("endpoint_host", "host", "x_y.1-2.xn--p1ai", "x_y.1-2.xn--p1ai"),
        ("endpoint_host", "host", "1.2.3.4a", "1.2.3.4a"),
        ("endpoint_host", "host", "a" * 63 + ".b" * 95, "a" * 63 + ".b" * 95),
        ("allowed_ips", "allowed_ips", "10.1.2.3/8", [(b"\x0a\1\2\3", 8)]),
        ("allowed_ips", "allowed_ips", "::/0", [(bytes(16), 0)]),
        ("allowed_ips", "allowed_ips", "::ffff:1.2.3.4", [(bytes(10) + b"\xff\xff\1\2\3\4", 128)]),
        ("route_allowed_ips", "route", "true", True),
        ("description", "description", "it's 'so' \"said\"", None),
    ],
)
def test_values_of_a_peer(name, attribute, value, meaning):
    text = uci.quote(value.encode()).decode()
    found = getattr(good(interface() + peer(f"option {name} {text}")).interfaces[0].peers[0], attribute)
    assert found == (value if meaning is None else meaning)


@pytest.mark.parametrize("lines, hosts", [
    (["list endpoint_host 'a.example:1'", "list endpoint_host 'b.example'"], [("a.example", 1), ("b.example", 51820)]),
    (["option endpoint_port 7", "list endpoint_host a", "list endpoint_host '[2001:db8::1]:8'",
      "list endpoint_host '2001:db8::2'"], [("a", 7), ("2001:db8::1", 8), ("2001:db8::2", 7)]),
    (["list endpoint_host a", "list endpoint_host 'b'", "option endpoint_port 9", "list endpoint_host a"],
     [("a", 9), ("b", 9)]),
    (["list endpoint_host 'fe80::1%eth0'", "list endpoint_host '[fe80::1%eth1]:5'"],
     [("fe80::1%eth0", 51820), ("fe80::1%eth1", 5)]),
])  # fmt: skip
def test_several_endpoints(lines, hosts):
    found = good(interface() + peer(*lines)).interfaces[0].peers[0]
    assert found.hosts == hosts and (found.host, found.port) == hosts[0] and found.failback == 300
    assert found.all_hosts == [host for host, _ in hosts]


def test_a_list_of_one_endpoint_is_no_list():
    found = good(interface() + peer("list endpoint_host 'a.example:5'", "option failback_time 0")).interfaces[0].peers[0]
    assert (found.host, found.port, found.hosts, found.failback) == ("a.example", 5, [], 0)


def test_tables_by_the_names_of_the_machine(monkeypatch, tmp_path):
    names = tmp_path / "rt_tables"
    names.write_text("# reserved\n255\tlocal\n0 unspec\n 77  vpn # ours\nx y\n1 2 3\n\u00b2 raised\n")
    monkeypatch.setattr(route_tables, "ROUTE_TABLES", str(names))
    (wg0,) = good(interface("option ip4table vpn", "option ip6table vpn")).interfaces
    assert (wg0.table4, wg0.table6) == (77, 77)
    (tmp_path / "rt_tables.d").mkdir()
    (tmp_path / "rt_tables.d/office.conf").write_text("78 office\n")
    (tmp_path / "rt_tables.d/README").write_text("79 readme\n")
    (wg0,) = good(interface("option ip4table office")).interfaces
    assert wg0.table4 == 78
    with pytest.raises(config.ConfigError, match="got 'readme'"):
        good(interface("option ip4table readme"))
    names.write_bytes(b"77 vpn\n78 b\xfcro\n")
    with pytest.raises(config.ConfigError, match="from 1 to 4294967295, got 'vpn'"):
        good(interface("option ip4table vpn"))


def test_what_is_disabled_is_not_read():
    text = (
        interface("option disabled 1", "option mtu x")
        + peer(key="x")
        + interface("option auto 0", "option mtu x", name="wg1")
    )
    text += interface(name="wg2") + peer("option disabled on", of="wg2", key="x")
    assert [(one.name, one.peers) for one in good(text + peer(of="wg1", key="x")).interfaces] == [("wg2", [])]


def test_a_port_or_key_may_be_in_a_disabled_section_as_well():
    good(interface("option listen_port 1") + interface("option listen_port 1", "option disabled 1", name="wg1"))
    good(interface() + peer() + peer("option disabled 1"))
    # The same peer at two interfaces is two peers; and 0 is no port.
    good(interface("option listen_port 0") + peer() + interface("option listen_port 0", name="wg1") + peer(of="wg1"))


def test_sections_of_one_name_are_one():
    (wg0,) = good(interface("option mtu 1400") + interface("option metric 1")).interfaces
    assert (wg0.mtu, wg0.metric) == (1400, 1)


def test_peers_may_stand_before_their_interface():
    assert len(good(peer() + interface()).interfaces[0].peers) == 1


def test_uncommitted_changes_have_no_line():
    package = uci.parse(b"wgembed", interface("option mtu 1400").encode())
    uci.apply_changes(package, b"wgembed.wg0.mtu='x'\nwgembed.new='interfaces'\n")
    with pytest.raises(config.ConfigError) as refusal:
        config.read(package, "FILE")
    assert refusal.value.problems == [
        "FILE (uncommitted): interface 'wg0', option mtu: expected a number from 576 to 65455, got 'x'"
    ]


def test_more_prefixes_than_there_can_be():
    many = "\n".join([f"list allowed_ips 10.{n >> 8}.{n & 255}.0/24" for n in range(MAX_PREFIXES // 2)])
    text = interface() + peer(many) + peer(many.replace("ips 10.", "ips 11."), key=PEERS[1])
    assert len(good(text).interfaces[0].peers) == 2
    with pytest.raises(
        config.ConfigError, match=r"FILE:1: interface 'wg0': 65537 allowed IPs of IPv4 are too many, the maximum is 65536"
    ):
        good(text + peer("option allowed_ips 1.1.1.1", key=PEERS[2]))


def test_no_key_in_what_an_error_shows():
    with pytest.raises(config.ConfigError) as refusal:
        good(interface(f"option private_key {PRIVATE}", "option mtu x") + peer(f"option preshared_key {SECRET}"))
    shown = repr(refusal.value) + str(refusal.value)
    assert PRIVATE not in shown and SECRET not in shown


@pytest.mark.parametrize(
    "text,sentence",
    [
        (None, r"/wgembed: No such file or directory \(2\)$"),
        ("nonsense\n", r"/wgembed:1: Parse error \(invalid command\) at line 1, byte 0$"),
        (
            interface("option mtu x"),
            r"/wgembed:2: interface 'wg0', option mtu: expected a number from 576 to 65455, got 'x'$",
        ),
    ],
)
def test_the_file_is_named(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "wgembed").write_text(text)
    with pytest.raises(config.ConfigError, match=f"^(cannot read )?{tmp_path}{sentence}"):
        config.load(str(tmp_path))


def test_a_directory_is_no_configuration(tmp_path):
    (tmp_path / "wgembed").mkdir()
    with pytest.raises(config.ConfigError, match=r"cannot read .*/wgembed: No such file or directory \(2\)"):
        config.load(str(tmp_path))
