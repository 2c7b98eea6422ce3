"""For all datagrams: no function raises, and only packets of the peer are delivered, each once.

A device has a session, packets under two older keys that are still in flight, and a handshake that waits. It gets bytes of
every kind. Or two devices exchange packets over a wire that loses, duplicates, delays and damages datagrams.
"""

import functools
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.crypto import blake2s
from wgembed.protocol import noise
from wgembed.protocol.constants import REKEY_AFTER_TIME, REKEY_TIMEOUT
from wgembed.protocol.cookie import mac1_key
from wgembed.protocol.timers import expire_timers

from ..unit.harness import A4, B4, connected, ipv4, pair

TIMERS = ("retransmit_at", "keepalive_at", "new_handshake_at", "zero_at", "persistent_at", "watch_at")


def numbered(source, destination, number):
    """Return a unique packet."""
    return ipv4(source, destination, number.to_bytes(4, "big") * (1 + number % 9))


def consistent(node):
    """Check that the tables of the node are consistent for every peer."""
    tables = node.tables
    used, waiting = 0, []
    peer = node.device.first
    while peer is not None:
        named = [k for k in (peer.current, peer.previous, peer.next) if k is not None]
        assert len(set(map(id, named))) == len(named)
        assert {id(k) for k in named} == {id(k) for k in peer.keypairs if k.index is not None}
        for keypair in named:
            assert tables.owner(keypair.index, 0) == (peer, keypair)
        if peer.handshake_index is not None:
            assert tables.owner(peer.handshake_index, 0) == (peer, None)
        assert (peer.handshake == noise.CREATED_INITIATION) == (peer.handshake_index is not None)
        used += len(named) + (peer.handshake_index is not None)
        armed = [at for at in (getattr(peer, name) for name in TIMERS) if at]
        assert (peer.heap_index >= 0) or not armed
        if peer.heap_index >= 0:
            waiting.append(peer)
            assert not armed or peer.wake <= min(armed)
        peer = peer.after
    assert tables.indices.used == used
    heap = tables.timers._heap
    assert sorted(map(id, heap)) == sorted(map(id, waiting))
    for index, peer in enumerate(heap):
        assert peer.heap_index == index and heap[(index - 1) // 2 if index else 0].wake <= peer.wake


class Scene:
    """Node b with a history. `hat` has messages from a: some are accepted already, some late, some still to come."""

    def __init__(self):
        harness, a, b, peer_b, peer_a = connected()
        self.harness, self.a, self.b, self.peer = harness, a, b, peer_a
        self.hat, self.sent = [], []
        self._cut = False
        harness.filter = self._carry
        self._send(3)  # under the first key; these arrive
        self._hold(3)
        harness.advance(REKEY_AFTER_TIME - 10)
        self._hold(2)
        harness.advance(10)
        self._send(3)  # a rekey: the first of them goes under the first key, the others under the second
        self._hold(4)
        harness.advance(REKEY_TIMEOUT)
        b.device.initiate(peer_a, harness.now)
        self._cut = True  # the response is held back, and from now on b gets no more from a
        harness.settle()
        harness.now += REKEY_TIMEOUT
        a.device.initiate(peer_b, harness.now)
        reply = bytearray(64)
        initiation = [m for m, *_ in b.sent if m[0] == 1][-1]
        a.device.checker.reply(reply, initiation, a.address_bytes(b.addr), harness.now)
        self.hat.append(bytes(reply))
        assert {m[0] for m in self.hat} == {1, 2, 3, 4} and peer_a.previous and peer_a.current
        assert peer_a.handshake == noise.CREATED_INITIATION

    def _carry(self, source, destination, datagram):
        if source == self.a.addr:
            self.hat.append(datagram)
        return [] if self._cut else [datagram]

    def _send(self, count):
        packets = [numbered(A4, B4, len(self.sent) + i) for i in range(count)]
        self.sent += packets
        self.a.transmit(*packets)

    def _hold(self, count):
        self._cut = True
        self._send(count)
        self._cut = False

    def feed(self, datagrams, stride, addr, tos):
        self.b.receive_run(datagrams[:65536], stride, addr, "src", tos)

    def wait(self, ms):
        self.harness.now += ms
        expire_timers(self.b.tables, self.harness.now)

    def load(self):
        for n in range(20):
            message = b"\1\0\0\0" + bytes((n,)) * 112
            message += blake2s(16, mac1_key(self.b.public), message) + bytes(16)
            self.b.receive_run(message, 148, ("flood", n))

    def check(self):
        assert len(set(self.b.got)) == len(self.b.got), "delivered twice"
        assert set(self.b.got) <= set(self.sent), "delivered, and never sent"
        consistent(self.b)

    def heals(self):
        """After all this, a and b can exchange packets again."""
        harness, a, b = self.harness, self.a, self.b
        harness.filter = None
        b.device.handshakes(harness.now, 1000)
        for number in range(100_000, 100_006):
            packet = numbered(A4, B4, number)
            self.sent.append(packet)
            a.transmit(packet)
            harness.advance(REKEY_TIMEOUT)
        self.check()
        back = numbered(B4, A4, 1)
        b.transmit(back)
        assert b.got[-1] == packet and a.got[-1] == back


# The description of a datagram, before it exists: what to do with the messages in the hat.

places = st.integers(0, 40)
offsets = st.one_of(st.integers(0, 160), st.sampled_from([0, 1, 4, 8, 12, 15, 16, 31, 32, 59, 60, 76, 116, 132]))
kinds = st.one_of(
    st.tuples(st.just("whole"), places),
    st.tuples(st.just("whole"), places),
    st.tuples(st.just("flip"), places, st.lists(st.integers(0, 8 * 160), min_size=1, max_size=3)),
    st.tuples(st.just("cut"), places, offsets),
    st.tuples(st.just("longer"), places, st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("splice"), places, places, offsets),
    st.tuples(st.just("write"), places, offsets, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("raw"), st.binary(max_size=200)),
    st.tuples(st.just("typed"), st.integers(0, 5), st.binary(max_size=200)),
)


def made(kind, hat):
    """Return the datagram for a description."""
    name, *rest = kind
    if name == "raw":
        return rest[0]
    if name == "typed":
        return bytes((rest[0], 0, 0, 0)) + rest[1]
    message = hat[rest[0] % len(hat)]
    if name == "flip":
        message = bytearray(message)
        for bit in rest[1]:
            message[(bit >> 3) % len(message)] ^= 1 << (bit & 7)
    elif name == "cut":
        message = message[: rest[1]]
    elif name == "longer":
        message += rest[1]
    elif name == "splice":
        message = message[: rest[2]] + hat[rest[1] % len(hat)][rest[2] :]
    elif name == "write":
        message = message[: rest[1]] + rest[2] + message[rest[1] + len(rest[2]) :]
    return bytes(message)


addresses = st.sampled_from([("a", 51820), ("mallory", 1), ("a", 2)])
marks = st.sampled_from([0, 0, 0, 1, 2, 3, 0x88])
steps = st.one_of(
    st.tuples(st.just("one"), kinds, addresses, marks),
    st.tuples(st.just("one"), kinds, addresses, marks),
    # Datagrams that the kernel joined, or other bytes in their place.
    st.tuples(st.just("run"), st.lists(kinds, min_size=1, max_size=8), st.integers(1, 200), addresses, marks),
    st.tuples(st.just("joined"), st.lists(places, min_size=1, max_size=12), addresses, marks),
    st.tuples(st.just("handshakes"), st.integers(1, 40)),
    st.tuples(st.just("load")),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 999, 1_000, 5_333, 10_000, 50_000, 180_000, 540_000])),
)


def perform(scene, step):
    name, *rest = step
    if name == "one":
        datagram = made(rest[0], scene.hat)
        scene.feed(datagram, len(datagram) or 1, *rest[1:])
    elif name == "run":
        scene.feed(b"".join(made(kind, scene.hat) for kind in rest[0]), *rest[1:])
    elif name == "joined":
        messages = [scene.hat[place % len(scene.hat)] for place in rest[0]]
        stride = len(messages[0])
        scene.feed(b"".join(m for m in messages if len(m) == stride), stride, *rest[1:])
    elif name == "handshakes":
        scene.b.device.handshakes(scene.harness.now, *rest)
    else:
        getattr(scene, name)(*rest)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_whatever_is_done_to_good_messages(script):
    scene = Scene()
    for step in script:
        perform(scene, step)
        scene.check()
    scene.heals()


@settings(max_examples=50, deadline=None)
@given(st.lists(places, max_size=60), st.randoms(use_true_random=False))
def test_every_late_packet_arrives_once_in_any_order(again, random):
    """The whole hat, shuffled, with duplicates and runs. All packets that were sent are delivered once."""
    scene = Scene()
    data = [m for m in scene.hat if m[0] == 4 and len(m) > 32]
    messages = data + [data[place % len(data)] for place in again]
    random.shuffle(messages)
    for size, run in itertools.groupby(messages, len):
        scene.feed(b"".join(run), size, ("a", 51820), 0)
    scene.check()
    assert sorted(scene.b.got) == sorted(scene.sent)


def facts(scene):
    peer = scene.peer
    return (peer.addr, peer.src, peer.current, peer.next, peer.previous, peer.handshake, peer.rx_bytes,
            bytes(peer.secret(0, noise.RECORD_SIZE)), bytes(scene.b.tables.windows),
            scene.b.tables.timers.next())  # fmt: skip


@functools.cache
def scene_for_noise():
    """One device for all examples, because they leave no trace in it."""
    return Scene()


def typed(kind_and_size):
    """Datagrams with a valid header: of this type, with this number of bytes after it."""
    kind, size = kind_and_size
    return st.binary(min_size=size, max_size=size).map(lambda data: bytes((kind, 0, 0, 0)) + data)


noises = st.one_of(
    st.binary(max_size=2000),
    st.sampled_from([(1, 144), (2, 88), (3, 60), (4, 28), (4, 44), (4, 1400), (1, 88), (5, 60)]).flatmap(typed),
)


@settings(max_examples=300, deadline=None)
@given(noises, st.one_of(st.just(2000), st.integers(1, 2000)), marks)
def test_arbitrary_bytes_are_counted_and_leave_no_trace(data, stride, tos):
    scene = scene_for_noise()
    before, count = facts(scene), sum(scene.b.device.drops)
    scene.feed(data, stride, ("mallory", 1), tos)
    scene.b.device.handshakes(scene.harness.now, 2000)
    assert facts(scene) == before
    assert sum(scene.b.device.drops) - count == -(-len(data) // stride), "one reason for each datagram"


# Two devices and a very bad wire.

fates = st.lists(st.sampled_from(["carry"] * 6 + ["lose", "double", "hold", "spoil", "shorten"]), min_size=1, max_size=60)
acts = st.one_of(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 5)),
    st.tuples(st.just("wait"), st.sampled_from([10, 500, 5_400, 15_400, 60_000, 120_000, 165_000, 541_000])),
    st.tuples(st.just("release"), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(fates, st.lists(acts, max_size=30), st.booleans())
def test_a_bad_wire(fates, script, psk):
    harness, a, b, *_ = pair(psk=b"k" * 32 if psk else None)
    held, dealt, sent = [], [0], {"a": [], "b": []}

    def carry(source, destination, datagram):
        fate = fates[dealt[0] % len(fates)]
        dealt[0] += 1
        if fate == "hold":
            held.append((source, destination, datagram))
        if fate == "spoil":
            middle = len(datagram) // 2
            datagram = datagram[:middle] + bytes((datagram[middle] ^ 1,)) + datagram[middle + 1 :]
        if fate == "shorten":
            datagram = datagram[:-1]
        return {"lose": [], "hold": [], "double": [datagram] * 2}.get(fate, [datagram])

    def say(name, count):
        node, ends = (a, (A4, B4)) if name == "a" else (b, (B4, A4))
        packets = [numbered(*ends, len(sent[name]) + i) for i in range(count)]
        sent[name] += packets
        node.transmit(*packets)

    harness.filter = carry
    for what, how in script:
        if what == "wait":
            harness.advance(how)
        elif what == "release":
            queue = held[::-1] if how else held[:]
            del held[:]
            harness._queue.extend((*each, 0) for each in queue)
            harness.settle()
        else:
            say(what, how)
        for node, said in ((a, sent["b"]), (b, sent["a"])):
            assert len(set(node.got)) == len(node.got) and set(node.got) <= set(said)
            consistent(node)
    harness.filter = None
    for _ in range(8):
        say("a", 1)
        say("b", 1)
        harness.advance(REKEY_TIMEOUT)
    assert b.got[-1] == sent["a"][-1] and a.got[-1] == sent["b"][-1], "the wire is good again"
