import pytest

from ..lab import luci, net, openwrt, peers
from ..lab.builders import build_ipk
from ..lab.need import outside, privileges


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    for prepare in (luci.prepare, privileges, openwrt.prepare, peers.WireguardGo.prepare):
        outside(prepare)
    return tmp_path_factory.mktemp("ipk")


@pytest.fixture
def variant():
    return "python3"


@pytest.fixture
def packages(folder, variant):
    outside(openwrt.interpreter, variant)
    wanted = {variant: lambda: build_ipk.build(folder, variant), "luci-app": lambda: build_ipk.build_luci(folder)}
    return [next(folder.glob(f"*{name}*.ipk"), None) or build() for name, build in wanted.items()]


@pytest.fixture(scope="session")
def chromium():
    outside(luci.prepare)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def site(packages, variant):
    """A router with both packages and nothing configured, and a machine with wireguard-go."""
    namespace, other = net.Namespace(), net.Namespace()
    router = openwrt.Router(namespace)
    router.fit(variant)
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
