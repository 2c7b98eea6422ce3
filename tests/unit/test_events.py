"""The events and errors that a device keeps, in memory of a fixed size."""

from wgembed.protocol import events
from wgembed.protocol.constants import REKEY_TIMEOUT
from wgembed.protocol.events import (
    ALLOWED_IP_MOVED,
    COOKIE_RECEIVED,
    HANDSHAKE_TIMEOUT,
    INITIATION_RECEIVED,
    INITIATION_REPLAYED,
    INITIATION_SENT,
    INVALID_MAC1,
    KEYPAIR_CONFIRMED,
    NO_REPLY,
    RESPONSE_INVALID,
    RESPONSE_RECEIVED,
    ROAMED,
    SOURCE_NOT_ALLOWED,
    UNKNOWN_PEER,
    Rings,
    UnmatchedHandshakes,
)
from wgembed.protocol.messages import TYPE_INITIATION
from wgembed.protocol.tai64n import Tai64n

from .harness import A4, B4, BACK, PACKET, connected, ipv4, ipv6, key, pair
from .support import Storage


def told(node, peer):
    """The names of the peer's events, and how often each happened."""
    return [(event, count) for event, count, _ in node.tables.events.read(peer.number)]


# The ring


def test_a_ring_keeps_the_last():
    rings = Rings(2)
    for i in range(30):
        rings.note(1, 1 + i % 14, 1000 * i)
    assert rings.read(0) == []
    assert rings.read(1) == [(1 + i % 14, 1, i) for i in range(30 - events.RING, 30)]


def test_repetition_only_counts_up():
    rings = Rings(1)
    for i in range(300):
        rings.note(0, INITIATION_SENT, 5000 * i)
        if i == 3:
            assert rings.read(0) == [(INITIATION_SENT, 4, 15)]
    assert rings.read(0) == [(INITIATION_SENT, 255, 1495)]
    rings.note(0, HANDSHAKE_TIMEOUT, 2_000_000)
    rings.note(0, INITIATION_SENT, 2_000_000)
    assert rings.read(0) == [(INITIATION_SENT, 255, 1495), (HANDSHAKE_TIMEOUT, 1, 2000), (INITIATION_SENT, 1, 2000)]


def test_a_cleared_ring_begins_anew():
    rings = Rings(3)
    for number in range(3):
        for event in range(1, 15):
            rings.note(number, event, 7000)
    rings.clear(1)
    assert rings.read(1) == [] and len(rings.read(0)) == len(rings.read(2)) == events.RING
    rings.note(1, ROAMED, 0)
    assert rings.read(1) == [(ROAMED, 1, 0)]


def test_a_ring_costs_104_bytes_a_peer():
    storage = Storage()
    Rings(10, storage.alloc)
    assert storage.bytes == 1040


def test_time_goes_on_for_a_century():
    rings = Rings(1)
    rings.note(0, ROAMED, 100 * 365 * 86400 * 1000)
    assert rings.read(0) == [(ROAMED, 1, 100 * 365 * 86400)]


def test_unmatched_handshakes_are_few_and_the_latest():
    unmatched = UnmatchedHandshakes()
    for i in range(9):
        unmatched.note(UNKNOWN_PEER, bytes((i,)) * 32, ("a", i), 1000 + i)
    unmatched.note(UNKNOWN_PEER, b"\5" * 32, ("a", 5), 2000)
    found = unmatched.read()
    assert sorted(found, key=lambda entry: entry[4]) == [
        (UNKNOWN_PEER, b"\6" * 32, ("a", 6), 1, 1006),
        (UNKNOWN_PEER, b"\7" * 32, ("a", 7), 1, 1007),
        (UNKNOWN_PEER, b"\x08" * 32, ("a", 8), 1, 1008),
        (UNKNOWN_PEER, b"\5" * 32, ("a", 5), 2, 2000),
    ]


def test_there_is_a_name_for_each():
    assert len(events.NAMES) == len(set(events.NAMES)) == ALLOWED_IP_MOVED + 1
    assert events.NAMES[ALLOWED_IP_MOVED] == "allowed_ip_moved" and events.NAMES[NO_REPLY] == "no_reply"


# The events of a device


def test_a_handshake():
    harness, a, b, peer_b, peer_a = connected()
    assert told(a, peer_b) == [(INITIATION_SENT, 1), (RESPONSE_RECEIVED, 1)]
    assert told(b, peer_a) == [(INITIATION_RECEIVED, 1), (KEYPAIR_CONFIRMED, 1)]
    assert peer_b.last_rx == peer_b.last_data_rx == peer_b.last_data_tx == harness.now
    started = harness.now
    harness.advance(9_000)
    assert peer_a.last_rx == peer_a.last_data_rx == started
    harness.advance(2_000)
    assert peer_a.last_rx == started + 10_000 and peer_a.last_data_rx == started  # a keepalive


def test_nobody_answers():
    harness, a, b, peer_b, peer_a = pair()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    harness.advance(150_000)
    assert told(a, peer_b) == [(INITIATION_SENT, 20), (HANDSHAKE_TIMEOUT, 1)]


def test_another_preshared_key():
    harness, a, b, peer_b, peer_a = pair()
    a.device.set_preshared_key(peer_b, b"\1" * 32)
    a.transmit(PACKET)
    assert told(a, peer_b) == [(INITIATION_SENT, 1), (RESPONSE_INVALID, 1)]
    assert told(b, peer_a) == [(INITIATION_RECEIVED, 1)]


def test_an_old_timestamp():
    harness, a, b, peer_b, peer_a = connected()
    a.clock -= 1000
    a.device.timestamps = Tai64n()
    a.device.down()
    a.device.up(harness.now)
    harness.advance(1000)
    a.transmit(PACKET)
    assert told(b, peer_a)[-1] == (INITIATION_REPLAYED, 1)


def test_no_reply():
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    harness.advance(20_001)
    assert told(a, peer_b)[-2:] == [(NO_REPLY, 1), (INITIATION_SENT, 1)]


def test_a_cookie():
    harness, a, b, peer_b, peer_a = pair()
    b.device.backlog._last_load = harness.now
    a.transmit(PACKET)
    assert told(a, peer_b) == [(INITIATION_SENT, 1), (COOKIE_RECEIVED, 1)]


def test_a_source_that_is_not_the_peers():
    for packet, source in (
        (ipv4(b"\x0a\x63\0\1", B4), b"\x0a\x63\0\1"),
        (ipv6(b"\xfc" + bytes(14) + b"\1", bytes(16)), b"\xfc" + bytes(14) + b"\1"),
    ):
        harness, a, b, peer_b, peer_a = connected()
        a.device.allow(peer_b, bytes(len(source)), 0, harness.now)
        a.transmit(packet)
        assert b.got == [] and told(b, peer_a)[-1] == (SOURCE_NOT_ALLOWED, 1)
        dropped = b.device.source_not_allowed
        assert dropped.packed == source and dropped.number == peer_a.number and dropped.time == harness.now


def test_the_next_peer_of_an_entry_is_not_who_sent_it():
    harness, a, b, peer_b, peer_a = connected()
    a.transmit(ipv4(b"\x0a\x63\0\1", B4))
    dropped = b.device.source_not_allowed
    b.device.remove_peer(b.device.add_peer(key()[1]))
    assert dropped.packed and dropped.number == peer_a.number
    b.device.remove_peer(peer_a)
    assert b.device.add_peer(key()[1]) is peer_a and dropped.packed == b"" and dropped.number == -1


def test_a_destination_that_is_unroutable():
    harness, a, b, peer_b, peer_a = connected()
    assert a.device.unroutable.packed == b""
    a.transmit(ipv6(bytes(16), b"\xfc" + bytes(14) + b"\1"))
    assert a.device.unroutable.packed == b"\xfc" + bytes(14) + b"\1"
    a.transmit(ipv4(A4, b"\x0a\x63\0\1"))
    unroutable = a.device.unroutable
    assert unroutable.packed == b"\x0a\x63\0\1" and unroutable.time == harness.now and unroutable.number == -1
    for packet in (ipv6(bytes(16), b"\xff" + bytes(15)), ipv4(A4, b"\xe0\0\0\1"), ipv4(A4, b"\xff\xff\xff\xff")):
        a.transmit(packet)
    assert unroutable.packed == b"\x0a\x63\0\1", "multicast is no news"
    a.transmit(ipv6(bytes(16), b"\xfe" + bytes(15)))
    assert unroutable.packed == b"\xfe" + bytes(15)


def test_another_address():
    harness, a, b, peer_b, peer_a = connected()
    moved = ("c", 1)
    del harness.nodes[a.addr]
    a.addr = moved
    harness.nodes[moved] = a
    a.transmit(PACKET)
    assert peer_a.addr == moved and told(b, peer_a)[-1] == (ROAMED, 1)
    a.device.down()
    a.device.up(harness.now)
    a.addr = ("d", 1)
    harness.advance(REKEY_TIMEOUT)
    a.transmit(PACKET)
    assert peer_a.addr == ("d", 1) and (ROAMED, 1) in told(b, peer_a)[-3:]


def test_the_first_address_is_no_other():
    harness, a, b, peer_b, peer_a = connected(b_knows_a=False)
    assert ROAMED not in [event for event, _ in told(b, peer_a)]


def test_a_prefix_that_another_peer_gets():
    harness, a, b, peer_b, peer_a = connected()
    other = a.device.add_peer(key()[1])
    a.device.allow(other, B4, 24, harness.now)
    assert told(a, other) == [] and ALLOWED_IP_MOVED not in [event for event, _ in told(a, peer_b)]
    a.device.allow(other, B4, 32, harness.now)
    assert told(a, peer_b)[-1] == (ALLOWED_IP_MOVED, 1)
    a.device.allow(other, B4, 32, harness.now)
    assert told(a, peer_b)[-1] == (ALLOWED_IP_MOVED, 1)


def test_a_key_that_no_peer_has():
    harness, a, b, peer_b, peer_a = pair()
    b.device.remove_peer(peer_a)
    a.transmit(PACKET)
    assert b.device.unmatched_handshakes.read() == [(UNKNOWN_PEER, a.public, a.addr, 1, harness.now)]
    harness.advance(6000)
    [(_, found, _, count, when)] = b.device.unmatched_handshakes.read()
    assert found == a.public and count == 2 and harness.now - 1000 <= when <= harness.now


def test_a_message_for_another_key():
    harness, a, b, peer_b, peer_a = pair()
    a.device.remove_peer(peer_b)
    wrong = a.device.add_peer(key()[1])
    a.device.allow(wrong, B4, 32, harness.now)
    a.device.set_endpoint(wrong, b.addr, harness.now)
    a.transmit(PACKET)
    assert b.device.unmatched_handshakes.read() == [(INVALID_MAC1, b"", a.addr, 1, harness.now)]
    b.receive(TYPE_INITIATION + bytes(144), ("z", 3))
    assert sorted(b.device.unmatched_handshakes.read()) == [
        (INVALID_MAC1, b"", a.addr, 1, harness.now),
        (INVALID_MAC1, b"", ("z", 3), 1, harness.now),
    ]


def test_the_next_peer_of_an_entry_inherits_nothing():
    harness, a, b, peer_b, peer_a = connected()
    a.device.remove_peer(peer_b)
    again = a.device.add_peer(key()[1])
    assert again is peer_b and told(a, again) == [] and again.last_rx == again.last_data_rx == again.last_data_tx == 0


def test_what_was_received_is_noted_after_a_rekey():
    harness, a, b, peer_b, peer_a = connected()
    b.transmit(BACK)
    harness.advance(121_000)
    a.transmit(PACKET)
    assert told(a, peer_b)[-1] == (RESPONSE_RECEIVED, 1) and told(b, peer_a)[-1] == (KEYPAIR_CONFIRMED, 1)
