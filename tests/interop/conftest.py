"""Peers in namespaces of their own, for each test afresh; guests with a kernel boot once a session."""

from pathlib import Path

import pytest

from ..lab import peers
from ..lab.bench import Bench, Guests, Together
from ..lab.need import Missing, need

FULL_PEERS = [
    peers.WireguardGo,
    peers.WireguardGoSid,
    peers.Linux61,
    peers.Linux612,
    peers.Wgembed,
    peers.WgembedMicropython,
    peers.WireguardGoMicropython,
    peers.WireguardGoFast,
    peers.WgembedMicropythonFast,
]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="session")
def guests():
    guests = Guests()
    yield guests
    guests.close()


@pytest.fixture(params=FULL_PEERS, ids=lambda kind: kind.name)
def kind(request):
    """An implementation with an interface of its own."""
    need(request.param.prepare)
    need((request.param.opponent or peers.Wgembed).prepare)
    return request.param


@pytest.fixture
def bench(kind, guests):
    bench = Bench(kind, guests)
    yield bench
    print(bench.logs())  # seen where the test failed
    bench.close()


@pytest.fixture(scope="module")
def together(request, guests):
    """Every selected test of the file with the parameters `kind` and `scenario`; all start when one is asked for."""
    lanes = {}
    for item in request.session.items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if item.path == request.path and "scenario" in params and available(params["kind"]):
            lanes.setdefault(params["kind"], []).append(params["scenario"])
    together = Together(lanes, guests)
    yield together
    together.close()


def available(kind):
    """Whether need() would let this peer's tests run; they themselves say why not."""
    try:
        kind.prepare()
        (kind.opponent or peers.Wgembed).prepare()
    except Missing:
        return False
    return True
