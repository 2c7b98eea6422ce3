import itertools
import sys

import pytest

from cli_world import Place, find_programs
from lab import micropython
from lab.need import need

PLACES = 2


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    """What `wgembed` is on either runtime."""
    return [sys.executable, "-m", "wgembed"] if request.param == "cpython" else need(micropython.command)


@pytest.fixture(scope="session")
def wgs(tmp_path_factory):
    """The command, and its environment, of each wg: newest, debian, cpython, micropython."""
    return find_programs(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="session")
def places(wgs, tmp_path_factory):
    """So many places, that what is asked in one may go on beside what is asked in another."""
    made = [Place(tmp_path_factory.mktemp("place")) for _ in range(PLACES)]
    yield itertools.cycle(made)
    for place in made:
        place.close()


@pytest.fixture
def place(places):
    return next(places)
