"""OpenWrt's own pages for `proto 'wireguard'`, luci-proto-wireguard, on a router with wgembed-netifd and the real netifd."""

import base64
import json
from pathlib import Path

import pytest

from ..lab import luci, net, openwrt, wire
from ..lab.builders import build_ipk
from ..lab.need import Missing, outside
from ..lab.netifd import RealNetifd
from ..openwrt.test_netifd import PRIVATE, WAN, Site
from .form import Form, encode, unharmed
from .test_poll import spent

OWN = encode(PRIVATE)
HOSTILE = "</td><img src=x onerror='pwned=1'>\"'$(touch /tmp/pwned)`touch /tmp/pwned`"


def real_netifd():
    if not (luci.folder("WGEMBED_OPENWRT") / "sbin/netifd").exists():
        raise Missing("WGEMBED_OPENWRT names no folder with sbin/netifd: see tests/lab/netifd.py")


@pytest.fixture(params=["micropython", "python3"])
def variant(request):
    return request.param


@pytest.fixture
def site(folder, variant):
    """A router with wgembed, wgembed-netifd, netifd and its WAN, and a machine with wireguard-go."""
    outside(real_netifd)
    outside(openwrt.interpreter, variant)
    namespace = net.Namespace()
    router = openwrt.Router(namespace)
    router.fit(variant)
    package = next(folder.glob(f"*{variant}*.ipk"), None) or build_ipk.build(folder, variant)
    router.opkg.install(build_ipk.build_luci(folder))
    site = StockSite(router, package, folder)
    assert isinstance(site.netifd, RealNetifd)
    (router.root / "etc/config/network").write_text(WAN)
    yield site
    print(router.logged())
    site.close()
    router.close()
    namespace.close()


class StockSite(Site):
    def peer_knows(self, key):
        """Let wireguard-go expect this public key of the router."""
        private = base64.b64encode(self.peer.private).decode()
        self.peer.load(f"[Interface]\nPrivateKey = {private}\nListenPort = 51821\n[Peer]\n"
                       f"PublicKey = {key}\nAllowedIPs = 10.77.0.1/32, fd77::1/128\n")  # fmt: skip


@pytest.fixture
def bus(site):
    site.netifd.start()
    site.service("start")
    bus = luci.Bus(site.router, site.netifd)
    yield bus
    bus.close()


def children_spent(pid):
    """The CPU of the ended children of a process, in s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / 100


def test_a_poll(site, bus):
    """Of the status page of luci-proto-wireguard."""
    site.up()
    site.reach()
    told = bus.call("luci.wireguard", "getWgInstances")[1]["vpn"]
    assert told["public_key"] == encode(wire.public_key(PRIVATE)) and told["listen_port"] == "51820"
    (peer,) = told["peers"]
    assert peer["public_key"] == site.peer.key and int(peer["latest_handshake"]) and int(peer["transfer_rx"])
    costs = []
    for module in ("socket.so", "absent"):
        (site.router.root / "usr/lib/ucode/socket.so").rename(site.router.root / "usr/lib/ucode" / module)
        before = children_spent(bus.rpcd) + spent(*bus.pids)
        for _ in range(50):
            assert bus.call("luci.wireguard", "getWgInstances")[1]
        costs.append((children_spent(bus.rpcd) + spent(*bus.pids) - before) / 50 * 1e3)
    print("a poll with ucode, and without: %.1f and %.1f ms" % tuple(costs))
    assert costs[0] < costs[1]


@pytest.fixture
def stock(page, gateway):
    """OpenWrt's own pages in a tab."""
    with unharmed(page):
        yield Stock(page, gateway)


class Stock(Form):
    """The pages of network interfaces, and of the status of WireGuard."""

    LOADED = "#view h2, #view h3, #view .cbi-map"

    def __init__(self, page, gateway):
        super().__init__(page, gateway)
        self.url = gateway.url + "/cgi-bin/luci/admin/"

    def open(self, name="network/network"):
        self.page.goto(self.url + name)
        self.page.wait_for_selector(self.LOADED)

    def add(self, name):
        self.page.click("button:text-is('Add new interface...')")
        self.page.fill(".modal input[placeholder^='New interface name']", name)
        self.page.select_option(".modal select", "wireguard")
        self.press("Create interface")
        self.page.wait_for_selector(".modal [data-name=private_key]")

    def field(self, option):
        return self.page.locator(f".modal [data-name={option}] input:visible").first

    def edit(self, name):
        self.page.click(f"#view tr[data-sid={name}] button:text-is('Edit')")
        self.page.wait_for_selector(".modal [data-name=private_key]")
        self.page.wait_for_timeout(300)  # it slides in


def test_from_nothing_to_a_tunnel(site, stock):
    stock.open()
    stock.add("vpn")
    stock.press("Generate new key pair")
    stock.page.wait_for_function("document.querySelector('.modal [data-name=private_key] input').value.length == 44")
    stock.page.wait_for_timeout(1500)  # the dialog is drawn again
    own = stock.field("public_key").input_value()
    stock.fill(listen_port="51820", addresses=["10.77.0.1/24", "fd77::1/64"])
    stock.tab("Peers")
    stock.press("Add peer")
    stock.page.wait_for_selector(".modal .cbi-value[data-name=endpoint_host]")
    stock.fill(
        description=HOSTILE,
        public_key=site.peer.key,
        allowed_ips=["10.77.0.2/32"],
        endpoint_host=site.endpoint,
        endpoint_port="51821",
    )
    stock.press("Save")
    stock.page.wait_for_selector(f".modal tr:has-text('{site.endpoint}')")
    stock.save()
    stock.apply()
    site.peer_knows(own)
    site.reach()
    stock.page.wait_for_selector("#view [data-name=_ifacestat]:has-text('10.77.0.1/24')")
    stock.open("status/wireguard")
    stock.page.wait_for_selector("#view :text('s ago)')")
    assert HOSTILE in stock.page.inner_text("#view")
    assert not (site.router.root / "tmp/pwned").exists()
    # A change of the peer is applied without an interruption.
    pid = site.interface.pid
    stock.open()
    stock.edit("vpn")
    stock.tab("Peers")
    stock.page.click(".modal tr:has-text('192.0.2.2') button:text-is('Edit')")
    stock.page.wait_for_selector(".modal .cbi-value[data-name=endpoint_host]")
    stock.fill(persistent_keepalive="25")
    stock.press("Save")
    stock.page.wait_for_selector(f".modal tr:has-text('{site.endpoint}')")
    stock.save()
    stock.apply()
    net.poll(lambda: "\t25\n" in site.router.run("wg", "show", "vpn", "persistent-keepalive")[1], 5, what="the keepalive")
    assert site.interface.pid == pid


FAULTS = [
    ({"private": "short"}, "option private_key: "),
    ({"options": "\toption fwmark '<img src=x onerror=pwned=1>'"}, "option fwmark: expected a number from 0 to 4294967295"),
    ({}, "/dev/net/tun does not exist: install the package kmod-tun"),
]


@pytest.mark.parametrize("configured, sentence", FAULTS, ids=("key", "markup", "tun"))
def test_a_fault_is_shown_in_one_sentence(site, stock, configured, sentence):
    if not configured:
        site.router.run("umount", "/dev/net/tun")
        (site.router.root / "dev/net/tun").unlink()
    site.configure(**configured)
    site.netifd.changed("network")
    stock.open()
    stock.page.wait_for_selector(f"#view [data-name=_ifacestat]:has-text({json.dumps(sentence)})")
    told = stock.page.inner_text("#view tr[data-sid=vpn] [data-name=_ifacestat]")
    assert told.count("Error:") == 1


# ---- our own pages, on the same router


@pytest.fixture
def form(page, gateway):
    with unharmed(page):
        yield Form(page, gateway)


def test_names_have_no_secrets(site, bus):
    preshared = encode(b"7" * 32)
    site.configure(f"\nconfig wireguard_vpn\n\toption preshared_key '{preshared}'\n\toption private_key '{preshared}'\n")
    told = bus.call("luci.wgembed", "names")[1]
    assert told["network"] and told["interfaces"]["vpn"]["peers"][0]["public_key"] == site.peer.key
    assert "wan" not in told["interfaces"] and OWN not in str(told) and preshared not in str(told)


def test_our_status_page_shows_it(site, form):
    """With the name of the peer; while it is down, with netifd's reason."""
    site.configure()
    site.netifd.changed("network")
    site.interface.until_up()
    site.reach()
    form.open("status")
    form.wait_for_state(site.peer.key, "up")
    shown = form.page.inner_text("[data-interface=vpn]")
    assert 'it\'s far, "away"' in shown and "Network interfaces" in shown
    form.page.click(f"[data-peer='{site.peer.key}'] button")
    form.page.wait_for_selector(".modal pre:has-text('no problem found')", timeout=20_000)
    form.press("Dismiss")
    site.configure(private="short")
    site.interface.down()
    site.netifd.changed("network")
    site.interface.up()
    site.interface.until_error("private_key")
    form.page.wait_for_selector("[data-interface=vpn]:has-text('It is not running: /etc/config/network')")
    assert "private_key: a key has 44 characters" in form.page.inner_text("[data-interface=vpn]")


FILE = f"""[Interface]
PrivateKey = {OWN}
Address = 10.77.0.1/24
DNS = 10.77.0.2
ListenPort = 51820
[Peer]
PublicKey = KEY
AllowedIPs = 10.77.0.2/32
Endpoint = HOST:51821
"""


def test_our_page_adds_an_interface_of_openwrt(site, form, stock):
    form.open()
    form.page.click("button:text-is('Add an OpenWrt interface…')")
    form.page.fill(".modal textarea", FILE.replace("KEY", site.peer.key).replace("HOST", site.endpoint))
    for name, sentence in (("wan", "already exists"), ("a b", "expected 1 to 15 letters")):
        form.page.fill(".modal input[name=name]", name)
        form.press("Add")
        form.page.wait_for_selector(f".modal .alert-message:has-text('{sentence}')")
    form.page.fill(".modal input[name=name]", "vpn")
    form.press("Add")
    # OpenWrt's page, with the interface in the changes that are not applied yet.
    form.page.wait_for_selector("#view tr[data-sid=vpn]")
    assert "option proto 'wireguard'" not in (site.router.root / "etc/config/network").read_text()
    stock.edit("vpn")
    assert stock.field("private_key").input_value() == OWN
    stock.save()
    stock.apply()
    site.interface.until_up()
    site.reach()
    text = (site.router.root / "etc/config/network").read_text()
    assert "list dns '10.77.0.2'" in text and "option route_allowed_ips '1'" in text


def test_without_the_package_there_is_no_such_button(site, form):
    """A new key pair is made for an interface without a file."""
    form.open()
    form.page.click("button:text-is('Add an OpenWrt interface…')")
    form.page.fill(".modal input[name=name]", "new")
    form.press("Add")
    form.page.wait_for_selector("#view tr[data-sid=new]")
    changes = form.page.evaluate("L.require('uci').then(uci => uci.changes())")["network"]
    (key,) = [change[3] for change in changes if change[:3] == ["set", "new", "private_key"]]
    assert len(base64.b64decode(key)) == 32
    site.router.opkg.remove(build_ipk.NETIFD)
    form.open()
    assert form.page.locator("button:text-is('Import configuration')").count() == 1
    assert form.page.locator("button:text-is('Add an OpenWrt interface…')").count() == 0
