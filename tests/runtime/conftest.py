import pytest

from ..lab import net
from ..lab.need import need, privileges, programs


@pytest.fixture
def namespace():
    """A network namespace of this test's own, with nothing but a loopback device."""
    need(privileges)
    need(programs, "ip")
    namespace = net.Namespace()
    yield namespace
    namespace.close()
