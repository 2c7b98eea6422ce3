"""Why a tunnel is down, in sentences: from what the daemon tells (status_model.py) and what the machine looks like.

Each rule looks at one cause and adds what it finds, with a weight: what explains the most, and is the least doubtful,
comes first. Facts of the machine come from an object (host_facts.py): a rule asks only what it needs.
"""

from ..daemon import timestamps
from . import status_model
from .status_model import key_text, span

# Weights: it cannot work; it does not; it may not; good to know
CERTAIN, LIKELY, POSSIBLE, NOTE = 4, 3, 2, 1

# Times in ms: what was sent so long ago should have had an answer; and what is so old is no evidence any more.
_REPLY_TIMEOUT_MS = 15_000
_FRESH_MS = 180_000
# So many changes of address within RECENT_S are no roaming.
_RESTLESS = 4


class Findings:
    """Sentences with their weights."""

    def __init__(self):
        self._found = []

    def add(self, weight, sentence):
        self._found.append((weight, sentence))

    def sorted(self):
        """Return (weight, sentence), the heaviest first, otherwise in the order of the rules."""
        # MicroPython's own sort would not keep that order.
        return [found for weight in (CERTAIN, LIKELY, POSSIBLE, NOTE) for found in self._found if found[0] == weight]


def about_interface(interface, host):
    """Return what is wrong with the interface, whoever the peer: a list of (weight, sentence)."""
    found = Findings()
    if interface.state == status_model.DOWN:
        found.add(CERTAIN, "the interface is down: take it up with `ip link set %s up`" % interface.name)
        return found.sorted()
    if interface.state == status_model.NO_PRIVATE_KEY:
        found.add(CERTAIN, "the interface has no private key: no handshake can begin or be answered")
    if not interface.peers:
        found.add(CERTAIN, "the interface has no peers")
    if interface.clock_behind_s > 60:
        found.add(NOTE, "this machine's clock was set back by %s: handshakes go on" % span(interface.clock_behind_s))
    for unmatched in interface.unmatched_handshakes:
        if unmatched.age_s <= status_model.RECENT_S and _suspect(interface, unmatched) is None:
            found.add(*_about_unmatched(interface, unmatched))
    if interface.unroutable is not None and interface.unroutable[1] <= status_model.RECENT_S:
        _about_unroutable(found, interface, host)
    return found.sorted()


def _about_unroutable(found, interface, host):
    if not any(_is_allowed(interface.unroutable[0], peer, host) for peer in interface.peers):
        found.add(
            LIKELY,
            "packets to %s were refused, the last one %s ago: it is in no peer's allowed_ips"
            % (interface.unroutable[0], span(interface.unroutable[1])),
        )


def _is_allowed(ip, peer, host):
    """Whether the address is in the peer's allowed IPs by now."""
    return any(host.is_within(ip, prefix) for prefix in peer.allowed_ips)


def _about_unmatched(interface, unmatched):
    if unmatched.reason == "unknown_peer":
        return LIKELY, "%s calls with the public key %s, which no peer has: if that is a peer, give it this public_key" % (
            unmatched.endpoint,
            key_text(unmatched.key),
        )
    return LIKELY, "%s sends handshakes for another public key than ours: over there, this end's public key must be %s" % (
        unmatched.endpoint,
        key_text(interface.public_key),
    )


def _host(endpoint):
    return endpoint.rpartition(":")[0]


def _suspect(interface, unmatched):
    """Return the one peer without a session whose endpoint is where the handshake came from; None if there is not one.

    Behind a NAT there may be others: a peer that was here with the right key is not meant, unless it does not answer now.
    """
    found = [
        peer
        for peer in interface.peers
        if peer.session_age_ms is None
        and peer.endpoint
        and _host(peer.endpoint) == _host(unmatched.endpoint)
        and (not peer.latest_handshake or _unanswered(peer) > 1)
    ]
    return found[0] if len(found) == 1 else None


def _unanswered(peer):
    """Return how many initiations had no answer."""
    if peer.has_timed_out:
        return peer.since("initiation_sent", "response_received", "keypair_confirmed", within=status_model.FOREVER)
    return peer.since("initiation_sent", "response_received", "keypair_confirmed", "response_invalid", "cookie_received")


def about_peer(interface, peer, host):
    """Return what is wrong with the tunnel to the peer of an interface that is up: a list of (weight, sentence)."""
    found = Findings()
    for rule in _RULES:
        rule(found, interface, peer, host)
    if all(weight == NOTE for weight, _ in found.sorted()):
        # Last, for it sends packets of its own, which are evidence to whoever looks next.
        _mtu(found, interface, peer, host)
    return found.sorted()


# Rules. What is configured


def _allowed_ips(found, interface, peer, host):
    lost = [event for event in peer.events if event.name == "allowed_ip_moved"]
    if lost and peer.allowed_ips and lost[-1].age_s > status_model.RECENT_S:
        found.add(NOTE, "another peer got some of the same allowed_ips, %s ago" % span(lost[-1].age_s))
    elif lost:
        found.add(
            CERTAIN if not peer.allowed_ips else LIKELY,
            "another peer has some of the same allowed_ips, and got them: an address can lead to one peer only",
        )
    elif not peer.allowed_ips:
        found.add(CERTAIN, "it has no allowed_ips: nothing goes to it, and nothing is taken from it")


def _endpoint(found, interface, peer, host):
    if peer.endpoint_host and not peer.endpoint_found and host.is_name(peer.endpoint_host):
        found.add(
            CERTAIN if not peer.endpoint else POSSIBLE,
            "the name of its endpoint, %s, cannot be resolved: check the machine's DNS" % _host(peer.endpoint_host),
        )
    elif not peer.endpoint:
        found.add(
            CERTAIN,
            "it has no endpoint, so it must call first, and has not: set its endpoint here, or have it send something",
        )


def _way(found, interface, peer, host):
    """The endpoint's route, and what the kernel says to our datagrams."""
    if not peer.endpoint:
        return
    if host.leads_into_tunnel(interface, peer.endpoint):
        found.add(
            CERTAIN,
            "the route to its endpoint %s leads into %s itself: a host route, or nohostroute '0', keeps it outside"
            % (peer.endpoint, interface.name),
        )
        return
    errno = interface.send_error(peer)
    if errno:
        found.add(CERTAIN, "datagrams to %s cannot be sent: %s" % (peer.endpoint, host.explain(errno)))


# Handshakes


def _invalid_response(found, interface, peer, host):
    if peer.has_invalid_response:
        found.add(CERTAIN, "it answers, but its answer does not open: the preshared_key of the two ends differs")


def _unconfirmed(found, interface, peer, host):
    if not peer.is_unconfirmed:
        return
    found.add(
        LIKELY,
        "it calls again and again, %d times now, and does not go on after our answer: either the preshared_key of the "
        "two ends differs, or our answers do not reach it"
        % peer.since("initiation_received", "keypair_confirmed", "response_received"),
    )


def _replayed_initiation(found, interface, peer, host):
    # One alone may be a datagram that the network has doubled.
    if peer.since("initiation_replayed", "initiation_received", "keypair_confirmed", "response_received") > 1:
        found.add(
            CERTAIN,
            "its handshakes are older than its last one that was taken: its clock was set back, or two devices use its key; "
            "set its clock, or restart the tunnel here",
        )


def _under_load(found, interface, peer, host):
    if peer.since("cookie_received", "response_received", "keypair_confirmed"):
        found.add(LIKELY, "it is under load and answers with cookies: the handshake takes longer, and goes on by itself")


def _no_answer(found, interface, peer, host):
    for unmatched in interface.unmatched_handshakes:
        is_here = peer.endpoint and _host(unmatched.endpoint) == _host(peer.endpoint)
        if is_here and unmatched.age_s <= status_model.RECENT_S and _suspect(interface, unmatched) is peer:
            _unmatched_at_endpoint(found, interface, peer, unmatched)
            return
    sent = _unanswered(peer)
    if sent < 2 or peer.has_invalid_response or not peer.endpoint or interface.send_error(peer):
        return
    if host.leads_into_tunnel(interface, peer.endpoint):
        return
    refusal = host.refusal(interface, peer.endpoint)
    if refusal:
        found.add(CERTAIN, "nobody is at its endpoint %s: %s" % (peer.endpoint, refusal))
        return
    if host.time() < timestamps.CLOCK_UNSET:
        found.add(
            LIKELY,
            "this machine's clock was never set, and a peer does not answer handshakes older than the last one it took",
        )
    found.add(
        LIKELY,
        "%s does not answer, %d handshakes so far: a firewall or another address (is it the right port?), or the keys: its "
        "public key here is %s, and ours over there must be %s"
        % (peer.endpoint, sent, key_text(peer.public_key), key_text(interface.public_key)),
    )


def _unmatched_at_endpoint(found, interface, peer, unmatched):
    if unmatched.reason == "unknown_peer":
        found.add(
            CERTAIN,
            "who calls from its endpoint has the public key %s, and here it is %s: correct the one that is wrong"
            % (key_text(unmatched.key), key_text(peer.public_key)),
        )
    else:
        found.add(
            CERTAIN,
            "who calls from its endpoint does so for another public key than ours: over there, this end's public key must "
            "be %s" % key_text(interface.public_key),
        )


# Sessions


def _no_reply(found, interface, peer, host):
    """Something was sent in this session, and what came back?"""
    if peer.session_age_ms is None or peer.last_data_tx_ms is None or peer.last_data_tx_ms > _FRESH_MS:
        return
    unanswered = [event for event in peer.events if event.name == "no_reply" and event.age_s <= status_model.RECENT_S]
    since = sum([event.count for event in unanswered if _is_later(event.age_s, peer.last_data_rx_ms)])
    # One answer may be lost, and the handshake that follows be the end of it.
    if (since > 1 or since and peer.last_data_rx_ms is None) and _is_all_silent(peer):
        found.add(
            LIKELY if since > 1 else POSSIBLE,
            "handshakes succeed, and nothing comes back in the tunnel: a firewall or NAT on the way lets no data through; "
            "try persistent_keepalive '25', or another port",
        )
    elif (
        not unanswered
        and peer.session_age_ms >= _REPLY_TIMEOUT_MS
        and _is_long_before(peer.last_data_rx_ms, peer.last_data_tx_ms)
        and not _is_all_silent(peer)
        and not host.answers(interface, peer)
    ):
        found.add(
            POSSIBLE,
            "it hears us and sends no data back: over there a route into the tunnel is missing, a firewall is in the way, "
            "or its allowed_ips for this end do not hold the address that we send from",
        )


def _is_fresh(age_ms):
    return age_ms is not None and age_ms <= _FRESH_MS


def _is_long_before(age_ms, other_ms):
    """Whether the one was never, or so long before the other that it was no part of the same exchange."""
    return age_ms is None or age_ms - other_ms > _FRESH_MS


def _is_later(age_s, other_ms):
    return other_ms is None or age_s * 1000 <= other_ms


def _is_all_silent(peer):
    """Whether nothing was heard after the handshake itself."""
    return peer.last_rx_ms is None or peer.last_rx_ms >= peer.session_age_ms - 1000


def _no_reply_of_ours(found, interface, peer, host):
    if _is_fresh(peer.last_data_rx_ms) and _is_long_before(peer.last_data_tx_ms, peer.last_data_rx_ms):
        found.add(
            POSSIBLE,
            "its packets come, and this machine sends none back: a firewall here, nobody who answers, or a route to it "
            "that does not lead into %s" % interface.name,
        )


def _source_not_allowed(found, interface, peer, host):
    dropped = interface.source_not_allowed
    if dropped is None or dropped[2] != peer.public_key or dropped[1] > status_model.RECENT_S:
        return
    if not _is_allowed(dropped[0], peer, host):
        found.add(LIKELY, "it sends packets from %s, which is not in its allowed_ips: they are dropped" % dropped[0])


def _two_places(found, interface, peer, host):
    moves = sum([event.count for event in peer.events if event.name == "roamed" and event.age_s <= status_model.RECENT_S])
    if moves >= _RESTLESS:
        found.add(
            LIKELY,
            "its address changed %d times lately: two devices use the same private key (give each its own), or its own way "
            "out keeps changing" % moves,
        )


def _mtu(found, interface, peer, host):
    best = host.best_mtu(interface, peer.endpoint) if peer.endpoint else 0
    if best and interface.mtu > best:
        found.add(
            LIKELY,
            "MTU %d is too much for the way to its endpoint: `option mtu '%d'` is the most" % (interface.mtu, best),
        )
        return
    # Where nothing large can have been lost nobody is woken. What he leaves without an answer would be a sign to the next.
    if peer.session_age_ms is None or peer.has_invalid_response or not _is_fresh(peer.last_data_rx_ms):
        return
    size = host.largest_packet(interface, peer)
    if size and size < interface.mtu:
        found.add(
            LIKELY,
            "packets of more than %d bytes do not arrive, and nobody says so: set `option mtu '%d'` at both ends"
            % (size, size),
        )


_RULES = (
    _allowed_ips, _endpoint, _way, _invalid_response, _replayed_initiation, _unconfirmed, _under_load, _no_answer,
    _no_reply, _no_reply_of_ours, _source_not_allowed, _two_places,
)  # fmt: skip
