import pytest

from ..lab import net, openwrt, peers
from ..lab.builders import build_ipk
from ..lab.need import need, privileges, programs


@pytest.fixture(scope="session", params=["micropython", "python3"])
def variant(request):
    """Each package, where the interpreter for it can be had."""
    need(privileges)
    need(openwrt.prepare)
    need(openwrt.interpreter, request.param)
    return request.param


@pytest.fixture(scope="session")
def package(variant, tmp_path_factory):
    need(programs, "ip")
    return build_ipk.build(tmp_path_factory.mktemp("ipk"), variant)


@pytest.fixture
def namespace():
    namespace = net.Namespace()
    yield namespace
    namespace.close()


@pytest.fixture
def router(namespace, variant):
    """A router with the interpreter and ujail, and nothing of ours."""
    router = openwrt.Router(namespace)
    router.fit(variant)
    router.put_ujail()
    yield router
    router.close()


@pytest.fixture
def installed(router, package):
    """A router with the package."""
    router.opkg.install(package)
    return router


@pytest.fixture
def site(installed):
    need(peers.WireguardGo.prepare)
    other = net.Namespace()
    _, far = net.veth(installed.namespace, other)
    site = openwrt.Site(installed, far)
    site.begin()
    yield site
    site.peer.end()
    other.close()


@pytest.fixture
def tunnel(site):
    """A site whose router has booted with its configuration, and has reached the other end."""
    site.configure()
    site.router.boot()
    site.router.reach("10.77.0.2")
    return site
