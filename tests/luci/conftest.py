import sys
from pathlib import Path

import pytest

from lab import luci, net, openwrt, peers
from lab.need import Missing, privileges

sys.path.insert(0, str(Path(__file__).parents[2] / "package"))
import build_ipk  # noqa: E402


def outside(prepare, *args):
    """Like lab.need, but skipped in CI too: it cannot have LuCI, which is fetched by hand."""
    try:
        return prepare(*args)
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    for prepare in (luci.prepare, privileges, openwrt.prepare, peers.WireguardGo.prepare):
        outside(prepare)
    outside(openwrt.interpreter, "python3")
    folder = tmp_path_factory.mktemp("ipk")
    return [build_ipk.build(folder, "python3"), build_ipk.build_luci(folder)]


@pytest.fixture(scope="session")
def chromium():
    outside(luci.prepare)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def site(packages):
    """A router with both packages and nothing configured, and a machine with wireguard-go."""
    namespace, other = net.Namespace(), net.Namespace()
    router = openwrt.Router(namespace)
    router.fit("python3")
    router.put_ujail()
    for package in packages:
        router.opkg.install(package)
    _, far = net.veth(namespace, other)
    site = openwrt.Site(router, far)
    site.begin()
    router.configure("config globals 'globals'\n\toption log_level 'verbose'\n")
    router.boot()
    yield site
    site.peer.end()
    router.close()
    other.close()
    namespace.close()


@pytest.fixture
def bus(site):
    bus = luci.Bus(site.router)
    yield bus
    bus.close()


@pytest.fixture
def gateway(site, bus):
    gateway = luci.Gateway(site.router, bus)
    yield gateway
    gateway.close()


@pytest.fixture
def page(chromium, gateway):
    """A tab of the browser. What goes wrong in it is in `page.errors`."""
    page = chromium.new_page(viewport={"width": 1100, "height": 800})
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("dialog", lambda dialog: (page.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.set_default_timeout(10_000)
    yield page
    page.close()
