"""The pages in Chromium, with LuCI's own client code, on a router with OpenWrt's own rpcd."""

import re
import subprocess
import time

import pytest

from wgembed.config import convert, keys, uci, wg_quick
from wgembed.config import options as config

from ..lab import net, openwrt, traffic, wire
from ..lab.need import have
from .form import Form, encode, unharmed

PRIVATE = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
OTHER = encode(wire.public_key(b"\7" * 32))
HOSTILE = "</td><img src=x onerror='pwned=1'><script>pwned=2</script>\"'$(touch /tmp/pwned)`touch /tmp/pwned`%s%h"
QUICK = f"""[Interface]
PrivateKey = {PRIVATE}
Address = 10.66.0.2/24
DNS = 10.66.0.1
[Peer]
PublicKey = {OTHER}
AllowedIPs = 10.66.0.0/24
Endpoint = 192.0.2.99:51820
"""


@pytest.fixture
def form(page, gateway):
    with unharmed(page):
        yield Form(page, gateway)


@pytest.fixture
def tunnel(site):
    """The router's tunnel, up."""
    site.configure()
    site.router.service("start")
    site.router.reach("10.77.0.2")
    return site


def options(router, kind):
    """[{option: value}] of the sections of a kind in /etc/config/wgembed."""
    text = (router.root / "etc/config/wgembed").read_bytes()
    return [
        {option.name.decode(): [v.decode() for v in option.values] if option.values else option.value.decode()
         for option in section.options}
        for section in uci.parse(b"wgembed", text).sections if section.kind.decode() == kind
    ]  # fmt: skip


def own_key(router):
    return (router.root / "etc/wgembed/wg0.pub").read_text().strip()


# ---- from nothing


def test_from_nothing_to_a_tunnel_and_why_it_breaks(site, form, gateway):
    router, key = site.router, site.peer.key
    form.open()
    form.add_interface("wg0")
    assert form.page.inner_text(".wgembed-public-key") == own_key(router)
    form.fill(listen_port="51820", addresses=["10.77.0.1/24", "fd77::1/64"])
    form.save()
    form.add_peer("wg0")
    form.fill(description="the other end", public_key=key, allowed_ips=["10.77.0.2/32", "fd77::2/128"],
              endpoint_host="far.example", endpoint_port=str(openwrt.FAR_PORT))  # fmt: skip
    form.field("route_allowed_ips").check()
    form.save()
    form.apply()
    router.reach("10.77.0.2")
    assert options(router, "interface") == [
        {"private_key_file": "/etc/wgembed/wg0.key", "addresses": ["10.77.0.1/24", "fd77::1/64"], "listen_port": "51820"}
    ]

    form.open("status")
    form.wait_for_state(key, "up")
    row = form.page.inner_text(f"[data-peer='{key}']")
    assert "the other end" in row and "far.example:51821 at 192.0.2.2:51821" in row and re.search(r"\d s ago", row)
    assert not form.sentences(key)
    before = form.page.inner_text(f"[data-peer='{key}'] [data-handshake]")
    form.page.wait_for_function("old => document.querySelector('[data-handshake]').textContent != old", arg=before)

    change(form, public_key=OTHER)
    ping = traffic.ping_command("10.77.0.2", count=4, patience=8)
    pings = site.near.spawn(*ping)
    form.open("status")
    form.wait_for_state(OTHER, "handshaking")
    form.page.wait_for_selector(f"[data-why='{OTHER}'] li:has-text('does not answer')", timeout=20_000)
    (sentence,) = form.sentences(OTHER)
    assert sentence.startswith("The peer does not answer at 192.0.2.2:51821, after ") and own_key(router) in sentence
    form.page.click(f"[data-peer='{OTHER}'] button")
    form.page.wait_for_selector(".modal pre", timeout=20_000)
    assert "The peer does not answer at 192.0.2.2:51821" in form.page.inner_text(".modal pre")
    form.press("Dismiss")
    pings.stop()

    change(form, public_key=key)
    form.open()
    form.edit("Peers of wg0", "the other end")
    form.press("Generate preshared key")
    form.page.wait_for_function("document.querySelector('.modal [data-name=preshared_key] input').value.length == 44")
    form.press("Dismiss")
    form.gone()
    router.reach("10.77.0.2")
    form.open("status")
    form.wait_for_state(key, "up")


def change(form, **values):
    form.open()
    form.edit("Peers of wg0", "the other end")
    form.fill(**values)
    form.save()
    form.apply()


def test_saving_keeps_sessions(tunnel, form):
    """And the traffic in them."""
    router, pid = tunnel.router, tunnel.router.daemon()
    shaken = re.search(r"last_handshake_time_nsec=(\d+)", router.ask())[1]
    pings = tunnel.far.spawn(*traffic.ping_command("10.77.0.1", count=100, interval=0.05))
    form.open()
    form.add_peer("wg0")
    form.fill(description="more", public_key=OTHER, allowed_ips=["10.77.0.9/32"])
    form.save()
    form.apply()
    net.poll(lambda: router.ask().count("public_key=") == 2, 5, what="the second peer")
    assert traffic.parse_pings(pings.finish(20)).lost == 0
    assert router.daemon() == pid and f"last_handshake_time_nsec={shaken}" in router.ask()


# ---- what the form refuses

WRONG = [
    ("listen_port", "70000", "expected a number from 0 to 65535"),
    ("listen_port", "1234", "already the port of wg1"),
    ("addresses", "10.0.0.300/24", "expected an address, or a network"),
    ("_private_key", "short", "a key has 44 characters of base64"),
]
WRONG_ROUTES = [
    ("mtu", "100", "expected a number from 576"), ("mtu", "600", "IPv6 needs an MTU of at least 1280"),
    ("metric", "x", "expected a number from 0"),
    ("ip4table", "a b", "expected a number or a name"), ("tunlink", "a/b", "not a valid name of a network"),
    ("fwmark", "0xfffffffff", "expected a number from 0"), ("max_peers", "0", "expected a number from 1"),
]  # fmt: skip
WRONG_PEER = [
    ("public_key", "x" * 44, "a key has 44 characters of base64"), ("public_key", "FAR", "another peer has the same key"),
    ("public_key", "OWN", "this is the public key of the interface itself"),
    ("preshared_key", "secret", "a key has 44 characters of base64"), ("allowed_ips", "10.0.0.0/33", "expected an address"),
    ("allowed_ips", "10.99.1.2/16", "another peer already has this network; give each network to one peer only"),
    ("endpoint_host", "a b-", "not a host name"), ("endpoint_host", "1.2.3", "not an IP address"),
    ("endpoint_port", "0", "expected a number from 1"), ("persistent_keepalive", "-1", "expected a number from 0"),
    ("endpoint_host", "<b>x</b>", "not a host name"),
]  # fmt: skip


def test_bad_input_is_refused_with_a_sentence(site, form):
    site.configure("\nconfig interface 'wg1'\n\toption listen_port '1234'\n")
    before = (site.router.root / "etc/config/wgembed").read_text()
    form.open()
    form.edit("Interfaces", "wg0")
    for option, value, sentence in WRONG:
        refuse(form, option, value, sentence)
    form.tab("Advanced Settings")
    for option, value, sentence in WRONG_ROUTES:
        refuse(form, option, value, sentence)
    form.press("Dismiss")
    form.gone()
    form.add_peer("wg0")
    for option, value, sentence in WRONG_PEER:
        refuse(form, option, {"FAR": site.peer.key, "OWN": own_key(site.router)}.get(value, value), sentence)
    form.fill(public_key="wrong")
    form.press("Save")
    time.sleep(0.5)
    assert form.page.is_visible(".modal"), "it stays open"
    form.press("Dismiss")
    form.gone()
    form.page.fill(".cbi-section-create-name", "a_name_that_is_too_long")
    form.page.keyboard.press("Tab")
    form.page.click("button:text-is('Add interface')")
    form.page.wait_for_selector("text=expected 1 to 15 letters")
    assert (site.router.root / "etc/config/wgembed").read_text() == before


def refuse(form, option, value, sentence):
    form.fill(**{option: value})
    assert sentence in form.complaint(option), (option, value)
    form.fill(**{option: ""})
    assert not form.complaint(option)


# ---- strangers' words


def test_names_inject_nothing(site, form, gateway):
    router = site.router
    quoted = HOSTILE.replace("'", "'\\''")
    site.configure(
        f"\nconfig wireguard_wg0\n\toption description '{quoted}'\n\toption public_key '{OTHER}'\n"
        f"\toption private_key '{PRIVATE}'\n\tlist allowed_ips '10.99.3.0/24'\n"
        f"\toption endpoint_host '<img src=x onerror=pwned=3>'\n"
        f"\nconfig wireguard_wg0\n\toption description 'narrow'\n\toption public_key '{PUBLIC}'\n"
        f"\tlist allowed_ips '10.99.3.7/32'\n"
        f"\nconfig wireguard_wg0\n\toption description 'odd'\n\tlist allowed_ips '<img src=x onerror=pwned=4>'\n"
    )
    form.open()
    shown = form.section("Peers of wg0").inner_text()
    assert HOSTILE in shown and f"overlaps with a network of {HOSTILE}" in shown.replace("\n", " ")
    form.edit("Peers of wg0", HOSTILE)
    assert form.field("description").input_value() == HOSTILE
    form.press("Dismiss")
    form.gone()
    form.row("Peers of wg0", HOSTILE).locator("button:text-is('Generate configuration…')").click()
    form.page.wait_for_selector(".modal .wgembed-qr svg")
    form.page.fill(".modal input[name=endpoint]", "<img src=x onerror=pwned=5>")
    form.page.wait_for_selector(".modal .alert-message:has-text('not a host name')")
    form.press("Dismiss")
    form.gone()
    form.edit("Peers of wg0", "far")
    form.fill(description=HOSTILE + "3")
    form.save()
    form.page.click("#indicators [data-indicator=uci-changes]")
    form.page.wait_for_selector(".modal .uci-change-list")
    assert "<script>pwned=2</script>" in form.page.inner_text(".modal"), "LuCI's own words of it"
    # The endpoint is no host, and the daemon would refuse the whole.
    router.configure((router.root / "etc/config/wgembed").read_text().replace("<img src=x onerror=pwned=3>", "192.0.2.77")
                     .replace("<img src=x onerror=pwned=4>", "10.99.4.0/24"))  # fmt: skip
    router.service("start")
    router.reach("10.77.0.2")
    form.open("status")
    form.wait_for_state(site.peer.key, "up")
    assert HOSTILE in form.page.inner_text(f"[data-peer='{OTHER}']")
    assert form.page.locator("#view img, .modal img, #view script[src], h2 img").count() == 0
    assert not (router.root / "tmp/pwned").exists()


# ---- files and phones


def test_import_of_an_interface(site, form, gateway):
    form.open()
    form.section("Interfaces").locator("button:text-is('Import configuration')").click()
    form.drop("home office.conf", QUICK)
    assert form.page.input_value(".modal input[name=name]") == "home_office"
    form.press("Import")
    form.gone()
    form.page.wait_for_selector("text=Not imported")
    form.apply()
    (wg,) = options(site.router, "interface")
    assert wg == {"addresses": ["10.66.0.2/24"], "private_key_file": "/etc/wgembed/home_office.key"}
    assert (site.router.root / "etc/wgembed/home_office.key").read_text() == PRIVATE + "\n"
    (peer,) = options(site.router, "wireguard_home_office")
    assert peer["public_key"] == OTHER and peer["endpoint_host"] == "192.0.2.99"
    net.poll(lambda: (site.router.root / "tmp/run/wireguard/home_office.sock").exists(), 10, what="the interface")


def test_a_file_with_a_mistake_is_refused(site, form):
    form.open()
    form.section("Interfaces").locator("button:text-is('Import configuration')").click()
    form.page.fill(".modal textarea", QUICK.replace("10.66.0.2/24", "10.66.0.2/99"))
    form.page.fill(".modal input[name=name]", "wg7")
    form.press("Import")
    form.page.wait_for_selector(".modal .alert-message:has-text('line 3: expected an address')")
    form.page.fill(".modal textarea", QUICK)
    form.page.fill(".modal input[name=name]", "wg 7")
    form.press("Import")
    form.page.wait_for_selector(".modal .alert-message:has-text('expected 1 to 15 letters')")


def test_import_of_a_peer(tunnel, form):
    form.open()
    form.section("Peers of wg0").locator("button:text-is('Import configuration as peer…')").click()
    form.drop("laptop.conf", QUICK.replace(OTHER, own_key(tunnel.router)))
    form.press("Import")
    form.gone()
    form.apply()
    peer = options(tunnel.router, "wireguard_wg0")[-1]
    assert peer == {"description": "laptop", "public_key": PUBLIC, "allowed_ips": ["10.66.0.2/32"], "route_allowed_ips": "1"}


def test_a_phone_gets_its_file(tunnel, form, tmp_path):
    router = tunnel.router
    form.open()
    form.section("Peers of wg0").locator("button:text-is('Add a phone…')").click()
    form.page.fill(".modal input[name=description]", "my phone")
    form.press("Add")
    form.page.wait_for_selector(".modal .wgembed-qr svg")
    form.page.fill(".modal input[name=endpoint]", "2001:db8::7")
    form.page.fill(".modal input[name=dns]", "10.77.0.1")
    text = form.page.inner_text(".modal .wgembed-file")
    form.page.locator(".modal .wgembed-qr").screenshot(path=tmp_path / "code.png")
    form.press("Dismiss")
    form.gone()
    form.apply()
    ((_, _, interface), (_, _, peer)), left_out = convert.import_interface(wg_quick.parse(text), "phone")
    interface, peer = dict(interface), dict(peer)
    assert interface["addresses"] == ["10.77.0.3/32", "fd77::3/128"] and left_out == ["dns"]
    assert peer["public_key"] == own_key(router) and peer["allowed_ips"] == ["0.0.0.0/0", "::/0"]
    assert (peer["endpoint_host"], peer["endpoint_port"]) == ("2001:db8::7", "51820")
    kept = options(router, "wireguard_wg0")[-1]
    assert kept["public_key"] == encode(keys.public_key(config.key(interface["private_key"])))
    assert kept["preshared_key"] == peer["preshared_key"] and kept["allowed_ips"] == interface["addresses"]
    assert "private_key" not in kept, "shown once"
    if have("zbarimg"):
        done = subprocess.run(["zbarimg", "-q", "--raw", tmp_path / "code.png"], capture_output=True, text=True)
        assert done.stdout.strip() == text.strip()


def test_keys_stay_on_the_router(tunnel, form, gateway):
    router = tunnel.router
    form.open()
    form.edit("Interfaces", "wg0")
    old = form.page.inner_text(".wgembed-public-key")
    form.press("Generate new key pair")
    form.page.wait_for_function("old => document.querySelector('.wgembed-public-key').textContent != old", arg=old)
    new = form.page.inner_text(".wgembed-public-key")
    form.save()
    assert options(router, "interface")[0]["private_key_file"] == "/etc/wgembed/wg0.key", "not before it is applied"
    form.apply()
    assert options(router, "interface")[0]["private_key_file"] == "/etc/wgembed/wg0-2.key"
    in_use = bytes(config.key(new)).hex()
    net.poll(lambda: f"own_public_key={in_use}\n" in router.ask("status=1"), 5, what="the new key in use")
    form.open("status")
    form.page.wait_for_selector("[data-peer]")
    for name in ("wg0.key", "wg0-2.key"):
        secret = (router.root / "etc/wgembed" / name).read_text().strip()
        assert not any(secret in answer for answer in gateway.answers)


def test_a_key_in_the_configuration_moves_into_a_file(site, form):
    site.router.configure(f"config interface 'wg0'\n\toption private_key '{PRIVATE}'\n\toption listen_port '5'\n")
    form.open()
    form.edit("Interfaces", "wg0")
    assert form.page.inner_text(".wgembed-public-key") == PUBLIC
    form.press("Move the private key into a file")
    time.sleep(1)
    form.save()
    form.apply()
    (wg0,) = options(site.router, "interface")
    assert wg0 == {"private_key_file": "/etc/wgembed/wg0-2.key", "listen_port": "5"}
    assert (site.router.root / "etc/wgembed/wg0-2.key").read_text().strip() == PRIVATE


# ---- order, switches, the firewall, removal


def test_order_by_dragging(site, form):
    site.configure(f"\nconfig wireguard_wg0\n\toption description 'second'\n\toption public_key '{OTHER}'\n")
    form.open()
    handle = form.row("Peers of wg0", "second").locator(".drag-handle")
    handle.drag_to(form.row("Peers of wg0", "far").locator("td").nth(1))
    form.apply()
    assert [peer["description"] for peer in options(site.router, "wireguard_wg0")] == ["second", "far"]


def test_disabled_and_enabled_again(tunnel, form):
    router = tunnel.router
    form.open()
    form.row("Peers of wg0", "far").locator("[data-name=_enabled] label, [data-name=_enabled] input").first.click()
    form.apply()
    assert options(router, "wireguard_wg0")[0]["disabled"] == "1"
    net.poll(lambda: "public_key=" not in router.ask(), 5, what="the end of the peer")
    form.row("Peers of wg0", "far").locator("[data-name=_enabled] label, [data-name=_enabled] input").first.click()
    form.apply()
    assert "disabled" not in options(router, "wireguard_wg0")[0]
    router.reach("10.77.0.2")


def test_firewall(site, form):
    site.configure()
    firewall = site.router.root / "etc/config/firewall"
    form.open()
    form.edit("Interfaces", "wg0")
    form.tab("Firewall Settings")
    form.field("_zone").select_option("lan")
    form.field("_open_port").check()
    form.save()
    form.apply()
    text = firewall.read_text()
    assert re.search(r"option name 'lan'\n(\t.*\n)*\tlist device 'wg0'", text)
    assert re.search(r"config rule 'wgembed_wg0'\n(\t.*\n)*\toption dest_port '51820'", text)
    form.row("Interfaces", "wg0").locator("button:text-is('Delete')").click()
    form.page.wait_for_selector("text=Peers of wg0", state="detached")
    form.apply()
    assert "wg0" not in firewall.read_text() and "wg0" not in (site.router.root / "etc/config/wgembed").read_text()


# ---- who may look, and on what


def test_a_service_that_is_stopped(tunnel, form):
    form.open("status")
    form.wait_for_state(tunnel.peer.key, "up")
    tunnel.router.service("stop")
    form.page.wait_for_selector("[data-interface=wg0]:has-text('It is not running')")
    tunnel.router.service("start")
    form.page.wait_for_selector(f"[data-peer='{tunnel.peer.key}']")


def test_who_may_only_watch(tunnel, form, gateway):
    gateway.session = gateway.bus.login("watcher")
    form.open("status")
    form.wait_for_state(tunnel.peer.key, "up")
    assert "far" in form.page.inner_text(f"[data-peer='{tunnel.peer.key}']")
    for kind, method, arguments in (
        ("luci.wgembed", "new_pair", {}), ("luci.wgembed", "new_key", {"interface": "wg0"}),
        ("uci", "get", {"config": "wgembed"}), ("file", "exec", {"command": "/usr/sbin/wgembed", "params": ["genkey"]}),
        ("file", "exec", {"command": "/bin/busybox", "params": ["id"]}),
    ):  # fmt: skip
        asked = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": [gateway.session, kind, method, arguments]}
        assert gateway.ubus(asked)["result"][0] == 6, (kind, method)
    for words in (["diagnose", "wg0"], ["history"]):
        asked["params"][1:] = ["file", "exec", {"command": "/usr/sbin/wgembed", "params": words}]
        assert gateway.ubus(asked)["result"][0] == 0, words


def test_history(tunnel, form):
    form.open("status")
    form.wait_for_state(tunnel.peer.key, "up")
    form.page.click("[data-action='history']")
    form.page.wait_for_selector(".modal pre")
    text = form.page.inner_text(".modal pre")
    assert "started, configuration" in text or "wgembed-micropython-tools" in text


# In pixels: phones, a tablet, a small window.
WIDTHS = (320, 390, 768, 960)
CUT_OFF = """() => [...document.querySelectorAll('#view button, #view input[type=button]')]
    .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.textContent)"""
# A select with a long option shows only the beginning of it. 20 pixels are for its arrow.
CUT_OFF_OPTIONS = """() => [...document.querySelectorAll('.modal select')].flatMap((node) => {
    const probe = document.body.appendChild(document.createElement('span')), cut = [];
    probe.style.cssText = 'position:absolute; white-space:pre';
    probe.style.font = getComputedStyle(node).font;
    for (const option of node.options) {
        probe.textContent = option.text;
        if (node.clientWidth && probe.offsetWidth > node.clientWidth - 20)
            cut.push(option.text);
    }
    probe.remove();
    return cut;
})"""
LINES = """(node) => {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), range = document.createRange(), tops = new Set();
    while (walker.nextNode()) {
        range.selectNodeContents(walker.currentNode);
        for (const box of range.getClientRects())
            tops.add(Math.round(box.top));
    }
    return tops.size;
}"""


@pytest.mark.parametrize("name", ["status", "config"])
def test_narrow_screens(tunnel, form, name):
    for width in WIDTHS:
        form.page.set_viewport_size({"width": width, "height": 800})
        form.open(name)
        form.page.wait_for_selector("[data-peer], tr[data-sid]")
        assert form.page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth"), width
        assert not form.page.evaluate(CUT_OFF), width


def test_an_endpoint_is_not_broken_in_its_port(tunnel, form):
    for width in WIDTHS:
        form.page.set_viewport_size({"width": width, "height": 800})
        form.open()
        where = form.row("Peers of wg0", "far").locator("td[data-name=_where]")
        assert where.inner_text().strip() == "far.example:51821" and where.evaluate(LINES) == 1, width


def test_no_option_of_a_list_is_cut_off(tunnel, form):
    form.open()
    form.edit("Interfaces", "wg0")
    for tab in ("Advanced Settings", "Firewall Settings"):
        form.tab(tab)
        assert not form.page.evaluate(CUT_OFF_OPTIONS), tab
