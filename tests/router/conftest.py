"""A router under test, on both runtimes, and a real wireguard-go at the other end of a wire."""

import sys
from contextlib import ExitStack

import pytest

from ..lab import micropython, net, peers
from ..lab.names import NameServer
from ..lab.need import need
from ..lab.router import Pair, Router

HEAP = "1M"


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    """What `wgembed` is on either runtime."""
    return [sys.executable, "-m", "wgembed"] if request.param == "cpython" else need(micropython.command, HEAP)


class Harness:
    """Two namespaces joined by a wire, `near` for the router and `far` for others."""

    def __init__(self, folder, command):
        self.folder = folder
        self.command = command
        self._closing = ExitStack()
        near, far = self.namespace(), self.namespace()
        # The kernel looks for routers on every new interface: packets, and wake-ups, that are not ours.
        near.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/router_solicitations")
        self.near, self.far = net.veth(near, far)
        self._routers = []

    def namespace(self):
        namespace = net.Namespace()
        self._closing.callback(namespace.close)
        return namespace

    def router(self, name="router", prefix=(), **environment):
        router = Router(self.near.place, self.folder / name, self.command, prefix, **environment)
        self._routers.append(router)
        return router

    def pair(self, prefix=(), kind=peers.WireguardGo, port=51821, **environment):
        far = kind(self.far, port)
        self._closing.callback(far.end)
        return Pair(self.router(prefix=prefix, **environment), self.near, far)

    def closing(self, function):
        """Call the function at the end."""
        self._closing.callback(function)

    def names(self):
        return NameServer(self.near.place, self.folder)

    def close(self):
        for router in self._routers:
            print(router.log())  # seen where the test failed
        self._closing.close()


@pytest.fixture
def harness(tmp_path, command):
    need(peers.WireguardGo.prepare)
    need(peers.Wgembed.prepare)
    harness = Harness(tmp_path, command)
    yield harness
    harness.close()
