"""The answer to status=1, from a session."""

from types import SimpleNamespace

import pytest

from wgembed.daemon.endpoints import Endpoint
from wgembed.runtime import system
from wgembed.uapi.session import Session

from ..unit.harness import A4, B4, PACKET, connected, ipv4, pair


class Interface:
    def __init__(self, device, endpoints=()):
        self.device = device
        self.listen_port = 51820
        self.fwmark = 7
        self.errors = []
        self.bound_to = ""
        self.is_away = False
        self.problems = {}
        self.unconfirmed_at = 0
        self.endpoints = dict(endpoints)
        self.groups = []

    def send_errors(self):
        return self.errors

    def offloads(self):
        use = SimpleNamespace(gso=None, gro=True, tun=False, gro_fault=True, uso_fault=False)
        socket = SimpleNamespace(gso_first=65535, gso_limit=1399, gro=True)
        return use, [socket], SimpleNamespace(offload=0x67, unjoined=1)


class Reader:
    """Return the answer as pairs of key and value: those of the device, and those of each peer."""

    def __init__(self, harness, interface, question="status=1\n\n"):
        session = Session(interface, None)
        text = session.feed(question.encode(), harness.now)
        while session.is_answering:
            text += session.piece()
            if not session.is_answering:
                text += session.feed(b"", harness.now)
        assert not session.closed and text.endswith(b"errno=0\n\n")
        self.text = text.decode()
        self.device, self.peers = [], []
        for line in self.text.split("\n")[:-3]:
            name, _, value = line.partition("=")
            if name == "public_key":
                self.peers.append([])
            (self.peers[-1] if self.peers else self.device).append((name, value))


@pytest.fixture(autouse=True)
def addresses(monkeypatch):
    """The harness has letters as addresses. Replace the functions for the kernel's addresses."""
    monkeypatch.setattr(system.inet, "split_address", lambda addr: (bytes((192, 0, 2, ord(addr[0]))), addr[1], 0))
    monkeypatch.setattr("wgembed.runtime.address.source_ip", lambda src: bytes((198, 51, 100, ord(src[-1]))))


def test_a_tunnel_at_work():
    harness, a, b, peer_b, peer_a = connected(psk=b"\7" * 32)
    harness.advance(3000)
    a.transmit(PACKET)
    report = Reader(harness, Interface(a.device))
    assert dict(report.device) == {
        "listen_port": "51820", "fwmark": "7", "mtu": "1420", "up": "1", "own_public_key": a.public.hex(),
        "gso": "None,65535,1399", "gro": "True,1,1", "tun": "False,0,103,1",
    }  # fmt: skip
    [peer] = report.peers
    assert peer == [
        ("public_key", b.public.hex()), ("has_preshared_key", "1"), ("endpoint", "192.0.2.98:51820"),
        ("source", "198.51.100.98"), ("last_handshake_time_sec", str(peer_b.handshake_sec)),
        ("tx_bytes", str(peer_b.tx_bytes)), ("rx_bytes", str(peer_b.rx_bytes)), ("persistent_keepalive_interval", "0"),
        ("last_rx_ms", "3000"), ("last_data_rx_ms", "3000"), ("last_data_tx_ms", "0"), ("session", "3000,initiator"),
        ("event", "initiation_sent,1,3"), ("event", "response_received,1,3"),
        ("allowed_ip", "10.0.0.2/32"), ("allowed_ip", "fd00::2/128"),
    ]  # fmt: skip


def test_no_secret_is_told():
    harness, a, b, peer_b, peer_a = connected(psk=b"\7" * 32)
    text = Reader(harness, Interface(a.device)).text
    assert a.private.hex() not in text and "07" * 32 not in text


def test_nobody_answers():
    harness, a, b, peer_b, peer_a = pair()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    harness.advance(11_000)
    [peer] = Reader(harness, Interface(a.device)).peers
    told = dict(peer)
    assert told["attempt"] == "3" and told["staged"] == "1" and "session" not in told and "last_rx_ms" not in told
    assert [value for name, value in peer if name == "event"] in (["initiation_sent,3,0"], ["initiation_sent,3,1"])


def test_what_belongs_to_nobody():
    harness, a, b, peer_b, peer_a = connected()
    stranger = harness.node("c")
    stranger.add(b, ((B4, 32),))
    stranger.transmit(ipv4(A4, B4))
    b.receive(b"\1\0\0\0" + bytes(144), ("d", 4))
    a.device.allow(peer_b, bytes(4), 0, harness.now)
    a.transmit(ipv4(b"\x0a\x09\0\1", B4))
    b.transmit(ipv4(B4, b"\x0a\x63\0\1"))
    harness.advance(2000)
    report = Reader(harness, Interface(b.device))
    assert sorted([value for name, value in report.device if name == "unmatched_handshake"]) == [
        "invalid_mac1,1,2000,192.0.2.100:4,",
        "unknown_peer,1,2000,192.0.2.99:51820," + stranger.public.hex(),
    ]
    told = dict(report.device)
    assert told["unroutable"] == "10.99.0.1,2000"
    assert told["source_not_allowed"] == "10.9.0.1,2000," + a.public.hex()
    drops = dict(value.split(",") for name, value in report.device if name == "drop")
    assert drops == {"tx_no_peer": "1", "rx_inner_source": "1", "hs_mac1": "1", "hs_unknown_peer": "1"}


def test_what_is_configured_of_endpoints():
    harness, a, b, peer_b, peer_a = connected()
    endpoint = Endpoint(b.public, "vpn.example.org", 51821, None, None)
    endpoint.found = [b"\xc0\0\2\1", b"\xfd" + bytes(15)]
    [peer] = Reader(harness, Interface(a.device, {b.public: endpoint})).peers
    assert [line for line in peer if line[0].startswith("endpoint_")] == [
        ("endpoint_host", "vpn.example.org:51821"), ("endpoint_found", "192.0.2.1"), ("endpoint_found", "fd00::"),
    ]  # fmt: skip
    [peer] = Reader(harness, Interface(a.device, {b.public: Endpoint(b.public, "fe80::1%eth0", 7, None, None)})).peers
    assert ("endpoint_host", "[fe80::1%eth0]:7") in peer


def test_errors_and_a_clock_that_was_set_back():
    harness, a, b, peer_b, peer_a = connected()
    interface = Interface(a.device)
    interface.errors = [(1, 4), (101, 6)]
    interface.bound_to = "wwan0"
    interface.is_away = True
    interface.problems = {"tunlink": "option tunlink: link x does not exist", "config": ""}
    interface.unconfirmed_at = harness.now + 61_000
    a.device.timestamps.make(system.clock.realtime()[0] + 1000, 0)
    report = Reader(harness, interface)
    assert [value for name, value in report.device if name == "send_error"] == ["1,4", "101,6"]
    assert dict(report.device)["link"] == "wwan0" and dict(report.device)["away"] == "1"
    assert dict(report.device)["unconfirmed_s"] == "61"
    assert dict(report.device)["clock_behind_s"] in ("999", "1000")


def test_a_client_that_takes_its_time():
    """Events that happen while the client reads have no negative age."""
    harness, a, b, peer_b, peer_a = pair()
    session = Session(Interface(a.device), None)
    session.feed(b"status=1\n\n", harness.now)
    session.piece()
    harness.advance(5000)
    a.transmit(PACKET)
    lines = session.piece().decode().split("\n")
    assert {"last_rx_ms=0", "session=0,initiator", "event=response_received,1,0"} <= set(lines)
    assert not [line for line in lines if line.startswith("last_data_rx_ms=")]


def test_it_alternates_with_get():
    harness, a, b, peer_b, peer_a = pair()
    interface = Interface(b.device)
    text = Reader(harness, interface, "status=1\n\nget=1\n\nstatus=1\n\n").text
    answers = text.split("errno=0\n\n")
    assert answers[0] == answers[2] and "own_public_key=" in answers[0] and "private_key" not in answers[0]
    assert "private_key=" in answers[1] and answers[3:] == [""]


def test_a_status_with_a_line_is_refused():
    harness, a, *_ = pair()
    assert Session(Interface(a.device), None).feed(b"status=1\nx=1\n", 0) == b"errno=22\n\n"


def test_a_peer_that_is_called_less_often():
    harness, a, b, peer_b, peer_a = pair()
    harness.filter = lambda source, destination, datagram: []
    peer_b.unanswered = 30
    a.transmit(PACKET)
    harness.advance(10_000)
    told = dict(Reader(harness, Interface(a.device)).peers[0])
    count, next_ms = told["unanswered"].split(",")
    assert count == "30" and 50_000 <= int(next_ms) <= 80_000 and told["attempt"] == "1"
    harness.advance(400_000)
    assert dict(Reader(harness, Interface(a.device)).peers[0])["unanswered"] == "33,", "none is planned"


def test_a_handshake_that_is_deferred_is_no_attempt():
    harness, a, b, peer_b, peer_a = pair()
    peer_b.unanswered, peer_b.last_sent_handshake = 30, harness.now - 10_000
    a.transmit(PACKET)
    told = dict(Reader(harness, Interface(a.device)).peers[0])
    assert "attempt" not in told and 50_000 <= int(told["unanswered"].split(",")[1]) <= 80_000
