"""Bugs of other implementations for which no other file here has a test: see docs/others-bugs.md."""

import gc
import sys

from wgembed.crypto import blake2s
from wgembed.protocol import drops
from wgembed.protocol.constants import REJECT_AFTER_TIME, REKEY_AFTER_TIME, REKEY_TIMEOUT
from wgembed.protocol.cookie import mac1_key
from wgembed.protocol.timers import expire_timers

from .harness import A4, B4, connected, ipv4, pair, types

PACKET = ipv4(A4, B4, b"hello")
BACK = ipv4(B4, A4, b"world")
YEAR = 365 * 86_400
WINDOWS, ROUNDS = 20, 20


def kept():
    """The number of memory blocks that are in use. On MicroPython a block has 16 or 32 bytes."""
    gc.collect()
    return gc.mem_alloc() // 16 if hasattr(gc, "mem_alloc") else sys.getallocatedblocks()


def grows(function):
    """Whether each call of the function leaks memory, after caches and tables are filled."""
    for _ in range(WINDOWS):
        before = kept()
        for _ in range(ROUNDS):
            function()
        if kept() - before < ROUNDS // 2:
            return False
    return True


def forget(*nodes):
    """Drop the records that the nodes keep for the test."""
    for node in nodes:
        del node.sent[:], node.got[:]


def test_traffic_does_not_grow_memory():
    """Other implementations kept buffers in pools without a limit, and ran out of memory on routers with 128 MB."""
    harness, a, b, *_ = connected()
    large = [ipv4(A4, B4, bytes((i,)) * 1300) for i in range(30)]

    def burst():
        a.transmit(*large)
        b.transmit(BACK)
        assert len(b.got) == 30 and a.got == [BACK]
        forget(a, b)

    assert not grows(burst)


def test_packets_for_a_silent_peer_do_not_grow_memory():
    harness, a, b, *_ = pair()
    harness.filter = lambda source, destination, datagram: []
    large = [ipv4(A4, B4, bytes((i,)) * 1300) for i in range(30)]

    def burst():
        a.transmit(*large)
        forget(a)

    assert not grows(burst)
    assert a.drop(drops.TX_STAGED) > 400


def bogus(public, n):
    message = b"\1\0\0\0" + bytes((n & 255, n >> 8, 7, 7)) + b"\x11" * 108
    return message + blake2s(16, mac1_key(public), message) + bytes(16)


def test_a_handshake_flood_does_not_grow_memory():
    """From always new addresses, under load and without load. After that a real handshake succeeds."""
    harness, a, b, *_ = pair()
    messages = [bogus(b.public, n) for n in range(40)]
    ports = [0]

    def burst():
        for message in messages:
            ports[0] += 1
            b.receive_run(message, 148, ("%d" % (ports[0] >> 4), ports[0]))
        b.device.handshakes(harness.now, 100)
        harness.settle()
        harness.now += 7
        forget(b)

    assert not grows(burst)
    assert b.tables.indices.used == 0
    harness.advance(1_000)
    a.transmit(PACKET)
    assert b.got == [PACKET]


def test_handshakes_of_a_real_peer_do_not_grow_memory():
    harness, a, b, peer_b, peer_a = connected()

    def rekey():
        harness.advance(REKEY_TIMEOUT)
        a.device.initiate(peer_b, harness.now)
        harness.settle()
        forget(a, b)

    assert not grows(rekey)


def test_a_clock_stepping_forward_in_mid_run_does_no_harm():
    """No key expires, because its age is not measured with the clock that can be set."""
    harness, a, b, peer_b, peer_a = connected()
    a.clock += 10 * YEAR
    b.clock += 20 * YEAR
    a.transmit(PACKET)
    b.transmit(BACK)
    assert [m[0] for m, *_ in a.sent + b.sent] == [4, 4] and b.got == [PACKET] and a.got == [BACK]
    harness.advance(REKEY_AFTER_TIME)
    a.transmit(PACKET)
    assert peer_b.previous is not None and len(b.got) == 2


def test_a_clock_stepping_forward_and_back_again_does_no_harm():
    """Other implementations could not handshake until the time before the step came again: for ten years."""
    harness, a, b, peer_b, peer_a = connected()
    a.clock += 10 * YEAR
    harness.advance(REKEY_AFTER_TIME)
    a.transmit(PACKET)
    a.clock -= 10 * YEAR
    for _ in range(3):
        harness.advance(REJECT_AFTER_TIME)
        forget(b)
        a.transmit(PACKET)
        assert b.got == [PACKET] and b.drop(drops.HS_REPLAY) == 0


def test_traffic_at_every_age_of_a_key():
    """Other implementations lost packets at a rekey. Both sides send each second during four keys, and no packet is lost."""
    harness, a, b, peer_b, peer_a = connected()
    for second in range(4 * REJECT_AFTER_TIME // 1000):
        a.transmit(PACKET)
        if second % 3 == 0:
            b.transmit(BACK)
        harness.advance(1_000)
    assert len(b.got) == 720 and len(a.got) == 240
    assert sum(a.device.drops) == sum(b.device.drops) == 0


def test_one_sided_traffic_at_every_age_of_a_key():
    """Only the responder sends data. The initiator renews the key in time, at the latest with a keepalive."""
    harness, a, b, peer_b, peer_a = connected()
    for _ in range(4 * REJECT_AFTER_TIME // 1000):
        b.transmit(BACK)
        harness.advance(1_000)
    assert len(a.got) == 720
    assert sum(a.device.drops) == sum(b.device.drops) == 0


def test_roaming_of_both_ends_one_after_the_other():
    """Other implementations moved an endpoint only at an initiation. Here data moves it, in both directions."""
    harness, a, b, peer_b, peer_a = connected()
    for node, mover in ((b, a), (a, b), (b, a)):
        del harness.nodes[mover.addr]
        mover.addr = (mover.addr[0], mover.addr[1] + 1)
        harness.nodes[mover.addr] = mover
        mover.transmit(PACKET if mover is a else BACK)
        assert node.device.first.addr == mover.addr
        forget(a, b)
        node.transmit(PACKET if node is a else BACK)
        assert len(mover.got) == 1
        assert [m[0] for m, *_ in a.sent + b.sent] == [4], "and no handshake"


def test_a_forged_response_does_not_end_the_handshake():
    """Other implementations ended the handshake at an invalid response, so a fast attacker could stop it."""
    harness, a, b, peer_b, peer_a = pair()
    held = []
    harness.filter = lambda source, destination, datagram: (
        [] if datagram[0] == 2 and not held.append(datagram) else [datagram]
    )
    a.transmit(PACKET)
    response = held[0]
    harness.filter = None
    for at in (12, 43, 44, 59):
        forged = bytearray(response)
        forged[at] ^= 1
        forged[60:76] = blake2s(16, mac1_key(a.public), forged[:60])
        a.receive(bytes(forged), b.addr)
        assert peer_b.current is None
    a.receive(response, b.addr)
    harness.settle()
    assert peer_b.current is not None and b.got == [PACKET]


def test_a_machine_that_slept_has_no_timer_that_is_always_due():
    """Other implementations kept a due keepalive whose session had ended during the sleep, and used all of a core."""
    for slept in (200_000, YEAR * 1000):
        harness, a, b, peer_b, peer_a = connected()
        b.device.set_persistent_keepalive(peer_a, 25, harness.now)
        a.transmit(PACKET)  # both owe each other an answer
        b.transmit(BACK)
        harness.settle()
        harness.now += slept
        for node in (a, b):
            expire_timers(node.tables, harness.now)
            due = node.tables.timers.next()
            assert due is None or due > harness.now
        harness.settle()
        forget(a, b)
        a.transmit(PACKET)
        harness.advance(15_000)  # initiations of both can have crossed
        assert b.got == [PACKET]


def test_persistent_keepalives_of_both_ends_do_not_fight():
    """Other implementations began a handshake at both ends whenever a session ended: more and more of them."""
    harness, a, b, peer_b, peer_a = connected()
    for node, peer in ((a, peer_b), (b, peer_a)):
        node.device.set_persistent_keepalive(peer, 25, harness.now)
    harness.advance(3_600_000)
    handshakes = types(a).count(1) + types(b).count(1)
    assert 20 <= handshakes <= 3600 // 120, handshakes
    assert sum(a.device.drops) == sum(b.device.drops) == 0


def test_requests_with_pauses_are_all_answered():
    """In another implementation, one end received nothing from 15 s after a handshake until the next one."""
    harness, a, b, peer_b, peer_a = connected()
    for pause in (3_000, 9_000, 14_000, 16_000, 31_000, 61_000, 119_000, 121_000, 179_000, 181_000):
        for _ in range(40):
            forget(a, b)
            a.transmit(PACKET)
            b.transmit(BACK)
            assert b.got == [PACKET] and a.got == [BACK], pause
            harness.advance(pause)


def test_a_prefix_that_is_set_again_and_again_does_not_grow_memory():
    """Another implementation never freed the nodes of the prefixes that were replaced."""
    harness, a, b, peer_b, peer_a = connected()

    def replace():
        for n in range(8):
            a.device.allowed.insert(bytes((10, 9, n, 0)), 24, peer_b.number)
        a.device.allowed.remove_peer(peer_b.number)
        a.device.allowed.insert(B4, 32, peer_b.number)

    assert not grows(replace)
