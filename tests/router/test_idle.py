"""Fifty peers that have nothing to say cost nothing."""

from ..lab import net, traffic
from ..lab.router import rest

QUIET_SECONDS = 8


def settle(router):
    """Wait until nothing has woken the daemon for 3 s: the kernel's duplicate address detection draws its own delays."""

    def quiet():
        before = router.switches()
        rest(3)
        return router.switches() == before

    net.poll(quiet, 15, what="three seconds without a wake-up")


def test_no_wake_ups_with_fifty_peers(harness, tmp_path):
    # Sockets of others that come and go beside its own would be news.
    pair = harness.pair(WGEMBED_SOCKET_DIR=str(tmp_path))
    pair.start_far()
    pair.router.start(
        pair.interface(), pair.peer(),
        *[pair.other_peer(n, endpoint_host=f"192.0.2.{100 + n}", route_allowed_ips=n % 2) for n in range(49)],
    )  # fmt: skip
    traffic.reach(harness.near.place, "10.77.0.2")
    # The last keepalives of both ends, and the kernel's own news of fresh interfaces.
    rest(18)
    settle(pair.router)
    before = pair.router.switches()
    rest(QUIET_SECONDS)
    assert pair.router.switches() == before
    # It is not dead.
    assert traffic.ping(harness.near.place, "10.77.0.2").received
    assert pair.router.switches() > before


def test_a_change_elsewhere_is_looked_at_and_costs_no_more(harness):
    """Other files in the directory, routes that are not ours: a glance each, and nothing is applied."""
    pair = harness.pair()
    pair.router.start(pair.interface(), pair.peer())
    (pair.router.config.parent / "network").write_text("config interface 'lan'\n")
    harness.near.place.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.2")
    settle(pair.router)
    assert "applied" not in pair.router.log() and "changed" not in pair.router.log()
    net.poll(lambda: pair.router.running(), 1)
