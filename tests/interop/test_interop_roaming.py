"""An end moves to another address, port or family in mid-session; the session goes on without a handshake."""

import pytest

from ..lab import peers, wire
from ..lab.net import poll

WITH_A_STALE_SOURCE = peers.WireguardGo


@pytest.mark.parametrize("mover", ["near", "far"])
@pytest.mark.parametrize("move", ["address", "address and port", "family"])
def test_roaming(bench, mover, move):
    """The one that moved speaks first; the other follows, and answers from then on."""
    if move == "address" and mover == "far" and isinstance(bench.far, WITH_A_STALE_SOURCE):
        pytest.skip("it goes on sending from the address that it has lost")
    tunnel = bench.tunnel()
    moved = getattr(tunnel, mover)
    stayed = tunnel.other(moved)
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    tunnel.reach(tunnel.far)
    with wire.Watch(bench.near_site) as watch:
        family = go(moved, stayed, move)
        if move == "family" and isinstance(tunnel.far, peers.WireguardGoSid):
            # it loses packets for a while behind such a move
            poll(lambda: tunnel.ping(moved, count=10).lost == 0, 20, what="a session without loss")
        assert tunnel.ping(moved, count=5).lost == 0
        assert stayed.show(moved).endpoint == moved.site.endpoint(family, moved.port)
        assert tunnel.ping(stayed, count=5).lost == 0
        assert not watch.seen(wire.INITIATION) and not watch.seen(wire.RESPONSE)
        assert watch.seen(wire.DATA, source=moved.site.outer[family])


def go(moved, stayed, move):
    """Make the move; returns the family that the session has from then on."""
    if move == "family":
        moved.set_endpoint(stayed, stayed.site.endpoint(6, stayed.port))
        return 6
    if "address" in move:
        moved.site.readdress(4, "192.0.2.33")
    if "port" in move:
        moved.set_port(41414)
    return 4
