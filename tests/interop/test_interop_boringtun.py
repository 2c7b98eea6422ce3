"""boringtun, which has no interface of its own: one packaging answers handshakes only, the other starts them.

Bulk is a stream to an echo and back, as neither has a place where iperf3 could run.
"""

import os

import pytest

from ..lab import net, peers, traffic, wire
from ..lab.bench import Bench
from ..lab.need import need
from ..lab.net import poll

BULK = 1 << 18
FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["outer4", "outer6"])


@pytest.fixture
def responder(guests):
    yield from bench_with(peers.BoringtunResponder, guests)


@pytest.fixture
def initiator(guests):
    yield from bench_with(peers.BoringtunInitiator, guests)


def bench_with(kind, guests):
    need(peers.Wgembed.prepare)
    need(kind.prepare)
    bench = Bench(kind, guests)
    yield bench
    bench.close()


@FAMILIES
def test_wgembed_initiates(responder, family):
    """Without a preshared key, and no IPv6 ping: its packaging has neither."""
    tunnel = responder.tunnel()
    tunnel.far.family = family
    tunnel.start(knowing=[tunnel.near], family=family)
    tunnel.reach(tunnel.near)
    assert tunnel.ping(tunnel.near, size=1200).lost == 0
    place, data = tunnel.near.place, os.urandom(BULK)
    for inner in (4, 6):
        there = tunnel.inside(tunnel.far, inner)
        assert traffic.datagram_to_echo(place, there, 7, b"datagram") == b"datagram"
        assert traffic.stream_to_echo(place, there, 7, data) == data


@FAMILIES
@pytest.mark.parametrize("psk", [None, os.urandom(32)], ids=["nopsk", "psk"])
def test_boringtun_initiates(initiator, family, psk):
    tunnel = initiator.tunnel(psk=psk)
    tunnel.start(knowing=[tunnel.far], family=family)
    with traffic.echo(tunnel.near.place) as port:
        for inner in (4, 6):
            here = tunnel.inside(tunnel.near, inner)
            assert tunnel.far.ask("datagrams", here, port, 20, 20) == []
            assert tunnel.far.ask("stream", here, port) == BULK
            assert tunnel.ping(tunnel.near, inner, size=1200).lost == 0
    endpoint = tunnel.near.show(tunnel.far).endpoint
    assert endpoint.rpartition(":")[0].strip("[]") == initiator.far_site.outer[family]


def test_cookie(responder):
    """boringtun answers a few initiations in a second and wants a cookie for more.

    Its packaging looks the sender up first, so the flood is of old initiations of wgembed's own.
    """
    tunnel = responder.tunnel()
    tunnel.start(knowing=[tunnel.near])
    us, them = responder.near_site.outer[4], responder.far_site.outer[4]
    target = (them, tunnel.far.port)
    old = [wire.initiation(tunnel.near.private, tunnel.far.public, wire.tai64n(when)) for when in range(100)]
    with (
        wire.Watch(responder.near_site, ignore=[net.Stranger.ADDRESS[4]]) as watch,
        wire.Flood(responder.stranger(), 4, target, old) as flood,
    ):
        poll(lambda: flood.cookies, 10, what="a cookie for the flood")
        poll(
            lambda: tunnel.ping(tunnel.near, count=1, patience=1) and [m for m in watch.seen(wire.INITIATION, us) if m.mac2],
            20,
            what="an initiation with a cookie",
        )
        cookie = next(m.at for m in watch.seen(wire.COOKIE, them) if m.target == us)
        assert cookie < next(m.at for m in watch.seen(wire.INITIATION, us) if m.mac2)
    tunnel.reach(tunnel.near, within=20)


def test_roaming(responder):
    """wgembed's machine gets another address and port. (The initiator's socket is bound to one address.)"""
    tunnel = responder.tunnel()
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    with wire.Watch(responder.near_site) as watch:
        responder.near_site.readdress(4, "192.0.2.33")
        tunnel.near.set_port(41414)
        assert tunnel.ping(tunnel.near, count=5).lost == 0
        assert watch.seen(wire.DATA, "192.0.2.33") and not watch.seen(wire.INITIATION)
