"""What each flood that a stranger can send leaves of a tunnel: its throughput, new keys, its memory."""

import contextlib
import time

from ..lab import net
from ..lab.floods import Floods
from . import process, tunnels

PAUSE = 0.001
RATE = 10_000  # of each kind
INITIATIONS = 20_000
NEW_KEYS_WITHIN = 60  # s
KINDS = {kind.__name__: kind for kind in (*Floods.HANDSHAKES, *Floods.OTHERS)}


@contextlib.contextmanager
def _tunnel(kind, rate):
    """A tunnel, and the Floods that a third machine may send to its far end at this rate."""
    with tunnels.pair(kind) as tunnel:
        stranger = net.Stranger(tunnel.near.site, tunnel.far.site)
        try:
            yield tunnel, Floods(tunnel, stranger, rate, PAUSE)
        finally:
            stranger.close()


def initiations(kind, seconds):
    """The figures of _beside_a_stream, and the `cookies` that came back, for initiations that anybody could make."""
    with _tunnel(kind, INITIATIONS) as (tunnel, floods):
        flood = floods.initiations()
        return {**_beside_a_stream(tunnel, flood, seconds), "cookies": flood.cookies}


def every(kind, seconds):
    """The figures of _beside_a_stream, and `keys`, of each flood by itself, all in one tunnel: {"FIGURE.FLOOD": value}."""
    told = {}
    with _tunnel(kind, RATE) as (tunnel, floods):
        for name, flood in KINDS.items():
            one = _beside_a_stream(tunnel, flood(floods), seconds, lambda tunnel: {"keys": _new_keys(tunnel)})
            told.update({f"{key}.{name}": value for key, value in one.items()})
    return told


def _beside_a_stream(tunnel, flood, seconds, then=lambda tunnel: {}):
    """What a flood makes of a TCP stream and of the flooded end; `then` measures more while it lasts.

    kept   % of the rate of TCP just before
    sent   messages a second that the flood came to beside the stream
    grown  KB more that the flooded end has of resident memory then
    """
    quiet, _ = tunnels.stream(tunnel, seconds)
    before = process.memory(tunnel.far.pid)[0]
    with flood:
        begin, sent = time.monotonic(), flood.sent
        flooded, _ = tunnels.stream(tunnel, seconds)
        sent = (flood.sent - sent) / (time.monotonic() - begin)
        more = then(tunnel)
    grown = process.memory(tunnel.far.pid)[0] - before
    return {"kept": flooded / quiet * 100, "sent": sent, "grown": grown, **more}


def _new_keys(tunnel):
    """Return the seconds that an end that was started anew takes to get an answer; AssertionError if it gets none."""
    tunnel.near.restart()
    begin = time.monotonic()
    tunnel.reach(tunnel.near, NEW_KEYS_WITHIN)
    return time.monotonic() - begin
