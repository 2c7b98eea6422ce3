"""`proto 'wireguard'` of /etc/config/network, served by the package wgembed-netifd: each event, with each interpreter.

lab/netifd.py replaces netifd. If WGEMBED_OPENWRT names a root with the real one, that is used.
"""

import base64
import json
import os
import re
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ..lab import net, peers, traffic, wire
from ..lab.builders import build_ipk
from ..lab.need import Missing, need, outside, programs
from ..lab.netifd import Provider, netifd_of, rest

PRIVATE = bytes(range(1, 33))
WAN = """
config interface 'wan'
	option device 'outer'
	option proto 'static'
	option ipaddr '192.0.2.1'
	option netmask '255.255.255.0'
	option gateway '192.0.2.99'
"""
TUNNEL = """
config interface '{name}'
	option proto 'wireguard'
	option private_key '{private}'
	option listen_port '51820'
	list addresses '10.77.0.1/24'
	list addresses 'fd77::1/64'
{options}

config wireguard_{name} 'far'
	option description 'it'\\''s far, "away" $(touch /tmp/ran) `touch /tmp/ran`'
	option public_key '{key}'
	option endpoint_host '{host}'
	option endpoint_port '{port}'
	list allowed_ips '10.77.0.2/32'
	list allowed_ips 'fd77::2/128'
	list allowed_ips '10.99.0.0/16'
	option route_allowed_ips '1'
"""
NETWORK = WAN + TUNNEL
OTHER = """
config wireguard_{name}
	option public_key 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='
	option endpoint_host '203.0.113.9'
	list allowed_ips '10.98.0.0/16'
	option route_allowed_ips '1'
"""


# An endpoint that both providers lead to
FAR_AWAY = "203.0.113.1"
PROVIDERS = {
    "wan": Provider("outer", "192.0.2.1/24", "192.0.2.2", 10),
    "wan2": Provider("second", "198.51.100.1/24", "198.51.100.2", 20),
}
PROVIDER = """
config interface '{name}'
	option device '{device}'
	option proto 'static'
	option ipaddr '{address}'
	option gateway '{gateway}'
	option metric '{metric}'
	option auto '{auto}'
"""


class Site:
    """A router with wgembed and wgembed-netifd, a netifd for it, and a machine with wireguard-go."""

    def __init__(self, router, package, folder):
        self.router, self.place = router, router.namespace
        self.other = net.Namespace()
        _, far = net.veth(router.namespace, self.other)
        self.peer = peers.WireguardGo(far, 51821)
        self.peer.addresses = ["10.77.0.2/24", "fd77::2/64"]
        self.peer.start()
        self.peer.load(
            f"[Interface]\nPrivateKey = {base64.b64encode(self.peer.private).decode()}\nListenPort = 51821\n[Peer]\n"
            f"PublicKey = {base64.b64encode(wire.public_key(PRIVATE)).decode()}\nAllowedIPs = 10.77.0.1/32, fd77::1/128\n"
        )
        self.peer.raise_()
        self.endpoint = far.outer[4]
        router.opkg.install(package)
        router.opkg.install(build_ipk.build_netifd(folder))
        self.netifd = netifd_of(router, ["dev", "outer"])
        self.name = "vpn"
        self.interface = self.netifd.add(self.name)

    def configure(self, more="", host=None, options="", private=None):
        text = NETWORK.format(
            name=self.name, private=private or base64.b64encode(PRIVATE).decode(), key=self.peer.key,
            host=host or self.endpoint, port=51821, options=options,
        ) + more.format(name=self.name)  # fmt: skip
        (self.router.root / "etc/config/network").write_text(text)

    def up(self, *arguments, **options):
        self.configure(*arguments, **options)
        self.interface.up()
        self.interface.until_up()

    def two_providers(self, are_up):
        """Configure two, which both lead to FAR_AWAY, the endpoint."""
        self.place.ip("link", "add", "second", "type", "veth", "peer", "name", "second", "netns", self.other.name)
        self.other.ip("address", "add", PROVIDERS["wan2"].gateway + "/24", "dev", "second")
        self.other.ip("link", "set", "second", "up")
        self.other.ip("address", "add", FAR_AWAY, "dev", "lo")
        self.other.ip("link", "set", "lo", "up")
        self.place.ip("address", "flush", "dev", "outer")
        self.configure(host=FAR_AWAY)
        path = self.router.root / "etc/config/network"
        text = "".join(PROVIDER.format(**vars(one), name=name, auto=int(are_up)) for name, one in PROVIDERS.items())
        path.write_text(text + path.read_text()[path.read_text().index("config interface '" + self.name) :])
        if not self.netifd.is_real:
            self.netifd.providers = {name: replace(one) for name, one in PROVIDERS.items()}
            for name in PROVIDERS if are_up else ():
                self.netifd.provider(name, "up")

    def goes_by(self, device, within):
        """Wait until the interface is up, with a route to its endpoint by this device, and reach the other end."""
        net.poll(
            lambda: self.interface.is_up and f"dev {device} " in self.place.ip("route", "show", FAR_AWAY),
            within, what=f"the interface up, by {device}",
        )  # fmt: skip
        self.reach()

    def reach(self, within=10):
        self.router.reach("10.77.0.2", within)

    def has_asked_for(self, hosts):
        """The handler has asked netifd for routes to these hosts. The real one adds none to a connected network."""
        assert self.netifd.is_real or self.interface.hosts == hosts

    def routes(self):
        return self.place.ip("route", "show", "dev", self.name)

    def reload(self):
        """As after `uci commit network; reload_config`: the package's service renews what has changed."""
        self.service("reload")

    def service(self, verb):
        if self.netifd.is_real:
            self.netifd.service(verb)
        else:
            self.router.run("/etc/init.d/wgembed-netifd", verb)

    def close(self):
        self.netifd.close()
        self.peer.end()
        self.other.close()


@pytest.fixture
def site(router, package, tmp_path):
    need(peers.WireguardGo.prepare)
    site = Site(router, package, tmp_path)
    yield site
    print(router.logged())
    site.close()


FIELDS = (
    "public-key", "private-key", "listen-port", "fwmark", "peers", "preshared-keys", "endpoints", "allowed-ips",
    "latest-handshakes", "transfer", "persistent-keepalive", "dump",
)  # fmt: skip
SILENT = """
config wireguard_{name}
	option public_key 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='
	option preshared_key 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA='
	option endpoint_host '203.0.113.9'
	option persistent_keepalive '25'

config wireguard_{name}
	option public_key '/n8iTPTaD9Iq/Fu//rlSeTIFOtnzxEPx6qnbJSJ0+UI='
"""


def built(name):
    """Raise Missing if WGEMBED_OPENWRT has no such file."""
    if not (Path(os.environ.get("WGEMBED_OPENWRT", "/nowhere")) / name).exists():
        raise Missing(f"WGEMBED_OPENWRT names no folder with {name}: see tests/lab/netifd.py")


@pytest.fixture
def ucode():
    outside(built, "usr/bin/ucode")


@pytest.fixture
def fw4():
    outside(built, "sbin/fw4")
    need(programs, "nft")


FIREWALL = """
config defaults
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'

config zone
	option name 'outside'
	list network 'wan'
	option input 'ACCEPT'
	option output 'ACCEPT'
	option forward 'REJECT'

config zone
	option name 'tunnel'
	list network 'vpn'
	option input '{input}'
	option output 'ACCEPT'
	option forward 'REJECT'
"""


def test_a_zone_of_the_firewall(fw4, site):
    """OpenWrt's fw4 finds the device of the zone by the name of the network, also after a restart of the interface."""
    site.up()
    site.reach()

    def load(policy):
        (site.router.root / "etc/config/firewall").write_text(FIREWALL.format(input=policy))
        rules = site.router.run("fw4", "-q", "print")[1]
        assert re.search(r'iifname "vpn" jump input_tunnel', rules), rules
        # nft is a program of this machine.
        site.place.run("nft", "-f", "-", input=rules[rules.index("table inet fw4") :])

    def answers():
        return not site.other.run(*traffic.ping_command("10.77.0.1", count=1, patience=1), check=False)[0]

    for _ in range(2):
        load("REJECT")
        assert not answers()
        load("ACCEPT")
        net.poll(answers, 5, what="an answer through the firewall")
        site.interface.down()
        site.interface.up()
        site.interface.until_up()
        site.reach()


SHOW = "/usr/lib/wgembed/show.uc"


def spent_by_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_wg_answers_polls_without_an_interpreter(ucode, site):
    """With the same bytes as wgembed, for each field; for next to nothing."""
    site.up(SILENT, options="\toption fwmark '0x10'")
    site.reach()
    router = site.router

    def settled(*words):
        """The answer of wgembed to `show`, of `ucode`, and of wg, while the counters do not change."""
        while True:
            wanted = router.run("wgembed", "show", *words, check=False)
            others = [router.run(*program, *words, check=False) for program in (["ucode", SHOW], ["wg", "show"])]
            if router.run("wgembed", "show", *words, check=False) == wanted:
                return wanted, *others

    for name in ("vpn", "all"):
        for field in FIELDS:
            wanted, by_ucode, by_wg = settled(name, field)
            assert wanted[0] == 0 and wanted[1] and by_ucode == by_wg == wanted, field
    # What it cannot answer is wgembed's task, with its words.
    for words in (["none", "dump"], ["vpn", "colour"], ["../vpn", "dump"], ["interfaces"]):
        wanted, by_ucode, by_wg = settled(*words)
        assert by_ucode == (1, "") and by_wg == wanted, words
    costs = {}
    for program in ("wgembed", "wg"):
        before = spent_by_children()
        for _ in range(20):
            router.run(program, "show", "all", "dump")
        costs[program] = (spent_by_children() - before) / 20
    print("CPU of a poll, in ms:", {name: round(cost * 1e3, 1) for name, cost in costs.items()})
    assert costs["wg"] < costs["wgembed"]


def test_up_and_down(site):
    site.up()
    site.reach()
    assert "10.99.0.0/16" in site.routes()
    site.has_asked_for([site.endpoint])
    assert not (site.router.root / "tmp/ran").exists(), "nothing of the configuration reaches a shell as a command"
    assert site.router.run("wg", "show", "interfaces")[1] == "vpn\n"
    assert site.router.run("wg", "show", "vpn", "latest-handshakes")[1].split()[0] == site.peer.key
    pid = site.interface.pid
    site.interface.down()
    assert site.place.run("ip", "link", "show", "vpn", check=False)[0] and not os.path.exists(f"/proc/{pid}/root")
    site.interface.up()
    site.reach()


def test_the_interpreter_is_started_once(site):
    """What launch.sh names becomes the daemon: no other program replaces it."""
    site.up()
    process = Path(f"/proc/{site.interface.pid}")
    assert b"/usr/lib/wgembed/start.py" in (process / "cmdline").read_bytes().split(b"\0")
    assert (process / "comm").read_text() == "wgembed\n"


def test_numbers_for_monitors(site):
    """The same by `wg show all dump` and by the control socket, which gives no secrets."""
    site.up()
    site.reach()
    interface, peer = (line.split("\t") for line in site.router.run("wg", "show", "all", "dump")[1].splitlines())
    told = site.router.ask("status=1", "vpn")
    assert interface[3:] == ["51820", "off"] and "listen_port=51820\nfwmark=0\n" in told
    assert peer[:2] == ["vpn", site.peer.key] and f"public_key={base64.b64decode(site.peer.key).hex()}\n" in told
    for place, name in ((5, "last_handshake_time_sec"), (6, "rx_bytes"), (7, "tx_bytes")):
        assert int(peer[place]) and f"{name}={peer[place]}\n" in told
    assert PRIVATE.hex() not in told and "errno=0" in told


def test_a_daemon_that_is_killed_comes_back_at_once(site):
    site.up()
    site.reach()
    os.kill(site.interface.pid, signal.SIGKILL)
    net.poll(lambda: len(site.interface.starts) == 2, 3, what="the second start")
    site.reach()
    net.poll(lambda: "10.99.0.0/16" in site.routes(), 5, what="the routes")


def test_a_link_that_is_deleted_comes_back(site):
    site.up()
    site.reach()
    site.place.ip("link", "del", "vpn")
    net.poll(lambda: len(site.interface.starts) == 2, 8, what="the second start")
    site.reach()


def test_netifd_is_killed_and_starts_again(site):
    """Its process goes on without it. The next one ends it, and there is one, which it looks after."""
    site.up()
    site.reach()
    first = site.interface.pid
    site.netifd.kill()
    site.reach()
    site.netifd.start()
    net.poll(lambda: site.interface.pid not in (None, first), 15, what="another process")
    site.interface.until_up(15)
    site.reach()
    assert not os.path.exists(f"/proc/{first}/root")
    os.kill(site.interface.pid, signal.SIGKILL)
    net.poll(lambda: len(site.interface.starts) == 3, 5, what="a start by this netifd")
    site.reach()


def test_a_provider_that_is_not_there_at_boot(site):
    """The tunnel waits for a way to its endpoint, and then comes up by itself."""
    site.two_providers(are_up=False)
    site.interface.up()
    net.poll(lambda: not site.interface.is_available and site.interface.pid is None, 10, what="the interface waiting")
    rest(1)
    assert not site.interface.is_up
    site.netifd.provider("wan", "up")
    site.goes_by("outer", 3)


def test_a_provider_fails(site):
    """And the tunnel goes by the other one, and back when that one fails."""
    site.two_providers(are_up=True)
    site.interface.up()
    site.goes_by("outer", 10)
    site.netifd.provider("wan", "down")
    site.goes_by("second", 4)
    site.netifd.provider("wan", "up")
    rest(1)
    site.netifd.provider("wan2", "down")
    site.goes_by("outer", 4)
    assert len(site.interface.starts) == 3


def test_renewal_with_peers_that_come_and_go(site):
    """The same process, the same handshake, no ping lost; the routes follow."""
    site.configure()
    site.service("start")
    site.up()
    site.reach()
    site.reload()
    before, handshake = site.interface.pid, site.router.run("wg", "show", "vpn", "latest-handshakes")[1]
    pings = site.place.spawn("ping", "-n", "-i", "0.05", "-c", "120", "-W", "2", "10.77.0.2")
    for more, wanted in ((OTHER, True), (OTHER.replace("10.98", "10.97"), False), ("", False)):
        site.configure(more)
        site.reload()
        net.poll(lambda wanted=wanted: ("10.98.0.0/16" in site.routes()) == wanted, 5, what="the routes")
    assert traffic.parse_pings(pings.finish(30)).lost == 0
    assert site.interface.pid == before
    assert site.router.run("wg", "show", "vpn", "latest-handshakes")[1] == handshake


def test_a_name(site):
    """Known later than the interface is up: netifd is asked for the route then."""
    site.up(OTHER, host="later.example")
    site.has_asked_for(["203.0.113.9"])
    assert "10.98.0.0/16" in site.routes() and "10.99.0.0/16" not in site.routes(), "they could lead to the name server"
    site.router.add_host("later.example", site.endpoint)
    if not site.netifd.is_real:
        net.poll(lambda: site.endpoint in site.interface.hosts, 15, what="the call of the hook")
    net.poll(lambda: "10.99.0.0/16" in site.routes(), 15, what="the routes of the peer")
    site.reach()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"private": "short"}, r"option private_key: .*base64"),
        ({"options": "\toption fwmark 'many'"}, r"option fwmark: expected a number from 0 to 4294967295, got 'many'"),
    ],
)
def test_a_mistake_is_shown_and_not_tried_again(site, options, sentence):
    site.configure(**options)
    site.interface.up()
    site.interface.until_error(sentence)
    assert sentence.partition(":")[0] in site.router.logged()
    rest(6)
    assert len(site.interface.starts) == 1
    # When it is corrected, the service starts it.
    site.configure()
    site.reload()
    site.interface.until_up()
    site.reach()


def test_a_renewal_with_a_mistake_changes_nothing(site):
    """Neither in the daemon nor in netifd; the sentence is shown."""
    site.up()
    site.reach()
    site.configure(OTHER + OTHER.replace("10.98.0.0/16", "0.0.0.0/0"))
    site.reload()
    site.interface.until_error("public_key: .* has the same key")
    assert "default" not in site.routes() and "10.98.0.0/16" not in site.routes()
    site.reach()


def test_what_its_owner_takes_down_stays_down(site):
    """A change of a peer renews interfaces; it starts only those that a mistake has stopped."""
    site.up()
    site.reach()
    site.interface.down()
    site.configure(OTHER)
    site.reload()
    rest(2)
    assert not site.interface.is_up


def test_what_fails_is_tried_every_few_seconds(site):
    """Not at once, as netifd would, and not never: the tunnel is there when the cause is gone."""
    place = site.router.root / "tmp/run/wireguard"
    place.parent.mkdir(exist_ok=True)
    place.write_text("")
    site.configure()
    begin = time.monotonic()
    site.interface.up()
    site.interface.until_error("cannot look for the control socket /var/run/wireguard/vpn.sock: Not a directory")
    rest(9)
    tries = site.router.logged().count("daemon.err: wgembed: vpn: cannot look for the control socket")
    assert 2 <= tries <= 1 + (time.monotonic() - begin) / 4
    place.unlink()
    site.interface.until_up()
    site.reach()


def test_without_a_tun_device_nothing_is_started(site):
    """The sentence is shown."""
    device = site.router.root / "dev/net/tun"
    site.router.run("umount", "/dev/net/tun")
    device.unlink()
    site.configure()
    site.interface.up()
    site.interface.until_error("/dev/net/tun does not exist: install the package kmod-tun")
    assert site.interface.starts == []


def test_stands_aside_for_the_kernel(site):
    """It says so, and an option changes that."""
    site.router.run("sh", "-c", "mkdir /tmp/sys && mount --bind /tmp/sys /sys && mkdir -p /sys/module/wireguard")
    site.configure()
    site.interface.up()
    site.interface.until_error("the kernel has WireGuard: install wireguard-tools")
    rest(2)
    assert site.interface.starts == [] and site.router.logged().count("the kernel has WireGuard") == 1
    (site.router.root / "etc/config/wgembed").write_text("config globals 'globals'\n\toption beside_kernel '1'\n")
    site.up()
    site.reach()


HOSTILE = (
    "$(touch /tmp/ran)`touch /tmp/ran`;touch /tmp/ran;\n touch /tmp/ran\n#' ; touch /tmp/ran \" ; touch /tmp/ran & * -n \\"
)
# What the daemon does not read, or does not interpret: the tunnel comes up, and netifd decides about the value.
OF_OTHERS = ("mtu", "ip6prefix", "nohostroute", "addresses", "metric", "auto", "force_link")
OF_DAEMON = ("private_key", "listen_port", "fwmark")
OF_PEER = ("public_key", "preshared_key", "allowed_ips", "endpoint_host", "endpoint_port", "persistent_keepalive",
           "disabled", "route_allowed_ips")  # fmt: skip


def quoted(word):
    return "'" + word.replace("'", "'\\''") + "'"


def has_run(site):
    """Whether a value was run as a command, in the handler or in any other script."""
    return (site.router.root / "tmp/ran").exists()


def test_no_value_reaches_a_shell_of_a_working_interface(site):
    """Values that the daemon leaves to netifd, and descriptions. The hook gets a name, wg gets any words."""
    options = "".join(f"\toption {name} {quoted(HOSTILE)}\n" for name in OF_OTHERS if name != "addresses")
    options += f"\tlist addresses {quoted(HOSTILE)}\n"
    (site.router.root / "etc/config/wgembed").write_text(f"config globals 'globals'\n\toption heapsize {quoted(HOSTILE)}\n")
    site.configure(OTHER + f"\toption description {quoted(HOSTILE)}\n", options=options)
    site.service("start")
    site.interface.up()
    net.poll(lambda: (site.router.root / "tmp/run/wireguard/vpn.sock").exists(), 10, what="the daemon")
    if site.netifd.is_real:
        rest(2)
    else:
        site.interface.until_up()
    assert not has_run(site)
    more = OTHER.replace("xTIB", "xTIC").replace("10.98", "10.97")
    site.configure(OTHER + more + f"\toption description {quoted(HOSTILE * 2)}\n", options=options)
    site.reload()
    net.poll(lambda: len(site.router.run("wg", "show", "vpn", "peers")[1].split()) == 3, 8, what="the renewal")
    rest(1)
    site.router.run("/usr/lib/wgembed/endpoint", "vpn", "192.0.2.2", HOSTILE, check=False)
    for words in (["show", HOSTILE, "dump"], ["show", "vpn", HOSTILE], [HOSTILE], ["set", "vpn", "peer", HOSTILE]):
        assert site.router.run("wg", *words, check=False)[0]
    rest(1)  # the hook renews
    site.interface.down()
    assert not has_run(site)


def test_a_change_in_a_later_line_of_a_value(site):
    """uci prints a value with a line feed in two lines. Both count as a change of the peer."""
    site.configure(OTHER + "\toption description 'one\ntwo'\n")
    site.service("start")
    noted = site.router.root / "tmp/run/wgembed/netifd/vpn.sum"
    before = noted.read_text()
    site.configure(OTHER + "\toption description 'one\nthree'\n")
    site.reload()
    assert noted.read_text() != before


@pytest.mark.parametrize("name", [*OF_DAEMON, *OF_PEER, "tunlink"])
def test_no_value_reaches_a_shell(site, name):
    """Values that the daemon refuses, in a sentence that goes through the handler and netifd."""
    option = f"\toption {name} {quoted(HOSTILE)}\n"
    if name in OF_PEER:
        site.configure(
            f"\nconfig wireguard_vpn\n\toption public_key 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='\n{option}"
        )
    else:
        site.configure(options=option)
    site.service("start")
    site.interface.up()
    if name != "tunlink":
        site.interface.until_error(f"option {name}: ")
    elif site.netifd.is_real:  # it waits for this interface
        rest(2)
    else:
        site.interface.until_up()
    site.interface.down()
    assert not has_run(site)


def test_options_of_the_handler(site):
    told = site.router.run("sh", "-c", "cd /lib/netifd/proto && ./wireguard.sh wireguard dump")[1]
    if site.netifd.is_real:
        assert json.loads(told)["renew-handler"] and not json.loads(told)["no-proto-task"]
        return
    told = told.split()
    assert told[:3] == ["renew_handler=1", "available=1", "no_proto_task=0"]
    assert {"private_key", "listen_port", "mtu", "fwmark", "addresses", "nohostroute", "tunlink"} <= set(told[3:])
    assert not {"public_key", "allowed_ips"} & set(told), "netifd would tear the interface down for a peer"


def test_nohostroute_mtu_and_prefixes(site):
    site.up(options="\toption nohostroute '1'\n\toption mtu '1300'\n\tlist ip6prefix '2001:db8:7::/48'")
    site.reach()
    site.has_asked_for([])
    assert site.interface.prefixes == ["2001:db8:7::/48"]
    assert "mtu 1300" in site.place.ip("link", "show", "vpn")


def test_removal_leaves_nothing(site):
    site.up()
    site.reach()
    site.interface.down()
    site.router.opkg.remove(build_ipk.NETIFD)
    for place in build_ipk.NETIFD_FILES.values():
        assert not (site.router.root / place).exists()
    assert site.netifd.is_real or not list((site.router.root / "etc/rc.d").glob("*netifd"))


@pytest.mark.parametrize("start_s", [0, 6])
def test_more_peers_than_there_were_places_for(site, start_s):
    """netifd starts the daemon again, with larger tables; on a slow CPU, later than the renewal waits for an answer."""
    site.up()
    site.reach()
    program = site.router.root / "usr/lib/wgembed/start.py"
    program.write_text(f"import time\n\ntime.sleep({start_s})\n" + program.read_text())
    key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
    keys = [base64.b64encode(bytes([number]) * 31 + b"A").decode() for number in range(1, 60)]
    site.configure("".join([OTHER.replace(key, one).replace("10.98", f"10.{n + 100}") for n, one in enumerate(keys)]))
    site.reload()
    net.poll(lambda: len(site.interface.starts) == 2, 15, what="the second start")
    net.poll(
        lambda: len(site.router.run("wg", "show", "vpn", "peers", check=False)[1].split()) == 60,
        8 + start_s, what="all peers",
    )  # fmt: skip
    site.interface.until_up()
    site.reach()
    net.poll(lambda: site.netifd.is_real or site.interface.is_set_up, 8, what="the end of the setup, well before its limit")
    assert len(site.interface.starts) == 2 and not site.interface.errors


def test_memory(site, variant):
    """Each further interface is a process: little of its memory is not shared, and none grows with the heap's size."""
    site.up()
    site.reach()
    status = Path(f"/proc/{site.interface.pid}/status").read_text()
    own, all_of_it = (int(re.search(name + r":\s+(\d+)", status)[1]) for name in ("RssAnon", "VmRSS"))
    assert own < (1100 if variant == "micropython" else 8000)
    assert all_of_it < (3500 if variant == "micropython" else 14000)
