"""What each flood that a stranger can send leaves of a tunnel: its throughput, new keys, its memory."""

import time

from bench import process, tunnels
from lab import net
from lab.floods import Floods

RATE, PAUSE = 10_000, 0.001
NEW_KEYS_WITHIN = 60  # s; told where there were none
KINDS = {kind.__name__: kind for kind in (*Floods.HANDSHAKES, *Floods.OTHERS)}


def every(kind, seconds):
    """The figures of each flood by itself, all in one tunnel, as {"FIGURE.FLOOD": value}.

    kept   % of the rate of TCP just before
    keys   seconds that an end that was started anew takes to get an answer
    grown  KB more that the flooded end has of resident memory then
    sent   messages a second that the flood came to beside the stream
    """
    told = {}
    with tunnels.pair(kind) as tunnel:
        stranger = net.Stranger(tunnel.near.site, tunnel.far.site)
        try:
            floods = Floods(tunnel, stranger, RATE, PAUSE)
            for name, flood in KINDS.items():
                told.update({f"{key}.{name}": value for key, value in _one(tunnel, flood(floods), seconds).items()})
        finally:
            stranger.close()
    return told


def _one(tunnel, flood, seconds):
    quiet, _ = tunnels.stream(tunnel, seconds)
    before = process.memory(tunnel.far.pid)[0]
    with flood:
        begin, sent = time.monotonic(), flood.sent
        flooded, _ = tunnels.stream(tunnel, seconds)
        sent = (flood.sent - sent) / (time.monotonic() - begin)
        keys = _new_keys(tunnel)
    if keys == NEW_KEYS_WITHIN:  # there are some for the next flood
        tunnel.reach(tunnel.near, NEW_KEYS_WITHIN)
    grown = process.memory(tunnel.far.pid)[0] - before
    return {"kept": flooded / quiet * 100, "keys": keys, "grown": grown, "sent": sent}


def _new_keys(tunnel):
    tunnel.near.restart()
    begin = time.monotonic()
    try:
        tunnel.reach(tunnel.near, NEW_KEYS_WITHIN)
    except AssertionError:
        return NEW_KEYS_WITHIN
    return time.monotonic() - begin
