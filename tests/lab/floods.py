"""Floods of every kind of message that an attacker without a key can send to one end of a tunnel."""

import contextlib
import random
import socket

from . import net, wire

COUNT = 200  # messages of each kind, which are sent repeatedly


class Floods:
    """The messages that an attacker can send to the far end. He knows its public key, and an index that he has overheard.

    Each method makes one flood, a wire.Flood that has not begun.

    rate   messages of each kind in a second
    pause  seconds between two bursts
    """

    def __init__(self, tunnel, stranger, rate, pause):
        self.tunnel, self.stranger = tunnel, stranger
        self.rate, self.pause = rate, pause
        self.responder = tunnel.far.public
        self.target = (tunnel.far.site.outer[4], tunnel.far.port)

    def _flood(self, messages, sock=None):
        return wire.Flood(self.stranger, 4, self.target, messages, self.rate, self.pause, sock)

    def _from_others(self, messages):
        """From addresses on an existing network, and from any address: there is a route back to some of them."""
        chance = random.Random(1)
        sources = [
            (f"198.51.100.{3 + n}" if n % 2 else f"10.{n}.{chance.randrange(256)}.1", chance.randrange(1024, 65536))
            for n in range(250)
        ]
        raw = self.stranger.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        return self._flood(wire.from_others(messages, sources, self.target), raw)

    def _index(self):
        """The receiver index of a session of the far end."""
        with wire.Watch(self.tunnel.near.site) as watch:
            self.tunnel.reach(self.tunnel.near)
            data = net.poll(lambda: watch.seen(wire.DATA, self.tunnel.near.site.outer[4]), 5, what="data")
        return data[-1].index

    def initiations(self):
        return self._flood(wire.anonymous_initiations(self.responder, COUNT))

    def initiations_from_others(self):
        return self._from_others(wire.anonymous_initiations(self.responder, COUNT))

    def initiations_with_a_cookie(self):
        """They pass both MACs. Only the rate limiter prevents a scalar multiplication for each."""
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
        """Counters that the receiver has not seen. It tries to open each message, without success."""
        index = self._index()
        return self._flood([wire.anonymous_data(index, 1 << 40 | n) for n in range(COUNT)])

    def data_from_others(self):
        index = self._index()
        return self._from_others([wire.anonymous_data(index, 1 << 40 | n) for n in range(COUNT)])

    HANDSHAKES = (initiations, initiations_from_others, initiations_with_a_cookie, responses, responses_from_others)
    OTHERS = (cookies, data, data_from_others)

    @contextlib.contextmanager
    def all(self, kinds):
        """All these kinds at once."""
        floods = [kind(self) for kind in kinds]
        with contextlib.ExitStack() as stack:
            for flood in floods:
                stack.enter_context(flood)
            yield
        assert all(flood.sent > 100 for flood in floods), [flood.sent for flood in floods]
