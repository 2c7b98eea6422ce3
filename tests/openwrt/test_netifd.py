"""`proto 'wireguard'` of /etc/config/network, served by the package wgembed-netifd: each event, with each interpreter.

lab/netifd.py replaces netifd. If WGEMBED_OPENWRT names a root with the real one, that is used.
"""

import base64
import json
import os
import re
import signal
from pathlib import Path

import pytest

from ..lab import net, peers, traffic, wire
from ..lab.builders import build_ipk
from ..lab.need import need
from ..lab.netifd import netifd_of, rest

PRIVATE = bytes(range(1, 33))
NETWORK = """
config interface 'wan'
	option device 'outer'
	option proto 'static'
	option ipaddr '192.0.2.1'
	option netmask '255.255.255.0'
	option gateway '192.0.2.99'

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
OTHER = """
config wireguard_{name}
	option public_key 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='
	option endpoint_host '203.0.113.9'
	list allowed_ips '10.98.0.0/16'
	option route_allowed_ips '1'
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
        """With the real ubusd, there is no procd: call the functions of the script."""
        if self.netifd.is_real:
            script = f". /lib/functions.sh; . /etc/init.d/wgembed-netifd; {verb}_service"
            self.router.run("sh", "-c", script)
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


def test_a_daemon_that_is_killed_comes_back_at_once(site):
    site.up()
    site.reach()
    os.kill(site.interface.pid, signal.SIGKILL)
    net.poll(lambda: len(site.interface.starts) == 2, 3, what="the second start")
    site.reach()
    assert "10.99.0.0/16" in site.routes()


def test_a_link_that_is_deleted_comes_back(site):
    site.up()
    site.reach()
    site.place.ip("link", "del", "vpn")
    net.poll(lambda: len(site.interface.starts) == 2, 8, what="the second start")
    site.reach()


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


def test_what_is_not_possible_now_is_tried_every_few_seconds(site):
    """No TUN device: the sentence, and no start. A port that is taken: one start in 4 s."""
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


def test_more_peers_than_there_were_places_for(site):
    """netifd starts the daemon again, with larger tables."""
    site.up()
    site.reach()
    key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
    keys = [base64.b64encode(bytes([number]) * 31 + b"A").decode() for number in range(1, 60)]
    site.configure("".join([OTHER.replace(key, one).replace("10.98", f"10.{n + 100}") for n, one in enumerate(keys)]))
    site.reload()
    net.poll(lambda: len(site.interface.starts) == 2, 15, what="the second start")
    net.poll(lambda: len(site.router.run("wg", "show", "vpn", "peers", check=False)[1].split()) == 60, 8, what="all peers")
    site.reach()


def test_memory(site, variant):
    """Each further interface is a process: little of its memory is not shared, and none grows with the heap's size."""
    site.up()
    site.reach()
    status = Path(f"/proc/{site.interface.pid}/status").read_text()
    own = int(re.search(r"RssAnon:\s+(\d+)", status)[1])
    assert own < (1100 if variant == "micropython" else 8000)
