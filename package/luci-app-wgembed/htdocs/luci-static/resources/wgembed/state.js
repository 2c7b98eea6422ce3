'use strict';
'require baseclass';

/* The status of an interface, and the state of its peers in a word, as in `wgembed status`. tests/luci/test_rules.py
   compares this file with wgembed/commands/status_model.py. */

/* Older events do not count. In s. */
const RECENT_S = 180;
const FOREVER = 2 ** 32;
/* The errno of a destination without a route, and of a full queue, which says nothing about the path. MIPS has other
   numbers than other machines. */
const NO_ROUTE = [ 101, 113, 128, 148 ], BUSY = [ 11, 105, 132 ];
/* A packet that arrived less than this after the error does not prove that datagrams leave again. In s. */
const SAME_TIME_S = 5;

const DEVICE_NUMBERS = [ 'listen_port', 'fwmark', 'mtu', 'clock_behind_s', 'unconfirmed_s' ];
const PEER_TEXTS = [ 'endpoint', 'source', 'endpoint_host' ];
const PEER_NUMBERS = [
	'tx_bytes', 'rx_bytes', 'last_rx_ms', 'last_data_rx_ms', 'last_data_tx_ms', 'attempt', 'staged'
];
const UAPI_NUMBERS = { last_handshake_time_sec: 'latest_handshake', persistent_keepalive_interval: 'persistent_keepalive' };

function newInterface(name) {
	return {
		name, public_key: '', listen_port: 0, fwmark: 0, mtu: 0, is_up: true, is_away: false, drops: {}, send_errors: {},
		clock_behind_s: 0, unmatched_handshakes: [], problems: [], unconfirmed_s: null, unroutable: null, source_not_allowed: null, peers: []
	};
}

/* An age of null means never. */
function newPeer(public_key) {
	return {
		public_key, has_preshared_key: false, endpoint: '', source: '', endpoint_host: '', endpoint_found: [],
		endpoint_choices: [], failover: null, backup_role: '',
		latest_handshake: 0, tx_bytes: 0, rx_bytes: 0, persistent_keepalive: 0, last_rx_ms: null, last_data_rx_ms: null,
		last_data_tx_ms: null, session_age_ms: null, attempt: 0, next_attempt_ms: null, staged: 0, events: [], allowed_ips: []
	};
}

function seconds(ms) {
	return Math.floor(+ms / 1000);
}

function takeDeviceLine(iface, key, value) {
	const words = value.split(',');

	if (DEVICE_NUMBERS.includes(key))
		iface[key] = +value;
	else if (key === 'own_public_key')
		iface.public_key = value;
	else if (key === 'up')
		iface.is_up = value === '1';
	else if (key === 'away')
		iface.is_away = value === '1';
	else if (key === 'drop')
		iface.drops[words[0]] = +words[1];
	else if (key === 'problem')
		iface.problems.push(value);
	else if (key === 'send_error')
		iface.send_errors[words[1]] = +words[0];
	else if (key === 'unmatched_handshake')
		iface.unmatched_handshakes.push({
			reason: words[0], count: +words[1], age_s: seconds(words[2]), endpoint: words[3], key: words[4]
		});
	else if (key === 'unroutable')
		iface.unroutable = { address: words[0], age_s: seconds(words[1]) };
	else if (key === 'source_not_allowed')
		iface.source_not_allowed = { address: words[0], age_s: seconds(words[1]), key: words[2] };
}

function takePeerLine(peer, key, value) {
	const words = value.split(',');

	if (PEER_TEXTS.includes(key))
		peer[key] = value;
	else if (PEER_NUMBERS.includes(key))
		peer[key] = +value;
	else if (UAPI_NUMBERS.hasOwnProperty(key))
		peer[UAPI_NUMBERS[key]] = +value;
	else if (key === 'has_preshared_key')
		peer.has_preshared_key = value === '1';
	else if (key === 'endpoint_found')
		peer.endpoint_found.push(value);
	else if (key === 'endpoint_choice')
		peer.endpoint_choices.push(value);
	else if (key === 'backup')
		peer.backup_role = words[0];
	else if (key === 'failover')
		peer.failover = { switches: +words[0], age_s: seconds(words[1]), reason: words[2], hold_s: +words[3] };
	else if (key === 'unanswered')
		peer.next_attempt_ms = words[1] ? +words[1] : null;
	else if (key === 'session')
		peer.session_age_ms = +words[0];
	else if (key === 'event')
		peer.events.push({ name: words[0], count: +words[1], age_s: +words[2] });
	else if (key === 'allowed_ip')
		peer.allowed_ips.push(value);
}

/* The interface in the lines of a `status` answer (wgembed/uapi/status_lines.py). */
function parse(name, text) {
	const iface = newInterface(name);
	let peer = null;

	for (const line of text.split('\n')) {
		const at = line.indexOf('=');

		if (at < 0)
			continue;
		const key = line.slice(0, at), value = line.slice(at + 1);

		if (key === 'public_key')
			iface.peers.push(peer = newPeer(value));
		else if (peer === null)
			takeDeviceLine(iface, key, value);
		else
			takePeerLine(peer, key, value);
	}
	return iface;
}

/* Why another endpoint is in use, by the words of the daemon. */
function failoverInWords(reason) {
	return {
		no_answer: _('the one before did not answer'),
		no_ping: _('no answer to ping through the one before'),
		answers_faster: _('it answers faster'),
		answers_again: _('the preferred one answers again'),
		peer_moved: _('the peer sends from there')
	}[reason] ?? reason;
}

/* The latest of the events of these names that is recent, or null. */
function last(peer, ...names) {
	return peer.events.filter((event) => names.includes(event.name) && event.age_s <= RECENT_S).pop() ?? null;
}

/* How often `name` happened, in the last `within` seconds and after the last of the events `ends`. */
function since(peer, name, ends, within = RECENT_S) {
	let count = 0;

	for (const event of [ ...peer.events ].reverse()) {
		if (ends.includes(event.name) || event.age_s > within)
			break;
		if (event.name === name)
			count += event.count;
	}
	return count;
}

/* Whether the peer's last response could not be decrypted. */
function hasInvalidResponse(peer) {
	return since(peer, 'response_invalid', [ 'response_received', 'keypair_confirmed' ], hasTimedOut(peer) ? FOREVER : RECENT_S) > 0;
}

/* Whether the peer starts handshakes again and again, and does not use our responses. */
function isUnconfirmed(peer) {
	return since(peer, 'initiation_received', [ 'keypair_confirmed', 'response_received' ]) > 1;
}

/* Whether twenty initiations had no answer, however long ago. */
function hasTimedOut(peer) {
	return since(peer, 'handshake_timeout', [ 'response_received', 'keypair_confirmed' ], FOREVER) > 0;
}

/* Whether datagrams to the peer could not be sent, and nothing arrived from the peer since. */
function isFailing(peer) {
	if (!since(peer, 'send_failed', [ 'response_received', 'keypair_confirmed' ]))
		return false;
	return peer.last_rx_ms === null || peer.last_rx_ms >= (last(peer, 'send_failed').age_s - SAME_TIME_S) * 1000;
}

/* The errno with which the kernel refuses datagrams to the peer, 0 if it does not. */
function sendError(iface, peer) {
	const errno = iface.send_errors[peer.endpoint.startsWith('[') ? '6' : '4'] ?? 0;

	return isFailing(peer) && !BUSY.includes(errno) ? errno : 0;
}

/* The number of initiations without an answer. */
function unanswered(peer) {
	if (hasTimedOut(peer))
		return since(peer, 'initiation_sent', [ 'response_received', 'keypair_confirmed' ], FOREVER);
	return since(peer, 'initiation_sent', [ 'response_received', 'keypair_confirmed', 'response_invalid', 'cookie_received' ]);
}

function ofInterface(iface) {
	if (!iface.is_up)
		return 'down';
	return iface.public_key ? 'up' : 'no private key';
}

function ofPeer(iface, peer) {
	const state = ofInterface(iface);

	if (state !== 'up')
		return state;
	if (peer.backup_role === 'standby')
		return 'standby';
	if (!peer.allowed_ips.length)
		return 'no allowed ips';
	/* A handshake can fail while the previous session still works: then the peer is up. */
	if (peer.session_age_ms !== null && !hasInvalidResponse(peer))
		return 'up';
	if (!peer.endpoint)
		return peer.endpoint_host && !peer.endpoint_found.length ? 'name not resolved' : 'waiting for peer';
	if (sendError(iface, peer))
		return NO_ROUTE.includes(sendError(iface, peer)) ? 'no route' : 'sending fails';
	if (hasInvalidResponse(peer) || isUnconfirmed(peer))
		return 'key mismatch';
	if (peer.attempt)
		return since(peer, 'cookie_received', [ 'response_received', 'keypair_confirmed' ]) ? 'peer under load' : 'handshaking';
	return hasTimedOut(peer) ? 'no answer' : 'idle';
}

/* The states for people, in their language. */
function inWords(state) {
	return {
		'down': _('down'),
		'no private key': _('no private key'),
		'no allowed ips': _('no allowed IPs'),
		'standby': _('standby'),
		'up': _('up'),
		'name not resolved': _('name not resolved'),
		'waiting for peer': _('waiting for peer'),
		'no route': _('no route'),
		'sending fails': _('sending fails'),
		'key mismatch': _('key mismatch'),
		'peer under load': _('peer under load'),
		'handshaking': _('handshaking'),
		'no answer': _('no answer'),
		'idle': _('idle')
	}[state];
}

/* A drop reason for people; the name itself if a later version has added the reason. */
function dropInWords(reason) {
	return {
		tx_not_ip: _('sent from here: not an IP packet'),
		tx_no_peer: _("sent from here: to an address in no peer's allowed IPs"),
		tx_no_endpoint: _('sent from here: to a peer without endpoint'),
		tx_staged: _('sent from here: waited too long for a handshake'),
		tx_send: _('a datagram that the kernel refused'),
		tx_loop: _('our own datagram: the route to the endpoint leads into the tunnel'),
		rx_malformed: _('received: not a WireGuard message'),
		rx_unknown_index: _('received: of an unknown session'),
		rx_expired: _('received: of a session that has ended'),
		rx_authentication: _('received: cannot be decrypted'),
		rx_replay: _('received: arrived before'),
		rx_inner_type: _('received: not an IP packet inside'),
		rx_inner_size: _('received: the packet inside is incomplete'),
		rx_inner_source: _('received: from an address that is not in the allowed IPs'),
		rx_ecn: _('received: met congestion that cannot be reported to the sender'),
		rx_tun: _('received: refused by the tunnel device'),
		hs_queue_full: _('handshakes: too many at once'),
		hs_under_load: _('handshakes: answered with a cookie, under load'),
		hs_rate_limit: _('handshakes: too many from one address'),
		hs_mac1: _('handshakes: for another public key than ours'),
		hs_no_private_key: _('handshakes: arrived while there was no private key'),
		hs_initiation: _('handshakes: an initiation that cannot be decrypted'),
		hs_response: _('handshakes: a response that cannot be decrypted, or of no handshake of ours'),
		hs_cookie: _('handshakes: a cookie that cannot be decrypted, or of no handshake of ours'),
		hs_unknown_peer: _('handshakes: from an unknown public key'),
		hs_replay: _('handshakes: not newer than the last one'),
		hs_flood: _('handshakes: too soon after the last one')
	}[reason] ?? reason;
}

/* The base64 of a key in hexadecimal. */
function keyText(hex) {
	return btoa(String.fromCharCode(...(hex.match(/../g) ?? []).map((pair) => parseInt(pair, 16))));
}

/* A duration in its largest unit. */
function span(s) {
	if (s >= 86400)
		return _('%d d').format(Math.floor(s / 86400));
	if (s >= 3600)
		return _('%d h').format(Math.floor(s / 3600));
	if (s >= 60)
		return _('%d min').format(Math.floor(s / 60));
	return _('%d s').format(Math.floor(s));
}

return baseclass.extend({
	RECENT_S, parse, last, since, hasInvalidResponse, isUnconfirmed, sendError, unanswered, ofInterface, ofPeer, inWords, dropInWords,
	failoverInWords, keyText, span
});
