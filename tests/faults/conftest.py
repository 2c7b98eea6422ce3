import pytest

from ..lab import fastpath
from ..lab.faults import Faults
from ..lab.need import need


@pytest.fixture
def faults(tmp_path):
    need(fastpath.compiler)
    faults = Faults(tmp_path / "faults")
    yield faults
    faults.close()
