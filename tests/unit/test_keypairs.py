"""The life of a device's keypairs: how the three slots rotate, when a new session begins, when keys end."""

from wgembed.protocol import drops, noise
from wgembed.protocol.constants import (
    REJECT_AFTER_MESSAGES,
    REJECT_AFTER_TIME,
    REKEY_AFTER_MESSAGES,
    REKEY_AFTER_TIME,
    REKEY_TIMEOUT,
)

from .harness import BACK, PACKET, connected, indices, pair, types

# Rotation


def test_rotation_of_the_initiator():
    harness, a, b, peer_b, peer_a = connected()
    first = peer_b.current
    harness.advance(REKEY_AFTER_TIME)
    a.transmit(PACKET)
    assert peer_b.current is not first and peer_b.previous is first and peer_b.next is None
    assert indices(a) == 2
    harness.advance(REKEY_AFTER_TIME)
    second = peer_b.current
    a.transmit(PACKET)
    assert peer_b.previous is second and indices(a) == 2
    assert len(b.got) == 2


def test_rotation_of_the_responder_waits_for_confirmation():
    harness, a, b, peer_b, peer_a = connected()
    current = peer_a.current
    held = []
    harness.filter = lambda source, destination, datagram: held.append(datagram) or []
    harness.advance(REKEY_AFTER_TIME)
    a.device.initiate(peer_b, harness.now)
    harness.filter = None
    del b.sent[:]
    b.receive(held[-1], a.addr)
    assert peer_a.current is current and peer_a.next is not None and peer_a.previous is None
    b.transmit(BACK)
    assert b.sent[-1][0][4:8] == current.header[4:8], "the responder sends on the old key until confirmed"
    indices(b)


def test_responder_promotes_on_a_keepalive():
    harness, a, b, peer_b, peer_a = pair()
    a.device.initiate(peer_b, harness.now)
    harness.settle()
    assert peer_a.current is not None and peer_a.next is None
    b.transmit(BACK)
    assert a.got == [BACK]


def test_packets_in_flight_survive_a_rekey():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_AFTER_TIME - 1)
    late = []

    def delay_data(source, destination, datagram):
        if datagram[0] == 4 and len(datagram) > 32 and source == a.addr and not late:
            late.append(datagram)
            return []
        return [datagram]

    harness.filter = delay_data
    a.transmit(PACKET)
    harness.advance(1)
    a.transmit(PACKET)  # the rekey
    a.transmit(PACKET)
    assert len(b.got) == 2
    b.receive(late[0], a.addr)
    assert len(b.got) == 3


def test_initiator_with_a_next_keypair_demotes_it():
    """Simultaneous roles: an initiator's new key puts an unconfirmed next key in the previous slot."""
    harness, a, b, peer_b, peer_a = connected()
    old = peer_b.current
    harness.advance(REKEY_AFTER_TIME)
    harness.filter = lambda source, destination, datagram: [] if destination == b.addr and datagram[0] == 4 else [datagram]
    b.device.initiate(peer_a, harness.now)
    # b's confirmation reached a, whose own data cannot reach b: make a's next key unconfirmed again.
    harness.settle()
    harness.filter = lambda source, destination, datagram: [] if datagram[0] == 4 else [datagram]
    harness.advance(REKEY_AFTER_TIME)
    b.device.initiate(peer_a, harness.now)
    harness.settle()
    unconfirmed = peer_b.next
    assert unconfirmed is not None
    harness.filter = None
    harness.advance(REKEY_TIMEOUT)
    a.device.initiate(peer_b, harness.now)
    harness.settle()
    assert peer_b.next is None and peer_b.previous is unconfirmed and peer_b.current is not unconfirmed
    assert old is not None
    indices(a), indices(b)
    b.transmit(BACK)
    assert a.got


def test_simultaneous_initiation_leaves_no_deaf_side():
    """After this, OpenBSD once could not receive on one side, and leaked an index each time."""
    for _ in range(20):
        harness, a, b, peer_b, peer_a = pair()
        wire = []
        harness.filter = lambda source, destination, datagram, wire=wire: wire.append((source, destination, datagram)) or []
        a.transmit(PACKET)
        b.transmit(BACK)
        harness.filter = None
        for source, destination, datagram in wire:
            harness.carry(source, destination, datagram, 0)
        harness.settle()
        harness.advance(3 * REKEY_TIMEOUT)
        a.transmit(PACKET)
        b.transmit(BACK)
        assert b.got[-1:] == [PACKET] and a.got[-1:] == [BACK]
        assert indices(a) <= 3 and indices(b) <= 3


def test_indices_do_not_leak():
    harness, a, b, peer_b, peer_a = pair()
    for _ in range(50):
        harness.advance(REKEY_TIMEOUT)
        a.device.initiate(peer_b, harness.now)
        b.device.initiate(peer_a, harness.now)
        harness.settle()
        indices(a), indices(b)
    harness.advance(4 * REJECT_AFTER_TIME)
    assert indices(a) == indices(b) == 0


def test_indices_are_not_predictable():
    seen = set()
    for _ in range(20):
        harness, a, b, peer_b, _ = pair()
        a.transmit(PACKET)
        seen.add(a.sent[0][0][4:8])
        seen.add(b.sent[0][0][4:8])
    assert len(seen) == 40
    assert len({index[:2] for index in seen}) > 30 and len({index[2:] for index in seen}) > 30


# Rekey and the life of keys


def test_initiator_rekeys_by_time_and_the_responder_never():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_AFTER_TIME)
    b.transmit(BACK)
    assert 1 not in types(b)
    a.transmit(PACKET)
    assert types(a).count(1) == 1


def test_rekey_on_receive_once():
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: [] if datagram[0] == 1 else [datagram]
    harness.advance(165_000 - 1)
    b.transmit(BACK)
    before = types(a).count(1)
    harness.advance(1)
    b.transmit(BACK)
    b.transmit(BACK)
    assert types(a).count(1) == before + 1
    assert a.got.count(BACK) == 3


def test_an_old_key_is_used_neither_way():
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: [] if datagram[0] in (1, 2) else [datagram]
    a.transmit(PACKET)
    replayed = a.sent[-1][0]
    for later in (REJECT_AFTER_TIME, 1_000):
        harness.advance(later)
        del a.sent[:]
        a.transmit(PACKET)
        assert 4 not in types(a), "nothing leaves under a key of 180 s"
        b.receive(replayed, a.addr)
    assert b.drop(drops.RX_EXPIRED) == 2


def test_rekey_after_messages():
    harness, a, b, peer_b, peer_a = connected()
    peer_b.last_sent_handshake = -REKEY_TIMEOUT
    peer_b.current.counter = REKEY_AFTER_MESSAGES
    a.transmit(PACKET)
    assert types(a)[:2] == [4, 1]


def test_reject_after_messages():
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: []
    peer_b.current.counter = REJECT_AFTER_MESSAGES - 1
    a.transmit(PACKET)
    assert types(a) == [4]
    a.transmit(PACKET)
    assert types(a).count(4) == 1, "no packet leaves with a counter of REJECT_AFTER_MESSAGES or more"


def test_counters_begin_at_zero():
    harness, a, b, peer_b, peer_a = pair()
    a.transmit(PACKET, PACKET)
    assert [m[8:16] for m, *_ in a.sent if m[0] == 4] == [bytes(8), b"\1" + bytes(7)]


def test_the_counter_has_64_bits():
    """Other implementations once truncated it on 32-bit machines."""
    harness, a, b, peer_b, peer_a = connected()
    peer_b.current.counter = (1 << 40) + 5
    a.transmit(PACKET)
    assert a.sent[-1][0][8:16] == b"\5\0\0\0\0\1\0\0"
    assert b.got == [PACKET]


def test_zeroing_after_540_s():
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: []
    harness.advance(3 * REJECT_AFTER_TIME - 1)
    assert peer_b.current is not None
    harness.advance(2)
    assert peer_b.current is None and peer_b.handshake == noise.ZEROED
    assert not any(peer_b.secret(noise.HASH, noise.COOKIE - noise.HASH))
    assert not any(peer_b.secret(noise.KEYPAIRS, 192))


def test_dropped_keys_are_wiped_at_once():
    harness, a, b, peer_b, peer_a = connected()
    keypair = peer_b.current
    sending = bytes(peer_b.secret(noise.KEYPAIRS + keypair.number * 64, 64))
    assert any(sending)
    for _ in range(2):
        harness.advance(REKEY_AFTER_TIME)
        a.transmit(PACKET)
    assert sending not in bytes(a.tables.records)
