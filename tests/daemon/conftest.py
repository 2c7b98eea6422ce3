import sys

import pytest

from ..lab import micropython, net
from ..lab.need import need, privileges, programs


@pytest.fixture
def namespace():
    """A network namespace of this test's own, with nothing but a loopback device."""
    need(privileges)
    need(programs, "ip", "wg", "ping")
    namespace = net.Namespace()
    yield namespace
    namespace.close()


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    """What `wgembed` is on either runtime."""
    return [sys.executable, "-m", "wgembed"] if request.param == "cpython" else need(micropython.command)
