"""The daemon under a flood of handshakes."""

import contextlib
import socket

import pytest

from lab import net, peers, traffic, wire
from lab.need import need


@pytest.fixture(params=[peers.Wgembed, peers.WgembedMicropython, peers.WgembedFast, peers.WgembedMicropythonFast])
def tunnel(request):
    """Two daemons that have just talked."""
    need(request.param.prepare)
    places = [net.Namespace(), net.Namespace()]
    sites = net.veth(*places)
    near, far = request.param(sites[0], 51820), request.param(sites[1], 51821)
    tunnel = peers.Tunnel(near, far)
    try:
        tunnel.start([near, far])
        tunnel.reach(near)
        yield tunnel
    finally:
        near.end()
        far.end()
        for place in places:
            place.close()


@pytest.mark.parametrize("ports", [1, 50])
def test_a_flood_is_answered_with_cookies(tunnel, ports):
    """More than can be answered, in bursts, from one port or from many: most answers are cookies, and data passes."""
    messages = wire.anonymous_initiations(tunnel.far.public)
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(tunnel.near.place.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(ports)]
        for sender in senders:
            sender.connect((tunnel.far.site.outer[4], tunnel.far.port))
            sender.setblocking(False)
        cookies = []

        def burst():
            for n in range(1000):
                with contextlib.suppress(BlockingIOError):
                    senders[n % ports].send(messages[n % len(messages)])
            for sender in senders:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        cookies.append(sender.recv(256))
            return len(cookies) > 500

        net.poll(burst, 5, what="500 cookies")
    assert {(len(cookie), cookie[0]) for cookie in cookies} == {(wire.LENGTHS[wire.COOKIE], wire.COOKIE)}
    assert tunnel.ping(tunnel.near).lost == 0


def test_data_and_new_keys_pass_a_flood(tunnel):
    """More than an interpreter can answer: who has a key goes on, and who is known and lost its own gets another."""
    stranger = net.Stranger(tunnel.near.site, tunnel.far.site)
    try:
        target = (tunnel.far.site.outer[4], tunnel.far.port)
        with wire.Flood(stranger, 4, target, wire.anonymous_initiations(tunnel.far.public), 20_000, 0.001) as flood:
            pings = tunnel.ping(tunnel.near, count=20, interval=0.05)
            # Beside data, most of a flood is not even looked at.
            rate = traffic.iperf(tunnel.near.place, tunnel.far.place, tunnel.inside(tunnel.far), "-t", "2")
            assert rate["sum_received"]["bytes"] > 10_000_000
            tunnel.near.restart()
            tunnel.reach(tunnel.near)
            assert flood.cookies > 100
        assert pings.lost == 0
    finally:
        stranger.close()
