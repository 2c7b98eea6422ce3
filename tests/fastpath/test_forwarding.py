"""What two routers forward through the tunnel between them: it is split and joined on its way, and arrives as it was sent.

Host A, its router, the tunnel, another router, host B: each in a namespace of its own.
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import random
import re
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass

import pytest

from ..lab import net, peers, traffic
from ..lab.need import need
from .flows import HOST, LENGTH, NOBODY, PACKED, ROUTER, A, B, Flow, address, make_flow, network, shapes, without_id
from .frames import TCP, UDP

LAN = "lan"
QUIET = 0.1  # so long nothing more must come
BURST = 80
FLUSH = 5_000_000

ETHERTYPE = {4: 0x0800, 6: 0x86DD}
ETH_P_ALL, PACKET_OUTGOING = 3, 4
SO_RCVBUFFORCE = 33
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_SGRO = 0x8946, 0x17, 0x2C


# The network


def put(place, setting, value):
    place.run("sh", "-c", f"echo {value} > /proc/sys/net/{setting}")


def namespace(closing, forwards):
    place = net.Namespace()
    closing.callback(place.close)
    put(place, "ipv6/conf/default/router_solicitations", 0)
    put(place, "ipv4/ip_forward", int(forwards))
    put(place, "ipv6/conf/all/forwarding", int(forwards))
    return place


def mac(place):
    text = place.run("cat", f"/sys/class/net/{LAN}/address")[1].strip()
    return text, bytes.fromhex(text.replace(":", ""))


def link(router, host, side):
    """Join a host to its router, which is its way to everything."""
    router.ip("link", "add", LAN, "type", "veth", "peer", "name", LAN, "netns", host.name)
    for place, number in ((router, ROUTER), (host, HOST)):
        for family in (4, 6):
            nodad = ["nodad"] if family == 6 else []
            place.ip("addr", "add", f"{address(side, family, number)}/{LENGTH[family]}", "dev", LAN, *nodad)
        place.ip("link", "set", LAN, "up")
    for family in (4, 6):
        host.ip("route", "add", "default", "via", address(side, family, ROUTER))
        router.ip("neigh", "add", address(side, family, NOBODY), "lladdr", mac(host)[0], "dev", LAN)


class Routed:
    """The four namespaces; `routers` and `hosts` are those of sides A and B, `ends` the daemons."""

    def __init__(self, kind, closing):
        self.routers = [namespace(closing, True), namespace(closing, True)]
        self.hosts = [namespace(closing, False), namespace(closing, False)]
        sites = net.veth(*self.routers)
        tunnel = peers.Tunnel(kind(sites[A], 51820), kind(sites[B], 51821))
        self.ends = [tunnel.near, tunnel.far]
        for end in self.ends:
            closing.callback(end.end)
        tunnel.start(self.ends)
        for side in (A, B):
            link(self.routers[side], self.hosts[side], side)
            self._lead(tunnel, side)
        for side in (A, B):
            for family in (4, 6):
                traffic.reach(self.hosts[side], address(1 - side, family, HOST))
        # Beyond this link is the wire: what crosses it is cut, and has its checksums.
        ethtool(self.routers[B], ETHTOOL_STXCSUM, 0)

    def _lead(self, tunnel, side):
        """Let the router of this side send what is for the other side through the tunnel."""
        end, other = self.ends[side], self.ends[1 - side]
        networks = [network(1 - side, family) for family in (4, 6)]
        inside = [f"{tunnel.inside(other, 4)}/32", f"{tunnel.inside(other, 6)}/128"]
        end.tool("set", end.interface, "peer", other.key, "allowed-ips", ",".join(networks + inside))
        for one in networks:
            end.place.ip("route", "add", one, "dev", end.interface)

    def statistic(self, side, name):
        end = self.ends[side]
        return int(end.place.run("cat", f"/sys/class/net/{end.interface}/statistics/{name}")[1])

    def check(self):
        """No kernel ever found a wrong header or checksum, and in this test no daemon dropped anything; none complained."""
        for place in self.hosts + self.routers:
            assert wrong(place) == {}
        assert [drops(end) for end in self.ends] == self.drops
        for end in self.ends:
            assert end.log() == ""


def wrong(place):
    """The kernel's counters of headers and checksums that were wrong, where there were any."""
    found = {}
    text = place.run("sh", "-c", "cat /proc/net/snmp; cat /proc/net/snmp6")[1].splitlines()
    old = [line.split() for line in text if ":" in line]
    for names, values in zip(old[::2], old[1::2], strict=True):
        found.update(zip([names[0][:-1] + name for name in names[1:]], values[1:], strict=True))
    found.update(line.split() for line in text if line and ":" not in line)
    assert {"TcpInCsumErrors", "TcpInErrs", "UdpInCsumErrors", "Udp6InCsumErrors", "IpInHdrErrors"} <= set(found)
    return {name: value for name, value in found.items() if re.search("In(CsumErrors|HdrErrors|Errs)", name) and int(value)}


def drops(end):
    """What the daemon counted as dropped, by reason. Multicast of the kernel's own is nobody's."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(peers.SOCKETS / f"{end.interface}.sock"))
        control.sendall(b"status=1\n\n")
        answer = b""
        while not answer.endswith(b"\n\n"):
            part = control.recv(4096)
            assert part, answer
            answer += part
    found = dict(re.findall(r"(?m)^drop=(\w+),(\d+)$", answer.decode()))
    assert "own_public_key=" in answer.decode()
    found.pop("tx_no_peer", None)
    return found


def ethtool(place, command, value):
    """Switch a feature of the link in the namespace on or off."""
    with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        argument = ctypes.create_string_buffer(struct.pack("II", command, value))
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", LAN.encode(), ctypes.addressof(argument)))


def wait_for_more(place, nanoseconds):
    """How long the link keeps what may be joined with what comes next: of itself it takes packet by packet."""
    place.run("sh", "-c", f"echo {nanoseconds} > /sys/class/net/{LAN}/gro_flush_timeout")


@pytest.fixture(scope="module", params=[peers.WgembedFast, peers.WgembedMicropythonFast], ids=lambda kind: kind.name)
def routed(request):
    need(request.param.prepare)
    with contextlib.ExitStack() as closing:
        yield Routed(request.param, closing)


@pytest.fixture(autouse=True)
def logs(routed):
    routed.drops = [drops(end) for end in routed.ends]
    yield
    for end in routed.ends:  # seen where the test failed
        print(end.interface, drops(end), end.log(), sep="\n")


# What the hosts' own kernels send


@pytest.mark.parametrize("family", [4, 6])
def test_tcp(routed, family):
    """Both ways. The hosts learn by themselves that the tunnel's MTU is lower than theirs."""
    for reverse in (False, True):
        arrived = traffic.tcp(*routed.hosts, address(B, family, HOST), "12M", reverse)
        assert arrived > 6 << 20
    routed.check()


@pytest.mark.parametrize("family", [4, 6])
def test_udp(routed, family):
    """Each size one way and the other in turn; the last is sent in fragments."""
    for side in (A, B):
        traffic.ping(routed.hosts[side], address(1 - side, family, HOST), size=4000, count=2, patience=1)  # tells the MTU
    for i, size in enumerate((16, 200, 1200, 1372, 4000)):
        rate = str(size * 8 * 2000)
        options = ["-u", "-b", rate, "-l", str(size), "-k", "500"] + ["-R"] * (i & 1)
        total = traffic.iperf(*routed.hosts, address(B, family, HOST), *options)["sum"]
        assert total["packets"] >= 500
        assert total["lost_packets"] <= 10, size
    routed.check()


def test_many_flows(routed):
    """TCP streams both ways and datagrams among them; of the other family from the other side."""
    reports = []

    def datagrams():
        options = ["-u", "-b", "3M", "-l", "1200", "-t", "2", "-P", "2", "--bidir"]
        reports.append(traffic.iperf(routed.hosts[B], routed.hosts[A], address(A, 6, HOST), *options))

    beside = threading.Thread(target=datagrams)
    beside.start()
    options = ["-C", "cubic", "-t", "2", "-P", "3", "--bidir"]
    end = traffic.iperf(*routed.hosts, address(B, 4, HOST), *options)
    beside.join()
    assert end["sum_received"]["bytes"] > 1 << 20
    assert end["sum_received_bidir_reverse"]["bytes"] > 1 << 20
    assert reports[0]["sum"]["packets"] > 500  # TCP leaves no room for some of them
    for place in routed.hosts:
        assert wrong(place) == {}


# Packet by packet


class Capture:
    """What comes to host `side` for nobody, as it is on the wire."""

    def __init__(self, routed, side):
        self.side = side
        self._socket = routed.hosts[side].socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self._socket.bind((LAN, ETH_P_ALL))

    def _next(self, within):
        """The next packet that is for nobody; None if there is none."""
        end = time.monotonic() + within
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                packet, about = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                return None
            if about[2] == PACKET_OUTGOING or about[1] not in ETHERTYPE.values():
                continue
            if (packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]) in PACKED.values():
                return packet
        return None

    def take(self, count):
        """Wait for so many packets, and then whether there are more."""
        found = []
        while packet := self._next(5 if len(found) < count else QUIET):
            found.append(packet)
        return found

    def close(self):
        self._socket.close()


class Source:
    """Sends IP packets from A to its router, as they are."""

    def __init__(self, routed):
        self._socket = routed.hosts[A].socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._router = mac(routed.routers[A])[1]

    def send(self, packets):
        for packet in packets:
            self._socket.sendto(packet, (LAN, ETHERTYPE[packet[0] >> 4], 0, 0, self._router))

    def close(self):
        self._socket.close()


@contextlib.contextmanager
def held(end):
    """The daemon sleeps meanwhile: what came is then waiting for it, in one batch."""
    os.kill(end.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(end.pid, signal.SIGCONT)


@dataclass
class Passage:
    """What came of packets that were sent: how many the tunnel devices saw, and what arrived at B and at A."""

    read: int
    written: int
    arrived: list
    returned: list


def carry(routed, sent):
    """Send the packets in bursts."""
    read, written = routed.statistic(A, "tx_packets"), routed.statistic(B, "rx_packets")
    arrived = []
    with (
        contextlib.closing(Source(routed)) as source,
        contextlib.closing(Capture(routed, B)) as capture,
        contextlib.closing(Capture(routed, A)) as back,
    ):
        for i in range(0, len(sent), BURST):
            burst = sent[i : i + BURST]
            with held(routed.ends[A]):
                source.send(one.packet for one in burst)
                time.sleep(0.02)
            arrived += capture.take(len(burst))
        returned = back.take(0)
    read, written = routed.statistic(A, "tx_packets") - read, routed.statistic(B, "rx_packets") - written
    return Passage(read, written, arrived, returned)


def differences(a, b):
    """Where two packets differ, in words."""
    where = [i for i in range(max(len(a), len(b))) if a[i : i + 1] != b[i : i + 1]]
    shown = ", ".join(f"[{i}] {a[i : i + 1].hex() or '-'} is {b[i : i + 1].hex() or '-'}" for i in where[:12])
    return f"{len(where)} bytes of {len(a)}, {len(b)} came: {shown}"


def likeness(a, b):
    return sum(x == y for x, y in zip(a, b, strict=False)) - abs(len(a) - len(b))


def tell_strange(packet, missing):
    """What a packet that nobody sent was meant to be."""
    if not missing:
        return f"nobody sent: {packet[:80].hex()}"
    one = max(missing, key=lambda one: likeness(one.expected, packet))
    return f"{one}: {differences(one.expected, packet)}\n  sent as {one.packet[:100].hex()}\n  came as {packet[:100].hex()}"


def compare(sent, arrived):
    """Fail if any packet did not arrive, arrived otherwise, or out of its flow's order; tell which."""
    wanted = {without_id(one.expected): one for one in sent}
    assert len(wanted) == len(sent), "the test can tell its packets apart"
    wrong, latest = [], {}
    for packet in arrived:
        one = wanted.get(without_id(packet))
        if not one:
            continue
        if packet != one.expected and not one.ids_vary:
            wrong.append(f"{one}: another ID: {differences(one.expected, packet)}")
        if one.number <= latest.get(one.flow, -1):
            wrong.append(f"{one}: came after packet {latest[one.flow]}")
        latest[one.flow] = one.number
    here = {without_id(packet) for packet in arrived}
    missing = [one for key, one in wanted.items() if key not in here]
    wrong += [tell_strange(packet, missing) for packet in arrived if without_id(packet) not in wanted]
    wrong += [f"{one}: did not arrive" for one in missing]
    assert not wrong, f"{len(wrong)} wrong of {len(sent)} packets:\n" + "\n".join(wrong[:20])


@pytest.fixture(params=[False, True], ids=["single", "gro"])
def joined_before(routed, request):
    """Whether the first router's own link joins TCP segments already, so that its tunnel device gives super-packets."""
    if request.param:
        ethtool(routed.hosts[A], ETHTOOL_STXCSUM, 0)  # else nothing that comes over the link is a candidate
        ethtool(routed.routers[A], ETHTOOL_SGRO, 1)
        wait_for_more(routed.routers[A], FLUSH)
    yield request.param
    wait_for_more(routed.routers[A], 0)
    ethtool(routed.routers[A], ETHTOOL_SGRO, 0)
    ethtool(routed.hosts[A], ETHTOOL_STXCSUM, 1)


def has_uso():
    """Whether tunnel devices take UDP super-packets (6.2)."""
    return tuple(map(int, re.findall(r"\d+", platform.release())[:2])) >= (6, 2)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP], ids=["tcp", "udp"])
def test_good_flows_are_joined(routed, joined_before, family, protocol):
    """If it were not so, nothing else here would mean much."""
    flow = Flow("good", random.Random(family), family, protocol, 0)
    flow.add(160)
    passage = carry(routed, flow.sent())
    compare(flow.sent(), passage.arrived)
    if protocol == TCP or has_uso():
        assert passage.written < 160 / 8
    if protocol == TCP:
        assert (passage.read < 160 / 8) == joined_before
    routed.check()


def test_packet_by_packet(routed, joined_before):
    """Flows of all shapes, one after the other: nothing is lost, changed, invented or overtaken."""
    rng = random.Random(1)
    flows = [make_flow(one, rng, number) for number, one in enumerate(shapes(joined_before))]
    sent = [one for flow in flows for one in flow.sent()]
    passage = carry(routed, sent)
    compare(sent, passage.arrived)
    assert passage.returned == []
    assert passage.written < len(sent) * 0.75
    routed.check()


def shuffled(rng, flows):
    """A few packets of one flow, a few of another, some flows at a time."""
    waiting, under_way = list(flows), []
    while waiting or under_way:
        while waiting and len(under_way) < 12:
            under_way.append(iter(waiting.pop().sent()))
        one = rng.choice(under_way)
        for _ in range(rng.randrange(1, 6)):
            try:
                yield next(one)
            except StopIteration:
                under_way.remove(one)
                break


@pytest.mark.parametrize("seed", [1, 2])
def test_random_flows(routed, joined_before, seed):
    """Any flows, some at a time."""
    rng = random.Random(seed)
    flows = [make_flow(rng.choice(shapes(joined_before)), rng, number) for number in range(30)]
    sent = list(shuffled(rng, flows))
    passage = carry(routed, sent)
    compare(sent, passage.arrived)
    assert passage.returned == []
    assert passage.written < len(sent) * 0.9
    routed.check()
