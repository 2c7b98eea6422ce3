"""Other programs read our messages, and we read their messages.

tshark decrypts a capture of two devices, and must find their packets. scapy parses our messages, and builds messages that
no honest peer sends.
"""

import base64
import hashlib
import os
import struct
import subprocess

import pytest
from scapy.contrib import wireguard as wg
from scapy.packet import Raw

from wgembed import crypto
from wgembed.protocol import drops, noise
from wgembed.protocol.constants import REJECT_AFTER_MESSAGES, REKEY_AFTER_TIME, REKEY_TIMEOUT, UNDER_LOAD_HANDSHAKES

from ..lab.need import need, programs
from ..unit.harness import A4, A6, B4, B6, connected, ipv4, ipv6, pair

PACKET = ipv4(A4, B4, b"hello")
BACK = ipv4(B4, A4, b"world")


def mac1(public, message):
    key = hashlib.blake2s(b"mac1----" + public).digest()
    return hashlib.blake2s(message, digest_size=16, key=key).digest()


# ---- tshark

OUTER = {"a": b"\xc0\0\2\1", "b": b"\xc0\0\2\2"}
PORT = struct.pack(">H", 51820)


def udp(payload):
    """A UDP datagram from port 40000 to 40001, no checksum."""
    return struct.pack(">HHHH", 40000, 40001, 8 + len(payload), 0) + payload


class Capture:
    """All datagrams on the wire of a harness, and the ephemeral keys of its devices."""

    FIELDS = (
        "wg.type", "wg.sender", "wg.receiver", "wg.counter", "wg.handshake_ok", "wg.decryption_error", "wg.keepalive",
        "wg.static", "wg.timestamp.nanoseconds", "ip.src", "ipv6.src", "udp.payload", "_ws.malformed",
    )  # fmt: skip

    def __init__(self, harness, monkeypatch):
        self.messages = []
        self._harness = harness
        self._ephemerals = {}
        harness.filter = self._see
        fill = crypto.random_fill

        def random_fill(buf):
            fill(buf)
            if len(buf) == 32:
                public = bytearray(32)
                crypto.x25519_base(public, buf)
                self._ephemerals[bytes(public)] = bytes(buf)

        monkeypatch.setattr(crypto, "random_fill", random_fill)

    def _see(self, source, destination, datagram):
        self.messages.append((self._harness.now, source[0], destination[0], datagram))
        return [datagram]

    def key_log(self, node, other, psk):
        """The keys of a node, in the format of tshark."""
        name = node.addr[0]
        lines = [("LOCAL_STATIC_PRIVATE_KEY", node.private), ("REMOTE_STATIC_PUBLIC_KEY", other.public)]
        for _, source, _, message in self.messages:
            place = {1: 8, 2: 12}.get(message[0])
            if source == name and place:
                lines.append(("LOCAL_EPHEMERAL_PRIVATE_KEY", self._ephemerals[message[place : place + 32]]))
                lines.append(("PRESHARED_KEY", psk))
        return "".join(f"{key} = {base64.b64encode(value).decode()}\n" for key, value in lines)

    def pcap(self):
        """Return the capture as a file with raw IP packets (link type 101)."""
        parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
        for now, source, destination, message in self.messages:
            datagram = PORT + PORT + struct.pack(">HH", 8 + len(message), 0) + message
            packet = ipv4(OUTER[source], OUTER[destination], datagram)
            parts.append(struct.pack("<IIII", now // 1000, now % 1000 * 1000, len(packet), len(packet)) + packet)
        return b"".join(parts)

    def dissect(self, folder, key_log):
        """Return for each message a dict of the fields that tshark found: lists of text."""
        (folder / "capture.pcap").write_bytes(self.pcap())
        (folder / "keys").write_text(key_log)
        command = ["tshark", "-n", "-r", folder / "capture.pcap", "-o", f"wg.keylog_file:{folder / 'keys'}",
                   "-o", "wg.dissect_packet:TRUE", "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"]  # fmt: skip
        for field in self.FIELDS:
            command += ["-e", field]
        environment = dict(os.environ, HOME=str(folder), XDG_CONFIG_HOME=str(folder))
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        frames = []
        for line in done.stdout.splitlines():
            values = (value.split(",") if value else [] for value in line.split("\t"))
            frames.append(dict(zip(self.FIELDS, values, strict=True)))
        assert len(frames) == len(self.messages)
        return frames


def conversation(psk, monkeypatch):
    """Two devices exchange packets: three handshakes, one of them started by b, and packets under each key."""
    harness, a, b, peer_b, peer_a = pair(psk=psk)
    capture = Capture(harness, monkeypatch)
    said = []

    def say(node, *packets):
        said.extend(packets)
        node.transmit(*packets)

    four = [ipv4(A4, B4, udp(bytes((65 + i,)) * i * 17)) for i in range(1, 6)]
    six = [ipv6(B6, A6, udp(bytes((97 + i,)) * i * 31)) for i in range(1, 6)]
    say(a, *four)
    say(b, *six)
    harness.advance(REKEY_AFTER_TIME)
    say(a, *four)
    harness.advance(200_000)
    say(b, *six)
    say(a, *four, *(ipv6(A6, B6, udp(b"six")),))
    assert [m[0] for *_, m in capture.messages].count(2) == 3
    assert len(a.got) + len(b.got) == len(said)
    return a, b, capture, said


@pytest.fixture(params=[None, b"\x55" * 32], ids=["nopsk", "psk"])
def psk(request):
    return request.param


@pytest.mark.parametrize("side", ["a", "b"])
def test_tshark_decrypts_everything(tmp_path, monkeypatch, psk, side):
    need(programs, "tshark")
    a, b, capture, said = conversation(psk, monkeypatch)
    node, other = (a, b) if side == "a" else (b, a)
    frames = capture.dissect(tmp_path, capture.key_log(node, other, psk or bytes(32)))
    inside = []
    for frame, (_, source, _, message) in zip(frames, capture.messages, strict=True):
        assert frame["wg.type"] == [str(message[0])] and not frame["_ws.malformed"]
        assert not frame["wg.decryption_error"]
        if message[0] in (1, 2):
            assert int(frame["wg.sender"][0], 16) == int.from_bytes(message[4:8], "little")
        if message[0] == 1:
            assert frame["wg.static"] == [base64.b64encode((a if source == "a" else b).public).decode()]
            assert int(frame["wg.timestamp.nanoseconds"][0]) % (1 << 24) == 0
        elif message[0] == 2:
            assert frame["wg.handshake_ok"] == ["1"]
        elif frame["wg.keepalive"]:
            assert len(message) == 32
        else:
            assert int(frame["wg.counter"][0]) == int.from_bytes(message[8:16], "little")
            inside.append((source, (frame["ip.src"] + frame["ipv6.src"])[1], frame["udp.payload"][1]))
    addresses = {(4, A4): ("a", "10.0.0.1"), (6, A6): ("a", "fd00::1"), (6, B6): ("b", "fd00::2")}
    expected = []
    for packet in said:
        version = packet[0] >> 4
        source, payload = (packet[12:16], packet[28:]) if version == 4 else (packet[8:24], packet[48:])
        expected.append((*addresses[version, source], payload.hex()))
    assert sorted(inside) == sorted(expected)


def test_tshark_tells_a_wrong_preshared_key(tmp_path, monkeypatch):
    """Check that tshark finds errors, so that the test above means something."""
    need(programs, "tshark")
    a, b, capture, _ = conversation(b"\x55" * 32, monkeypatch)
    frames = capture.dissect(tmp_path, capture.key_log(a, b, b"\x56" * 32))
    responses = [frame["wg.handshake_ok"] for frame in frames if frame["wg.type"] == ["2"]]
    assert responses == [["0"]] * 3
    assert not any(frame["udp.payload"][1:] for frame in frames)


def test_tshark_reads_cookie_replies(tmp_path, monkeypatch):
    need(programs, "tshark")
    harness, a, b, peer_b, peer_a = pair()
    capture = Capture(harness, monkeypatch)
    load(b)
    a.transmit(PACKET)
    load(b)
    harness.advance(REKEY_TIMEOUT + 400)
    assert [m[0] for *_, m in capture.messages if m[0] != 4] == [1, 3, 1, 2] and b.got == [PACKET]
    frames = capture.dissect(tmp_path, capture.key_log(a, b, bytes(32)))
    first, cookie, second, response = frames[:4]
    assert cookie["wg.type"] == ["3"] and cookie["wg.receiver"] == first["wg.sender"] and not cookie["_ws.malformed"]
    assert response["wg.handshake_ok"] == ["1"] and response["wg.receiver"] == second["wg.sender"]


def load(node):
    """Put the node under load, with initiations in which only mac1 is right. The answers are dropped."""
    for n in range(UNDER_LOAD_HANDSHAKES):
        message = b"\1\0\0\0" + bytes((n,)) * 112
        message += mac1(node.public, message) + bytes(16)
        node.receive_run(message, 148, ("nowhere", n))
    send, node.send = node.send, lambda *_: 0
    node.device.handshakes(node.harness.now, UNDER_LOAD_HANDSHAKES)
    node.send = send


# ---- scapy reads


def number(raw):
    return int.from_bytes(raw, "little")


def wire():
    """All messages of a first handshake under load, and after it."""
    harness, a, b, peer_b, peer_a = pair()
    load(b)
    a.transmit(PACKET)
    load(b)
    harness.advance(REKEY_TIMEOUT + 400)
    b.transmit(BACK)
    return a, b, peer_b


def test_scapy_reads_all_four_messages():
    a, b, peer_b = wire()
    initiation, retry, data, *_ = (m for m, *_ in a.sent)
    cookie, response, *_ = (m for m, *_ in b.sent)

    for message, mac2 in ((initiation, False), (retry, True)):
        layer = wg.Wireguard(message)
        assert (layer.message_type, layer.reserved_zero) == (1, 0)
        fields = layer[wg.WireguardInitiation]
        assert fields.mac1 == mac1(b.public, message[:116]) and any(fields.mac2) is mac2
        assert fields.sender_index == number(message[4:8]) and fields.unencrypted_ephemeral == message[8:40]
        assert not fields.payload
    assert wg.Wireguard(initiation).sender_index != wg.Wireguard(retry).sender_index

    layer = wg.Wireguard(cookie)
    assert (layer.message_type, layer.reserved_zero) == (3, 0)
    assert layer[wg.WireguardCookieReply].receiver_index == wg.Wireguard(initiation).sender_index
    assert len(layer.nonce) == 24 and len(layer.encrypted_cookie) == 32 and not layer.lastlayer().payload

    layer = wg.Wireguard(response)
    assert (layer.message_type, layer.reserved_zero) == (2, 0)
    fields = layer[wg.WireguardResponse]
    assert fields.receiver_index == wg.Wireguard(retry).sender_index == number(peer_b.current.index)
    assert fields.mac1 == mac1(a.public, response[:60]) and not any(fields.mac2) and not fields.payload

    layer = wg.Wireguard(data)
    assert (layer.message_type, layer.reserved_zero) == (4, 0)
    assert layer[wg.WireguardTransport].receiver_index == fields.sender_index and layer.counter == 0
    assert len(layer.encrypted_encapsulated_packet) == -(-len(PACKET) // 16) * 16 + 16
    for message in (initiation, retry, cookie, response, data):
        assert bytes(wg.Wireguard(message)) == message


# ---- scapy builds messages that no honest peer sends

# Points of Curve25519 whose order divides eight, which give an all-zero secret: their canonical and other forms.
P = 2**255 - 19
_EIGHTH = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = [(x + high).to_bytes(32, "little") for x in (0, 1, *_EIGHTH, P - 1, P, P + 1) for high in (0, 1 << 255)]


def finished(layer, public):
    """Return the bytes of an initiation or response, with a right mac1."""
    message = bytes(layer)[:-32]
    return message + mac1(public, message) + bytes(16)


def random_initiation(**fields):
    fields = {"sender_index": 7, "unencrypted_ephemeral": os.urandom(32), "encrypted_static": os.urandom(48),
              "encrypted_timestamp": os.urandom(28), "mac1": os.urandom(16), "mac2": os.urandom(16)} | fields  # fmt: skip
    return wg.Wireguard() / wg.WireguardInitiation(**fields)


def random_response(**fields):
    fields = {"sender_index": 7, "receiver_index": 8, "unencrypted_ephemeral": os.urandom(32),
              "encrypted_nothing": os.urandom(16), "mac1": os.urandom(16), "mac2": os.urandom(16)} | fields  # fmt: skip
    return wg.Wireguard() / wg.WireguardResponse(**fields)


def random_cookie(**fields):
    fields = {"receiver_index": 8, "nonce": os.urandom(24), "encrypted_cookie": os.urandom(32)} | fields
    return wg.Wireguard() / wg.WireguardCookieReply(**fields)


def random_transport(size=48, **fields):
    fields = {"receiver_index": 8, "encrypted_encapsulated_packet": os.urandom(size)} | fields
    return wg.Wireguard() / wg.WireguardTransport(**fields)


class Lived:
    """A session with b that must survive every message to b, and a handshake of b without an answer."""

    def __init__(self):
        self.harness, self.a, self.b, self.peer_b, self.peer_a = connected()
        self.harness.advance(REKEY_TIMEOUT)
        self.harness.filter = lambda *_: []
        self.b.device.initiate(self.peer_a, self.harness.now)
        self.harness.filter = None
        self.session = number(self.peer_a.current.index)
        self.handshake = number(self.peer_a.handshake_index)
        self.state = self.facts()

    def facts(self):
        peer = self.peer_a
        return (peer.addr, peer.src, peer.current, peer.next, peer.previous, peer.handshake, peer.handshake_index,
                peer.current.top, peer.rx_bytes, peer.cookie_birth, bytes(peer.secret(0, noise.RECORD_SIZE)),
                self.b.tables.indices.used, self.b.tables.timers.next())  # fmt: skip

    def check(self, message, reason, text=""):
        """The message must be dropped for this reason, and must not change any state."""
        b = self.b
        before = list(b.device.drops)
        sent = len(b.sent)
        b.receive(bytes(message), ("mallory", 1), "elsewhere")
        before[reason] += 1
        assert b.device.drops == before, text
        assert not b.got and len(b.sent) == sent and self.facts() == self.state, text

    def survives(self):
        """Both ends can still exchange packets, and the handshake can still be completed."""
        self.a.transmit(PACKET)
        self.b.transmit(BACK)
        assert self.b.got == [PACKET] and self.a.got == [BACK]
        initiation = [m for m, *_ in self.b.sent if m[0] == 1][-1]
        self.a.receive(initiation, self.b.addr)
        self.harness.settle()
        self.b.transmit(BACK)
        assert number(self.peer_a.current.index) == self.handshake and self.a.got == [BACK, BACK]


def test_wrong_sizes_and_headers():
    lived = Lived()
    whole = (random_initiation(), random_response(), random_cookie())
    for layer in whole:
        message = bytes(layer)
        for size in (*range(1, 40), len(message) - 16, len(message) - 1):
            lived.check(message[:size], drops.RX_MALFORMED, f"{size} bytes of {message[0]}")
        for more in (1, 4, 16, 1000):
            lived.check(layer / Raw(bytes(more)), drops.RX_MALFORMED)
    transport = bytes(random_transport(receiver_index=lived.session))
    for size in range(1, 32):
        lived.check(transport[:size], drops.RX_MALFORMED)
    for layer in (*whole, random_transport(receiver_index=lived.session)):
        for reserved in (1, 0x80, 0x100, 0x10000, 0xFFFFFF):
            layer.reserved_zero = reserved
            lived.check(layer, drops.RX_MALFORMED)
    for kind in (0, 5, 6, 127, 128, 255):
        for layer in whole:
            lived.check(wg.Wireguard(message_type=kind) / layer.payload, drops.RX_MALFORMED)
    lived.survives()


def test_swapped_types():
    lived = Lived()
    for layer in (random_initiation(), random_response(), random_cookie(), random_transport(16)):
        for kind in (1, 2, 3):
            message = bytes((kind,)) + bytes(layer)[1:]
            if kind != layer.message_type:
                lived.check(message, drops.RX_MALFORMED)
        if layer.message_type != 4:
            message = b"\4" + bytes(layer)[1:]
            lived.check(message, drops.RX_UNKNOWN_INDEX)
            lived.check(message[:4] + lived.session.to_bytes(4, "little") + message[8:], drops.RX_AUTHENTICATION)
    lived.survives()


def test_random_fields():
    lived = Lived()
    for _ in range(20):
        lived.check(random_initiation(), drops.HS_MAC1)
        lived.check(finished(random_initiation(), lived.b.public), drops.HS_INITIATION)
        lived.check(finished(random_initiation(), lived.a.public), drops.HS_MAC1, "mac1 of another's key")
        lived.check(random_response(receiver_index=lived.handshake), drops.HS_MAC1)
        lived.check(random_cookie(), drops.HS_COOKIE)
        lived.check(random_transport(), drops.RX_UNKNOWN_INDEX)
    lived.survives()


def test_wrong_receivers():
    lived = Lived()
    for receiver in (0, 1, lived.session ^ 1, lived.session ^ 1 << 31, 0xFFFFFFFF):
        lived.check(finished(random_response(receiver_index=receiver), lived.b.public), drops.HS_RESPONSE)
        lived.check(random_cookie(receiver_index=receiver), drops.HS_COOKIE)
        lived.check(random_transport(receiver_index=receiver), drops.RX_UNKNOWN_INDEX)
    for receiver in (lived.session, lived.handshake):
        lived.check(finished(random_response(receiver_index=receiver), lived.b.public), drops.HS_RESPONSE)
        lived.check(random_cookie(receiver_index=receiver), drops.HS_COOKIE)
    lived.check(random_transport(receiver_index=lived.handshake), drops.RX_UNKNOWN_INDEX)
    lived.check(random_transport(receiver_index=lived.session), drops.RX_AUTHENTICATION)
    own = lived.a.device.first.current
    lived.check(random_transport(receiver_index=number(own.index)), drops.RX_UNKNOWN_INDEX, "the sender's own index")
    lived.survives()


def test_huge_counters():
    lived = Lived()
    for counter in (1 << 31, 1 << 32, 1 << 60, REJECT_AFTER_MESSAGES - 1, REJECT_AFTER_MESSAGES, (1 << 64) - 1):
        lived.check(random_transport(receiver_index=lived.session, counter=counter), drops.RX_AUTHENTICATION)
    record = noise.KEYPAIRS + lived.peer_b.current.number * 64
    key = bytes(lived.peer_b.secret(record, 32))
    for counter in (REJECT_AFTER_MESSAGES, REJECT_AFTER_MESSAGES + 1, (1 << 64) - 1):
        sealed = bytearray(len(PACKET) + 16)
        crypto.seal(sealed, key, counter, PACKET, b"")
        layer = random_transport(receiver_index=lived.session, counter=counter)
        layer.encrypted_encapsulated_packet = bytes(sealed)
        lived.check(layer, drops.RX_REPLAY, "authentic, but beyond the last counter")
    lived.survives()


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point[:3].hex() + point[31:].hex())
def test_low_order_points(point):
    lived = Lived()
    lived.check(finished(random_initiation(unencrypted_ephemeral=point), lived.b.public), drops.HS_INITIATION)
    layer = random_response(unencrypted_ephemeral=point, receiver_index=lived.handshake)
    lived.check(finished(layer, lived.b.public), drops.HS_RESPONSE)
    lived.survives()


@pytest.fixture
def weak(monkeypatch):
    """A function that replaces all new ephemeral keys by a point of low order, and one that ends this.

    The shared secrets are then zero for both ends. A receiver without a check would accept the message.
    """
    dh = crypto.x25519

    def x25519(out, scalar, point):
        if scalar is noise._ephemeral:
            out[:] = bytes(32)
            return True
        return dh(out, scalar, point)

    def begin(point):
        monkeypatch.setattr(crypto, "x25519_base", lambda out, scalar: out.__setitem__(slice(None), point))
        monkeypatch.setattr(crypto, "x25519", x25519)

    return begin, monkeypatch.undo


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point[:3].hex() + point[31:].hex())
def test_a_peer_with_ephemerals_of_low_order(point, weak):
    """Messages that are valid in all other fields."""
    begin, end = weak
    harness, a, b, peer_b, peer_a = pair()
    begin(point)
    harness.filter = lambda *_: []
    a.device.initiate(peer_b, harness.now)
    end()
    assert a.sent[0][0][8:40] == point
    b.receive(a.sent[0][0], a.addr)
    assert b.drop(drops.HS_INITIATION) == 1 and not b.sent and not b.tables.indices.used

    harness.advance(REKEY_TIMEOUT + 400)
    begin(point)
    b.receive(a.sent[1][0], a.addr)  # a is honest again, but the answer of b is not
    end()
    response = b.sent[0][0]
    assert response[12:44] == point
    a.receive(response, b.addr)
    assert a.drop(drops.HS_RESPONSE) == 1 and peer_b.current is None


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point[:3].hex() + point[31:].hex())
def test_a_configured_key_of_low_order(point):
    """The shared secret is zero, so nothing is sent to this peer."""
    harness, a, b, *_ = pair()
    peer = a.device.add_peer(point)
    a.device.set_endpoint(peer, b.addr, harness.now)
    a.device.initiate(peer, harness.now)
    assert not a.sent and not any(peer.secret(noise.STATIC_STATIC, 32))
