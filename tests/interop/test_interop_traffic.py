"""Both roles, both families outside, with and without a preshared key: everything gets through both ways."""

import hashlib
import os

import pytest

from ..lab import traffic

MEGABYTE = 1 << 20


@pytest.mark.parametrize("psk", [None, os.urandom(32)], ids=["nopsk", "psk"])
@pytest.mark.parametrize("family", [4, 6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("initiator", ["near", "far"])
def test_traffic(bench, initiator, family, psk):
    """The initiator alone knows an endpoint, and `far` initiating is a peer that connects to us."""
    tunnel = bench.tunnel(psk=psk)
    first = getattr(tunnel, initiator)
    second = tunnel.other(first)
    tunnel.start(knowing=[first], family=family)
    tunnel.reach(first)
    for peer in (first, second):
        for inner in (4, 6):
            assert tunnel.ping(peer, inner, size=1200).lost == 0
    assert tunnel.ping(first, size=1420 - 28, fragment=False).lost == 0
    for inner, reverse in ((4, False), (6, True)):
        arrived = traffic.tcp(first.place, second.place, tunnel.inside(second, inner), "8M", reverse)
        assert arrived > 4 * MEGABYTE  # the report leaves out what is still under way at its end
    for reverse in (False, True):
        sent, lost = traffic.udp(first.place, second.place, tunnel.inside(second), "600K", reverse=reverse)
        assert sent > 500 and lost <= sent * 0.02
    assert tunnel.near.show(tunnel.far).endpoint == bench.far_site.endpoint(family, tunnel.far.port)
    assert tunnel.far.show(tunnel.near).endpoint == bench.near_site.endpoint(family, tunnel.near.port)
    for peer in (first, second):
        seen = peer.show(tunnel.other(peer))
        assert min(seen.received, seen.sent) > 4 * MEGABYTE and seen.latest_handshake


def test_content(bench):
    """Bytes arrive as they were sent, whatever cuts and joins the segments on their way."""
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    text = "".join(f"{n}\n" for n in range(1, 200001)).encode()
    digest = hashlib.sha256(text).hexdigest()
    far = tunnel.far.place
    for family in (4, 6):
        there = tunnel.inside(tunnel.far, family)
        sink = far.spawn("sh", "-c", "busybox nc -l -p 7001 | sha256sum", timeout=40)
        with traffic.connect(tunnel.near.place, there, 7001) as stream:
            stream.sendall(text)
        assert sink.finish(30).split()[0] == digest
        far.spawn("sh", "-c", "seq 1 200000 | busybox nc -l -p 7002", timeout=40)
        with traffic.connect(tunnel.near.place, there, 7002) as stream:
            assert hashlib.sha256(b"".join(iter(lambda: stream.recv(65536), b""))).hexdigest() == digest
