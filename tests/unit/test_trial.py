"""A handshake through another endpoint, beside the session."""

from wgembed.protocol import drops, trial
from wgembed.protocol.constants import NEVER, REKEY_AFTER_TIME, REKEY_TIMEOUT

from .harness import BACK, PACKET, connected, indices, types

OTHER = ("b2", 51820)


def two_addresses(harness, b):
    """Let node b have a second address, and send from the one that the last datagram came to, as a sticky source does."""
    harness.nodes[OTHER] = b
    harness.from_other = False

    def through(source, destination, datagram):
        if destination == OTHER:
            harness.from_other = True
        elif destination == b.addr:
            harness.from_other = False
        return [datagram]

    harness.filter = through
    carry = harness.carry
    harness.carry = lambda source, destination, datagram, tos: carry(
        OTHER if source == b.addr and harness.from_other else source, destination, datagram, tos
    )


def ready(accepts):
    """Return a connected pair whose node b has two addresses. Node a moves if `accepts`."""
    harness, a, b, peer_b, peer_a = connected()
    two_addresses(harness, b)
    harness.advance(REKEY_TIMEOUT)
    a.trials = []

    def answered(peer, now):
        a.trials.append(now)
        return accepts

    a.trial_answered = answered
    return harness, a, b, peer_b, peer_a


def test_an_answer_changes_nothing():
    harness, a, b, peer_b, peer_a = ready(False)
    session, addr = peer_b.current, peer_b.addr
    assert trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.settle()
    assert len(a.trials) == 1 and types(a) == [1, "k"] and a.sent[0][1] == OTHER and a.sent[1][1] == addr
    assert peer_b.current is session and peer_b.addr == addr and not peer_b.retransmit_at
    a.transmit(PACKET)
    b.transmit(BACK)
    assert b.got == [PACKET] and a.got == [BACK] and peer_b.addr == addr
    trial.end(peer_b)
    assert peer_b.trial is None and indices(a) == 1


def test_packets_from_there_do_not_move_the_endpoint_meanwhile():
    harness, a, b, peer_b, peer_a = ready(False)
    addr = peer_b.addr
    trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.from_other = True
    b.transmit(BACK)
    assert a.got == [BACK] and peer_b.addr == addr
    trial.end(peer_b)
    harness.from_other = True
    b.transmit(BACK)
    assert peer_b.addr == OTHER, "later, the endpoint follows the peer as always"


def test_the_move_loses_nothing():
    harness, a, b, peer_b, peer_a = ready(True)
    trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.settle()
    assert peer_b.addr == OTHER and peer_b.trial is None
    a.transmit(PACKET)
    b.transmit(BACK)
    assert b.got == [PACKET] and a.got == [BACK] and a.sent[-1][1] == OTHER


def test_no_answer_costs_nothing():
    harness, a, b, peer_b, peer_a = ready(True)
    harness.filter = lambda source, destination, datagram: [] if destination == OTHER else [datagram]
    trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.settle()
    assert a.trials == [] and not peer_b.retransmit_at and not peer_b.unanswered
    a.transmit(PACKET)
    assert b.got == [PACKET]
    trial.end(peer_b)
    assert peer_b.handshake_index is None and indices(a) == 1
    harness.advance(REKEY_AFTER_TIME)
    a.transmit(PACKET)
    a.transmit(PACKET)
    assert types(a).count(1) == 2, "the session is renewed as always"


def test_a_handshake_ends_the_trial():
    harness, a, b, peer_b, peer_a = ready(True)
    harness.filter = lambda source, destination, datagram: [] if destination == OTHER else [datagram]
    trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.advance(REKEY_TIMEOUT)
    a.device.initiate(peer_b, harness.now)
    assert peer_b.trial is None
    harness.settle()
    assert a.trials == [] and peer_b.addr == b.addr
    harness.advance(REKEY_TIMEOUT)
    trial.begin(a.device, peer_b, OTHER, harness.now)
    b.device.initiate(peer_a, harness.now)
    harness.settle()
    assert peer_b.trial is None and b.got == [] and indices(a) <= 3
    a.transmit(PACKET)
    assert b.got == [PACKET]


def test_not_beside_a_handshake():
    harness, a, b, peer_b, peer_a = ready(True)
    a.device.initiate(peer_b, harness.now)
    harness.filter = lambda source, destination, datagram: []
    assert not trial.begin(a.device, peer_b, OTHER, harness.now), "just now there was a handshake"
    harness.advance(REKEY_TIMEOUT - 1)
    assert not trial.begin(a.device, peer_b, OTHER, harness.now), "it is going on"


def test_without_a_session():
    harness, a, b, peer_b, peer_a = ready(False)
    harness.advance(10 * REKEY_AFTER_TIME)
    del a.sent[:]
    assert trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.settle()
    assert len(a.trials) == 1 and types(a) == [1] and peer_b.current is None and not peer_b.retransmit_at


def test_an_interface_that_goes_down_ends_the_trial():
    harness, a, b, peer_b, peer_a = ready(True)
    trial.begin(a.device, peer_b, OTHER, harness.now)
    a.device.down()
    assert peer_b.trial is None and indices(a) == 0
    assert not trial.begin(a.device, peer_b, OTHER, harness.now)


def test_the_endpoint_that_was_left_is_not_followed():
    """It can be another machine with the same key, which does not know of the move."""
    harness, a, b, peer_b, peer_a = ready(True)
    before = peer_b.addr
    trial.begin(a.device, peer_b, OTHER, harness.now)
    harness.settle()
    assert peer_b.addr == OTHER
    peer_b.left = before
    harness.advance(REKEY_TIMEOUT)
    harness.from_other = False
    b.transmit(BACK)
    assert a.got[-1] == BACK and peer_b.addr == OTHER, "the packet is taken, and leads nowhere"
    flood = a.drop(drops.HS_FLOOD)
    harness.from_other = False
    b.device.initiate(peer_a, harness.now)
    harness.settle()
    assert peer_b.addr == OTHER and a.drop(drops.HS_FLOOD) == flood + 1 and peer_b.next is None
    peer_b.left = None
    harness.advance(REKEY_TIMEOUT)
    harness.from_other = False
    peer_a.last_sent_handshake = NEVER
    b.device.initiate(peer_a, harness.now)
    harness.settle()
    assert peer_b.addr == before, "when the endpoint in use does not answer, any is welcome"
