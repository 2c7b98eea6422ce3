"""Our handshake and transport, compared with `noiseprotocol` and with the vectors of flynn/noise.

Both implement Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, but not WireGuard. This file adds the rest of the messages (types,
indices, mac1, timestamps, counters), from the paper.
"""

import hashlib
import os
import struct

import pytest
from noise.connection import Keypair as Key
from noise.connection import NoiseConnection

from wgembed import crypto
from wgembed.protocol import drops, noise
from wgembed.protocol.constants import CONSTRUCTION, DEFAULT_MTU

from ..unit.harness import A4, B4, Harness, ipv4

PROLOGUE = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
TIMES = 20

pytestmark = pytest.mark.filterwarnings("ignore:One of ephemeral keypairs is already set")


def mac1(public, message):
    key = hashlib.blake2s(b"mac1----" + public).digest()
    return hashlib.blake2s(message, digest_size=16, key=key).digest()


def tai64n(sec, nsec):
    """Return the rounded timestamp of a time since 1970."""
    return struct.pack(">QI", (1 << 62) + 10 + sec, nsec & 0xFF000000)


def padded(packet):
    """Return the packet padded with zeros to a multiple of 16, but never beyond the MTU."""
    return packet + bytes(min(-len(packet) % 16, DEFAULT_MTU - len(packet)))


class Oracle:
    """A WireGuard peer with noiseprotocol. A Node uses its `public` and `addr`."""

    addr = ("oracle", 51820)

    def __init__(self, node, psk, initiator, private=None, ephemeral=None):
        self.node = node
        self.index = os.urandom(4)
        self.remote_index = None
        self.counter = 0
        self.noise = NoiseConnection.from_name(NAME)
        self.noise.set_psks(psk)
        self.noise.set_prologue(PROLOGUE)
        self.private = private or os.urandom(32)
        self.noise.set_keypair_from_private_bytes(Key.STATIC, self.private)
        self.public = self.noise.noise_protocol.keypairs["s"].public_bytes
        if ephemeral:
            self.noise.set_keypair_from_private_bytes(Key.EPHEMERAL, ephemeral)
        if initiator:
            self.noise.set_as_initiator()
            self.noise.set_keypair_from_public_bytes(Key.REMOTE_STATIC, node.public)
        else:
            self.noise.set_as_responder()
        self.noise.start_handshake()

    def _finished(self, message):
        return message + mac1(self.node.public, message) + bytes(16)

    def initiation(self, timestamp):
        return self._finished(b"\1\0\0\0" + self.index + self.noise.write_message(timestamp))

    def read_initiation(self, message):
        """Returns the timestamp."""
        assert message[:4] == b"\1\0\0\0" and len(message) == 148
        assert message[116:] == mac1(self.public, message[:116]) + bytes(16)
        self.remote_index = message[4:8]
        return bytes(self.noise.read_message(message[8:116]))

    def response(self):
        return self._finished(b"\2\0\0\0" + self.index + self.remote_index + self.noise.write_message())

    def read_response(self, message):
        assert message[:4] == b"\2\0\0\0" and len(message) == 92 and message[8:12] == self.index
        assert message[60:] == mac1(self.public, message[:60]) + bytes(16)
        self.remote_index = message[4:8]
        assert self.noise.read_message(message[12:60]) == b""

    def seal(self, packet):
        """The transport message for a packet, padded."""
        sealed = self.noise.encrypt(padded(packet))
        self.counter += 1
        return b"\4\0\0\0" + self.remote_index + struct.pack("<Q", self.counter - 1) + sealed

    def open(self, message, counter):
        assert message[:8] == b"\4\0\0\0" + self.index and message[8:16] == struct.pack("<Q", counter)
        return bytes(self.noise.decrypt(message[16:]))


def meet(psk, initiator, ours=None, **theirs):
    """Return a node and an Oracle, each a peer of the other."""
    node = Harness().node("a")
    if ours:
        node.device.set_private_key(ours, node.harness.now)
        node.public = node.device.identity.public
    oracle = Oracle(node, psk, initiator, **theirs)
    node.add(oracle, ((B4, 32),), psk=psk, endpoint=not initiator)
    return node, oracle


def sent(node):
    """Return the only message that the node has sent since the last call."""
    ((message, *_),) = node.sent
    del node.sent[:]
    return message


def talk(node, oracle, count=5):
    """Send packets in both directions over a fresh session, and compare every byte."""
    for i in range(count):
        packet = ipv4(B4, A4, bytes((i,)) * i * 7)
        node.receive(oracle.seal(packet), oracle.addr)
        assert node.got.pop() == packet
    for i in range(count):
        packet = ipv4(A4, B4, bytes((i,)) * i * 7)
        node.transmit(packet)
        assert oracle.open(sent(node), i) == padded(packet)
    assert not node.got and sum(node.device.drops) == 0


@pytest.fixture(params=[False, True], ids=["nopsk", "psk"])
def psks(request):
    """Preshared keys: a new one for each call, or always the one that means no preshared key."""
    return (lambda: os.urandom(32)) if request.param else (lambda: bytes(32))


@pytest.fixture
def ephemerals(monkeypatch):
    """A list of private keys that the next handshakes use, in this order, instead of random ones."""
    waiting = []
    fill = crypto.random_fill

    def random_fill(buf):
        if len(buf) == 32 and waiting:
            buf[:] = waiting.pop(0)
        else:
            fill(buf)

    monkeypatch.setattr(crypto, "random_fill", random_fill)
    return waiting


def test_noiseprotocol_initiates(psks):
    for _ in range(TIMES):
        node, oracle = meet(psks(), initiator=True)
        node.receive(oracle.initiation(tai64n(1_700_000_000, 5)), oracle.addr)
        oracle.read_response(sent(node))
        talk(node, oracle)


def test_noiseprotocol_responds(psks):
    for _ in range(TIMES):
        node, oracle = meet(psks(), initiator=False)
        node.device.initiate(node.device.first, node.harness.now)
        assert oracle.read_initiation(sent(node)) == tai64n(*node.realtime())
        node.receive(oracle.response(), oracle.addr)
        assert oracle.open(sent(node), 0) == b"", "an empty packet confirms the key"
        packet = ipv4(A4, B4, b"data")
        node.transmit(packet)
        assert oracle.open(sent(node), 1)[: len(packet)] == packet
        answer = ipv4(B4, A4, b"answer")
        node.receive(oracle.seal(answer), oracle.addr)
        assert node.got == [answer] and sum(node.device.drops) == 0


def test_another_preshared_key_does_not_do():
    node, oracle = meet(os.urandom(32), initiator=False)
    node.device.initiate(node.device.first, node.harness.now)
    oracle.read_initiation(sent(node))
    node.device.set_preshared_key(node.device.first, os.urandom(32))
    node.receive(oracle.response(), oracle.addr)
    assert node.drop(drops.HS_RESPONSE) == 1 and not node.sent


def test_initiation_to_the_byte(psks, ephemerals):
    for _ in range(TIMES):
        psk, ours, theirs, ephemeral = psks(), *(os.urandom(32) for _ in range(3))
        node, responder = meet(psk, initiator=False, ours=ours, private=theirs)
        # The same initiation, made by noiseprotocol from our private keys.
        twin = Oracle(responder, psk, initiator=True, private=ours, ephemeral=ephemeral)
        ephemerals.append(ephemeral)
        node.device.initiate(node.device.first, node.harness.now)
        assert not ephemerals
        message = sent(node)
        twin.index = message[4:8]
        assert message == twin.initiation(tai64n(*node.realtime()))


def test_response_and_data_to_the_byte(psks, ephemerals):
    for _ in range(TIMES):
        psk, ours, theirs, ephemeral = psks(), *(os.urandom(32) for _ in range(3))
        node, initiator = meet(psk, initiator=True, ours=ours, private=theirs)
        twin = Oracle(initiator, psk, initiator=False, private=ours, ephemeral=ephemeral)
        ephemerals.append(ephemeral)
        initiation = initiator.initiation(tai64n(1_700_000_000, 0))
        node.receive(initiation, initiator.addr)
        assert not ephemerals
        message = sent(node)
        twin.read_initiation(initiation)
        twin.index = message[4:8]
        assert message == twin.response()
        initiator.read_response(message)
        node.receive(initiator.seal(b""), initiator.addr)
        for size in (0, 1, 12, 13, 1391, 1395, 1400):
            packet = ipv4(A4, B4, os.urandom(size))
            node.transmit(packet)
            assert sent(node) == twin.seal(packet)


# The four IKpsk2 entries of flynn/noise's vectors.txt. They share static, ephemeral and preshared keys and the
# transport messages; what differs is the prologue and whether the handshake messages carry a text.

INIT_STATIC = bytes(range(32))
RESP_STATIC = bytes(range(1, 33))
INIT_EPHEMERAL = bytes(range(0x20, 0x40))
RESP_EPHEMERAL = bytes(range(0x41, 0x61))
PRESHARED = b"!verysecretverysecretverysecret!"
# The ephemeral keys and the encrypted static key: the same in all four, if the prologue has no effect on them.
_FIRST = "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254"
_SECOND = "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466"
_STATIC = "d06f15f78ad0914d9715147bb5a5004b27345a838bab4aa8bc5f144afc2cf4cc"
VECTORS = (
    (
        b"", b"", b"",
        _FIRST + _STATIC + "a972105ba526e8c92b759e028200e766f827aa12a04ecbc0bdcd9e574e007945",
        _SECOND + "8c46d966ca4fe339f9e47fd25f68de8a",
    ),
    (
        b"", b"test_msg_0", b"test_msg_1",
        _FIRST + _STATIC + "a972105ba526e8c92b759e028200e7666a3d77b86f9aa87dcfe685e771e38b97d3c5996368c663051641",
        _SECOND + "168e6913e78d7a2b04b2f3d5529e73e953bafe6c7ce2b1005367",
    ),
    (
        b"notsecret", b"", b"",
        _FIRST + _STATIC + "b88f9ea1ebd99e94b76e50af7eee0e59549f4f47de925ee65c9dee48f8990082",
        _SECOND + "5db536cf97f15c6ece2431fc1c0057b4",
    ),
    (
        b"notsecret", b"test_msg_0", b"test_msg_1",
        _FIRST + _STATIC + "b88f9ea1ebd99e94b76e50af7eee0e596a3d77b86f9aa87dcfe61d972bc6f34d0e93751d1260fa6bf0fe",
        _SECOND + "168e6913e78d7a2b04b2b154c5149032d1c2584051bdcf04db1d",
    ),
)  # fmt: skip
TRANSPORT = (
    (b"yellowsubmarine", "6013ea114b4c4884afb82bf029f72f924bd8a32c487a15a1cef4855ba234be"),
    (b"submarineyellow", "8a2e7119635e41a35b7e64e0adac5483b66b1a9827895124ea07d58440b654"),
)


def secret_peers(monkeypatch, prologue):
    """Return (identity, peer) of both ends with the keys of the vectors, after their prologue."""
    monkeypatch.setattr(noise, "INITIAL_HASH", crypto.blake2s(32, b"", noise.INITIAL_CHAIN, prologue))
    harness = Harness()
    a, b = harness.node("a"), harness.node("b")
    for node, private in ((a, INIT_STATIC), (b, RESP_STATIC)):
        node.device.set_private_key(private, harness.now)
        node.public = node.device.identity.public
    ends = []
    for node, other in ((a, b), (b, a)):
        peer = node.add(other, (), psk=PRESHARED)
        ends.append((node.device.identity, peer))
    return ends


@pytest.mark.parametrize(("prologue", "text0", "text1", "message0", "message1"), VECTORS)
def test_vectors(monkeypatch, ephemerals, prologue, text0, text1, message0, message1):
    # WireGuard's messages carry a timestamp and nothing, and have space only for these.
    monkeypatch.setattr(noise, "INITIATION_MAC1", 88 + len(text0) + 16)
    monkeypatch.setattr(noise, "RESPONSE_MAC1", 44 + len(text1) + 16)
    monkeypatch.setattr(noise, "_timestamp", bytearray(len(text0)))
    monkeypatch.setattr(noise, "_nothing", bytearray(text1))
    (init_identity, init_peer), (resp_identity, resp_peer) = secret_peers(monkeypatch, prologue)
    first, second = bytearray(148), bytearray(92)

    ephemerals.append(INIT_EPHEMERAL)
    assert noise.create_initiation(init_identity, init_peer, first, text0)
    assert first[8 : noise.INITIATION_MAC1].hex() == message0

    assert noise.read_initiation(resp_identity, first) == init_identity.public
    assert noise.read_timestamp(resp_peer, first) == text0
    monkeypatch.setattr(noise, "_timestamp", bytearray(12))
    noise.consume_initiation(resp_peer, first)
    ephemerals.append(RESP_EPHEMERAL)
    assert noise.create_response(resp_peer, second)
    assert second[12 : noise.RESPONSE_MAC1].hex() == message1

    noise._nothing[:] = bytes(len(text1))
    assert noise.consume_response(init_identity, init_peer, second)
    assert noise._nothing == text1
    keys = []
    for peer in (init_peer, resp_peer):
        noise.begin_session(peer, 0)
        record = noise.KEYPAIRS + (peer.current or peer.next).number * 64
        keys.append((peer.secret(record, 32), peer.secret(record + 32, 32)))
    for (sender, receiver), (plain, sealed) in zip(((0, 1), (1, 0)), TRANSPORT, strict=True):
        out = bytearray(len(plain) + 16)
        crypto.seal(out, keys[sender][0], 0, plain, b"")
        assert out.hex() == sealed
        back = bytearray(len(plain))
        assert crypto.open(back, keys[receiver][1], 0, out, b"") and back == plain


def test_the_names_are_those_of_the_paper():
    assert CONSTRUCTION == NAME
    assert hashlib.blake2s(hashlib.blake2s(NAME).digest() + PROLOGUE).digest() == noise.INITIAL_HASH
