"""Routers with many routes: those of others, which change all the time, and those of the tunnels."""

import os
import re
import signal
import time

import pytest

from wgembed.runtime import pause, system
from wgembed.runtime.loop import Loop

from ..lab import micropython, net
from ..lab.need import need
from ..lab.router import Keys, Router, interface, peer, rest

FOREIGN = 3000
PREFIXES = 2000


class Scene:
    """A router with a provider, and a tunnel to a peer that is never there."""

    def __init__(self, folder, command):
        self.place = net.Namespace()
        self.place.ip("link", "add", "wan", "type", "veth", "peer", "name", "isp")
        self.place.ip("address", "add", "192.0.2.2/24", "dev", "wan")
        for end in ("wan", "isp"):
            self.place.ip("link", "set", end, "up")
        self.place.ip("route", "add", "default", "via", "192.0.2.1")
        self.folder = folder
        self.name = net.unique("y")
        self.keys, self.other = Keys(), Keys()
        self.router = Router(self.place, folder, command)

    def batch(self, verb, count):
        file = self.folder / "routes"
        file.write_text("".join(f"route {verb} 20.{n >> 8}.{n & 255}.0/24 via 192.0.2.1\n" for n in range(count)))
        return ["ip", "-batch", str(file)]

    def sections(self, prefixes, host="203.0.113.9", **options):
        allowed = [f"100.{n >> 8}.{n & 255}.0/24" for n in range(prefixes)] + ["203.0.113.0/28"]
        given = {"public_key": self.other.public, "allowed_ips": allowed, "route_allowed_ips": 1, "endpoint_host": host}
        return (
            interface(self.name, private_key=self.keys.private, listen_port=51820, addresses="10.77.0.1/24", **options),
            peer(self.name, **given),
        )

    def routes(self):
        return self.place.ip("route", "show", "dev", self.name).splitlines()

    def close(self):
        if self.router.log():
            self.router.stop()
        self.place.close()


@pytest.fixture
def scene(tmp_path, command):
    scene = Scene(tmp_path, command)
    yield scene
    scene.close()


def test_routes_of_others_cost_nothing_but_their_news(scene):
    """Neither is the machine's table read again, nor is there a plan: the daemon wakes up once for each message."""
    scene.place.run(*scene.batch("add", FOREIGN), timeout=60)
    scene.router.start(*scene.sections(1))
    net.poll(lambda: "203.0.113.9 via 192.0.2.1" in scene.place.ip("route"), 5, what="the host route")
    rest(0.5)
    before = scene.router.switches()
    events = (
        ("route", "add", "10.50.0.0/16", "via", "192.0.2.1"),
        ("route", "add", "10.51.0.0/16", "via", "192.0.2.1", "table", "77"),
        ("route", "del", "10.50.0.0/16"),
        ("address", "add", "192.0.2.99/32", "dev", "lo"),
    )
    for event in events:
        scene.place.ip(*event)
        time.sleep(0.3)
    # An address comes with a route of the table "local".
    assert scene.router.switches() - before <= len(events) + 2


@pytest.mark.parametrize("way", ["default", "shorter", "host"])
def test_routes_that_lead_to_an_endpoint_are_followed(scene, way):
    """Beside many that do not."""
    scene.place.run(*scene.batch("add", FOREIGN), timeout=60)
    scene.router.start(*scene.sections(1))
    net.poll(lambda: "203.0.113.9 via 192.0.2.1" in scene.place.ip("route"), 5, what="the host route")
    if way == "host":
        scene.place.ip("route", "del", "203.0.113.9")
        net.poll(lambda: "203.0.113.9 via 192.0.2.1" in scene.place.ip("route"), 5, what="the host route again")
        return
    where = "default" if way == "default" else "203.0.112.0/22"
    scene.place.ip("route", "replace", where, "via", "192.0.2.77")
    net.poll(lambda: "203.0.113.9 via 192.0.2.77" in scene.place.ip("route"), 5, what="the host route by the new gateway")
    scene.place.ip("route", "del", where)
    expected = "unreachable 203.0.113.9" if way == "default" else "203.0.113.9 via 192.0.2.1"
    net.poll(lambda: expected in scene.place.ip("route"), 5, what="the host route without it")


def test_a_storm_in_which_messages_are_lost(scene):
    """A route of ours goes in the middle of it, and comes back."""
    scene.router.start(*scene.sections(20))
    net.poll(lambda: len(scene.routes()) == 22, 5, what="all routes")
    os.kill(scene.router.pid, signal.SIGSTOP)
    for verb in ("add", "del", "add"):
        scene.place.run(*scene.batch(verb, FOREIGN), timeout=60)
        if verb == "del":
            scene.place.ip("route", "del", "100.0.7.0/24")
    os.kill(scene.router.pid, signal.SIGCONT)
    net.poll(lambda: len(scene.routes()) == 22, 10, what="the route again")


def test_many_prefixes(tmp_path, request):
    """All are there after the start; one that is deleted comes back, one that is taken out goes."""
    scene = Scene(tmp_path, need(micropython.command, "4M"))
    request.addfinalizer(scene.close)
    scene.router.start(*scene.sections(PREFIXES), within=60)
    net.poll(lambda: len(scene.routes()) == PREFIXES + 2, 10, what="all routes")
    scene.place.ip("route", "del", "100.1.1.0/24")
    net.poll(lambda: len(scene.routes()) == PREFIXES + 2, 10, what="the route again")
    scene.router.reload(*scene.sections(PREFIXES - 1), within=60)
    net.poll(lambda: len(scene.routes()) == PREFIXES + 1, 10, what="a route less")
    assert "ERROR" not in scene.router.log()


def test_packets_pass_while_a_large_configuration_is_applied(tmp_path, request):
    """The longest time in which nothing is answered is a small part of what a reload takes."""
    scene = Scene(tmp_path, need(micropython.command, "4M"))
    request.addfinalizer(scene.close)
    far, name = net.Namespace(), net.unique("y")
    request.addfinalizer(far.close)
    scene.place.ip("link", "set", "isp", "netns", far.name)
    far.ip("address", "add", "192.0.2.1/24", "dev", "isp")
    far.ip("link", "set", "isp", "up")
    child = far.spawn(*need(micropython.command), "-f", name)
    net.poll(lambda: far.run("wg", "show", name, check=False)[0] == 0, 10, what="the other end")
    far.run("wg", "set", name, "private-key", "/dev/stdin", "listen-port", "51820", "peer", scene.keys.public,
            "allowed-ips", "10.77.0.1/32", input=scene.other.private + "\n")  # fmt: skip
    far.ip("address", "add", "100.0.7.7/24", "dev", name)
    far.ip("link", "set", name, "up")
    far.ip("route", "add", "10.77.0.0/24", "dev", name)
    scene.router.start(*scene.sections(PREFIXES, "192.0.2.1"), within=60)
    net.poll(lambda: len(scene.routes()) == PREFIXES + 2, 10, what="all routes")
    ping = scene.place.spawn("ping", "-n", "-D", "-i", "0.005", "-w", "60", "100.0.7.7")
    net.poll(lambda: ping.text().count("time=") > 20, 10, what="answers")
    begin = time.time()
    scene.router.reload(*scene.sections(PREFIXES, "192.0.2.1", mtu=1380), within=60)
    took = time.time() - begin
    ping.stop()
    times = [float(stamp) for stamp in re.findall(r"\[([\d.]+)\] .* time=", ping.text())]
    gaps = [after - before for before, after in zip(times, times[1:], strict=False) if begin < after < begin + took]
    assert len(gaps) > 5 and max(gaps) < took / 4, f"{max(gaps) * 1000:.0f} ms of {took * 1000:.0f} ms"
    assert child.running()


def test_applied_means_all_of_it(tmp_path, request, command):
    """A reload that comes while the one before is being applied is reported when its routes are there."""
    scene = Scene(tmp_path, command)
    request.addfinalizer(scene.close)
    scene.router.start(*scene.sections(200))
    scene.router.write(*scene.sections(300))
    os.kill(scene.router.pid, signal.SIGHUP)
    net.poll(lambda: "(run) reload" in scene.router.log(), 5, what="the first reload")
    scene.router.write(*scene.sections(400))
    os.kill(scene.router.pid, signal.SIGHUP)
    net.poll(lambda: scene.router.log().count("configuration applied") == 2, 20, what="two reloads")
    assert len(scene.routes()) == 402


def test_the_interface_goes_while_its_configuration_is_applied(tmp_path, request):
    """A pause in the work notices it first. The work ends, and the interface is made again."""
    scene = Scene(tmp_path, need(micropython.command, "4M"))
    request.addfinalizer(scene.close)
    scene.router.start(*scene.sections(PREFIXES), within=60)
    net.poll(lambda: len(scene.routes()) == PREFIXES + 2, 10, what="all routes")
    for mtu in (1380, 1400):
        scene.router.write(*scene.sections(PREFIXES, mtu=mtu))
        os.kill(scene.router.pid, signal.SIGHUP)
        time.sleep(0.15)
        scene.place.ip("link", "delete", scene.name)
        net.poll(
            lambda: scene.place.run("ip", "link", "show", scene.name, check=False)[0] == 0
            and len(scene.routes()) == PREFIXES + 2, 20, what="the interface again",
        )  # fmt: skip
    assert scene.router.running() and "Traceback" not in scene.router.log()


def test_a_pause_handles_packets_and_nothing_else():
    """Once in some milliseconds, however often it is called."""
    loop = Loop(lambda: None)
    packets, others = os.pipe(), os.pipe()
    seen = []
    loop.watch(packets[0], lambda events: seen.append(os.read(packets[0], 1)), is_packets=True)
    loop.watch(others[0], lambda events: seen.append(b"other"))
    os.write(others[1], b"o")
    pause.use(loop.handle_packets)
    try:
        for byte in (b"1", b"2"):
            os.write(packets[1], byte)
            begin = system.clock.now()
            while byte not in seen:
                pause.pause()
                assert system.clock.now() < begin + 5000
        os.write(packets[1], b"3")
        for _ in range(3):
            pause.pause()
        assert seen == [b"1", b"2"], "the last pause was a moment ago"
        loop.forget(packets[0])
        pause.pause()
    finally:
        pause.use(None)
        for fd in (*packets, *others):
            os.close(fd)
    assert seen == [b"1", b"2"]
