"""The same to two devices, one in pure Python and one with the C library: what leaves them is the same, to the byte.

Both have the same keys and the same luck. The one with the library has a tunnel device, a pair of sockets here:
super-packets go in, and come out, split again, as the packets that the other one was given.
"""

import random
import socket
from dataclasses import replace

import pytest

from wgembed import crypto
from wgembed.protocol import drops

from ..unit import harness as harness_module
from ..unit.harness import A4, A6, B4, B6, connected
from . import frames
from .frames import ACK, CWR, ECE, PSH, TCP, UDP, URG, USO4, USO6, Header, flow, same

OUTSIDE4, OUTSIDE6 = bytes([192, 0, 2, 9]), bytes([0xFC]) + bytes(14) + b"\x09"
ENDPOINT4, ENDPOINT_PORT = bytes([192, 0, 2, 2]), 51820
PLAIN = frames.vnet()


class Luck:
    """Random bytes that are the same for each side: so many draws of so many bytes have the same result."""

    def __init__(self, seed):
        self._seed = seed
        self._draws = {}
        self.side = None  # whose turn it is

    def fill(self, buf):
        kind = self.side, len(buf)
        self._draws[kind] = self._draws.get(kind, 0) + 1
        buf[:] = random.Random(f"{self._seed} {len(buf)} {self._draws[kind]}").randbytes(len(buf))


class Port:
    """A tunnel device for the node: a pair of sockets."""

    def __init__(self, node):
        self.device, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.device, self.kernel):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 23)
        self.tun = node.fastpath.port(self.device.fileno(), USO4 | USO6)
        self.node = node
        node.deliver = self.deliver

    def deliver(self, view, packets, lengths, count):
        assert self.tun.write_batch(view, packets, lengths, count) == 0

    def transmit(self, given):
        """Have the device send what comes of the frames, as daemon/interface.py does."""
        for frame in given:
            self.kernel.send(frame)
        device, harness = self.node.device, self.node.harness
        while count := self.tun.read_batch(device.arena):
            while count:
                device.transmit(harness.now, count)
                count = self.tun.read_rest(device.arena)
        harness.settle()

    def written(self):
        """Return the packets that were written since the last call."""
        found = []
        while True:
            try:
                found += frames.unframe(self.kernel.recv(70000))
            except BlockingIOError:
                return found

    def close(self):
        self.device.close()
        self.kernel.close()


class Side:
    """A connected pair of nodes: `a` is what is tested, `b` a pure one that talks to it."""

    def __init__(self, monkeypatch, luck, library):
        self.luck = luck
        self.begin()
        made = []

        def node(harness, name, **how):
            monkeypatch.setenv("WGEMBED_FASTPATH", library if name == "a" else "0")
            made.append(plain_node(harness, name, **how))
            made[-1].address_bytes = lambda addr: ENDPOINT4 + ENDPOINT_PORT.to_bytes(2, "big")
            return made[-1]

        plain_node = harness_module.Harness.node
        with monkeypatch.context() as patch:
            patch.setattr(harness_module.Harness, "node", node)
            self.harness, self.a, self.b, self.peer_b, self.peer_a = connected()
        for width in (4, 16):
            self.a.device.allow(self.peer_b, bytes(width), 0, self.harness.now)
            self.b.device.allow(self.peer_a, bytes(width), 0, self.harness.now)
        self.port = Port(self.a) if self.a.fastpath else None

    def begin(self):
        self.luck.side = self

    def transmit(self, given, packets):
        """Send, as frames or as packets; returns what left `a` and what arrived at `b`."""
        self.begin()
        del self.a.sent[:], self.b.got[:]
        if self.port:
            self.port.transmit(given)
        else:
            for at in range(0, len(packets), self.a.device.arena.slots):
                self.a.transmit(*packets[at : at + self.a.device.arena.slots])
        return list(self.a.sent), list(self.b.got)

    def receive(self, datagrams, stride, tos):
        """Take datagrams."""
        self.begin()
        self.a.receive_run(datagrams, stride, self.b.addr, None, tos)
        self.harness.settle()

    def delivered(self):
        """Return what was delivered since the last call."""
        if self.port:
            assert self.port.tun.flush() == 0
            return self.port.written()
        got = list(self.a.got)
        del self.a.got[:]
        return got

    def counters(self):
        peer = self.peer_b
        windows = bytes(self.a.tables.windows)
        return peer.rx_bytes, peer.tx_bytes, list(self.a.device.drops), peer.current.top, peer.current.counter, windows


@pytest.fixture
def sides(library, monkeypatch):
    made = []

    def make(seed):
        luck = Luck(seed)
        for module in (crypto, harness_module):
            monkeypatch.setattr(module, "random_fill", luck.fill)
        made.extend(Side(monkeypatch, luck, path) for path in ("0", str(library)))
        assert made[-2].a.fastpath is None and made[-1].a.fastpath is not None
        assert made[-2].peer_b.current.header == made[-1].peer_b.current.header, "the same luck"
        return made[-2:]

    yield make
    for side in made:
        if side.port:
            side.port.close()


def header(rng, outwards):
    """A flow, out of the tunnel or into it."""
    version = rng.choice([4, 4, 6])
    ends = ((A4, B4), (A6, B6))[version == 6]
    if rng.random() < 0.2:
        ends = ends[0], (OUTSIDE4, OUTSIDE6)[version == 6]
    source, destination = ends if outwards else ends[::-1]
    return Header(
        version=version, protocol=rng.choice([TCP, TCP, UDP]), source=source, destination=destination,
        ports=(rng.randrange(1, 4), 80), tos=rng.choice([0, 0, 0, 1, 2, 3, 0x28]), ident=rng.randrange(65536),
        df=rng.random() < 0.7, sequence=rng.getrandbits(32), acknowledged=7,
        flags=rng.choice([ACK, ACK, ACK | PSH, ACK | CWR | ECE, ACK | URG]), options=rng.choice([b"", b"\1\1" + bytes(10)]),
    )  # fmt: skip


def burst(rng):
    """Frames as the kernel gives them, and the packets that they stand for."""
    given, packets = [], []
    for _ in range(rng.randrange(1, 6)):
        one = header(rng, True)
        size = rng.choice([1, 60, 536, 1300])
        payload = rng.randbytes(rng.choice([size, size * 3, size * 70, rng.randrange(1, 3000)]) + rng.randrange(20))
        payload = payload[: 65000 if one.protocol == TCP else min(64 * size, 65000)]
        kind = rng.random()
        if kind < 0.5 and len(payload) > size:
            given.append(frames.super_frame(one, payload, size))
            packets += frames.split(one, payload, size)
        elif kind < 0.7:
            given.append(frames.partial_frame(one, payload[:1300]))
            packets.append(frames.build(one, payload[:1300]))
        elif kind < 0.9:
            packet = frames.build(one, payload[:1300])
            given.append(PLAIN + packet)
            packets.append(packet)
        else:
            packet = bytes([rng.randrange(256)]) + rng.randbytes(rng.randrange(100))
            given.append(PLAIN + packet)
            packets.append(packet)
    return given, packets


def own_datagram(message):
    """A message of ours, as it comes back where the route to the endpoint leads into the tunnel."""
    return frames.build(Header(protocol=UDP, source=A4, destination=ENDPOINT4, ports=(51820, ENDPOINT_PORT)), bytes(message))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_sent(sides, seed):
    pure, fast = sides(seed)
    rng = random.Random(seed)
    messages = loops = 0
    for _ in range(60):
        given, packets = burst(rng)
        if pure.a.sent and rng.random() < 0.3:
            # Beside others to the same host, and twice.
            other = frames.build(Header(protocol=UDP, source=A4, destination=ENDPOINT4, ports=(7, 9)), b"theirs")
            own = own_datagram(pure.a.sent[-1][0][:1300])
            packets += [other, own, own, other]
            given += [PLAIN + packet for packet in (other, own, own, other)]
            loops += 2
        expected, arrived = pure.transmit(given, packets)
        sent, got = fast.transmit(given, packets)
        assert len(sent) == len(expected)
        for i, (one, other) in enumerate(zip(sent, expected, strict=True)):
            assert one == other, f"message {i} of {len(sent)}"
        assert got == arrived and fast.counters() == pure.counters()
        messages += len(sent)
    assert messages > 2000 and pure.a.drop(drops.TX_LOOP) == loops > 10


def segments(rng):
    """Packets of some flows into the tunnel, most of them as splitting leaves them; not all that comes is right."""
    packets = []
    for _ in range(rng.randrange(1, 4)):
        one = header(rng, False)
        if rng.random() < 0.1:
            one = replace(one, source=bytes([9]) * len(one.source))
        size = rng.choice([10, 100, 1300])
        flow = frames.split(one, rng.randbytes(size * rng.randrange(1, 12) + rng.randrange(size)), size)
        packets += flow
    if rng.random() < 0.3:
        rng.shuffle(packets)
    for i, packet in enumerate(packets):
        luck = rng.random()
        if luck < 0.03:
            packets[i] = packet[:-1] + bytes([packet[-1] ^ 1])
        elif luck < 0.06:
            at = rng.randrange(20)
            packets[i] = packet[:at] + rng.randbytes(1) + packet[at + 1 :]
        elif luck < 0.08:
            packets[i] = b""
    return packets


def datagrams(rng, side, packets):
    """The packets in messages of `b`, by runs of one stride: some lost, twice, forged, late, or no message at all."""
    messages = []
    for at in range(0, len(packets), 32):
        batch = packets[at : at + 32]
        del side.b.sent[:]
        side.harness.filter = lambda source, destination, datagram: []
        side.b.put(batch)
        side.b.device._send_run(side.harness.now, side.peer_a, 0, len(batch))
        side.harness.settle()
        side.harness.filter = None
        messages += [message for message, *_ in side.b.sent]
    for i in range(len(messages)):
        luck = rng.random()
        if luck < 0.03:
            messages[i] = messages[rng.randrange(len(messages))]
        elif luck < 0.05:
            messages[i] = messages[i][:-1] + bytes([messages[i][-1] ^ 1])
        elif luck < 0.06:
            messages[i] = rng.randbytes(rng.randrange(40))
    runs = []
    while messages:
        stride = len(messages[0])
        end = 1
        while end < len(messages) and end < 60 and len(messages[end - 1]) == stride >= len(messages[end]) > 0:
            end += 1
        if stride:
            runs.append((b"".join(messages[:end])[:65000], stride))
        del messages[:end]
    return runs


@pytest.mark.parametrize("seed", range(4))
def test_what_is_delivered(sides, seed):
    pure, fast = sides(seed)
    rng = random.Random(100 + seed)
    delivered = 0
    for _ in range(80):
        for run, stride in datagrams(rng, pure, segments(rng)):
            tos = rng.choice([0, 0, 0, 1, 2, 3])
            pure.receive(run, stride, tos)
            fast.receive(run, stride, tos)
            if rng.random() < 0.6:
                continue  # what belongs together may come by several receives
            expected, got = pure.delivered(), fast.delivered()
            assert len(got) == len(expected)
            flows = {}
            for packet in expected:
                flows.setdefault(flow(packet), []).append(packet)
            for packet in got:
                assert same(flows[flow(packet)].pop(0), packet)
            assert fast.counters() == pure.counters()
            delivered += len(got)
    assert delivered > 500


def test_nothing_of_a_link_with_another_mtu_stays(sides):
    """The slots change between batches, and a batch after that is as good as one before."""
    pure, fast = sides(9)
    rng = random.Random(9)
    for mtu in (1420, 576, 9000, 1281, 1420):
        for side in (pure, fast):
            side.a.device.mtu = mtu
            side.a.device.arena.carve(mtu)
        one = Header(source=A4, destination=B4)
        payload = rng.randbytes(min(mtu * 9, 60000))
        given = [frames.super_frame(one, payload, mtu - 60), PLAIN + frames.build(one, payload[: mtu - 60])]
        packets = frames.split(one, payload, mtu - 60) + [frames.build(one, payload[: mtu - 60])]
        expected, sent = pure.transmit(given, packets)[0], fast.transmit(given, packets)[0]
        assert sent == expected and len(sent) == len(packets)
