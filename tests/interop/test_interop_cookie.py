"""A flood of initiations, whose mac1 anybody can make; a peer handshakes all the same, with a cookie."""

import pytest

from ..lab import net, peers, wire
from ..lab.net import poll

ATTEMPTS = 5
BOTH_FAMILIES = (peers.Linux612, peers.Wgembed)


@pytest.mark.parametrize("family", [4, 6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("loaded", ["near", "far"])
def test_cookie(bench, loaded, family):
    """The first initiation that meets the load gets a cookie, the next proves with it where it comes from."""
    if family == 6 and not isinstance(bench.far, BOTH_FAMILIES):
        pytest.skip("one implementation in user space and one kernel do for IPv6")
    tunnel = bench.tunnel()
    loaded = getattr(tunnel, loaded)
    legitimate = tunnel.other(loaded)
    tunnel.start(knowing=[legitimate], family=family)
    target = (loaded.site.outer[family], loaded.port)
    with (
        wire.Watch(bench.near_site, ignore=[net.Stranger.ADDRESS[family]]) as watch,
        wire.Flood(bench.stranger(), family, target, wire.anonymous_initiations(loaded.public)) as flood,
    ):
        poll(lambda: flood.cookies, 10, what="a cookie for the flood")
        us, them = legitimate.site.outer[family], loaded.site.outer[family]

        def proven():
            cookies = [m.at for m in watch.seen(wire.COOKIE, them) if m.target == us]
            proofs = [m.at for m in watch.seen(wire.INITIATION, us) if m.mac2]
            responses = [m.at for m in watch.seen(wire.RESPONSE, them)]
            return cookies and proofs and responses and cookies[0] < proofs[0] < responses[-1]

        # Between two bursts the loaded peer may have a quiet moment and ask for nothing: then once more.
        for _ in range(ATTEMPTS):
            tunnel.reach(legitimate, within=40)
            if proven():
                break
            legitimate.restart()
        assert proven()
    tunnel.reach(legitimate)  # what the flood has left in the queues is worked off first
    for peer in (legitimate, loaded):
        assert tunnel.ping(peer).lost == 0
