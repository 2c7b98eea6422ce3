"""Two wgembed daemons, a wire between them, and, where the test wants it, somebody in the middle who loses things."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from ..lab import micropython, net, peers
from ..lab.need import need
from ..lab.relay import Relay

RELAY_PORT = 40000


class Broken:
    """A tunnel between `near` and `far`, which the test breaks; `diagnose` asks why it is down."""

    def __init__(self):
        self._closing = ExitStack()
        near, far = self.namespace(), self.namespace()
        self.near_site, self.far_site = net.veth(near, far)
        self.near = self.daemon(self.near_site, 51820)
        self.far = self.daemon(self.far_site, 51821)
        self.tunnel = peers.Tunnel(self.near, self.far)

    def namespace(self):
        namespace = net.Namespace()
        self._closing.callback(namespace.close)
        return namespace

    def daemon(self, site, port, private=None):
        daemon = peers.Wgembed(site, port, private)
        self._closing.callback(daemon.end)
        return daemon

    def closing(self, daemon):
        self._closing.callback(daemon.end)

    def twin(self):
        """Return a daemon with the near end's key, on another machine."""
        stranger = net.Stranger(self.near_site, self.far_site)
        self._closing.callback(stranger.close)
        return self.daemon(SimpleNamespace(place=stranger), 51820, self.near.private)

    def relay(self, keep=None):
        """Put somebody in the middle: the near end reaches the far one through it."""
        relay = Relay(self.far_site, RELAY_PORT, self.far.port)
        self._closing.callback(relay.close)
        if keep:
            relay.keep = keep
        self.near.set_endpoint(self.far, self.far_site.endpoint(4, RELAY_PORT))
        return relay

    def send(self, peer, count=1, interval=0.2, address=None):
        """Have the daemon want to send something into the tunnel; whether it arrives is another matter."""
        address = address or self.tunnel.inside(self.tunnel.other(peer))
        command = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", "1", address]
        return peer.place.run(*command, check=False, timeout=count * interval + 20)[1]

    def diagnose(self, peer, *arguments, prefix=()):
        """Return what `wgembed diagnose` says there, sentence by sentence; both runtimes must say the same."""
        commands = [sys.executable, "-m", "wgembed"], need(micropython.command)

        def ask(command):
            return self.run([*prefix, *command], peer, "diagnose", peer.interface, *arguments)

        with ThreadPoolExecutor() as pool:  # it waits, mostly
            told = list(pool.map(ask, commands))
        plain = [re.sub(r"\d+", "N", text) for text in told]
        assert plain[0] == plain[1]
        return [line.strip() for line in told[0].split("\n") if line.startswith("  ")]

    def run(self, command, peer, *arguments):
        """Run a command line at the place of the daemon; returns its output."""
        return peer.place.run(*command, *arguments, check=False, timeout=60)[1]

    def status(self, peer):
        """Return the state of the daemon's first peer, in its word."""
        text = self.run([sys.executable, "-m", "wgembed"], peer, "status", "--interval", "0", peer.interface)
        return re.search(r"^  \S+: ([^,\n]+)", text, re.M)[1]

    def close(self):
        self._closing.close()


@pytest.fixture
def broken(request):
    """A Broken of the test's own; None where `pytest_pyfunc_call` makes one."""
    need(peers.Wgembed.prepare)
    need(micropython.command)
    if _waits(request.node):
        yield None
        return
    harness = Broken()
    yield harness
    harness.close()


# Tests with this mark mostly wait: they do it side by side, each in a world of its own.
_AT_ONCE = 6


def _waits(item):
    return item.get_closest_marker("side_by_side") is not None


@pytest.fixture(scope="module")
def outcomes(request):
    """The tests of the file that are run side by side, begun with the first of them; by name, what comes of each."""
    items = [item for item in request.session.items if item.path == request.path and _waits(item)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {item.nodeid: pool.submit(_run, item) for item in items}


def _run(item):
    harness = Broken()
    try:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        item.function(harness, **parameters)
    finally:
        harness.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not _waits(pyfuncitem):
        return None
    pyfuncitem._request.getfixturevalue("outcomes")[pyfuncitem.nodeid].result()
    return True
