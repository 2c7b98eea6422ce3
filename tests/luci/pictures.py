"""Make the pictures of docs/luci again: python -m pytest tests/luci/pictures.py. Run it after a change of the pages.

pytest does not find this file by itself, because its name does not begin with test_.
"""

from ..lab import openwrt, traffic, wire
from .form import encode
from .pages import ROOT
from .test_browser import form  # noqa: F401

FOLDER = ROOT / "docs/luci"
WIDTH = 960
# The plot of the status page needs traffic for this long. In s.
HISTORY = 90
PHONE, CABIN = encode(wire.public_key(b"\5" * 32)), encode(wire.public_key(b"\6" * 32))
NETWORK = f"""
config wireguard_wg0
	option description 'phone of Ada'
	option public_key '{PHONE}'
	option preshared_key '{encode(b"8" * 32)}'
	list allowed_ips '10.77.0.3/32'

config wireguard_wg0
	option description 'cabin'
	option public_key '{CABIN}'
	option endpoint_host '192.0.2.2'
	option endpoint_port '4444'
	list allowed_ips '10.77.0.5/32'
"""


def save(page, name, height):
    page.screenshot(path=FOLDER / f"{name}.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": height})


def height_of(page, selector):
    box = page.locator(selector).last.bounding_box()
    return box["y"] + box["height"] + 10


def test_pictures(site, form):  # noqa: F811
    router, page = site.router, form.page
    configured = openwrt.CONFIG.replace("'far'", "'office'").replace("option log_level 'verbose'", "")
    router.configure(configured.format(key=site.peer.key, port=51820, far_port=openwrt.FAR_PORT) + NETWORK)
    router.service("start")
    router.reach("10.77.0.2")
    page.set_viewport_size({"width": WIDTH, "height": 1200})

    form.open()
    save(page, "config", height_of(page, ".cbi-page-actions"))

    form.open("status")
    form.wait_for_state(site.peer.key, "up")
    load = [site.near.spawn(*traffic.ping_command("10.77.0.2", count=1000, interval=0.3, size=900)),
            site.near.spawn(*traffic.ping_command("10.77.0.5", count=60))]  # fmt: skip
    for burst in range(10):
        site.near.run(*traffic.ping_command("10.77.0.2", count=5 + burst * 7 % 20, interval=0.05, size=1300))
        page.wait_for_timeout(HISTORY * 100)
    site.near.run(*traffic.ping_command("10.77.0.99", count=3), check=False)
    page.wait_for_selector(f"[data-why='{CABIN}'] li:has-text('does not answer')", timeout=30_000)
    page.click("summary")
    page.wait_for_timeout(1500)
    save(page, "status", height_of(page, "#view details"))
    for pings in load:
        pings.stop()

    page.set_viewport_size({"width": WIDTH, "height": 900})
    form.open()
    form.section("Peers of wg0").locator("button:text-is('Add a phone…')").click()
    page.fill(".modal input[name=description]", "my phone")
    form.press("Add")
    page.wait_for_selector(".modal .wgembed-qr svg")
    page.wait_for_timeout(500)
    save(page, "phone", min(height_of(page, ".modal"), 900))
