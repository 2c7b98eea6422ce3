"""What the router pays for a page that is open."""

import os
import time
from pathlib import Path

from ..lab.router import Keys

# A poll of the status page, in s of CPU on a core of this machine: of the bus, rpcd and the daemon together.
BUDGET = 0.005
POLLS = 100
PEER = "\nconfig wireguard_wg0\n\toption public_key '{}'\n\tlist allowed_ips '10.{}.{}.0/24'\n"


def spent(*pids):
    """Seconds of CPU, to the nanosecond."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def started(site, peers):
    site.configure("".join(PEER.format(Keys().public, 100 + n // 250, n % 250) for n in range(peers)))
    site.router.service("start")
    site.router.reach("10.77.0.2")


def cost(site, bus, count=POLLS):
    """(CPU of the bus and rpcd, CPU of the daemon, time to the answer) of a poll, in s."""
    router = site.router
    daemon = router.daemon()
    bus.call("luci.wgembed", "status")
    before, served, begin = spent(*bus.pids), spent(daemon), time.monotonic()
    for _ in range(count):
        assert bus.call("luci.wgembed", "status")[0] == 0
    took = (time.monotonic() - begin) / count
    return (spent(*bus.pids) - before) / count, (spent(daemon) - served) / count, took


def test_a_poll_costs_next_to_nothing(site, bus):
    started(site, 9)
    bus_cpu, daemon_cpu, _ = cost(site, bus)
    print(f"10 peers: {bus_cpu * 1e3:.2f} ms of ubusd and rpcd, {daemon_cpu * 1e3:.2f} ms of the daemon a poll")
    assert bus_cpu + daemon_cpu < BUDGET


def test_a_poll_starts_no_process(site, bus):
    """An interpreter least of all."""
    started(site, 0)
    children = Path(f"/proc/{bus.rpcd}/task/{bus.rpcd}/children")
    seen = set()
    for _ in range(20):
        bus.call("luci.wgembed", "status")
        bus.call("luci.wgembed", "names")
        seen |= set(children.read_text().split())
    assert not seen


def test_a_thousand_peers(site, bus):
    started(site, 1000)
    status, answer = bus.call("luci.wgembed", "status")
    assert status == 0 and answer["interfaces"]["wg0"].count("\npublic_key=") == 1001
    bus_cpu, daemon_cpu, took = cost(site, bus, 10)
    print(f"1,001 peers: {bus_cpu * 1e3:.1f} and {daemon_cpu * 1e3:.1f} ms of CPU, after {took * 1e3:.0f} ms")
    assert took < 1


def test_a_daemon_that_says_nothing_holds_up_rpcd_for_a_moment_only(site, bus):
    started(site, 0)
    daemon = site.router.daemon()
    os.kill(daemon, 19)
    try:
        begin = time.monotonic()
        assert bus.call("luci.wgembed", "status")[1]["interfaces"] == {}
        assert time.monotonic() - begin < 3
    finally:
        os.kill(daemon, 18)


def test_sockets_of_others_are_passed_over(site, bus):
    started(site, 0)
    folder = site.router.root / "tmp/run/wireguard"
    (folder / "old.sock").write_text("")
    assert list(bus.call("luci.wgembed", "status")[1]["interfaces"]) == ["wg0"]
