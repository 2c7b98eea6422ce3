"""The state machine: two devices, a simulated wire, and a time that the test controls."""

from wgembed.protocol import drops
from wgembed.protocol.constants import (
    KEEPALIVE_TIMEOUT,
    NO_REPLY_JITTER_MAX,
    REKEY_AFTER_TIME,
    REKEY_TIMEOUT,
)
from wgembed.protocol.memory import TableFull

from .harness import A4, A6, B4, B6, BACK, PACKET, Harness, connected, indices, ipv4, ipv6, key, pair, types

# Handshake and first packets


def test_first_packet_waits_for_the_handshake_and_arrives():
    harness, a, b, *_ = pair()
    a.transmit(PACKET)
    assert b.got == [PACKET]
    assert types(a) == [1, 4] and types(b) == [2]


def test_initiator_without_data_confirms_with_a_keepalive():
    harness, a, b, peer_b, peer_a = pair()
    a.device.initiate(peer_b, harness.now)
    harness.settle()
    assert types(a) == [1, "k"]
    assert peer_a.current is not None and peer_a.next is None


def test_both_families_batched():
    harness, a, b, *_ = connected()
    packets = [PACKET, ipv6(A6, B6, b"six"), PACKET, PACKET, ipv6(A6, B6, bytes(1300))]
    a.transmit(*packets)
    assert b.got == packets


def test_psk_must_agree():
    harness, a, b, peer_b, peer_a = pair(psk=b"p" * 32)
    b.device.set_preshared_key(peer_a, b"q" * 32)
    a.transmit(PACKET)
    assert b.got == [] and a.drop(drops.HS_RESPONSE) == 1
    b.device.set_preshared_key(peer_a, b"p" * 32)
    harness.advance(REKEY_TIMEOUT + 400)
    assert b.got == [PACKET]


def test_new_psk_counts_from_the_next_handshake():
    harness, a, b, peer_b, peer_a = connected(psk=b"p" * 32)
    b.device.set_preshared_key(peer_a, b"q" * 32)
    a.transmit(PACKET)
    assert b.got == [PACKET]


def test_last_handshake_is_told():
    harness, a, b, peer_b, peer_a = connected()
    told = a.clock + harness.now // 1000
    assert peer_a.handshake_sec == peer_b.handshake_sec == told
    harness.advance(5_000)
    a.transmit(PACKET)
    b.transmit(BACK)
    assert peer_a.handshake_sec == peer_b.handshake_sec == told, "data tells of no handshake"


def test_transfer_is_counted_like_linux():
    """Handshake messages, keepalives and padded data count, with the overhead of the message, without UDP."""
    harness, a, b, peer_b, peer_a = pair()
    a.transmit(PACKET)
    sent = 148 + 32 + 32
    assert peer_b.tx_bytes == peer_a.rx_bytes == sent
    assert peer_a.tx_bytes == peer_b.rx_bytes == 92


# Timers


def test_retransmission_every_5_s_and_twenty_in_all():
    harness, a, b, peer_b, peer_a = pair()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    at = [harness.now]
    for _ in range(250_000 // 100):
        before = len(a.sent)
        harness.advance(100)
        if len(a.sent) > before:
            at.append(harness.now)
    assert types(a) == [1] * 20
    gaps = [y - x for x, y in zip(at, at[1:])]  # noqa: B905 (MicroPython has no strict)
    assert min(gaps) >= REKEY_TIMEOUT - 100 and max(gaps) <= REKEY_TIMEOUT * 3 // 2 + 100
    assert gaps[0] <= REKEY_TIMEOUT + 333 + 100, "the jitter of the first is that of Linux"
    assert a.tables.staged.count(peer_b.number) == 0 and a.drop(drops.TX_STAGED) == 1


def test_jitter_differs():
    gaps = set()
    for _ in range(30):
        harness, a, b, peer_b, peer_a = pair()
        harness.filter = lambda source, destination, datagram: []
        a.transmit(PACKET)
        gaps.add(peer_b.retransmit_at - harness.now)
    assert len(gaps) > 10 and min(gaps) >= REKEY_TIMEOUT and max(gaps) <= REKEY_TIMEOUT + 333


def test_a_late_response_counts():
    """Other implementations dropped a response that took longer than 250 ms."""
    harness, a, b, peer_b, peer_a = pair()
    held = []
    harness.filter = lambda source, destination, datagram: held.append(datagram) or [] if datagram[0] == 2 else [datagram]
    a.transmit(PACKET)
    harness.filter = None
    harness.advance(4_000)
    a.receive(held[0], b.addr)
    harness.settle()
    assert b.got == [PACKET]


def test_passive_keepalive_once_and_no_ping_pong():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(3 * KEEPALIVE_TIMEOUT)
    del a.sent[:], b.sent[:]
    a.transmit(PACKET)
    harness.advance(KEEPALIVE_TIMEOUT - 1)
    assert types(b) == []
    harness.advance(1)
    assert types(b) == ["k"]
    harness.advance(90_000)
    assert types(b) == ["k"] and types(a) == [4]


def test_new_handshake_when_nothing_comes_back():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(30_000)
    del a.sent[:]
    b.device.down()
    a.transmit(PACKET)
    harness.advance(14_999)
    assert types(a) == [4]
    harness.advance(NO_REPLY_JITTER_MAX + 2)
    assert types(a) == [4, 1]


def test_persistent_keepalive():
    harness, a, b, peer_b, peer_a = pair()
    a.device.set_persistent_keepalive(peer_b, 5, harness.now)
    harness.settle()
    assert types(a) == [1, "k"], "turned on while up, it sends at once"
    harness.advance(5_000)
    assert types(a)[2:] == ["k"]
    harness.advance(3_000)
    b.transmit(BACK)
    harness.advance(4_999)
    assert types(a)[3:] == [], "any packet either way starts the interval anew"
    harness.advance(1)
    assert types(a)[3:] == ["k"]
    a.device.set_persistent_keepalive(peer_b, 0, harness.now)
    harness.advance(100_000)
    assert types(a)[4:] == []


def test_idle_arms_nothing():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(20 * 60_000)
    assert a.tables.timers.next() is None and b.tables.timers.next() is None


def test_down_stops_everything():
    harness, a, b, peer_b, peer_a = connected()
    a.device.set_persistent_keepalive(peer_b, 5, harness.now)
    a.device.down()
    assert a.tables.timers.next() is None and peer_b.current is None and indices(a) == 0
    del a.sent[:]
    harness.advance(60_000)
    assert a.sent == []
    a.device.up(harness.now)
    harness.settle()
    assert types(a)[0] == 1


# Staged packets


def test_packets_of_a_moment_ago_leave_when_the_interface_comes_up():
    """The machine may send before the host has heard that the interface is up."""
    harness, a, b, *_ = pair()
    a.device.down()
    a.transmit(PACKET)
    assert a.sent == []
    a.device.up(harness.now)
    harness.settle()
    assert b.got == [PACKET]


def test_packets_from_before_the_private_key_leave_with_it():
    harness, a, b, *_ = pair()
    a.device.set_private_key(bytes(32), harness.now)
    a.transmit(PACKET)
    assert a.sent == []
    a.device.set_private_key(a.private, harness.now)
    harness.settle()
    assert b.got == [PACKET]


def test_a_kept_path_opens_when_the_private_key_comes():
    """As Linux does: the keepalive of the start could not leave, and no packet waits."""
    harness, a, b, peer_b, _ = pair()
    a.device.set_private_key(bytes(32), harness.now)
    a.device.set_persistent_keepalive(peer_b, 25, harness.now)
    harness.settle()
    assert a.sent == []
    a.device.set_private_key(a.private, harness.now)
    harness.settle()
    assert peer_b.current is not None and peer_b.tx_bytes > 0


def test_staged_packets_all_arrive_in_order():
    harness, a, b, *_ = pair()
    harness.filter = lambda source, destination, datagram: []
    packets = [ipv4(A4, B4, bytes((i,)) * 30) for i in range(15)]
    for packet in packets:
        a.transmit(packet)
    harness.filter = None
    harness.advance(REKEY_TIMEOUT + 333)
    assert b.got == packets


def test_staged_pool_keeps_the_newest():
    harness, a, b, *_ = pair()
    harness.filter = lambda source, destination, datagram: []
    packets = [ipv4(A4, B4, bytes((i,)) * 30) for i in range(40)]
    for packet in packets:
        a.transmit(packet)
    harness.filter = None
    harness.advance(REKEY_TIMEOUT + 333)
    assert b.got == packets[-16:] and a.drop(drops.TX_STAGED) == 24


# Roaming and sources


def test_roaming_on_any_authenticated_packet():
    harness, a, b, peer_b, peer_a = connected()
    a.transmit(PACKET)
    datagram = a.sent[-1][0]
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    b.receive(a.sent[-1][0], ("elsewhere", 7), "other")
    assert peer_a.addr == ("elsewhere", 7) and peer_a.src == "other"
    b.receive(datagram, ("thief", 6))
    assert peer_a.addr == ("elsewhere", 7), "a replay moves nothing"


def test_a_forged_packet_moves_nothing():
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    forged = bytearray(a.sent[-1][0])
    forged[-1] ^= 1
    before = peer_a.current.top
    b.receive(bytes(forged), ("thief", 6))
    assert peer_a.addr == a.addr and peer_a.current.top == before and b.drop(drops.RX_AUTHENTICATION) == 1
    b.receive(a.sent[-1][0], a.addr)
    assert b.got == [PACKET], "the counter of a forgery is still to come"


def test_sources_are_forgotten_with_the_port():
    harness, a, b, peer_b, peer_a = connected()
    assert peer_a.src == "src-a"
    b.device.forget_sources()
    assert peer_a.src is None
    a.transmit(PACKET)
    assert peer_a.src == "src-a", "and learnt again"


def test_sources_are_looked_at_when_routes_change():
    """Once a peer and change, before the next packet to the peer, and not for each packet."""
    harness, a, b, peer_b, peer_a = connected()
    asked = []
    b.source = lambda peer, is_new: asked.append(is_new) or (peer.called_at if answer else None)
    for answer in (True, False):
        b.device.routes_changed()
        b.transmit(BACK, BACK)
        b.transmit(BACK)
        assert asked == [False] and peer_a.src == ("src-a" if answer else None)
        del asked[:]
    a.transmit(PACKET)
    assert asked == [], "it speaks to the address that it spoke to"
    b.receive(a.sent[-1][0], a.addr, "other")
    assert asked == [], "a replay"
    harness.filter = lambda source, destination, datagram: []
    a.transmit(PACKET)
    b.receive(a.sent[-1][0], a.addr, "other")
    assert asked == [True] and peer_a.called_at == "other"


def test_a_first_endpoint_opens_a_kept_path():
    harness, a, b, peer_b, peer_a = pair(b_knows_a=False)
    b.device.set_persistent_keepalive(peer_a, 25, harness.now)
    assert b.sent == []
    b.device.set_endpoint(peer_a, a.addr, harness.now)
    harness.settle()
    assert types(b) == [1, "k"]


def test_source_address_sticks_and_is_given_up():
    harness, a, b, peer_b, peer_a = connected()
    b.transmit(BACK)
    assert b.sent[-1][2] == "src-a"
    b.bad_sources = ("src-a",)
    b.transmit(BACK)
    assert b.sent[-1][2] is None and a.got == [BACK, BACK], "sent again from another source"
    assert peer_a.src is None


def test_retransmission_gives_the_source_up():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_AFTER_TIME)
    harness.filter = lambda source, destination, datagram: []
    a.device.initiate(peer_b, harness.now)
    assert a.sent[-1][2] == "src-b"
    harness.advance(REKEY_TIMEOUT + 333)
    assert a.sent[-1][0][0] == 1 and a.sent[-1][2] is None


# Replayed, early and foreign handshakes


def test_a_replayed_initiation_is_refused():
    harness, a, b, peer_b, peer_a = connected()
    harness.advance(REKEY_AFTER_TIME)
    a.device.initiate(peer_b, harness.now)
    harness.settle()
    initiation = [m for m, *_ in a.sent if m[0] == 1][0]
    harness.advance(1000)
    before = len(b.sent)
    b.receive(initiation, ("thief", 1))
    assert b.drop(drops.HS_REPLAY) == 1 and len(b.sent) == before and peer_a.addr == a.addr


def test_initiations_20_ms_apart():
    harness, a, b, peer_b, peer_a = pair()
    seen = []
    for _ in range(3):
        peer_b.last_sent_handshake = -REKEY_TIMEOUT
        a.clock += 1
        a.device.initiate(peer_b, harness.now)
        harness.settle()
        harness.now += 10
        seen.append(b.drop(drops.HS_FLOOD))
    assert seen == [0, 1, 1]


def test_a_clock_that_is_behind_is_refused_until_it_caught_up():
    harness, a, b, peer_b, peer_a = connected()
    a.clock -= 86_400
    a.device.timestamps.latest[:] = bytes(12)  # as after a reboot
    a.device.down()
    a.device.up(harness.now)
    a.transmit(PACKET)
    assert b.got == [] and b.drop(drops.HS_REPLAY) == 1
    b.transmit(BACK)
    harness.advance(20_000)
    a.transmit(PACKET)
    assert b.got == [PACKET, PACKET], "when the other side begins, its clock counts"


def test_a_clock_stepping_back_in_mid_run_does_no_harm():
    harness, a, b, peer_b, peer_a = connected()
    a.clock -= 86_400
    harness.advance(REKEY_AFTER_TIME)
    a.transmit(PACKET)
    harness.advance(100)
    assert b.got == [PACKET] and peer_b.previous is not None


def test_an_unknown_key_and_a_wrong_mac():
    harness, a, b, peer_b, peer_a = pair()
    stranger = harness.node("s")
    stranger.add(b, ((B4, 32),))
    stranger.transmit(PACKET)
    assert b.drop(drops.HS_UNKNOWN_PEER) == 1 and b.sent == []
    a.transmit(PACKET)
    wrong = bytearray(a.sent[0][0])
    wrong[120] ^= 1
    b.receive(bytes(wrong), a.addr)
    assert b.drop(drops.HS_MAC1) == 1


def test_own_public_key_of_low_order_is_refused():
    """An all-zero shared secret is never used."""
    harness, a, b, *_ = pair()
    peer = a.device.add_peer(bytes(32))
    a.device.set_endpoint(peer, b.addr, harness.now)
    a.device.initiate(peer, harness.now)
    assert a.sent == []


def test_responses_for_nothing():
    harness, a, b, peer_b, peer_a = pair()
    a.transmit(PACKET)
    response = b.sent[0][0]
    a.receive(response, b.addr)
    assert a.drop(drops.HS_RESPONSE) == 1, "the second copy finds no handshake"
    assert peer_b.current is not None


def test_unknown_indices():
    harness, a, b, *_ = connected()
    b.receive(b"\4\0\0\0" + b"\xaa" * 44, a.addr)
    assert b.drop(drops.RX_UNKNOWN_INDEX) == 1


def test_every_size_of_garbage():
    harness, a, b, *_ = connected()
    for type_ in range(6):
        for size in range(1, 200):
            data = (bytes((type_, 0, 0, 0)) + b"\x5a" * size)[:size]
            b.receive(data, ("x", 1))
    b.receive_run(b"\xff" * 65535, 65535)
    assert b.got == [] and sum(b.device.drops) == 6 * 199 + 1


def test_runs_with_short_and_mixed_datagrams():
    """A run under GRO: another index, garbage and a short end in one receive."""
    harness, a, b, peer_b, peer_a = connected()
    harness.filter = lambda source, destination, datagram: []
    a.transmit(*[ipv4(A4, B4, bytes((i,)) * 60) for i in range(4)])
    sealed = [m for m, *_ in a.sent]
    stride = len(sealed[0])
    unknown = b"\4\0\0\0" + b"\xbb" * (stride - 4)
    joined = sealed[0] + b"\xff" * stride + sealed[1] + unknown + sealed[2] + sealed[3] + b"\4\0\0"
    b.receive_run(joined, stride, a.addr)
    assert len(b.got) == 4
    assert b.drop(drops.RX_MALFORMED) == 2 and b.drop(drops.RX_UNKNOWN_INDEX) == 1


# Configuration


def test_new_private_key_lets_sessions_run_out():
    harness, a, b, peer_b, peer_a = connected()
    private, public = key()
    a.device.set_private_key(private, harness.now)
    b.transmit(BACK)
    assert a.got == [BACK], "what arrives under the old key is taken"
    a.transmit(PACKET)
    assert types(a)[-1] == 1 and b.got == []
    assert b.drop(drops.HS_UNKNOWN_PEER) == 1


def test_new_private_key_lets_a_session_run_out_that_is_not_confirmed_yet():
    harness, a, b, peer_b, peer_a = pair()
    held = []
    harness.filter = lambda source, destination, datagram: (
        [datagram] if datagram[0] != 4 else held.append((source, datagram)) or []
    )
    a.transmit(PACKET)
    assert peer_a.next is not None and peer_a.current is None and len(held) == 1
    b.device.set_private_key(key()[0], harness.now)
    source, datagram = held.pop()
    b.receive(datagram, source)
    assert b.got == [PACKET], "what arrives under the old key is taken"
    del b.sent[:]
    harness.filter = None
    b.transmit(BACK)
    assert types(b) == [1], "nothing is sent under it"


def test_same_private_key_changes_nothing():
    harness, a, b, peer_b, peer_a = connected()
    a.device.set_private_key(a.private, harness.now)
    a.transmit(PACKET)
    assert types(a) == [4]


def test_private_key_of_a_peer_removes_the_peer():
    harness, a, b, peer_b, peer_a = pair()
    a.device.set_private_key(b.private, harness.now)
    assert a.device.first is None and a.tables.used == 0


def test_removed_private_key():
    harness, a, b, peer_b, peer_a = pair()
    a.device.set_private_key(bytes(32), harness.now)
    a.transmit(PACKET)
    assert a.sent == []
    b.device.set_endpoint(peer_a, a.addr, harness.now)
    b.transmit(BACK)
    assert a.drop(drops.HS_NO_PRIVATE_KEY) == 1
    a.device.set_private_key(a.private, harness.now)
    harness.settle()  # otherwise both ends can send an initiation in the same ms
    harness.advance(2 * REKEY_TIMEOUT + 700)
    assert BACK in a.got


def test_removal_wipes_and_frees():
    harness, a, b, peer_b, peer_a = connected(psk=b"\xcc" * 32)
    a.device.remove_peer(peer_b)
    assert not any(a.tables.records) and a.tables.indices.used == 0 and a.tables.timers.next() is None
    a.transmit(PACKET)
    assert a.drop(drops.TX_NO_PEER) == 1
    again = a.add(b, ((B4, 32),), psk=b"\xcc" * 32)
    assert again is peer_b, "the entry is used again"
    a.transmit(PACKET)
    assert b.got == []  # an initiation with the same rounded timestamp is not newer
    harness.advance(REKEY_TIMEOUT + 400)
    assert b.got == [PACKET]


def test_full_table():
    harness = Harness()
    a = harness.node("a", peers=2)
    a.device.add_peer(key()[1])
    a.device.add_peer(key()[1])
    try:
        a.device.add_peer(key()[1])
    except TableFull as e:
        assert "2 peers" in str(e)
    else:
        raise AssertionError("a third peer found room for two")


def test_mark_without_endpoint_then_contact():
    """The responder learns the endpoint from the initiation, and answers to it."""
    harness, a, b, peer_b, peer_a = pair(b_knows_a=False)
    a.transmit(PACKET)
    assert peer_a.addr == a.addr
    b.transmit(BACK)
    assert a.got == [BACK]


def test_keys_do_not_show():
    harness, a, b, peer_b, peer_a = connected()
    for thing in (peer_b, peer_b.current, a.device, a.device.identity, a.tables):
        assert a.private.hex() not in repr(thing)
