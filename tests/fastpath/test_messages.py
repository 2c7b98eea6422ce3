"""Sealing, opening, and sorting packets: the library gives what the Python code gives, to the byte."""

import random

import pytest

from wgembed import crypto
from wgembed.packets import runs
from wgembed.packets.arena import Arena, Inbox

from ..unit.harness import A4, A6, B4, B6, connected, ipv4, ipv6
from .frames import TCP, UDP

KEY = bytearray(range(32))
HEADER = b"\x04\0\0\0abcd"


class LibraryInbox(Inbox):
    """An inbox over the memory of `fast`, which takes packets in Python's place."""

    def __init__(self, fast):
        super().__init__()
        self.fast = fast
        self.buffer, self.view, self.lengths = fast.inbox, memoryview(fast.inbox), fast.opened
        self.packets, self.packet_lengths = fast.packets, fast.packet_lengths

    def append(self, packet, stride, first, count, where, width):
        end = self.fast.append(packet, stride, first, count, where, width, self.good)
        self.good = self.fast.state.appended_good
        self.received += self.fast.state.appended_bytes
        return end


HEADER = b"\x04\0\0\0abcd"


class TestSeal:
    @pytest.mark.parametrize("mtu", [1420, 1280, 1413, 1400, 60])
    def test_a_run(self, fast, mtu):
        rng = random.Random(mtu)
        arena = Arena(1420)
        sizes = [0, 1, 15, 16, 17, mtu - 1, mtu, min(mtu + 1, 1420), 1419, 1420]
        sizes += [rng.randrange(1421) for _ in range(arena.slots - len(sizes))]
        for slot, size in enumerate(sizes):
            packet = rng.randbytes(size)
            fast.put(slot, packet)
            arena.buffer[arena.packets[slot] : arena.packets[slot] + size] = packet
            arena.lengths[slot] = size
        for first, end, counter in ((0, 10, 0), (10, 11, (1 << 64) - 1 - (1 << 13)), (11, arena.slots, 0x0102030405060708)):
            expected = runs.seal_run(arena, first, end, crypto.pointer_to(KEY), HEADER, counter, mtu)
            assert fast.seal(first, end, bytes(KEY), HEADER, counter, mtu) == expected
        assert list(fast.lengths) == arena.lengths and fast.arena.buffer == arena.buffer

    def test_the_largest_links(self, make):
        for mtu in (65455, 65440, 9000, 1421):
            fast, arena = make(mtu=mtu), Arena(mtu)
            packet = random.Random(mtu).randbytes(mtu)
            fast.put(0, packet)
            arena.buffer[16 : 16 + mtu], arena.lengths[0] = packet, mtu
            expected = runs.seal_run(arena, 0, 1, crypto.pointer_to(KEY), HEADER, 5, mtu)
            assert fast.seal(0, 1, bytes(KEY), HEADER, 5, mtu) == expected
            assert fast.arena.buffer == arena.buffer


class TestEverySize:
    """The AEAD is put together from its parts, but for the longest packets, or where there are no parts."""

    MOST = 2100

    @pytest.mark.parametrize("cipher", ["parts", "whole", "own"])
    def test_sealed_and_opened(self, make, cipher):
        """From libsodium's parts, by its AEAD, and with our ChaCha20 where the CPU has vectors."""
        fast = make(mtu=self.MOST)
        if cipher == "whole":
            fast.state.stream = 0
        elif cipher == "own":
            fast.choose_cipher(always=True)
            assert fast.self_test() == 0
        expected = bytearray(self.MOST + 16)
        for size in range(self.MOST + 1):
            packet = random.Random(size).randbytes(size)
            fast.put(0, packet)
            fast.seal(0, 1, bytes(KEY), HEADER, 7 + size, 0)
            with memoryview(expected)[: size + 16] as out:
                crypto.seal(out, KEY, 7 + size, packet, b"")
                assert fast.arena.buffer[16 : size + 32] == out
            message = fast.arena.buffer[: size + 32]
            wrong = message[:-1] + bytes([message[-1] ^ 1])
            self.check_opening(fast, wrong, -1)
            self.check_opening(fast, message, size)
            assert fast.inbox[16 : 16 + size] == packet

    def check_opening(self, fast, message, expected):
        behind = b"not of this datagram"
        fast.inbox[: len(message) + len(behind)] = message + behind
        assert fast.open(0, len(message), len(message), bytes(KEY)) == 1
        assert fast.opened[0] == expected
        assert fast.inbox[len(message) - 16 : len(message) + len(behind)] == message[-16:] + behind


class TestOpen:
    def put(self, fast, inbox, messages, stride):
        data = b"".join(message.ljust(stride, b"\xee") for message in messages[:-1]) + messages[-1]
        fast.inbox[:] = inbox.buffer[:] = data.ljust(len(inbox.buffer), b"\0")
        return len(data)

    def messages(self, rng, count, size):
        """A run of messages, in order, and the stride at which they come."""
        fast = Arena(size)
        made = []
        for i in range(count):
            fast.lengths[0] = size if i < count - 1 else rng.randrange(size + 1)
            fast.buffer[16 : 16 + size] = rng.randbytes(size)
            runs.seal_run(fast, 0, 1, crypto.pointer_to(KEY), HEADER, 1000 + i, size)
            made.append(bytes(fast.buffer[: fast.lengths[0]]))
        return made

    def check(self, fast, messages, stride, start=0):
        inbox = Inbox()
        end = self.put(fast, inbox, messages, stride)
        expected = runs.open_run(inbox, start, end, stride, crypto.pointer_to(KEY))
        assert fast.open(start, end, stride, bytes(KEY)) == expected
        assert list(fast.opened)[:expected] == inbox.lengths[:expected]
        assert list(fast.counters)[:expected] == inbox.counters[:expected]
        for packet, length in zip(range(start + 16, end, stride), inbox.lengths[:expected], strict=False):
            assert fast.inbox[packet : packet + length] == inbox.buffer[packet : packet + length]
        odd = [i for i in range(expected) if inbox.lengths[i] < 0 or inbox.counters[i] - i != inbox.counters[0]]
        assert fast.state.in_order == min([*odd, expected])
        assert not expected or inbox.in_order == (not odd)
        return expected

    def test_a_run(self, fast):
        rng = random.Random(1)
        for count, size in ((1, 0), (1, 1420), (40, 1420), (128, 64), (5, 0)):
            messages = self.messages(rng, count, size)
            assert self.check(fast, messages, len(messages[0])) == count
            assert fast.state.in_order == count
        assert self.check(fast, messages, len(messages[0]), start=len(messages[0])) == 4

    def test_more_than_there_is_room_for(self, fast):
        messages = self.messages(random.Random(2), 200, 16)
        assert self.check(fast, messages, 48) == 128

    def test_forged_and_out_of_order(self, fast):
        rng = random.Random(3)
        for _ in range(200):
            messages = self.messages(rng, rng.randrange(1, 20), 32)
            for _ in range(rng.randrange(4)):
                odd = bytearray(rng.choice(messages))
                odd[rng.choice([0, 4, 7, 8, 15, 16, 40])] ^= 1 << rng.randrange(8)
                messages[rng.randrange(len(messages) - 1) if len(messages) > 1 else 0] = bytes(odd[:64])
            if rng.random() < 0.5:
                rng.shuffle(messages)
            messages[-1] = messages[-1][: rng.randrange(65)]
            self.check(fast, messages, 64)

    def test_too_short(self, fast):
        assert fast.open(0, 31, 31, bytes(KEY)) == 0 and fast.state.in_order == 0
        assert fast.open(0, 64, 31, bytes(KEY)) == 0


class TestGroup:
    def test_lengths(self, fast):
        def gso_group_end(lengths, first, end):
            fast.lengths[: len(lengths)] = lengths
            return fast.gso_group_end(first, end)

        assert gso_group_end([5, 5, 5, 5], 0, 4) == 4
        assert gso_group_end([5, 5, 3, 5], 0, 4) == 3
        assert gso_group_end([5, 5, 6, 5], 0, 4) == 2
        assert gso_group_end([5, 3, 3, 3], 0, 4) == 2
        assert gso_group_end([9, 5, 5, 5], 1, 4) == 4
        assert gso_group_end([5, 5, 5, 3], 0, 3) == 3
        assert gso_group_end([5, 5, 5, 3], 0, 1) == 1
        assert gso_group_end([5], 0, 1) == 1


class Still:
    """A host that keeps what it is given to deliver, and nothing else."""

    def deliver(self, view, packets, lengths, count):
        self.delivered = list(zip(packets[:count], lengths[:count], strict=True))


def device(mtu=1420):
    """A device with a peer, and the peer."""
    harness, a, b, peer_b, peer_a = connected()
    b.device.host = Still()
    return harness, b, peer_a if peer_a.device is b.device else peer_b


class TestEndOfRun:
    OWN = bytes([192, 0, 2, 1]) + (51820).to_bytes(2, "big")
    OWN6 = bytes(range(16)) + (51820).to_bytes(2, "big")

    def packets(self, rng, endpoint):
        """Packets of which most go the same way."""
        width = len(endpoint) - 2
        make = {4: ipv4, 16: ipv6}[width]
        first = rng.choice([endpoint[:-2], rng.randbytes(width)])
        for _ in range(12):
            destination = first if rng.random() < 0.9 else rng.randbytes(width)
            port = endpoint[-2:] if rng.random() < 0.05 else b"\0\x35"
            payload = rng.randbytes(2) + port + rng.randbytes(rng.randrange(30))
            tos = rng.choice([0, 4, 8]) | (rng.random() < 0.05)
            packet = bytearray(make(rng.randbytes(width), destination, payload, tos=tos))
            if rng.random() < 0.1:
                packet[9 if width == 4 else 6] = rng.choice([TCP, UDP, 1])
            if rng.random() < 0.1:
                packet[0] = rng.choice([0x45, 0x46, 0x4F, 0x40, 0x60, 0x55])
            cut = len(packet) if rng.random() < 0.9 else rng.randrange(1, len(packet))
            yield bytes(packet[:cut])

    def ends(self, packets, own):
        """As Device._end_of_run has it, with the question whether a datagram is ours left open."""
        first = packets[0]
        version = first[0] >> 4
        header, ecn, protocol, where, width = (20, 3, 9, 16, 4) if version == 4 else (40, 0x30, 6, 24, 16)
        for i, packet in enumerate(packets[1:], 1):
            if len(packet) < header or packet[0] >> 4 != version or (packet[1] ^ first[1]) & ecn:
                return i
            if packet[where : where + width] != first[where : where + width]:
                return i
            start = (packet[0] & 15) * 4 if version == 4 else 40
            if packet[protocol] == UDP and own and packet[where : where + width] + packet[start + 2 : start + 4] == own:
                return i
        return len(packets)

    @pytest.mark.parametrize("own", [OWN, OWN6], ids=["ipv4", "ipv6"])
    def test_against_the_model(self, fast, own):
        rng = random.Random(len(own))
        ends = set()
        for _ in range(3000):
            packets = list(self.packets(rng, own))
            if len(packets[0]) < 40 or packets[0][0] >> 4 not in (4, 6):
                continue
            for i, packet in enumerate(packets):
                fast.put(i, packet)
            given = rng.choice([own, b"", self.OWN, self.OWN6])
            expected = self.ends(packets, given)
            assert fast.end_of_run(0, len(packets), given) == expected
            ends.add(expected)
        assert ends >= set(range(1, 13))

    def test_against_the_device(self, fast):
        """The device may end a run earlier, where TOS or protocol change."""
        harness, b, peer = device()
        arena = b.device.arena
        rng = random.Random(9)
        for _ in range(2000):
            packets = list(self.packets(rng, self.OWN))
            if len(packets[0]) < 20 or packets[0][0] >> 4 != 4:
                continue
            for i, packet in enumerate(packets):
                fast.put(i, packet)
                arena.buffer[arena.packets[i] : arena.packets[i] + len(packet)] = packet
                arena.lengths[i] = len(packet)
            end = fast.end_of_run(0, len(packets))
            found = arena.end_of_run(0, len(packets), peer, b)
            assert found <= end
            if found < end:
                assert any(packets[found][i] != packets[0][i] for i in (0, 1, 9))


class TestTake:
    """A run of opened datagrams: the device does the same with the library as without."""

    STRIDE, START = 200, 400

    def run(self, rng):
        """Lengths of opened datagrams, and what stands in them; most from one source."""
        sources = [A4] * 8 + [A6] * 4 + [bytes([10, 9, 9, 9])]
        lengths, packets = [], []
        source = rng.choice(sources)
        for _ in range(rng.randrange(1, 30)):
            if rng.random() < 0.1:
                source = rng.choice(sources)
            make, destination = (ipv4, B4) if len(source) == 4 else (ipv6, B6)
            tos = rng.choice([0, 1, 2, 2, 2, 3])
            packet = bytearray(make(source, destination, rng.randbytes(rng.randrange(60)), tos=tos))
            if rng.random() < 0.1:
                packet[rng.choice([0, 2, 3, 4, 5])] ^= 1 << rng.randrange(8)
            packet += bytes(rng.choice([0, 0, 7, 15]))
            cut = len(packet) if rng.random() < 0.9 else rng.randrange(len(packet))
            lengths.append(rng.choice([cut, cut, cut, cut, cut, 0, -1]))
            packets.append(bytes(packet))
        return lengths, packets

    def taken(self, device, peer, count, mark):
        """What the device does with the opened run: the packets it delivers, the bytes and the drops it counts."""
        device.host.delivered = []
        before = peer.rx_bytes, list(device.drops)
        device._handle_packets(1, peer, self.START, self.STRIDE, count, mark)
        dropped = [after - was for after, was in zip(device.drops, before[1], strict=True)]
        return device.host.delivered, peer.rx_bytes - before[0], dropped

    @pytest.mark.parametrize("mark", [0, 1, 2, 3])
    def test_against_the_device(self, fast, mark):
        harness, b, peer = device()
        rng = random.Random(mark)
        whole = []
        for _ in range(600):
            lengths, packets = self.run(rng)
            inbox = b.device.inbox = Inbox()
            b.device.host.delivered = []
            for i, packet in enumerate(packets):
                at = self.START + i * self.STRIDE + 16
                inbox.buffer[at : at + len(packet)] = fast.inbox[at : at + len(packet)] = packet
                inbox.lengths[i] = fast.opened[i] = lengths[i]
            fast.inbox[:] = inbox.buffer
            expected = self.taken(b.device, peer, len(lengths), mark)
            b.device.inbox = LibraryInbox(fast)
            assert self.taken(b.device, peer, len(lengths), mark) == expected
            assert fast.inbox == inbox.buffer
            whole.append(len(expected[0]))
        assert max(whole) > 15

    def test_most_is_done_at_once(self, fast):
        for i in range(20):
            at = i * self.STRIDE + 16
            packet = ipv4(A4, B4, bytes(30))
            fast.inbox[at : at + len(packet)] = packet
            fast.opened[i] = len(packet)
        assert fast.append(16, self.STRIDE, 0, 20, 16 + 12, 4, 0) == 20
        assert fast.state.appended_good == 20 and fast.state.appended_bytes == 20 * (50 + 32)
        assert fast.append(16 + 5 * self.STRIDE, self.STRIDE, 5, 20, 16 + 12, 4, 3) == 20
        assert fast.state.appended_good == 18 and fast.packets[3] == 16 + 5 * self.STRIDE
