import pytest

from ..lab import net
from ..lab.need import need, privileges, programs


@pytest.fixture
def namespace():
    """A network namespace for one test, with only a loopback device."""
    need(privileges)
    need(programs, "ip")
    namespace = net.Namespace()
    yield namespace
    namespace.close()
