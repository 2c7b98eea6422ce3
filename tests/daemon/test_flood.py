"""The daemon under floods: of handshakes, and of whatever else a stranger may send."""

import contextlib
import os
import random
import socket

import pytest

from bench import process
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


MAY_GROW = 64  # KB
COUNT = 200
RATE, PAUSE = 700, 0.005  # of each kind
NEW_KEYS_WITHIN = 30  # s: an answer may be a cookie, and initiations may be lost in the crowd


class Floods:
    """What a stranger may send to the far end, of whom he knows the public key, and from having listened an index."""

    def __init__(self, tunnel, stranger):
        self.tunnel, self.stranger = tunnel, stranger
        self.responder = tunnel.far.public
        self.target = (tunnel.far.site.outer[4], tunnel.far.port)

    def _flood(self, messages, sock=None):
        return wire.Flood(self.stranger, 4, self.target, messages, RATE, PAUSE, sock)

    def _from_others(self, messages):
        """From addresses on a network that is there and from anywhere: there is a way back to some of them."""
        chance = random.Random(1)
        sources = [(f"198.51.100.{3 + n}" if n % 2 else f"10.{n}.{chance.randrange(256)}.1", chance.randrange(1024, 65536))
                   for n in range(250)]
        raw = self.stranger.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        return self._flood(wire.from_others(messages, sources, self.target), raw)

    def _index(self):
        """One that the far end listens to."""
        with wire.Watch(self.tunnel.near.site) as watch:
            self.tunnel.reach(self.tunnel.near)
            data = net.poll(lambda: watch.seen(wire.DATA, self.tunnel.near.site.outer[4]), 5, what="data")
        return data[-1].index

    def initiations(self):
        return self._flood(wire.anonymous_initiations(self.responder, COUNT))

    def initiations_from_others(self):
        return self._from_others(wire.anonymous_initiations(self.responder, COUNT))

    def initiations_with_a_cookie(self):
        """They pass both MACs; the rate limiter alone stands between them and a scalar multiplication each."""
        messages = wire.anonymous_initiations(self.responder, COUNT)
        sock = self.stranger.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(self.target)
        sock.setblocking(False)

        def reply():
            for message in messages:
                with contextlib.suppress(BlockingIOError):
                    sock.send(message)
            with contextlib.suppress(BlockingIOError):
                return sock.recv(256)

        cookie = net.poll(reply, 5, what="a cookie")
        asked = next(message for message in messages if message[4:8] == cookie[4:8])
        return self._flood(wire.with_mac2(messages, self.responder, asked, cookie), sock)

    def responses(self):
        index = self._index()
        return self._flood([wire.anonymous_response(self.responder, index) for _ in range(COUNT)])

    def responses_from_others(self):
        index = self._index()
        return self._from_others([wire.anonymous_response(self.responder, index) for _ in range(COUNT)])

    def cookies(self):
        index = self._index()
        return self._flood([wire.anonymous_cookie(index) for _ in range(COUNT)])

    def data(self):
        """Counters that none of the receiver's has reached: each is opened, in vain."""
        index = self._index()
        return self._flood([wire.anonymous_data(index, 1 << 40 | n) for n in range(COUNT)])

    def data_from_others(self):
        index = self._index()
        return self._from_others([wire.anonymous_data(index, 1 << 40 | n) for n in range(COUNT)])

    HANDSHAKES = (initiations, initiations_from_others, initiations_with_a_cookie, responses, responses_from_others)
    OTHERS = (cookies, data, data_from_others)

    @contextlib.contextmanager
    def all(self, kinds):
        """Those kinds, all at once."""
        floods = [kind(self) for kind in kinds]
        with contextlib.ExitStack() as stack:
            for flood in floods:
                stack.enter_context(flood)
            yield
        assert all(flood.sent > 100 for flood in floods), [flood.sent for flood in floods]


def _carry(tunnel):
    """Packets pass."""
    assert tunnel.ping(tunnel.near, count=10, interval=0.02).received >= 8
    data = os.urandom(1 << 20)
    assert traffic.transfer(tunnel.near.place, tunnel.far.place, tunnel.inside(tunnel.far), data, 20) == data


def _new_keys(tunnel):
    """The near end has lost its own, and gets others."""
    tunnel.near.restart()
    tunnel.reach(tunnel.near, NEW_KEYS_WITHIN)
    assert tunnel.near.show(tunnel.far).latest_handshake > 0


def test_nothing_that_a_stranger_sends_stops_a_tunnel_or_takes_memory(tunnel):
    """Each kind of flood, once to warm up and once measured: data and new keys pass, and memory is what it was."""
    stranger = net.Stranger(tunnel.near.site, tunnel.far.site)
    floods = Floods(tunnel, stranger)
    try:
        for kinds in (Floods.HANDSHAKES, Floods.OTHERS):
            with floods.all(kinds):
                for _ in range(3):
                    _carry(tunnel)
            _new_keys(tunnel)
        before = process.memory(tunnel.far.pid)[0]
        for kinds in (Floods.OTHERS, Floods.HANDSHAKES):
            with floods.all(kinds):
                _carry(tunnel)
                _new_keys(tunnel)
                _carry(tunnel)
        grown = process.memory(tunnel.far.pid)[0] - before
        print(f"{tunnel.far.name}: {before} KB and {grown} more")
        assert grown <= MAY_GROW
        assert "Traceback" not in tunnel.far.log()
    finally:
        stranger.close()
