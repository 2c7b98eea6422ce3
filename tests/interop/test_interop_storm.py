"""A way that loses, doubles, holds back and damages datagrams, from a seed; when it is well again, so is the tunnel.

The simulation (tests/sim) does the same to ourselves for years; this is the other program, in real time.
"""

import pytest

from ..lab import peers, traffic
from ..lab.relay import Relay
from ..unit.support import Random

RELAY_PORT = 40000
STORM = 45  # s
# Who sends into a session that the other end has lost notices after 15 s and jitter; a handshake is tried again after 5 s
# and jitter; and a ping is tried each second.
TALK_AGAIN_WITHIN = 15.4 + 5.4 + 2


class Storm:
    """What the relay does to datagrams: of each hundred so many are lost, damaged, doubled, or come after the next one."""

    def __init__(self, seed):
        self._random = Random(seed)
        self._held = {False: [], True: []}
        self.seen = dict.fromkeys(("lost", "damaged", "doubled", "late", "carried"), 0)

    def change(self, is_back, datagram):
        dice = self._random.below(100)
        released, self._held[is_back] = self._held[is_back], []
        if dice < 30:
            self.seen["lost"] += 1
            return released
        if dice < 40:
            self.seen["damaged"] += 1
            at = self._random.below(len(datagram))
            damaged = datagram[:at] + bytes([datagram[at] ^ 1 << self._random.below(8)]) + datagram[at + 1 :]
            return [damaged, *released]
        if dice < 55:
            self.seen["doubled"] += 1
            return [datagram, datagram, *released]
        if dice < 75:
            self.seen["late"] += 1
            self._held[is_back] = [datagram]
            return released
        self.seen["carried"] += 1
        return [datagram, *released]


@pytest.mark.parametrize("kind", [peers.WireguardGo], indirect=True, ids=lambda kind: kind.name)
@pytest.mark.parametrize("seed", [1])
def test_both_talk_again_after_a_storm(bench, seed):
    tunnel = bench.tunnel()
    relay = Relay(bench.far_site, RELAY_PORT, tunnel.far.port)
    try:
        tunnel.start(knowing=[])
        tunnel.near.set_endpoint(tunnel.far, bench.far_site.endpoint(4, RELAY_PORT))
        storm = Storm(seed)
        relay.change = storm.change
        runs = []
        for peer in (tunnel.near, tunnel.far):
            command = traffic.ping_command(tunnel.inside(tunnel.other(peer)), STORM * 5, 0.2)
            runs.append(peer.place.spawn(*command, timeout=STORM + 60))
        for run in runs:
            run.wait(STORM + 60)
        print(storm.seen)
        assert min(storm.seen.values()) > 5
        relay.change = None
        tunnel.reach(tunnel.near, within=TALK_AGAIN_WITHIN)
        tunnel.reach(tunnel.far, within=2)
        for peer in (tunnel.near, tunnel.far):
            assert tunnel.ping(peer, count=20).lost == 0
    finally:
        relay.close()
