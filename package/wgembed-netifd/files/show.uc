// show.uc INTERFACE|all FIELD: the output of `wg show INTERFACE FIELD`, without the start of an interpreter of Python.
// /usr/bin/wg calls this program. If its exit status is not 0, it has printed nothing, and wgembed must answer: it also has the
// words for errors. See docs/luci.md.

'use strict';

import { lsdir } from 'fs';
import { connect, poll, POLLIN } from 'socket';

const SOCKETS = '/var/run/wireguard';
const PATIENCE = 5000; // ms without an answer
const NO_KEY = /^0*$/;
const SECRET = [ 'dump', 'private-key', 'preshared-keys' ];

function receive(stream) {
	if (!poll(PATIENCE, [ stream, POLLIN ])?.[0]?.[1])
		exit(1);

	const data = stream.recv(65536);

	if (!length(data))
		exit(1);
	return data;
}

// The whole answer to a request, without its last line; only what comes before `end`, if that is given.
function ask(stream, request, end) {
	let parts = [], tail = '';

	if (!stream.send(request))
		exit(1);
	while (substr(tail, -2) != '\n\n') {
		const data = receive(stream);

		push(parts, data);
		tail = substr(tail + data, -9);
		if (end && index('\n' + join('', parts), end) >= 0)
			return join('', parts);
	}
	if (tail != 'errno=0\n\n')
		exit(1);
	return substr(join('', parts), 0, -9);
}

function key(digits) {
	return digits && !match(digits, NO_KEY) ? b64enc(hexdec(digits)) : '(none)';
}

// { settings, peers } of the interface; a peer is { settings, allowed }.
function read(name, field) {
	const stream = connect({ path: `${SOCKETS}/${name}.sock` }, null, null, PATIENCE);
	const found = { settings: {}, peers: [] };
	let settings = found.settings, peer;

	if (!stream)
		exit(1);
	for (let line in split(ask(stream, field in SECRET ? 'get=1\n\n' : 'status=1\n\n'), '\n')) {
		const equals = index(line, '='), word = substr(line, 0, equals), value = substr(line, equals + 1);

		if (word == 'public_key') {
			peer = { settings: {}, allowed: [] };
			push(found.peers, peer);
			settings = peer.settings;
		}
		if (word == 'allowed_ip')
			push(peer.allowed, value);
		else if (equals > 0)
			settings[word] = value;
	}
	// A `get` has no public key of the interface. A `status` begins with it: the rest, with all peers, is not needed.
	if (field == 'dump')
		found.settings.own_public_key = match(ask(stream, 'status=1\n\n', '\npublic_key='), /own_public_key=([0-9a-f]+)/)?.[1];
	stream.close();
	return found;
}

function mark(found) {
	return +found.settings.fwmark ? sprintf('0x%x', +found.settings.fwmark) : 'off';
}

function port(found) {
	return found.settings.listen_port ?? '0';
}

const OF_PEER = {
	'peers': () => [],
	'preshared-keys': (peer) => [ key(peer.settings.preshared_key) ],
	'endpoints': (peer) => [ peer.settings.endpoint ?? '(none)' ],
	'allowed-ips': (peer) => [ join(' ', peer.allowed) || '(none)' ],
	'latest-handshakes': (peer) => [ peer.settings.last_handshake_time_sec ?? '0' ],
	'transfer': (peer) => [ peer.settings.rx_bytes ?? '0', peer.settings.tx_bytes ?? '0' ],
	'persistent-keepalive': (peer) => [ +peer.settings.persistent_keepalive_interval ? peer.settings.persistent_keepalive_interval : 'off' ]
};
const OF_INTERFACE = {
	'public-key': (found) => [ key(found.settings.own_public_key) ],
	'private-key': (found) => [ key(found.settings.private_key) ],
	'listen-port': (found) => [ port(found) ],
	'fwmark': (found) => [ mark(found) ],
	'dump': (found) => [ key(found.settings.private_key), key(found.settings.own_public_key), port(found), mark(found) ]
};

function dumped(peer) {
	return [
		...OF_PEER['preshared-keys'](peer), ...OF_PEER.endpoints(peer), join(',', peer.allowed) || '(none)',
		...OF_PEER['latest-handshakes'](peer), ...OF_PEER.transfer(peer), ...OF_PEER['persistent-keepalive'](peer)
	];
}

function show(name, field, before) {
	const found = read(name, field), columns = field == 'dump' ? dumped : OF_PEER[field];
	let lines = [];

	if (OF_INTERFACE[field])
		push(lines, [ ...before, ...OF_INTERFACE[field](found) ]);
	for (let peer in columns ? found.peers : [])
		push(lines, [ ...before, key(peer.settings.public_key), ...columns(peer) ]);
	return join('', map(lines, (line) => join('\t', line) + '\n'));
}

const what = ARGV[0], field = ARGV[1];

if (!OF_PEER[field] && !OF_INTERFACE[field])
	exit(1);

const names = map(lsdir(SOCKETS, /.\.sock$/) ?? [], (file) => substr(file, 0, -5));

if (what == 'all')
	print(join('', map(names, (name) => show(name, field, [ name ]))));
else if (what in names)
	print(show(what, field, []));
else
	exit(1);
