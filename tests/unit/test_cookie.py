"""MACs, cookies, and the rule for "under load"."""

from wgembed.crypto import blake2s
from wgembed.protocol import drops
from wgembed.protocol.constants import (
    COOKIE_SECRET_MAX_AGE,
    HANDSHAKE_WORK,
    MAX_QUEUED_HANDSHAKES,
    NEVER,
    RESERVED_HANDSHAKES,
    UNDER_LOAD_HANDSHAKES,
)
from wgembed.protocol.cookie import CookieChecker, mac1_key

from .harness import A4, B4, ipv4, pair

PACKET = ipv4(A4, B4, b"hello")


def bogus(b, n):
    """Return an initiation in which only mac1 is right."""
    message = b"\1\0\0\0" + bytes((n & 255, n >> 8, 7, 7)) + b"\x11" * 108
    return message + blake2s(16, mac1_key(b.public), message) + bytes(16)


def load(b, count=UNDER_LOAD_HANDSHAKES):
    for n in range(count):
        b.receive_run(bogus(b, n), 148, ("flood", n))


def under_load():
    """Return a pair whose b has just come under load."""
    harness, a, b, peer_b, peer_a = pair()
    load(b)
    b.device.handshakes(harness.now, 10_000)
    del b.sent[:]
    return harness, a, b, peer_b, peer_a


def test_load_begins_at_an_eighth_and_lasts_a_second():
    harness, a, b, *_ = pair()
    load(b, UNDER_LOAD_HANDSHAKES - 1)
    b.device.handshakes(harness.now, 10_000)
    assert b.sent == [] and b.drop(drops.HS_INITIATION) == UNDER_LOAD_HANDSHAKES - 1
    load(b)
    b.device.handshakes(harness.now, 10_000)
    assert [m[0] for m, *_ in b.sent] == [3] * UNDER_LOAD_HANDSHAKES
    harness.now += 999
    b.receive(bogus(b, 1))
    assert len(b.sent) == UNDER_LOAD_HANDSHAKES + 1
    harness.now += 1
    b.receive(bogus(b, 1))
    assert len(b.sent) == UNDER_LOAD_HANDSHAKES + 1


def test_full_backlog_refuses():
    harness, a, b, peer_b, peer_a = pair()
    load(b, MAX_QUEUED_HANDSHAKES - RESERVED_HANDSHAKES + 3)
    assert b.drop(drops.HS_QUEUE_FULL) == 3


def test_a_place_is_kept_for_who_is_where_a_peer_is():
    harness, a, b, peer_b, peer_a = pair()
    load(b, MAX_QUEUED_HANDSHAKES)
    refused = b.drop(drops.HS_QUEUE_FULL)
    for n in range(RESERVED_HANDSHAKES):
        b.receive_run(bogus(b, n), 148, peer_a.addr)
    assert b.drop(drops.HS_QUEUE_FULL) == refused
    b.receive_run(bogus(b, 0), 148, peer_a.addr)
    assert b.drop(drops.HS_QUEUE_FULL) == refused + 1
    assert b.device.handshakes(harness.now, 8) == MAX_QUEUED_HANDSHAKES - 8
    b.device.set_endpoint(peer_a, ("elsewhere", 1), harness.now)
    for addr, taken in ((("elsewhere", 1), 1), (("flood", 1), 0)):
        before = b.drop(drops.HS_QUEUE_FULL)
        b.receive_run(bogus(b, 0), 148, addr)
        assert b.drop(drops.HS_QUEUE_FULL) == before + 1 - taken
    b.device.remove_peer(peer_a)
    b.receive_run(bogus(b, 0), 148, ("elsewhere", 1))
    assert b.drop(drops.HS_QUEUE_FULL) == before + 2


def test_work_a_turn_is_bounded():
    harness, a, b, *_ = pair()
    load(b, 12)
    assert b.device.handshakes(harness.now, 5 * HANDSHAKE_WORK) == 7
    load(b, 20)
    assert b.device.handshakes(harness.now, 10) == 17, "under load a message is one unit"


def test_cookie_exchange():
    harness, a, b, peer_b, peer_a = under_load()
    a.transmit(PACKET)
    assert [m[0] for m, *_ in b.sent] == [3] and peer_a.current is None
    assert peer_b.cookie_birth == harness.now
    load(b)
    harness.advance(5_400)
    load(b)
    b.device.handshakes(harness.now, 0)
    a_retry = [m for m, *_ in a.sent if m[0] == 1]
    assert len(a_retry) == 2 and any(a_retry[1][-16:]), "the retry carries mac2"
    assert b.got == [PACKET]


def test_where_a_peer_is_a_cookie_goes_before_those_of_strangers():
    harness, a, b, peer_b, peer_a = under_load()
    b.is_crowded = True
    b.receive(bogus(b, 1), ("stranger", 1))
    assert b.sent == []
    a.transmit(PACKET)
    assert [m[0] for m, *_ in b.sent] == [3] and peer_b.cookie_birth


def test_cookie_reply_is_for_address_and_port():
    harness, a, b, peer_b, peer_a = under_load()
    a.transmit(PACKET)
    harness.filter = lambda source, destination, datagram: []
    harness.advance(5_400)
    initiation = [m for m, *_ in a.sent if m[0] == 1][-1]
    load(b)
    b.device.handshakes(harness.now, 10_000)
    del b.sent[:]
    for addr in (("a", 51821), ("c", 51820)):
        b.receive(initiation, addr)
        assert [m[0] for m, *_ in b.sent] == [3], "a cookie for another address or port is none"
        del b.sent[:]
    b.receive(initiation, a.addr)
    assert [m[0] for m, *_ in b.sent] == [2]


def test_cookie_reply_touches_neither_endpoint_nor_timers():
    harness, a, b, peer_b, peer_a = under_load()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    b.receive(a.sent[0][0], a.addr)
    reply = b.sent[-1][0]
    before = (peer_b.addr, peer_b.src, peer_b.retransmit_at, peer_b.persistent_at, peer_b.rx_bytes)
    a.receive(reply, ("thief", 1), "elsewhere")
    assert peer_b.cookie_birth == harness.now
    assert (peer_b.addr, peer_b.src, peer_b.retransmit_at, peer_b.persistent_at, peer_b.rx_bytes) == before
    a.receive(reply, b.addr)
    assert a.drop(drops.HS_COOKIE) == 1, "one cookie for each mac1 sent"


def test_forged_cookie_reply():
    harness, a, b, peer_b, peer_a = under_load()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    b.receive(a.sent[0][0], a.addr)
    forged = bytearray(b.sent[-1][0])
    forged[-1] ^= 1
    a.receive(bytes(forged), b.addr)
    assert a.drop(drops.HS_COOKIE) == 1 and not peer_b.cookie_birth
    a.receive(b.sent[-1][0], b.addr)
    assert peer_b.cookie_birth


def test_cookie_is_used_for_115_s():
    harness, a, b, peer_b, peer_a = under_load()
    a.transmit(PACKET)
    assert peer_b.cookie_birth
    harness.filter = lambda source, destination, datagram: []
    limit = COOKIE_SECRET_MAX_AGE - 5_000
    birth = peer_b.cookie_birth = 1_000  # only an early birth shows that an age is a difference
    for age, used in ((limit - 1, True), (limit, False), (limit + 7, False)):
        peer_b.cookie_birth = birth
        harness.now = birth + age
        peer_b.last_sent_handshake = NEVER
        a.device.initiate(peer_b, harness.now)
        assert any(a.sent[-1][0][-16:]) is used


def test_cookie_secret_changes():
    for birth in (0, 1_000, 1_000_000):
        for age, same in ((COOKIE_SECRET_MAX_AGE - 1, True), (COOKIE_SECRET_MAX_AGE, False), (200_777, False)):
            checker = CookieChecker()
            first = checker._cookie(b"addr", birth)
            assert (checker._cookie(b"addr", birth + age) == first) is same


def test_limiter_under_load_only():
    harness, a, b, peer_b, peer_a = under_load()
    a.transmit(PACKET)
    harness.filter = lambda source, destination, datagram: []
    passed = 0
    for _ in range(8):
        peer_b.last_sent_handshake = NEVER
        peer_a.last_initiation = 0
        a.clock += 1
        a.device.initiate(peer_b, harness.now)
        load(b)
        b.device.handshakes(harness.now, 10_000)
        del b.sent[:]
        b.receive(a.sent[-1][0], a.addr)
        passed += [m[0] for m, *_ in b.sent].count(2)
    assert passed == 5 and b.drop(drops.HS_RATE_LIMIT) == 3


def test_the_limit_is_that_of_an_address_whatever_the_port():
    harness, a, b, peer_b, peer_a = under_load()
    harness.filter = lambda source, destination, datagram: []

    def ask(addr):
        """Send an initiation from this address. Returns the answer of b."""
        peer_b.last_sent_handshake = peer_a.last_initiation = NEVER
        a.clock += 1
        a.device.initiate(peer_b, harness.now)
        load(b)
        b.device.handshakes(harness.now, 10_000)
        del b.sent[:]
        b.receive(a.sent[-1][0], addr)
        return [m for m, *_ in b.sent]

    passed = 0
    for port in range(8):
        addr = a.addr[0], 1000 + port
        (cookie,) = ask(addr)
        assert cookie[0] == 3
        a.receive(cookie, b.addr)
        passed += [m[0] for m in ask(addr)].count(2)
    assert passed == 5 and b.drop(drops.HS_RATE_LIMIT) == 3


def test_responses_need_cookies_too():
    harness, a, b, peer_b, peer_a = pair()
    held = []
    harness.filter = lambda source, destination, datagram: held.append(datagram) or [] if datagram[0] == 2 else [datagram]
    a.transmit(PACKET)
    load(a)
    a.device.handshakes(harness.now, 1000)
    del a.sent[:]
    a.receive(held[0], b.addr)
    assert [m[0] for m, *_ in a.sent] == [3] and peer_b.current is None
    harness.settle()
    assert peer_a.cookie_birth, "the index of a keypair leads to the peer as well"
