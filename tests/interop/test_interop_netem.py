"""The bad networks of Linux's netem: what of them reaches a tunnel must not keep it from working.

The guest's kernel has netem. It is a router on a stick between the ends of each tunnel, which share it: every datagram
of theirs goes to the guest and comes back, and its egress is the bad network. All four programs of ours are measured at
the same time, under one profile after the other.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from ..lab import net, peers, qemu, traffic
from ..lab.need import need

GUEST = peers.Linux612
ENDS = [
    (peers.Wgembed, peers.WireguardGo),
    (peers.WgembedMicropython, peers.WireguardGo),
    (peers.WgembedFast, peers.Wgembed),
    (peers.WgembedMicropythonFast, peers.WgembedFast),
]
# A handshake is tried again after REKEY_TIMEOUT and jitter; and a ping is tried each second.
RETRY = 5.334 + 1
PATIENCE = 60  # with two of five datagrams or replies lost, a handshake takes more than one try
PINGS = 20


@dataclass
class Profile:
    """netem's words; how much TCP carries under them; what pings between the outer addresses must show of them."""

    netem: str
    size: int
    lost: bool = False
    duplicates: bool = False
    disorder: bool = False
    slower: float = 0  # ms that a round trip takes at least, on average


PROFILES = {
    "loss": Profile("loss 5%", 1 << 20, lost=True),
    "loss in bursts": Profile("loss 20% 25%", 64 << 10, lost=True),
    "reordering": Profile("delay 20ms reorder 25% 50%", 1 << 20, disorder=True),
    "duplication": Profile("duplicate 10%", 2 << 20, duplicates=True),
    "corruption": Profile("corrupt 2%", 1 << 20, lost=True),
    "a thin line": Profile("rate 2mbit limit 60", 128 << 10, slower=1),
    "a long way": Profile("delay 200ms 80ms", 512 << 10, disorder=True, slower=250),
}


class Stick:
    """Namespaces whose only way to each other is through the guest."""

    def __init__(self, closing):
        self.guest = qemu.Guest(GUEST.package)
        closing.callback(self.guest.close)
        self._closing = closing
        self._host = self.guest.host
        self._count = 0
        for site in (self.guest.near, self.guest.far):
            site.settle()
        near, far = self.guest.near, self.guest.far
        # What is answered over the bad network as well would be resolved anew in the middle of a test.
        for here, there in ((near, far), (far, near)):
            here.place.ip("neigh", "replace", there.outer[4], "lladdr", there.mac(), "dev", here.device, "nud", "permanent")
        for site in (near, far):
            site.place.run(
                "sh",
                "-c",
                "echo 1 > /proc/sys/net/ipv4/ip_forward;"
                " for file in /proc/sys/net/ipv4/conf/*/send_redirects; do echo 0 > $file; done",
            )
        far.place.ip("route", "replace", "default", "via", near.outer[4])
        self._host.ip("route", "add", "default", "via", far.outer[4], "dev", near.device, "table", "100")

    def site(self):
        """A machine behind the guest."""
        self._count += 1
        network, device = f"100.64.{self._count}", f"to{self._count}"
        place = net.Namespace()
        self._closing.callback(place.close)
        self._host.ip("link", "add", device, "type", "veth", "peer", "name", "outer", "netns", place.name)
        self._host.ip("addr", "add", f"{network}.1/24", "dev", device)
        self._host.ip("link", "set", device, "up")
        self._host.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{device}/send_redirects")
        self._host.ip("rule", "add", "iif", device, "lookup", "100")
        site = net.Site(place, "outer", 0)
        site.home = {4: f"{network}.2", 6: f"2001:db8:{self._count}::2"}
        site.settle()
        place.ip("route", "add", "default", "via", f"{network}.1")
        return site

    def netem(self, words):
        """Make the network as bad as this; nothing: good again."""
        self.guest.run("tc", "qdisc", "del", "dev", "eth0", "root", check=False)
        if words:
            self.guest.run("tc", "qdisc", "add", "dev", "eth0", "root", "netem", *words.split())


class Harness:
    """The guest, and a tunnel of each kind through it."""

    def __init__(self, closing):
        self.stick = Stick(closing)
        self.tunnels = []
        for near_kind, far_kind in ENDS:
            tunnel = peers.Tunnel(near_kind(self.stick.site(), 51820), far_kind(self.stick.site(), 51821))
            for peer in (tunnel.near, tunnel.far):
                closing.callback(peer.end)
            tunnel.start([tunnel.near, tunnel.far])
            tunnel.reach(tunnel.near)
            self.tunnels.append(tunnel)

    def each(self, work):
        """work(tunnel) for all tunnels at the same time; what fails says whose it was."""

        def one(tunnel):
            try:
                return work(tunnel)
            except Exception as error:
                who = f"{tunnel.near.name} with {tunnel.far.name}"
                raise AssertionError(f"{who}: {error!r}\n{tunnel.near.log()[-2000:]}") from error

        with ThreadPoolExecutor(len(self.tunnels)) as pool:
            return list(pool.map(one, self.tunnels))


@pytest.fixture(scope="module")
def harness():
    need(GUEST.prepare)
    for kind in {kind for ends in ENDS for kind in ends}:
        need(kind.prepare)
    with ExitStack() as closing:
        yield Harness(closing)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_tunnel_works_over_a_bad_network(harness, profile):
    """It comes up, carries pings and TCP, and gets new keys, whoever starts; when the way is good, so is the tunnel."""
    profile = PROFILES[profile]
    harness.stick.netem(profile.netem)
    witness(harness, profile)
    harness.each(lambda tunnel: work(tunnel, profile))
    harness.stick.netem("")
    harness.each(talk)


def test_both_ends_talk_within_one_retry_after_a_cut(harness):
    """Nothing passes, and one end has lost its keys meanwhile and asks for others, in vain."""
    harness.stick.netem("loss 100%")

    def ask(tunnel):
        tunnel.near.restart()
        assert tunnel.ping(tunnel.near, count=3, interval=1, patience=1).received == 0

    harness.each(ask)
    harness.stick.netem("")
    harness.each(talk)


def witness(harness, profile):
    """Pings outside any tunnel: the network is as bad as it is meant to be."""
    tunnel = harness.tunnels[0]
    command = traffic.ping_command(tunnel.far.site.outer[4], 200, 0.01, size=1000)
    output = tunnel.near.place.run(*command, timeout=60, check=False)[1]
    pings = traffic.parse_pings(output)
    order = [int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", output)]
    print(profile.netem, re.findall(r"\d+ packets transmitted.*", output))
    assert pings.received > 0
    assert bool(pings.lost) >= profile.lost, output
    assert not profile.duplicates or "duplicates" in output
    assert not profile.disorder or order != sorted(order)
    if profile.slower:
        assert float(re.search(r"rtt [^=]*= [\d.]+/([\d.]+)/", output)[1]) >= profile.slower


def work(tunnel, profile):
    near, far = tunnel.near, tunnel.far
    for starter, other in ((near, far), (far, near)):
        before = other.show(starter).latest_handshake
        starter.restart()
        tunnel.reach(starter, PATIENCE)
        assert other.show(starter).latest_handshake > before
        pings = tunnel.ping(starter, count=PINGS, interval=0.05)
        assert pings.received >= PINGS // 4
        data = os.urandom(profile.size)
        arrived = traffic.transfer(starter.place, other.place, tunnel.inside(other), data, PATIENCE)
        assert hashlib.sha256(arrived).digest() == hashlib.sha256(data).digest(), f"{len(arrived)} of {len(data)} bytes"


def talk(tunnel):
    """Both ends do, soon, and without loss."""
    tunnel.reach(tunnel.near, RETRY)
    tunnel.reach(tunnel.far, RETRY)
    for peer in (tunnel.near, tunnel.far):
        assert tunnel.ping(peer, count=20, interval=0.05).lost == 0
