import os

import pytest

from ..lab import fastpath
from ..lab.need import need
from . import fastlib


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The path of the library under test."""
    given = os.environ.get(fastlib.GIVEN)
    if given:
        return given
    need(fastpath.compiler)
    return fastpath.compile_library(tmp_path_factory.mktemp("fastpath"))


@pytest.fixture
def fast(library):
    fast = fastlib.Fastpath(library)
    yield fast
    fast.close()


@pytest.fixture
def make(library):
    """Make a Fastpath of other sizes; see there."""
    made = []

    def make(**sizes):
        made.append(fastlib.Fastpath(library, **sizes))
        return made[-1]

    yield make
    for fast in made:
        fast.close()
