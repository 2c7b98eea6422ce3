"""Two minutes of traffic with a handshake in the middle: not a packet is lost by it."""

import time

import pytest

from ..lab import peers, traffic

SECONDS, PER_SECOND = 132, 20
COUNT = SECONDS * PER_SECOND
BORINGTUNS = [peers.BoringtunResponder, peers.BoringtunInitiator]


@pytest.fixture(scope="module", autouse=True)
def without_tests():
    """A test of segmented sends is a handshake, too, and would move the time of the next one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WGEMBED_GSO", "1")
        yield


def pings(tunnel, peer):
    """Started, and to be waited for."""
    command = traffic.ping_command(tunnel.inside(tunnel.other(peer)), COUNT, 1 / PER_SECOND, patience=5)
    return peer.place.spawn(*command, timeout=SECONDS + 60)


def rekey(bench):
    """Pings both ways, all the time. The initiator rekeys after REKEY_AFTER_TIME, 120 s."""
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    first = tunnel.near.show(tunnel.far).latest_handshake
    runs = [pings(tunnel, peer) for peer in (tunnel.near, tunnel.far)]
    end = time.monotonic() + SECONDS + 60
    results = [traffic.parse_pings(run.finish(end - time.monotonic())) for run in runs]
    assert [result.lost for result in results] == [0, 0]
    assert all(result.sent == COUNT for result in results)
    assert 119 <= tunnel.near.show(tunnel.far).latest_handshake - first <= 127


def rekey_with_boringtun(bench):
    """The same with the traffic that boringtun's packagings know: pings, and datagrams from the initiator."""
    tunnel = bench.tunnel()
    initiating = isinstance(bench.far, peers.BoringtunInitiator)
    tunnel.start(knowing=[tunnel.far if initiating else tunnel.near])
    with traffic.echo(tunnel.near.place) as port:
        here = tunnel.inside(tunnel.near)
        if initiating:
            assert tunnel.far.ask("datagrams", here, port, 1, 1) == []
        else:
            tunnel.reach(tunnel.near)
        first = tunnel.near.show(tunnel.far).latest_handshake
        run = pings(tunnel, tunnel.near)
        if initiating:
            assert tunnel.far.ask("datagrams", here, port, COUNT, PER_SECOND, within=SECONDS + 60) == []
        assert traffic.parse_pings(run.finish(SECONDS + 60)).lost == 0
    assert 115 <= tunnel.near.show(tunnel.far).latest_handshake - first <= 127


@pytest.mark.parametrize("scenario", [rekey], ids=lambda scenario: scenario.__name__)
def test_rekey(kind, scenario, together):
    together.outcome(kind, scenario)


@pytest.mark.parametrize("kind", BORINGTUNS, indirect=True, ids=lambda kind: kind.name)
@pytest.mark.parametrize("scenario", [rekey_with_boringtun], ids=lambda scenario: scenario.__name__)
def test_rekey_with_boringtun(kind, scenario, together):
    together.outcome(kind, scenario)
