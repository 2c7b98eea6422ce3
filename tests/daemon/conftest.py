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


# The last one is a 32-bit machine with its heap in the middle of the addresses.
@pytest.fixture(params=["cpython", "micropython", pytest.param("micropython32", marks=pytest.mark.long)])
def command(request):
    """What `wgembed` is on either runtime."""
    if request.param == "cpython":
        return [sys.executable, "-m", "wgembed"]
    return need(micropython.command if request.param == "micropython" else micropython.command32)
