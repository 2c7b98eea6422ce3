"""Our own datagrams that come back as packets are dropped, and no other packets are."""

from wgembed.protocol import drops
from wgembed.protocol.constants import REKEY_TIMEOUT

from .harness import A4, A6, B4, PACKET, connected, ipv4, ipv6, pair

# The endpoint of the peer is a name here. The allowed IPs route every address in a packet to the peer.
OUTSIDE4, OUTSIDE6 = b"\xc0\0\2\2", b"\xfc" + bytes(14) + b"\2"


def udp(message, ipv6_too=False, source=51820):
    """A datagram with the message, as it comes back from the machine."""
    size = len(message) + 8
    header = bytes((source >> 8, source & 255, 0, 7, size >> 8, size & 255, 0, 0))
    return ipv6(A6, OUTSIDE6, header + message) if ipv6_too else ipv4(A4, OUTSIDE4, header + message)


def everything(a, peer):
    a.device.allow(peer, bytes(4), 0, a.harness.now)
    a.device.allow(peer, bytes(16), 0, a.harness.now)


def test_data_goes_round_once():
    for ipv6_too in (False, True):
        harness, a, b, peer_b, peer_a = connected()
        everything(a, peer_b)
        a.transmit(PACKET)
        message = a.sent[-1][0]
        sent = len(a.sent)
        a.transmit(udp(message, ipv6_too))
        assert a.drop(drops.TX_LOOP) == 1 and len(a.sent) == sent


def test_data_under_the_key_before_as_well():
    harness, a, b, peer_b, peer_a = connected()
    everything(a, peer_b)
    a.transmit(PACKET)
    old = a.sent[-1][0]
    harness.advance(121_000)
    a.transmit(PACKET)
    assert peer_b.previous is not None
    a.transmit(udp(old))
    assert a.drop(drops.TX_LOOP) == 1


def test_an_initiation_goes_round_once():
    harness, a, b, peer_b, peer_a = pair()
    harness.filter = lambda source, destination, datagram: []
    everything(a, peer_b)
    a.transmit(PACKET)
    a.transmit(udp(a.sent[-1][0]))
    assert a.drop(drops.TX_LOOP) == 1 and peer_b.tables.staged.count(peer_b.number) == 1


def test_in_a_batch_the_others_leave():
    harness, a, b, peer_b, peer_a = connected()
    everything(a, peer_b)
    a.transmit(PACKET)
    a.transmit(PACKET, udp(a.sent[-1][0]), PACKET)
    assert a.drop(drops.TX_LOOP) == 1 and b.got == [PACKET] * 3


def test_behind_others_to_the_same_address_as_well():
    """Other packets to the host of the endpoint are in one run with our datagrams to it."""
    for ipv6_too in (False, True):
        harness, a, b, peer_b, peer_a = connected()
        everything(a, peer_b)
        b.device.allow(peer_a, bytes(4), 0, harness.now)
        b.device.allow(peer_a, bytes(16), 0, harness.now)
        a.transmit(PACKET)
        outside = OUTSIDE6 if ipv6_too else OUTSIDE4
        a.address_bytes = lambda addr, ip=outside: ip + b"\0\7"
        # The same address, but another object, so `address_bytes` is called again.
        a.device.set_endpoint(peer_b, peer_b.addr[:1] + peer_b.addr[1:], harness.now)
        theirs, ours = udp(b"theirs", ipv6_too), udp(a.sent[-1][0], ipv6_too)
        a.transmit(theirs, ours, ours, theirs)
        assert a.drop(drops.TX_LOOP) == 2 and b.got[1:] == [theirs, theirs]


def test_other_peoples_tunnels_pass():
    """A machine behind this router has its own WireGuard, also with the same endpoint."""
    harness, a, b, peer_b, peer_a = connected()
    everything(a, peer_b)
    b.device.allow(peer_a, bytes(4), 0, harness.now)
    a.transmit(PACKET)
    message = bytearray(a.sent[-1][0])
    message[4] ^= 1
    theirs = [udp(bytes(message)), udp(b"\1\0\0\0" + bytes(144)), udp(b"\4\0\0"), udp(b""), udp(b"\4" + bytes(40))]
    for packet in theirs:
        a.transmit(packet)
    assert a.drop(drops.TX_LOOP) == 0 and b.got[0] == PACKET and b.got[1:] == theirs


def test_a_session_that_is_gone_claims_nothing():
    harness, a, b, peer_b, peer_a = connected()
    everything(a, peer_b)
    a.transmit(PACKET)
    message = a.sent[-1][0]
    a.device.down()
    a.device.up(harness.now)
    harness.advance(REKEY_TIMEOUT)
    a.transmit(udp(message))
    assert a.drop(drops.TX_LOOP) == 0


def test_short_packets_and_options():
    harness, a, b, peer_b, peer_a = connected()
    everything(a, peer_b)
    header = bytearray(ipv4(A4, B4, b""))
    for length in (5, 15):
        packet = bytearray(header)
        packet[0] = 0x40 | length
        a.transmit(bytes(packet))
    assert a.drop(drops.TX_LOOP) == 0
