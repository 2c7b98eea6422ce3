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
from dataclasses import dataclass, replace

import pytest

import frames
from frames import ACK, CWR, ECE, FIN, PSH, SYN, TCP, UDP, URG
from lab import net, peers, traffic
from lab.need import need

A, B = 0, 1
LAN = "lan"
ROUTER, HOST, NOBODY = 1, 2, 9  # nobody has the last one: the host gets what is sent there, and does not answer
MTU = 1420
HOPS = 2
QUIET = 0.1  # so long nothing more must come
BURST = 80
FLUSH = 5_000_000

ETHERTYPE = {4: 0x0800, 6: 0x86DD}
ETH_P_ALL, PACKET_OUTGOING = 3, 4
SO_RCVBUFFORCE = 33
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_SGRO = 0x8946, 0x17, 0x2C

# Where the kernel itself, when it joins segments that come over a link (GRO), lets others of their flow overtake them, or
# puts the urgent pointer of one into all. With the pure Python daemon it is the same.
MIXED_BY_GRO = {"broken_headers", "ip_options", "tcp_behind_extensions", "tcp_in_fragments", "urgent", "wrong_checksums"}


# The network


def address(side, family, number):
    return f"10.8{side}.0.{number}" if family == 4 else f"fd8{side}::{number}"


def network(side, family):
    return f"{address(side, family, 0)}/{LENGTH[family]}"


LENGTH = {4: 24, 6: 64}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PACKED = {(side, family): socket.inet_pton(FAMILY[family], address(side, family, NOBODY))
          for side in (A, B) for family in (4, 6)}


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


# What is sent and captured packet by packet


@dataclass(frozen=True)
class Sent:
    """One packet that A sends. `ids_vary`: its flow never is in fragments, and has IDs without an order."""

    flow: str
    number: int
    packet: bytes
    ids_vary: bool

    def __str__(self):
        return f"{self.flow}, packet {self.number}"

    @property
    def expected(self):
        """As it is to be at B: it has passed two routers."""
        packet = bytearray(self.packet)
        packet[8 if packet[0] >> 4 == 4 else 7] -= HOPS
        return bytes(with_checksum(packet))


def with_checksum(packet):
    """The packet with the right checksum of its IPv4 header, if it has one."""
    if packet[0] >> 4 == 4:
        packet[10:12] = bytes(2)
        struct.pack_into("!H", packet, 10, frames.total(bytes(packet[: (packet[0] & 15) * 4])) ^ 0xFFFF)
    return packet


def without_id(packet):
    """The packet without its ID, if that means nothing (RFC 6864): it is whole and stays so."""
    if packet[0] >> 4 == 4 and int.from_bytes(packet[6:8], "big") == 0x4000:
        return packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]
    return packet


class Flow:
    """Packets of one flow in the making."""

    def __init__(self, name, rng, family, protocol, number):
        self.name, self.rng, self.family = f"flow {number} ({name}, IPv{family})", rng, family
        self.ids_vary = False
        self.packets = []
        options = b"\1\1\x08\x0a" + rng.randbytes(8)
        self.header = frames.Header(
            version=family, protocol=protocol, source=PACKED[A, family], destination=PACKED[B, family],
            ports=(20000 + number, 443), tos=rng.choice((0, 2, 0xB8)), ident=rng.randrange(1 << 16),
            label=rng.randrange(1 << 20), sequence=(1 << 32) - rng.randrange(8000), acknowledged=rng.randrange(1 << 32),
            options=options if protocol == TCP else b"",
        )  # fmt: skip

    def change(self, **fields):
        """Of all packets from here on."""
        self.header = replace(self.header, **fields)

    def build(self, size=MTU, **fields):
        """The next packet, of `size` bytes in all, with other fields than its flow has."""
        header = replace(self.header, **fields)
        payload = self.rng.randbytes(max(size - header.size, 0))
        self.change(ident=self.header.ident + 1, sequence=self.header.sequence + len(payload))
        return bytearray(frames.build(header, payload))

    def add(self, count=1, **options):
        for _ in range(count):
            self.put(self.build(**options))

    def put(self, packet):
        self.packets.append(bytes(packet))

    def other(self, protocol, payload):
        """The next packet, but of another protocol."""
        packet = self.build(size=self.header.size + 1)
        start = self.header.start
        if self.family == 4:
            packet[9], packet[2:4] = protocol, (start + len(payload)).to_bytes(2, "big")
        else:
            packet[6], packet[4:6] = protocol, len(payload).to_bytes(2, "big")
        return with_checksum(packet[:start]) + payload

    def sent(self):
        return [Sent(self.name, i, packet, self.ids_vary) for i, packet in enumerate(self.packets)]


SHAPES = []


def shape(protocol, *families):
    """A kind of flow, by what is peculiar in the middle of it."""

    def add(function):
        for family in families or (4, 6):
            SHAPES.append((function, family, protocol))
        return function

    return add


def shapes(joined_before):
    """Those to try."""
    return [one for one in SHAPES if not (joined_before and one[0].__name__ in MIXED_BY_GRO)]


def make_flow(one, rng, number):
    function, family, protocol = one
    flow = Flow(function.__name__, rng, family, protocol, number)
    function(flow)
    return flow


@shape(TCP)
def full_segments(flow):
    flow.add(20)
    flow.add(size=700)
    flow.add(5)


@shape(TCP)
def wrong_checksums(flow):
    for where in ("middle", "payload", "head"):
        flow.add(0 if where == "head" else 4)
        packet = flow.build()
        packet[-1 if where == "payload" else flow.header.start + 16] ^= 0x40
        flow.put(packet)
    flow.add(4)


@shape(TCP)
def pushed(flow):
    for count in (0, 1, 4):
        flow.add(count)
        flow.add(flags=ACK | PSH)
    flow.add(4)
    flow.add(size=MTU - 7, flags=ACK | PSH)


@shape(TCP)
def ended(flow):
    flow.add(4)
    flow.add(flags=ACK | FIN)
    flow.add(4)
    flow.add(flags=ACK | PSH | FIN)


@shape(TCP)
def begun(flow):
    flow.add(flags=SYN, size=flow.header.size)
    flow.add(4)
    flow.add(flags=SYN | ACK)
    flow.add(4)
    flow.add(flags=0)
    flow.add(2)


@shape(TCP)
def urgent(flow):
    flow.add(4)
    flow.add(flags=ACK | URG, urgent=100)
    flow.add(3, urgent=77)
    flow.add(4)


@shape(TCP)
def congested(flow):
    """All ECN bits in the IP header, and what TCP says to them."""
    for bits in (2, 3, 1, 0, 2):
        flow.add(3, tos=bits)
    flow.add(3, tos=2, flags=ACK | ECE)
    flow.add(2, tos=2)
    flow.add(3, tos=2, flags=ACK | CWR)
    flow.add(3, tos=2)
    flow.add(2, tos=2, reserved=1)
    flow.add(2, tos=2)


@shape(TCP)
def timestamps(flow):
    for _ in range(4):
        flow.change(options=b"\1\1\x08\x0a" + flow.rng.randbytes(8))
        flow.add(3)


@shape(TCP)
def other_options(flow):
    for options in (b"", bytes(4), b"\1\1\x05\x0a" + bytes(8), flow.header.options, b"\1" * 40):
        flow.add(3, options=options)


@shape(TCP)
def other_fields(flow):
    """The class, the TTL, the window, what is acknowledged, the flow label."""
    flow.add(3)
    for fields in ({"tos": 0x48}, {"ttl": 50}, {"window": 501}, {"acknowledged": 7}, {"label": 1}):
        flow.change(**fields)
        flow.add(3)


@shape(TCP)
def holes(flow):
    """A segment is missing, one comes again, and there are acknowledgements between."""
    flow.add(3)
    flow.build()
    flow.add(3)
    flow.change(sequence=flow.header.sequence - 3000)
    flow.add(3)
    flow.add(size=flow.header.size)
    flow.add(3)


@shape(TCP)
def sizes(flow):
    for size in (MTU, MTU - 4, MTU, MTU, MTU - 5, MTU - 5, MTU - 4, 100, 100, 99, 1000, 1000, 1000, 1001):
        flow.add(size=size)
    flow.add(3, size=flow.header.size + 1)


@shape(TCP)
def broken_headers(flow):
    """A data offset within the TCP header, one beyond the packet, half a header."""
    for offset in (0x40, 0xF0):
        flow.add(3)
        packet = flow.build(size=MTU if offset == 0x40 else flow.header.size)
        packet[flow.header.start + 12] = offset
        flow.put(packet)
    flow.put(flow.other(TCP, flow.rng.randbytes(10)))
    flow.add(3)


@shape(TCP, 4)
def ids_of_fragmentable(flow):
    """Without DF: IDs that count, the same again, then any."""
    flow.change(df=False)
    flow.add(5)
    flow.change(ident=flow.header.ident - 1)
    flow.add(3)
    for _ in range(5):
        flow.change(ident=flow.rng.randrange(1 << 16))
        flow.add()
    flow.add(3, df=True)
    flow.add(3)


@shape(TCP, 4)
def ids_that_vary(flow):
    """With DF: all alike, then any."""
    flow.ids_vary = True
    for i in range(10):
        flow.change(ident=0 if i < 5 else flow.rng.randrange(1 << 16))
        flow.add()


@shape(TCP, 4)
def ip_options(flow):
    flow.add(3)
    flow.add(3, ip_options=b"\1\1\1\0")
    flow.add(3)


def fragments(flow, packet):
    """Cut an IP packet into fragments."""
    start = 20 if flow.family == 4 else 40
    head, payload = packet[:start], packet[start:]
    most = (MTU - start - 8) // 8 * 8
    for offset in range(0, len(payload), most):
        part, more = payload[offset : offset + most], offset + most < len(payload)
        one = bytearray(head)
        if flow.family == 4:
            one[2:4] = (start + len(part)).to_bytes(2, "big")
            one[6:8] = (more << 13 | offset // 8).to_bytes(2, "big")
            yield with_checksum(one) + part
        else:
            one[4:6], one[6] = (8 + len(part)).to_bytes(2, "big"), 44
            yield one + struct.pack("!BBHI", head[6], 0, offset | more, flow.header.ident) + part


@shape(TCP)
def tcp_in_fragments(flow):
    flow.add(4)
    for one in fragments(flow, flow.build(size=3000)):
        flow.put(one)
    flow.add(4)


@shape(UDP)
def udp_in_fragments(flow):
    flow.add(4)
    for one in fragments(flow, flow.build(size=4000)):
        flow.put(one)
    flow.add(4)


def extended(packet, kind, extension):
    """The IPv6 packet with an extension header of this kind, whose first byte is left to be filled in."""
    packet = packet[:40] + bytes([packet[6]]) + extension[1:] + packet[40:]
    packet[4:6], packet[6] = (len(packet) - 40).to_bytes(2, "big"), kind
    return packet


def _extensions(flow):
    for kind, extension in ((0, b"\0\0\1\4" + bytes(4)), (60, b"\0\0\1\4" + bytes(4)), (43, b"\0\0\xfd" + bytes(5))):
        flow.add(3)
        for _ in range(2):
            flow.put(extended(flow.build(size=MTU - 8), kind, extension))
    flow.add(3)


@shape(TCP, 6)
def tcp_behind_extensions(flow):
    _extensions(flow)


@shape(UDP, 6)
def udp_behind_extensions(flow):
    _extensions(flow)


@shape(UDP)
def runs(flow):
    """Of equal size, with a shorter last one; then of several sizes."""
    flow.add(20)
    flow.add(size=MTU - 9)
    flow.add(10, size=200)
    for size in (100, 101, 102, 102, 101, 100, 100):
        flow.add(size=size)


@shape(UDP)
def without_checksum(flow):
    """Among these one whose bytes add up with it to what they should."""
    flow.add(3)
    flow.add(4, udp_checksum=False)
    flow.add(3)
    packet = flow.build()
    checksum, payload = flow.header.start + 6, flow.header.size
    moved = frames.total(bytes(packet[payload : payload + 2] + packet[checksum : checksum + 2]))
    struct.pack_into("!H", packet, payload, moved)
    struct.pack_into("!H", packet, checksum, 0)
    flow.put(packet)
    flow.add(3)


@shape(UDP)
def wrong_udp_checksums(flow):
    for where in (6, 40):
        flow.add(4)
        packet = flow.build()
        packet[flow.header.start + where] ^= 0x10
        flow.put(packet)
    flow.add(4)


@shape(UDP)
def udp_lengths(flow):
    """Nothing in it; a length that is less than what there is, and one that is more, seen in the checksum or not."""
    flow.add(3)
    flow.add(size=flow.header.size)
    for change, seen in ((-8, True), (8, True), (-8, False), (8, False)):
        flow.add(3)
        packet = flow.build()
        length, checksum = struct.unpack_from("!HH", packet, flow.header.start + 4)
        checksum = checksum if seen else (checksum - change) % 0xFFFF or 0xFFFF
        struct.pack_into("!HH", packet, flow.header.start + 4, length + change, checksum)
        flow.put(packet)
    flow.add(3)
    flow.put(flow.other(UDP, flow.rng.randbytes(6)))
    flow.add(3)


@shape(UDP, 4)
def udp_ids(flow):
    flow.change(df=False)
    flow.add(4)
    for _ in range(3):
        flow.change(ident=flow.rng.randrange(1 << 16))
        flow.add(2)
    flow.add(3, ip_options=b"\1\1\1\0")
    flow.add(3)


@shape(UDP)
def icmp(flow):
    """Echo requests."""
    for number in range(6):
        echo = struct.pack("!BBHHH", 8 if flow.family == 4 else 128, 0, 0, 5, number) + flow.rng.randbytes(1300)
        flow.put(flow.other(1 if flow.family == 4 else 58, echo))


@shape(UDP)
def unknown_protocol(flow):
    for _ in range(6):
        flow.put(flow.other(253, flow.rng.randbytes(1350)))


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
    with contextlib.closing(Source(routed)) as source, contextlib.closing(Capture(routed, B)) as capture, \
            contextlib.closing(Capture(routed, A)) as back:
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
