"""The link's MTU changes while traffic flows."""

import re

import pytest

from ..lab import peers, traffic
from ..lab.bench import Bench
from ..lab.net import poll

SIZES = [576, 1280, 1420, 9000, 65455, 1420, 576, 65455]
IPV4_ICMP = 28
USERSPACE = [
    peers.WireguardGo,
    peers.WireguardGoSid,
    peers.Wgembed,
    peers.WgembedMicropython,
    peers.WireguardGoMicropython,
    peers.WireguardGoFast,
    peers.WgembedMicropythonFast,
]


@pytest.fixture
def jumbo(kind, guests):
    """An outer link that carries the largest datagrams whole."""
    bench = Bench(kind, guests, mtu=65535)
    yield bench
    bench.close()


@pytest.fixture
def tunnel(jumbo):
    tunnel = jumbo.tunnel()
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    return tunnel


def change(tunnel, mtu):
    for peer in (tunnel.near, tunnel.far):
        peer.set_mtu(mtu)


userspace = pytest.mark.parametrize("kind", USERSPACE, indirect=True, ids=lambda kind: kind.name)


@userspace
def test_no_packet_is_lost(tunnel):
    """Small packets go on through each change; the largest that the new MTU allows gets through behind it."""
    small = []
    for peer in (tunnel.near, tunnel.far):
        there = tunnel.inside(tunnel.other(peer))
        small.append(peer.place.spawn(*traffic.ping_command(there, count=600, interval=0.01)))
    for mtu in SIZES:
        change(tunnel, mtu)
        for peer in (tunnel.near, tunnel.far):
            assert tunnel.ping(peer, size=mtu - IPV4_ICMP, fragment=False).lost == 0
    for run in small:
        assert traffic.parse_pings(run.finish(60)).lost == 0


@userspace
@pytest.mark.parametrize("reverse", [False, True], ids=["out", "in"])
def test_stream_survives(tunnel, reverse):
    """A TCP stream that fills the link goes on through each change."""
    server = tunnel.far.place.spawn("iperf3", "-s", "-1", "--forceflush")
    server.expect("Server listening", 10)
    options = ["-C", "cubic", "-t", "6", "-i", "0.2", "--forceflush", *(["-R"] if reverse else [])]
    stream = tunnel.near.place.spawn("iperf3", "-c", tunnel.inside(tunnel.far), *options)
    for mtu in SIZES:
        seen = len(stream.text())
        change(tunnel, mtu)
        poll(lambda seen=seen: progress(stream.text()[seen:]), 5, what=f"bytes at an MTU of {mtu}")
    stream.finish(30)


def progress(report):
    """Two intervals in which bytes went through: one may have begun before."""
    return len(re.findall(r"sec +[1-9]\S* +\SBytes", report)) >= 2
