'use strict';
'require baseclass';
'require wgembed.state as state';
'require wgembed.values as values';

/* Why a tunnel is down, in sentences: the rules of wgembed/commands/diagnosis.py that need only the status of the daemon.
   `wgembed diagnose` knows more, because it also checks routes and sends probes. tests/luci/test_rules.py compares both. */

/* Weights: the tunnel cannot work, does not work, perhaps does not work; information */
const CERTAIN = 4, LIKELY = 3, POSSIBLE = 2, NOTE = 1;

/* The age at which an event is no evidence any more, in ms. */
const FRESH_MS = 180000;
/* A clock before this (2025-01-01) was never set. */
const CLOCK_UNSET = 1735689600;
/* This many changes of address within state.RECENT_S are not roaming. */
const RESTLESS = 4;
/* Two numbers if MIPS has another one. (97 is EMSGSIZE there, which our sockets hardly ever get.) */
const ERRORS = [
	[ [ 1 ], () => _('a firewall on this machine drops them') ],
	[ [ 13 ], () => _('a firewall on the path or on this machine rejects them') ],
	[ [ 101, 128 ], () => _('there is no route') ],
	[ [ 113, 148 ], () => _('there is no route, or the host does not answer on its network') ],
	[ [ 111, 146 ], () => _('no program listens on the port (port unreachable)') ],
	[ [ 90 ], () => _('they are too large for the link') ],
	[ [ 99, 125, 97, 124 ], () => _('this machine has no address of this IP version') ],
	[ [ 22 ], () => _('the kernel does not accept the address') ]
];
/* The names of the C library for other errors of sending. */
const NAMES = [
	[ [ 5 ], 'Input/output error' ],
	[ [ 12 ], 'Cannot allocate memory' ],
	[ [ 19 ], 'No such device' ],
	[ [ 100, 127 ], 'Network is down' ],
	[ [ 110, 145 ], 'Connection timed out' ]
];

function host(endpoint) {
	return endpoint.slice(0, Math.max(endpoint.lastIndexOf(':'), 0));
}

function isName(endpoint) {
	return !values.isAddress(host(endpoint).replace(/^\[|\]$/g, '').split('%')[0]);
}

function explain(errno) {
	return ERRORS.find(([ numbers ]) => numbers.includes(errno))?.[1]() ??
		`${NAMES.find(([ numbers ]) => numbers.includes(errno))?.[1] ?? `Unknown error ${errno}`} (${errno})`;
}

/* The only peer without a session whose endpoint has the address of the handshake; null if there is not one. Behind a NAT
   there can be other devices. So a peer that had a handshake before does not count, unless it does not answer now. */
function suspect(iface, one) {
	const found = iface.peers.filter((peer) => peer.session_age_ms === null && peer.endpoint &&
		host(peer.endpoint) === host(one.endpoint) && (!peer.latest_handshake || state.unanswered(peer) > 1));

	return found.length === 1 ? found[0] : null;
}

/* Whether the address is in the peer's allowed IPs now. */
function isAllowed(address, peer) {
	return peer.allowed_ips.some((network) => values.isInside(address, network));
}

function sorted(found) {
	return [ CERTAIN, LIKELY, POSSIBLE, NOTE ].flatMap((weight) => found.filter((one) => one.weight === weight));
}

/* Rules: each returns [ weight, sentence ], or nothing */

function unmatched(iface, one) {
	if (one.reason === 'unknown_peer')
		return [ LIKELY, _('Handshakes arrive from %s with the unknown public key %s. If this is one of your peers, set its public_key to that.')
			.format(one.endpoint, state.keyText(one.key)) ];
	return [ LIKELY, _('Handshakes arrive from %s for another public key than ours. On that machine, the public_key of this end must be %s.')
		.format(one.endpoint, state.keyText(iface.public_key)) ];
}

function allowedIps(iface, peer) {
	const lost = peer.events.filter((event) => event.name === 'allowed_ip_moved').pop();

	if (lost && peer.allowed_ips.length && lost.age_s > state.RECENT_S)
		return [ NOTE, _("Another peer got some of the peer's allowed_ips %s ago.").format(state.span(lost.age_s)) ];
	if (lost)
		return [ peer.allowed_ips.length ? LIKELY : CERTAIN,
			_('Another peer has some of the same allowed_ips, and got them. Give each network to one peer only.') ];
	if (!peer.allowed_ips.length)
		return [ CERTAIN, _('The peer has no allowed_ips, so no packets can go to it or come from it. Set its allowed_ips.') ];
}

function endpoint(iface, peer) {
	if (peer.endpoint_host && !peer.endpoint_found.length && isName(peer.endpoint_host))
		return [ peer.endpoint ? POSSIBLE : CERTAIN,
			_("The peer's endpoint_host %s cannot be resolved. Check the DNS of this machine.").format(host(peer.endpoint_host)) ];
	if (!peer.endpoint)
		return [ CERTAIN,
			_('The peer has no endpoint here, and it has not started a handshake. Set its endpoint_host, or ping from the peer.') ];
}

function sending(iface, peer) {
	const errno = peer.endpoint ? state.sendError(iface, peer) : 0;

	if (errno)
		return [ CERTAIN, _('Datagrams to %s cannot be sent: %s.').format(peer.endpoint, explain(errno)) ];
}

function invalidResponse(iface, peer) {
	if (state.hasInvalidResponse(peer))
		return [ CERTAIN, _('The peer answers, but its answer cannot be decrypted. Set the same preshared_key at both ends.') ];
}

function replayedInitiation(iface, peer) {
	/* A single one can be a datagram that the network has duplicated. */
	if (state.since(peer, 'initiation_replayed', [ 'initiation_received', 'keypair_confirmed', 'response_received' ]) > 1)
		return [ CERTAIN, _("The peer's handshake timestamps went backwards: its clock was reset, or two devices share its key. Set its clock, or restart the tunnel here.") ];
}

function unconfirmed(iface, peer) {
	if (state.isUnconfirmed(peer))
		return [ LIKELY, _('The peer started %d handshakes and used none of our answers. Set the same preshared_key at both ends. If it is the same, our answers do not reach the peer: check the firewalls.')
			.format(state.since(peer, 'initiation_received', [ 'keypair_confirmed', 'response_received' ])) ];
}

function underLoad(iface, peer) {
	if (state.since(peer, 'cookie_received', [ 'response_received', 'keypair_confirmed' ]))
		return [ LIKELY,
			_('The peer is under load and answers with cookies. The handshake takes longer, and continues by itself.') ];
}

function unmatchedAtEndpoint(iface, peer, one) {
	if (one.reason === 'unknown_peer')
		return [ CERTAIN, _("Handshakes from the peer's endpoint have the public key %s, but here the peer has %s. Correct the wrong one.")
			.format(state.keyText(one.key), state.keyText(peer.public_key)) ];
	return [ CERTAIN, _("Handshakes from the peer's endpoint are for another public key than ours. On the peer, the public_key of this end must be %s.")
		.format(state.keyText(iface.public_key)) ];
}

/* The unmatched handshake that probably belongs to the peer. */
function callerAt(iface, peer) {
	return iface.unmatched_handshakes.find((one) =>
		one.age_s <= state.RECENT_S && suspect(iface, one)?.public_key === peer.public_key);
}

function isUnanswered(iface, peer) {
	return state.unanswered(peer) > 1 && !state.hasInvalidResponse(peer) && peer.endpoint && !state.sendError(iface, peer);
}

function noAnswer(iface, peer) {
	const caller = callerAt(iface, peer), sent = state.unanswered(peer);

	if (caller)
		return unmatchedAtEndpoint(iface, peer, caller);
	if (isUnanswered(iface, peer))
		return [ LIKELY, _("The peer does not answer at %s, after %d handshakes. Check the address, the port and the firewalls. Also check the keys: here the peer's public_key is %s, and there the public_key of this end must be %s.")
		.format(peer.endpoint, sent, state.keyText(peer.public_key), state.keyText(iface.public_key)) ];
}

function clockUnset(iface, peer, now) {
	if (now < CLOCK_UNSET && isUnanswered(iface, peer) && !callerAt(iface, peer))
		return [ LIKELY, _('The clock of this machine was never set. A peer does not answer handshakes older than the last one that it accepted.') ];
}

function isFresh(ageMs) {
	return ageMs !== null && ageMs <= FRESH_MS;
}

/* Whether nothing arrived after the handshake itself. */
function isAllSilent(peer) {
	return peer.last_rx_ms === null || peer.last_rx_ms >= peer.session_age_ms - 1000;
}

function noReply(iface, peer) {
	if (peer.session_age_ms === null || !isFresh(peer.last_data_tx_ms))
		return;
	/* A single answer can be lost; then the next handshake solves the problem. */
	const count = peer.events
		.filter((event) => event.name === 'no_reply' && event.age_s <= state.RECENT_S &&
			(peer.last_data_rx_ms === null || event.age_s * 1000 <= peer.last_data_rx_ms))
		.reduce((sum, event) => sum + event.count, 0);

	if ((count > 1 || (count && peer.last_data_rx_ms === null)) && isAllSilent(peer))
		return [ count > 1 ? LIKELY : POSSIBLE, _("Handshakes succeed, but no data comes back: a firewall or NAT on the path drops it. Try persistent_keepalive '25', or another port.") ];
}

function noReplyOfOurs(iface, peer) {
	const received = peer.last_data_rx_ms, sent = peer.last_data_tx_ms;

	if (isFresh(received) && (sent === null || sent - received > FRESH_MS))
		return [ POSSIBLE, _("The peer's packets arrive, but this machine sends nothing back. Check the firewall here, that the destination answers, and that the route to the peer leads into %s.")
			.format(iface.name) ];
}

function sourceNotAllowed(iface, peer) {
	const dropped = iface.source_not_allowed;

	if (dropped && dropped.key === peer.public_key && dropped.age_s <= state.RECENT_S && !isAllowed(dropped.address, peer))
		return [ LIKELY, _('Packets of the peer from %s are dropped because this address is not in its allowed_ips.').format(dropped.address) ];
}

function twoPlaces(iface, peer) {
	const moves = peer.events
		.filter((event) => event.name === 'roamed' && event.age_s <= state.RECENT_S)
		.reduce((sum, event) => sum + event.count, 0);

	if (moves >= RESTLESS)
		return [ LIKELY, _("The peer's address changed %d times in the last minutes: two devices use the same private key (give each its own), or the uplink of the peer keeps changing.").format(moves) ];
}

const RULES = [
	allowedIps, endpoint, sending, invalidResponse, replayedInitiation, unconfirmed, underLoad, clockUnset, noAnswer,
	noReply, noReplyOfOurs, sourceNotAllowed, twoPlaces
];

/* The faults that concern all peers of the interface: { weight, sentence }, the greatest weight first. */
function ofInterface(iface) {
	const found = [], add = (weight, sentence) => found.push({ weight, sentence });
	const unroutable = iface.unroutable;

	if (!iface.is_up && iface.is_away) {
		add(CERTAIN, _('The interface is down, in another network namespace. Run `ip link set %s up` there.').format(iface.name));
		return found;
	}
	if (!iface.is_up) {
		/* The browser cannot see whether the port is free. */
		add(CERTAIN, iface.listen_port
			? _('The interface is down. Run `ip link set %s up`. If it stays down, another program uses port %d: choose another listen_port, or stop that program.')
				.format(iface.name, iface.listen_port)
			: _('The interface is down. Run `ip link set %s up`.').format(iface.name));
		return found;
	}
	if (!iface.public_key)
		add(CERTAIN, _('The interface has no private key, so no handshake is possible. Set one.'));
	for (const sentence of iface.problems)
		add(LIKELY, _('Problem of the configuration: %s.').format(sentence));
	if (iface.unconfirmed_s != null)
		add(NOTE, _('The configuration is not confirmed. The previous one returns in %s, unless you run `wgembed confirm`.').format(state.span(iface.unconfirmed_s)));
	if (iface.is_away)
		add(NOTE, _('The interface is in another network namespace. Its encrypted packets leave from this one.'));
	if (!iface.peers.length)
		add(CERTAIN, _('The interface has no peers.'));
	if (iface.clock_behind_s > 60)
		add(NOTE, _('The clock of this machine was set back by %s. Handshakes still work.').format(state.span(iface.clock_behind_s)));
	for (const one of iface.unmatched_handshakes)
		if (one.age_s <= state.RECENT_S && !suspect(iface, one))
			add(...unmatched(iface, one));
	if (unroutable && unroutable.age_s <= state.RECENT_S && !iface.peers.some((peer) => isAllowed(unroutable.address, peer)))
		add(LIKELY, _('Packets to %s are dropped because no peer has this address in its allowed_ips. The last one was %s ago.')
			.format(unroutable.address, state.span(unroutable.age_s)));
	return sorted(found);
}

/* The faults of the tunnel to the peer; `now` in s since 1970, by the router's clock. */
function ofPeer(iface, peer, now) {
	if (state.ofInterface(iface) !== 'up')
		return [];
	return sorted(RULES.map((rule) => rule(iface, peer, now)).filter((one) => one)
		.map(([ weight, sentence ]) => ({ weight, sentence })));
}

return baseclass.extend({ CERTAIN, LIKELY, POSSIBLE, NOTE, ofInterface, ofPeer });
