"""`kill_switch`: what the routed allowed IPs cover leaves by the tunnel or not at all.

`near` has default routes to `far`. While a test runs, `near` sends to addresses of the internet, and a socket at the outer
link of `far` sees each packet that arrives there outside the tunnel.
"""

import re
import signal
import socket
import sys
import threading

import pytest

from ..lab import micropython, net, traffic
from ..lab.need import need
from ..lab.router import rest

DEFAULTS = ["0.0.0.0/0", "::/0"]
INSIDE = {socket.AF_INET: "203.0.113.9", socket.AF_INET6: "2001:db8:9::9"}
MARK = b"outside the tunnel"
WAYS = {"host route": {}, "mark": {"nohostroute": 1}, "metric": {"metric": 5}, "table": {"ip4table": 77, "ip6table": 77}}


@pytest.fixture(params=["pyroute2", "rtnetlink", "micropython"])
def command(request):
    """The runtimes, and on CPython each program that applies the changes."""
    return need(micropython.command, "1M") if request.param == "micropython" else [sys.executable, "-m", "wgembed"]


@pytest.fixture
def scene(request, harness):
    way = request.node.callspec.params.get("way", "host route")
    scene = Scene(harness, {"WGEMBED_PYROUTE2": "0"} if "rtnetlink" in request.node.callspec.id else {}, WAYS[way])
    yield scene
    scene.close()


class Scene:
    """The router, its sections, and the sender of packets that must not leave."""

    def __init__(self, harness, environment, options):
        self.place, self.far = harness.near.place, harness.far.place
        self.command = harness.command
        for route in (("192.0.2.2",), ("2001:db8::2",)):
            self.place.ip("route", "add", "default", "via", *route)
        for address in ("203.0.113.9/32", "2001:db8:9::9/128"):
            self.far.ip("addr", "add", address, "dev", "lo")
        if "ip4table" in options:
            for family, address in zip(("-4", "-6"), INSIDE.values(), strict=True):
                self.place.ip(family, "rule", "add", "to", address, "lookup", "77", "priority", "99")
        self.pair = harness.pair(**environment)
        self.router = self.pair.router
        self.options = options
        self.before = self.network()
        self._seen = self.far.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._seen.bind(("outer", 3))
        self._seen.setblocking(False)
        self._senders = [self.place.socket(family, socket.SOCK_DGRAM) for family in INSIDE]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def sections(self, **options):
        peer = self.pair.peer(allowed_ips=DEFAULTS, route_allowed_ips=1)
        return self.pair.interface(**{"kill_switch": 1, **self.options, **options}), peer

    def start(self):
        self.router.start(*self.sections())
        self._thread.start()

    def network(self):
        """Return all rules, and the routes except for those that the kernel adds, as lines."""
        told = [self.place.ip(*family, *what) for family in ([], ["-6"])
                for what in (["rule"], ["route", "show", "table", "all"])]  # fmt: skip
        told.append(self.place.run("cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark")[1])
        lines = "".join(told).splitlines()
        lines = [re.sub(r"^9\d{4}:", "", line) for line in lines]  # netifd's priority of a rule has the ifindex
        return sorted(line for line in lines if "table local" not in line and "proto kernel" not in line)

    def _send(self):
        while not self._is_over.wait(0.002):
            for sender in self._senders:
                try:
                    sender.sendto(MARK, (INSIDE[sender.family], 4000))
                except OSError:
                    continue

    def leaked(self):
        """Return the families of packets that arrived outside the tunnel since the last call."""
        rest(0.3)
        found = set()
        while True:
            try:
                frame = self._seen.recv(2000)
            except BlockingIOError:
                return sorted(found)
            if MARK in frame:
                found.add(frame[14] >> 4)

    def unblock(self, check=True):
        return self.place.run("env", f"WGEMBED_RUN_DIR={self.router.run_directory}", *self.command, "unblock", check=check)

    def close(self):
        self._is_over.set()
        if self._thread.ident:
            self._thread.join()
        for one in (self._seen, *self._senders):
            one.close()


@pytest.mark.parametrize("way", WAYS)
def test_no_packet_leaves_outside_the_tunnel(scene, way):
    scene.start()
    assert scene.leaked() == [], "before the first handshake"
    scene.router.kill()
    assert scene.leaked() == [], "after SIGKILL"
    scene.router.start()
    scene.pair.start_far()
    for address in INSIDE.values():
        traffic.reach(scene.place, address)
    assert scene.leaked() == [], "with a tunnel: its own datagrams pass"
    scene.router.stop()
    assert scene.leaked() == [], "after SIGTERM"
    left = scene.network()
    scene.router.start()
    traffic.reach(scene.place, INSIDE[socket.AF_INET])
    scene.place.ip("link", "del", scene.pair.name)
    traffic.reach(scene.place, INSIDE[socket.AF_INET])
    assert scene.leaked() == [], "while the link is made again"
    scene.router.stop()
    assert scene.network() == left, "each start continues with what the last one left"
    scene.unblock()
    assert scene.network() == scene.before
    net.poll(lambda: scene.leaked() == [4, 6], 10, what="packets by the default route")


@pytest.mark.parametrize("way", ["host route", "mark"])
def test_it_ends_with_the_option_and_with_the_interface(scene, way):
    scene.start()
    for end in ({"kill_switch": 0}, {"disabled": 1}):
        assert "unreachable" in "".join(scene.network())
        scene.router.reload(*scene.sections(**end))
        net.poll(lambda: "proto 87" not in "".join(scene.network()), 5, what="no routes of kill_switch")
        scene.router.reload(*scene.sections())
    scene.router.kill()
    scene.router.start(*scene.sections(kill_switch=0))
    scene.router.stop()
    assert scene.network() == scene.before, "the start removed what was left"


def test_a_route_that_another_program_deletes_is_added_again(scene):
    scene.start()
    rest(0.5)
    for family in ("-4", "-6"):
        scene.place.ip(family, "route", "flush", "proto", "87")
    net.poll(lambda: len({line for line in scene.network() if "proto 87" in line}) == 4, 5, what="four routes")


def test_unblock_needs_an_end_of_the_service(scene):
    scene.start()
    before = scene.network()
    status, text = scene.unblock(check=False)
    assert status == 1 and f"{scene.pair.name} is still served: stop the service first" in text
    assert scene.network() == before


def test_unblock_waits_for_the_end_of_the_service(scene):
    """As in `/etc/init.d/wgembed stop`, which does not wait."""
    scene.start()
    waiting = scene.place.spawn("env", f"WGEMBED_RUN_DIR={scene.router.run_directory}", *scene.command, "unblock")
    rest(0.5)
    assert waiting.running()
    scene.router._child._child.send_signal(signal.SIGTERM)
    assert waiting.wait(10) == 0
    scene.router.stop()
    assert scene.network() == scene.before


def test_a_name_that_is_not_resolved_yet(scene):
    """Without the option, there are no routes until the endpoint is known."""
    interface, peer = scene.sections()
    scene.router.write(interface, peer.replace("192.0.2.2", "vpn.example.invalid"))
    scene.router.start()
    scene._thread.start()
    assert scene.leaked() == []


def test_check_notes_a_name_that_cannot_be_resolved(scene):
    interface, peer = scene.sections()
    for host, is_noted in (("vpn.example.invalid", True), ("192.0.2.2", False)):
        scene.router.write(interface, peer.replace("192.0.2.2", host))
        text = scene.place.run(*scene.command, "check", "--config-dir", str(scene.router.config.parent), check=False)[1]
        assert ("the name server must have a more specific route" in text) == is_noted
