import itertools
import sys

import pytest

from ..lab import micropython
from ..lab.need import need
from ..lab.uapi import UapiServer
from .cli_harness import Case, Place, find_programs

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


@pytest.fixture
def inside(place, wgs):
    """Ask a wg by name in a place: inside(name, *arguments)."""

    def ask(name, *arguments, environment=None, **how):
        argv, own = wgs[name]
        case = Case(list(arguments), environment={"WG_COLOR_MODE": "", **(environment or {})})
        return place.submit(lambda: place.execute(argv, case, environment=own, **how)).result()

    ask.place = place  # where else something is to be done
    return ask


@pytest.fixture
def serve(inside):
    """Serve interfaces in that place."""
    servers = []

    def serve(name, *answers):
        servers.append(UapiServer(inside.place.sockets / f"{name}.sock", *answers))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()
    for path in inside.place.sockets.iterdir():
        path.unlink()
