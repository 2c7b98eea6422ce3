"""What the log tells of handshakes at its most talkative, and that it tells nothing of them otherwise."""

import os
import re

import pytest

from wgembed.daemon.handshake_log import HandshakeLog, name_of
from wgembed.protocol import events
from wgembed.protocol.constants import NEVER, REKEY_TIMEOUT, SEND_LOST
from wgembed.protocol.tai64n import Tai64n
from wgembed.runtime import abi

from ..lab import net
from ..unit.harness import A4, B4, PACKET, Harness
from ..unit.support import Log
from .test_daemon import ask, path


def nowhere(source, destination, datagram):
    """A wire on which all is lost."""
    return []


class End:
    """One of two devices, whose log tells everything."""

    def __init__(self, harness, address):
        self.node = harness.node(address)
        self.log = Log()
        self.node.verbose = self.log.verbose
        self.node.send_errors = lambda: [(abi.EADDRINUSE, 6), (abi.ENETUNREACH, 4)]
        self.node.tables.events = HandshakeLog(self.node.tables)
        self.peer = None

    def knows(self, other, allowed):
        self.peer = self.node.add(other.node, ((allowed, 32),))
        self.prefix = name_of(other.node.public) + ": "

    def told(self):
        """What was said of the peer since the last time."""
        lines, self.log.lines = self.log.lines, []
        assert all(line.startswith(self.prefix) for line in lines)
        return [line[len(self.prefix) :] for line in lines]


@pytest.fixture
def ends():
    """The harness, and two ends that are each other's peers."""
    harness = Harness()
    a, b = End(harness, "192.0.2.1"), End(harness, "192.0.2.2")
    a.knows(b, B4)
    b.knows(a, A4)
    return harness, a, b


def test_the_name_of_a_peer_is_that_of_wireguard_go():
    # "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" is the whole key.
    assert name_of(bytes(range(32))) == "peer(AAEC…dHh8)"


def test_a_handshake(ends):
    harness, a, b = ends
    a.node.transmit(PACKET)
    assert a.told() == ["sending initiation to 192.0.2.2:51820", "response received, keypair created"]
    assert b.told() == ["initiation received, sending response, keypair created", "keypair confirmed"]
    a.node.transmit(PACKET)
    harness.advance(11_000)
    assert a.told() == b.told() == [], "neither data nor keepalives are worth a line"


def test_a_lost_response(ends):
    harness, a, b = ends
    harness.filter = lambda source, destination, datagram: [] if datagram[0] == 2 else [datagram]
    a.node.transmit(PACKET)
    assert a.told() == ["sending initiation to 192.0.2.2:51820"]
    assert b.told() == ["initiation received, sending response, keypair created"]
    harness.filter = None
    harness.advance(REKEY_TIMEOUT + 400)
    assert a.told() == [
        "handshake did not complete in time, retrying (try 2)",
        "sending initiation to 192.0.2.2:51820",
        "response received, keypair created",
    ]
    assert b.told() == ["initiation received, sending response, keypair created", "keypair confirmed"]


def test_twenty_attempts(ends):
    harness, a, _ = ends
    harness.filter = nowhere
    a.node.transmit(PACKET)
    harness.advance(150_000)
    wanted = ["sending initiation to 192.0.2.2:51820"]
    for number in range(2, 21):
        wanted += [f"handshake did not complete in time, retrying (try {number})", wanted[0]]
    assert a.told() == [*wanted, "handshake did not complete after 20 attempts, giving up"]
    # The endpoint is another: that is a new beginning.
    a.peer.last_sent_handshake = NEVER
    a.node.device.initiate(a.peer, harness.now, retry=True)
    assert a.told() == wanted[:1]


def test_another_endpoint_is_no_retry(ends):
    """Its name has got another address in the midst of the wait, and the initiation goes there at once."""
    harness, a, _ = ends
    harness.filter = nowhere
    a.node.transmit(PACKET)
    harness.advance(REKEY_TIMEOUT + 400)
    a.told()
    a.node.device.set_endpoint(a.peer, ("192.0.2.9", 7), harness.now)
    a.peer.last_sent_handshake = NEVER
    a.node.device.initiate(a.peer, harness.now, retry=True)
    assert a.told() == ["sending initiation to 192.0.2.9:7"]


def test_nothing_comes_back(ends):
    harness, a, b = ends
    a.node.transmit(PACKET)
    harness.filter = nowhere
    a.node.transmit(PACKET)
    a.told()
    harness.advance(20_001)
    assert a.told() == [
        "retrying handshake: stopped hearing back after 15 seconds",
        "sending initiation to 192.0.2.2:51820",
    ]


def test_roaming(ends):
    harness, a, b = ends
    a.node.transmit(PACKET)
    b.told()
    del harness.nodes[a.node.addr]
    a.node.addr = ("192.0.2.7", 1)
    harness.nodes[a.node.addr] = a.node
    a.node.transmit(PACKET)
    assert b.told() == ["roamed to 192.0.2.7:1"]


def test_a_cookie(ends):
    harness, a, b = ends
    b.node.address_bytes = lambda addr: bytes(6)
    b.node.device.backlog._last_load = harness.now
    a.node.transmit(PACKET)
    assert a.told()[1:] == ["cookie received: the peer is under load"] and b.told() == []


def test_another_preshared_key(ends):
    harness, a, b = ends
    a.node.device.set_preshared_key(a.peer, b"\1" * 32)
    a.node.transmit(PACKET)
    assert a.told()[1:] == ["invalid response: the preshared keys differ, or the peer did not send it"]


def test_a_replayed_initiation_is_told_once_a_second(ends):
    """Anybody can send it, as often as they like."""
    harness, a, b = ends
    a.node.transmit(PACKET)
    harness.advance(REKEY_TIMEOUT)  # sooner, it can be the other half of a test of segmented sends
    b.told()
    again = a.node.sent[0][0]
    for _ in range(50):
        b.node.receive(again)
    assert b.told() == ["replayed initiation: its timestamp is not newer than that of the last one"]
    harness.advance(1000)
    b.node.receive(again)
    assert len(b.told()) == 1
    assert b.node.tables.events.read(b.peer.number)[-1][:2] == (events.INITIATION_REPLAYED, 51), "the ring counts all"


def test_what_cannot_be_sent(ends):
    harness, a, b = ends
    a.node.send = lambda *_: SEND_LOST
    a.node.transmit(PACKET)
    assert a.told() == [
        "sending initiation to 192.0.2.2:51820",
        f"sending to 192.0.2.2:51820 failed: Network is unreachable ({abi.ENETUNREACH})",
    ]


def test_what_is_kept_is_the_same(ends):
    """The ring holds what it would hold without, and goes on with it when it is back in its place."""
    harness, a, b = ends
    tables = a.node.tables
    ring, told = events.Rings(tables.capacity), a.node.tables.events
    note = told.note

    def both(*what):
        ring.note(*what)
        note(*what)

    told.note = both
    a.node.device.timestamps = Tai64n()
    harness.filter = nowhere
    a.node.transmit(PACKET)
    harness.advance(30_000)
    harness.filter = None
    harness.advance(30_000)
    assert told.read(a.peer.number) == ring.read(a.peer.number) != []
    told.clear(a.peer.number)
    assert told.read(a.peer.number) == []


# The daemon


class Two:
    """Two daemons in one namespace that are each other's peers; `secrets` are their private keys."""

    def __init__(self, namespace, command, level):
        self.place = namespace
        self.names = [net.unique("h") for _ in "ab"]
        self.children = [namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL=level)) for name in self.names]
        keys = [namespace.run("wg", "genkey")[1].strip() for _ in "ab"]
        self.public = [namespace.run("wg", "pubkey", input=key)[1].strip() for key in keys]
        self.secrets = keys
        for name in self.names:
            net.poll(lambda name=name: path(name).exists(), 10, what="the daemon")
        for i in (0, 1):
            namespace.run(
                *f"wg set {self.names[i]} listen-port {4600 + i} private-key /dev/stdin".split(),
                *f"peer {self.public[1 - i]} endpoint 127.0.0.1:{4601 - i} allowed-ips 10.99.0.{2 - i}/32".split(),
                input=keys[i],
            )
            namespace.ip("link", "set", self.names[i], "up")
            net.poll(lambda i=i: f"listen_port={4600 + i}" in ask(self.names[i], "get=1\n\n"), 5)
        namespace.ip("addr", "add", "10.99.0.1/24", "dev", self.names[0])

    def talk(self):
        """Have the first begin a handshake, and wait until the second has the key confirmed."""
        self.place.run("ping", "-c", "1", "-W", "1", "10.99.0.2", check=False)
        net.poll(lambda: "keypair_confirmed" in ask(self.names[1], "status=1\n\n"), 10, what="the handshake")

    def told(self, which):
        """The lines that the daemon has told of its peer, without what all have in common."""
        wanted = f"DEBUG: ({self.names[which]}) {short(self.public[1 - which])}: "
        lines = [line for line in self.children[which].text().splitlines() if "peer" in line]
        assert all(line.startswith(wanted) for line in lines), lines
        return [line[len(wanted) :] for line in lines]


def short(public):
    return f"peer({public[:4]}…{public[39:43]})"


def test_the_daemon_tells(namespace, command):
    two = Two(namespace, command, "verbose")
    two.talk()
    assert two.told(0) == ["sending initiation to 127.0.0.1:4601", "response received, keypair created"]
    assert two.told(1) == ["initiation received, sending response, keypair created", "keypair confirmed"]
    for child in two.children:
        assert not any(secret in child.text() for secret in two.secrets)
        assert re.search(r"^DEBUG: \(\w+\) peer\(....…....\): ", child.text(), re.MULTILINE)


def test_the_daemon_says_nothing_of_it_where_only_errors_are_told(namespace, command):
    two = Two(namespace, command, "error")
    two.talk()
    assert [child.text() for child in two.children] == ["", ""]
