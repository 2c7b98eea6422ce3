"""What upsets a pair of peers, and how soon both directions work again."""

import contextlib
import socket
import time

import pytest

from ..lab import peers, traffic, wire
from ..lab.net import poll

HOUR = 3600
# no answer for 15 s makes a peer initiate (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT); one retry may follow after 5 s
SURVIVOR_NOTICES_WITHIN = 30


def established(bench):
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.near, tunnel.far])
    tunnel.reach(tunnel.near)
    return tunnel


def both_ways(tunnel):
    for peer in (tunnel.near, tunnel.far):
        assert tunnel.ping(peer, count=10).lost == 0


def restart_near_speaks(bench):
    """wgembed restarts and sends: it has no session, so a handshake comes first."""
    tunnel = established(bench)
    tunnel.near.restart()
    tunnel.reach(tunnel.near, within=12)
    both_ways(tunnel)


def restart_near_silent(bench):
    """wgembed restarts and is silent: the other sends into a dead session until its timer sees it."""
    tunnel = established(bench)
    tunnel.near.restart()
    tunnel.reach(tunnel.far, within=SURVIVOR_NOTICES_WITHIN)
    both_ways(tunnel)


def restart_far_speaks(bench):
    tunnel = established(bench)
    tunnel.far.restart()
    tunnel.reach(tunnel.far, within=12)
    both_ways(tunnel)


def restart_far_silent(bench):
    """wgembed sends into a dead session, and must notice."""
    tunnel = established(bench)
    tunnel.far.restart()
    tunnel.reach(tunnel.near, within=SURVIVOR_NOTICES_WITHIN)
    both_ways(tunnel)


def simultaneous(bench):
    """Both initiate before either hears of the other, and each answers: the initiations cross on the wire."""
    tunnel = bench.tunnel()
    near, far = tunnel.near, tunnel.far
    # wireguard-go may mix up an initiation and a response that come together: then its 15 s timer mends it
    within = SURVIVOR_NOTICES_WITHIN if isinstance(far, peers.WireguardGo) else 15
    tunnel.start(knowing=[near, far])
    with wire.Watch(bench.near_site) as watch:
        with held(bench):
            trigger(tunnel, near)
            poll(lambda: "INCOMPLETE" in neighbours(bench.near_site), 5, 0.01, "a held initiation")
            trigger(tunnel, far)
            poll(lambda: watch.seen(wire.INITIATION, bench.far_site.outer[4]), 5, 0.01, "the far initiation")
        tunnel.reach(near, within)
        tunnel.reach(far, within)
        first = [m for m in watch.seen() if m.kind in (wire.INITIATION, wire.RESPONSE)][:2]
    assert {m.source for m in first} == {bench.near_site.outer[4], bench.far_site.outer[4]}
    assert all(m.kind == wire.INITIATION for m in first)
    both_ways(tunnel)


def trigger(tunnel, peer):
    peer.place.spawn(*traffic.ping_command(tunnel.inside(tunnel.other(peer)), count=1), timeout=10)


def neighbours(site):
    return site.place.ip("neigh", "show", "dev", site.device)


@contextlib.contextmanager
def held(bench):
    """What near sends waits in its neighbour table, as far does not say where it is; far's packets arrive."""
    near, far = bench.near_site, bench.far_site
    ignore = f"/proc/sys/net/ipv4/conf/{far.device}/arp_ignore"
    far.place.run("sh", "-c", f"echo 8 > {ignore}")
    permanent = ("lladdr", near.mac(), "dev", far.device, "nud", "permanent")
    far.place.ip("neigh", "replace", near.outer[4], *permanent)
    near.place.ip("neigh", "flush", "dev", near.device)
    mac = far.mac()
    try:
        yield
        near.place.ip("neigh", "replace", far.outer[4], "lladdr", mac, "dev", near.device)
    finally:
        far.place.run("sh", "-c", f"echo 0 > {ignore}")
        far.place.ip("neigh", "del", near.outer[4], "dev", far.device)


def clock_of_far_behind(bench):
    refused(bench, "far")


def clock_of_near_behind(bench):
    refused(bench, "near")


def refused(bench, late):
    """The clock of `late` was an hour ahead once, and is right again: until then nobody believes it.

    Its initiations are refused, and it works as soon as the other initiates.
    """
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.near, tunnel.far])
    late = getattr(tunnel, late)
    other = tunnel.other(late)
    from_the_future(bench, late, other)
    other.set_endpoint(late, late.site.endpoint(4, late.port))
    with wire.Watch(bench.near_site) as watch:
        late.place.spawn(*traffic.ping_command(tunnel.inside(other), count=10, interval=1), timeout=20)
        poll(lambda: len(watch.seen(wire.INITIATION, late.site.outer[4])) >= 2, 12, what="two initiations")
        # the answer to the first, and to the second, would be long here
        time.sleep(0.5)
        assert not watch.seen(wire.RESPONSE, other.site.outer[4])
        tunnel.reach(other, within=15)
    both_ways(tunnel)


def from_the_future(bench, pretended, target):
    """`target` accepts an initiation of `pretended`'s that is an hour ahead."""
    with bench.stranger().socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(5)
        message = wire.initiation(pretended.private, target.public, wire.tai64n(time.time() + HOUR))
        stranger.sendto(message, (target.site.outer[4], target.port))
        answer = stranger.recv(256)
    assert len(answer) == wire.LENGTHS[wire.RESPONSE] and answer[0] == wire.RESPONSE


def clock_of_kernel_behind(bench):
    """A guest that boots without knowing the time: as above, and this time its own clock says so."""
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.far])
    tunnel.reach(tunnel.far)
    guest = tunnel.far.place
    guest.run("date", "-s", f"@{int(time.time()) - 24 * HOUR}")
    try:
        tunnel.far.restart()
        with wire.Watch(bench.near_site) as watch:
            guest.spawn(*traffic.ping_command(tunnel.inside(tunnel.near), count=10, interval=1), timeout=20)
            there = bench.far_site.outer[4]
            poll(lambda: len(watch.seen(wire.INITIATION, there)) >= 2, 12, what="two initiations")
            assert not watch.seen(wire.RESPONSE, bench.near_site.outer[4])
            tunnel.reach(tunnel.near, within=SURVIVOR_NOTICES_WITHIN)
    finally:
        guest.run("date", "-s", f"@{int(time.time())}")
    both_ways(tunnel)


def boringtun_and_a_restarted_wgembed(bench):
    """boringtun sends into a dead session, and initiates again."""
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.far])
    inside = tunnel.inside(tunnel.near)
    with traffic.echo(tunnel.near.place) as port:
        assert tunnel.far.ask("datagrams", inside, port, 1, 1) == []
        tunnel.near.restart()
        poll(lambda: tunnel.far.ask("datagrams", inside, port, 1, 1) == [], SURVIVOR_NOTICES_WITHIN, what="a new session")


def wgembed_and_a_restarted_boringtun(bench):
    """wgembed notices that nobody answers any more."""
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    tunnel.far.restart()
    tunnel.reach(tunnel.near, within=SURVIVOR_NOTICES_WITHIN)


SCENARIOS = [
    restart_near_speaks,
    restart_near_silent,
    restart_far_speaks,
    restart_far_silent,
    simultaneous,
    clock_of_far_behind,
    clock_of_near_behind,
]
KERNELS = [peers.Linux61, peers.Linux612]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_recovery(kind, scenario, together):
    together.outcome(kind, scenario)


@pytest.mark.parametrize("kind", KERNELS, indirect=True, ids=lambda kind: kind.name)
@pytest.mark.parametrize("scenario", [clock_of_kernel_behind], ids=lambda scenario: scenario.__name__)
def test_clock_of_kernel(kind, scenario, together):
    together.outcome(kind, scenario)


@pytest.mark.parametrize(
    "kind, scenario",
    [
        (peers.BoringtunInitiator, boringtun_and_a_restarted_wgembed),
        (peers.BoringtunResponder, wgembed_and_a_restarted_boringtun),
    ],
    indirect=["kind"],
    ids=["initiator", "responder"],
)
def test_recovery_with_boringtun(kind, scenario, together):
    together.outcome(kind, scenario)
