"""Why a tunnel is down, in sentences, from the status of the daemon (status_model.py) and facts of the machine.

Each rule looks for one cause and adds a sentence with a weight. The cause that explains the most, and is the most certain,
comes first. An object provides the facts of the machine (host_facts.py), so that a rule asks only for those that it needs.
"""

from ..daemon import timestamps
from . import status_model
from .status_model import key_text, span

# Weights: the tunnel cannot work, does not work, perhaps does not work; information
CERTAIN, LIKELY, POSSIBLE, NOTE = 4, 3, 2, 1

# In ms: the time for an answer, and the age at which an event is no evidence any more.
_REPLY_TIMEOUT_MS = 15_000
_FRESH_MS = 180_000
# This many changes of address within RECENT_S are not roaming.
_RESTLESS = 4


class Findings:
    """Sentences with their weights."""

    def __init__(self):
        self._found = []

    def add(self, weight, sentence):
        self._found.append((weight, sentence))

    def sorted(self):
        """Return a list of (weight, sentence), the greatest weight first, otherwise in the order of the rules."""
        # MicroPython's sort is not stable.
        return [found for weight in (CERTAIN, LIKELY, POSSIBLE, NOTE) for found in self._found if found[0] == weight]


def about_interface(interface, host):
    """Return the faults that concern all peers of the interface: a list of (weight, sentence)."""
    found = Findings()
    if interface.state == status_model.DOWN:
        _about_down(found, interface, host)
        return found.sorted()
    if interface.state == status_model.NO_PRIVATE_KEY:
        found.add(CERTAIN, "The interface has no private key, so no handshake is possible. Set one.")
    for sentence in interface.problems:
        found.add(LIKELY, "Problem of the configuration: %s." % sentence)
    if interface.unconfirmed_s is not None:
        found.add(
            NOTE,
            "The configuration is not confirmed. The previous one returns in %s, unless you run `wgembed confirm`."
            % span(interface.unconfirmed_s),
        )
    if interface.is_away:
        found.add(NOTE, "The interface is in another network namespace. Its encrypted packets leave from this one.")
    if not interface.peers:
        found.add(CERTAIN, "The interface has no peers.")
    if interface.clock_behind_s > 60:
        found.add(
            NOTE, "The clock of this machine was set back by %s. Handshakes still work." % span(interface.clock_behind_s)
        )
    for unmatched in interface.unmatched_handshakes:
        if unmatched.age_s <= status_model.RECENT_S and _suspect(interface, unmatched) is None:
            found.add(*_about_unmatched(interface, unmatched))
    if interface.unroutable is not None and interface.unroutable[1] <= status_model.RECENT_S:
        _about_unroutable(found, interface, host)
    return found.sorted()


def _about_down(found, interface, host):
    name, port = interface.name, interface.listen_port
    if interface.is_away:
        found.add(CERTAIN, "The interface is down, in another network namespace. Run `ip link set %s up` there." % name)
        return
    why = host.port_error(port) if port else ""
    if why is None:
        sentence = (
            "The interface is down. Run `ip link set %s up`. If it stays down, another program uses port %d: choose another "
            "listen_port, or stop that program." % (name, port)
        )
    elif why:
        sentence = (
            "The interface is down because port %d cannot be used: %s. Choose another listen_port, or stop the program that "
            "uses the port." % (port, why)
        )
    else:
        sentence = "The interface is down. Run `ip link set %s up`." % name
    found.add(CERTAIN, sentence)


def _about_unroutable(found, interface, host):
    if not any(_is_allowed(interface.unroutable[0], peer, host) for peer in interface.peers):
        found.add(
            LIKELY,
            "Packets to %s are dropped because no peer has this address in its allowed_ips. The last one was %s ago."
            % (interface.unroutable[0], span(interface.unroutable[1])),
        )


def _is_allowed(ip, peer, host):
    """Whether the address is in the peer's allowed IPs now."""
    return any(host.is_within(ip, prefix) for prefix in peer.allowed_ips)


def _about_unmatched(interface, unmatched):
    if unmatched.reason == "unknown_peer":
        return LIKELY, (
            "Handshakes arrive from %s with the unknown public key %s. If this is one of your peers, set its public_key to "
            "that." % (unmatched.endpoint, key_text(unmatched.key))
        )
    return LIKELY, (
        "Handshakes arrive from %s for another public key than ours. On that machine, the public_key of this end must be %s."
        % (unmatched.endpoint, key_text(interface.public_key))
    )


def _host(endpoint):
    return endpoint.rpartition(":")[0]


def _suspect(interface, unmatched):
    """Return the only peer without a session whose endpoint has the address of the handshake; None if there is not one.

    Behind a NAT there can be other devices. So a peer that had a handshake before does not count, unless it does not answer
    now.
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
    """Return the number of initiations without an answer."""
    if peer.has_timed_out:
        return peer.since("initiation_sent", "response_received", "keypair_confirmed", within=status_model.FOREVER)
    return peer.since("initiation_sent", "response_received", "keypair_confirmed", "response_invalid", "cookie_received")


def about_peer(interface, peer, host):
    """Return the faults of the tunnel to the peer, on an interface that is up: a list of (weight, sentence)."""
    found = Findings()
    for rule in _RULES:
        rule(found, interface, peer, host)
    if all(weight == NOTE for weight, _ in found.sorted()):
        # This rule comes last because it sends packets, and they would be evidence for the other rules.
        _mtu(found, interface, peer, host)
    return found.sorted()


# Rules: configuration


def _allowed_ips(found, interface, peer, host):
    lost = [event for event in peer.events if event.name == "allowed_ip_moved"]
    if lost and peer.allowed_ips and lost[-1].age_s > status_model.RECENT_S:
        found.add(NOTE, "Another peer got some of the peer's allowed_ips %s ago." % span(lost[-1].age_s))
    elif lost:
        found.add(
            CERTAIN if not peer.allowed_ips else LIKELY,
            "Another peer has some of the same allowed_ips, and got them. Give each network to one peer only.",
        )
    elif not peer.allowed_ips:
        found.add(CERTAIN, "The peer has no allowed_ips, so no packets can go to it or come from it. Set its allowed_ips.")


def _missing_link(peer, host):
    endpoint = peer.endpoint_host or peer.endpoint
    return host.missing_link(endpoint) if "%" in endpoint else ""


def _endpoint(found, interface, peer, host):
    link = _missing_link(peer, host)
    if link:
        found.add(
            CERTAIN,
            "The link %s of the peer's endpoint %s does not exist. Make this link, or set endpoint_host with another one."
            % (link, peer.endpoint_host or peer.endpoint),
        )
    elif peer.endpoint_host and not peer.endpoint_found and host.is_name(peer.endpoint_host):
        found.add(
            CERTAIN if not peer.endpoint else POSSIBLE,
            "The peer's endpoint_host %s cannot be resolved. Check the DNS of this machine." % _host(peer.endpoint_host),
        )
    elif not peer.endpoint:
        found.add(
            CERTAIN,
            "The peer has no endpoint here, and it has not started a handshake. Set its endpoint_host, or ping "
            "from the peer.",
        )


def _way(found, interface, peer, host):
    """The route to the endpoint, and the error of the kernel for our datagrams."""
    if not peer.endpoint or _missing_link(peer, host):
        return
    if host.leads_into_tunnel(interface, peer.endpoint):
        found.add(
            CERTAIN,
            "The route to the peer's endpoint %s leads into %s itself. Add a host route, or set nohostroute '0'."
            % (peer.endpoint, interface.name),
        )
        return
    errno = interface.send_error(peer)
    if errno:
        found.add(CERTAIN, "Datagrams to %s cannot be sent: %s." % (peer.endpoint, host.explain(errno)))


def _taken(found, interface, peer, host):
    """Networks of the peer that this machine reaches elsewhere."""
    taken = host.taken_by(interface, peer)
    if taken is not None:
        found.add(
            POSSIBLE,
            "The route to %s leads to %s, so packets to this network do not go into %s. Give one of the two networks "
            "another address, or take it out of the peer's allowed_ips." % (taken + (interface.name,)),
        )


# Handshakes


def _invalid_response(found, interface, peer, host):
    if peer.has_invalid_response:
        found.add(CERTAIN, "The peer answers, but its answer cannot be decrypted. Set the same preshared_key at both ends.")


def _unconfirmed(found, interface, peer, host):
    if not peer.is_unconfirmed:
        return
    found.add(
        LIKELY,
        "The peer started %d handshakes and used none of our answers. Set the same preshared_key at both ends. If it is the "
        "same, our answers do not reach the peer: check the firewalls."
        % peer.since("initiation_received", "keypair_confirmed", "response_received"),
    )


def _replayed_initiation(found, interface, peer, host):
    # A single one can be a datagram that the network has duplicated.
    if peer.since("initiation_replayed", "initiation_received", "keypair_confirmed", "response_received") > 1:
        found.add(
            CERTAIN,
            "The peer's handshake timestamps went backwards: its clock was reset, or two devices share its key. Set its "
            "clock, or restart the tunnel here.",
        )


def _under_load(found, interface, peer, host):
    if peer.since("cookie_received", "response_received", "keypair_confirmed"):
        found.add(
            LIKELY, "The peer is under load and answers with cookies. The handshake takes longer, and continues by itself."
        )


def _no_answer(found, interface, peer, host):
    for unmatched in interface.unmatched_handshakes:
        is_here = peer.endpoint and _host(unmatched.endpoint) == _host(peer.endpoint)
        if is_here and unmatched.age_s <= status_model.RECENT_S and _suspect(interface, unmatched) is peer:
            _unmatched_at_endpoint(found, interface, peer, unmatched)
            return
    sent = _unanswered(peer)
    if sent < 2 or peer.has_invalid_response or not peer.endpoint or interface.send_error(peer):
        return
    if host.leads_into_tunnel(interface, peer.endpoint) or _missing_link(peer, host):
        return
    refusal = host.refusal(interface, peer.endpoint)
    if refusal:
        found.add(CERTAIN, "The peer's endpoint %s cannot be reached: %s." % (peer.endpoint, refusal))
        return
    if host.time() < timestamps.CLOCK_UNSET:
        found.add(
            LIKELY,
            "The clock of this machine was never set. A peer does not answer handshakes older than the last one that "
            "it accepted.",
        )
    found.add(
        LIKELY,
        "The peer does not answer at %s, after %d handshakes. Check the address, the port and the firewalls. Also check the "
        "keys: here the peer's public_key is %s, and there the public_key of this end must be %s."
        % (peer.endpoint, sent, key_text(peer.public_key), key_text(interface.public_key)),
    )


def _unmatched_at_endpoint(found, interface, peer, unmatched):
    if unmatched.reason == "unknown_peer":
        found.add(
            CERTAIN,
            "Handshakes from the peer's endpoint have the public key %s, but here the peer has %s. Correct the wrong one."
            % (key_text(unmatched.key), key_text(peer.public_key)),
        )
    else:
        found.add(
            CERTAIN,
            "Handshakes from the peer's endpoint are for another public key than ours. On the peer, the "
            "public_key of this end must be %s." % key_text(interface.public_key),
        )


# Sessions


def _no_reply(found, interface, peer, host):
    """Data was sent in this session, but no data came back."""
    if peer.session_age_ms is None or peer.last_data_tx_ms is None or peer.last_data_tx_ms > _FRESH_MS:
        return
    unanswered = [event for event in peer.events if event.name == "no_reply" and event.age_s <= status_model.RECENT_S]
    since = sum([event.count for event in unanswered if _is_later(event.age_s, peer.last_data_rx_ms)])
    # A single answer can be lost; then the next handshake solves the problem.
    if (since > 1 or since and peer.last_data_rx_ms is None) and _is_all_silent(peer):
        found.add(
            LIKELY if since > 1 else POSSIBLE,
            "Handshakes succeed, but no data comes back: a firewall or NAT on the path drops it. Try "
            "persistent_keepalive '25', or another port.",
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
            "The peer receives our packets but sends nothing back. On the peer, check the return route, the firewall, and "
            "that its allowed_ips contain our tunnel address.",
        )


def _is_fresh(age_ms):
    return age_ms is not None and age_ms <= _FRESH_MS


def _is_long_before(age_ms, other_ms):
    """Whether the event never happened, or too long before the other one to belong to the same exchange. Ages in ms."""
    return age_ms is None or age_ms - other_ms > _FRESH_MS


def _is_later(age_s, other_ms):
    return other_ms is None or age_s * 1000 <= other_ms


def _is_all_silent(peer):
    """Whether nothing arrived after the handshake itself."""
    return peer.last_rx_ms is None or peer.last_rx_ms >= peer.session_age_ms - 1000


def _no_reply_of_ours(found, interface, peer, host):
    if _is_fresh(peer.last_data_rx_ms) and _is_long_before(peer.last_data_tx_ms, peer.last_data_rx_ms):
        found.add(
            POSSIBLE,
            "The peer's packets arrive, but this machine sends nothing back. Check the firewall here, that the destination "
            "answers, and that the route to the peer leads into %s." % interface.name,
        )


def _source_not_allowed(found, interface, peer, host):
    dropped = interface.source_not_allowed
    if dropped is None or dropped[2] != peer.public_key or dropped[1] > status_model.RECENT_S:
        return
    if not _is_allowed(dropped[0], peer, host):
        found.add(
            LIKELY, "Packets of the peer from %s are dropped because this address is not in its allowed_ips." % dropped[0]
        )


def _two_places(found, interface, peer, host):
    moves = sum([event.count for event in peer.events if event.name == "roamed" and event.age_s <= status_model.RECENT_S])
    if moves >= _RESTLESS:
        found.add(
            LIKELY,
            "The peer's address changed %d times in the last minutes: two devices use the same private key (give each its "
            "own), or the uplink of the peer keeps changing." % moves,
        )


def _segments(found, interface, peer, host):
    if status_model.segmented_sends(peer) == "lost":
        found.add(
            NOTE,
            "Several datagrams in one send (UDP GSO) do not reach the peer, single ones do. They leave one by one, which "
            "is slower. Update the kernel or the driver of the link, or set gso '0'.",
        )


def _mtu(found, interface, peer, host):
    best = host.best_mtu(interface, peer.endpoint) if peer.endpoint else 0
    if best and interface.mtu > best:
        found.add(
            LIKELY,
            "MTU %d is too large for the path to the peer's endpoint. Set option mtu '%d' or less." % (interface.mtu, best),
        )
        return
    # Without recent data, no large packet was lost, and pings without an answer would become evidence for the next run.
    if peer.session_age_ms is None or peer.has_invalid_response or not _is_fresh(peer.last_data_rx_ms):
        return
    size = host.largest_packet(interface, peer)
    if size and size < interface.mtu:
        found.add(
            LIKELY,
            "Packets of more than %d bytes are lost on the path, without an ICMP error. Set option mtu '%d' at both ends."
            % (size, size),
        )


_RULES = (
    _allowed_ips, _endpoint, _way, _invalid_response, _replayed_initiation, _unconfirmed, _under_load, _no_answer,
    _no_reply, _no_reply_of_ours, _source_not_allowed, _two_places, _taken, _segments,
)  # fmt: skip
