'use strict';
'require baseclass';
'require wgembed.values as values';

/* Converts files of wg-quick(8) to sections of UCI and back, as `wgembed import` and `wgembed export` do.
   tests/luci/test_rules.py compares both. Errors are sentences without text from the file. */

const INTERFACE_KEYS = [ 'privatekey', 'listenport', 'fwmark', 'address', 'dns', 'mtu', 'table', 'preup', 'postup', 'predown', 'postdown',
	'saveconfig' ];
const PEER_KEYS = [ 'publickey', 'presharedkey', 'allowedips', 'endpoint', 'persistentkeepalive' ];
const LEFT_OUT = [ 'dns', 'preup', 'postup', 'predown', 'postdown' ];

function fail(sentence) {
	throw new Error(sentence);
}

/* Other keys are mistyped ones, or those of AmneziaWG. A long one is not shown, because it can be a secret. */
function checkKey(key, known, line) {
	if (known.includes(key))
		return;
	if (/^([shij][0-9]|jc|jmin|jmax|itime)$/.test(key))
		fail(_('line %d: the key %s belongs to AmneziaWG, another protocol, which wgembed does not have').format(line, key));
	fail(/^[a-z]{1,20}$/.test(key) ? _('line %d: unknown key %s').format(line, key) : _('line %d: unknown key').format(line));
}

/* { own, peers }: own has the entries of all [Interface] sections, peers has one list of entries for each [Peer]. */
function parse(text) {
	const own = [], peers = [];
	let entries = null;

	text.replace(/^\ufeff/, '').split('\n').forEach((line, i) => {
		const bare = line.replace(/#.*$/, '').trim(), at = bare.indexOf('='), lower = bare.toLowerCase();

		if (lower === '[interface]')
			entries = own;
		else if (lower === '[peer]')
			peers.push(entries = []);
		else if (bare && (!entries || at < 0))
			fail(_('line %d: expected a section, or NAME = VALUE in a section').format(i + 1));
		else if (bare) {
			checkKey(bare.slice(0, at).trim().toLowerCase(), entries === own ? INTERFACE_KEYS : PEER_KEYS, i + 1);
			entries.push({ key: bare.slice(0, at).trim().toLowerCase(), value: bare.slice(at + 1).trim(), line: i + 1 });
		}
	});
	return { own, peers };
}

function lastEntry(entries, key) {
	return entries.filter((entry) => entry.key === key).pop();
}

function wordsOf(entries, key) {
	return entries.filter((entry) => entry.key === key)
		.flatMap((entry) => entry.value.split(/[\s,]+/).filter((word) => word).map((word) => ({ word, line: entry.line })));
}

function check(why, line) {
	if (why)
		fail(_('line %d: %s').format(line, why));
}

function take(options, entries, key, option, test) {
	const entry = lastEntry(entries, key);

	if (entry?.value) {
		check(test(entry.value), entry.line);
		options[option] = entry.value;
	}
}

function takeList(options, entries, key, option) {
	const found = wordsOf(entries, key);

	for (const { word, line } of found)
		check(values.network(word), line);
	if (found.length)
		options[option] = found.map(({ word }) => word);
}

function table(text) {
	return /^([A-Za-z0-9_.-]+)$/.test(text) ? null : _('not a routing table');
}

function peerOptions(entries, isRouted) {
	const options = {}, endpoint = lastEntry(entries, 'endpoint');

	if (!lastEntry(entries, 'publickey')?.value)
		fail(_('[Peer] has no PublicKey'));
	take(options, entries, 'publickey', 'public_key', values.key);
	take(options, entries, 'presharedkey', 'preshared_key', values.key);
	takeList(options, entries, 'allowedips', 'allowed_ips');
	if (isRouted && options.allowed_ips)
		options.route_allowed_ips = '1';
	if (endpoint?.value) {
		const at = endpoint.value.lastIndexOf(':'), host = endpoint.value.slice(0, Math.max(at, 0)).replace(/^\[|\]$/g, '');
		const port = endpoint.value.slice(at + 1);

		if (at < 0 || !port || port.includes(']'))
			fail(_('line %d: Endpoint has no port: write Endpoint = HOST:PORT').format(endpoint.line));
		check(values.host(host) ?? values.endpointPort(port), endpoint.line);
		options.endpoint_host = host;
		options.endpoint_port = port;
	}
	take(options, entries, 'persistentkeepalive', 'persistent_keepalive', values.keepalive);
	return options;
}

/* { options, peers, leftOut } for the file of an interface; options has private_key. */
function importInterface(text) {
	const { own, peers } = parse(text), options = {}, named = lastEntry(own, 'table')?.value ?? 'auto';

	take(options, own, 'privatekey', 'private_key', values.key);
	take(options, own, 'listenport', 'listen_port', values.port);
	takeList(options, own, 'address', 'addresses');
	take(options, own, 'mtu', 'mtu', values.mtu);
	take(options, own, 'fwmark', 'fwmark', values.mark);
	if (named !== 'auto' && named !== 'off') {
		check(table(named), lastEntry(own, 'table').line);
		options.ip4table = options.ip6table = named;
	}
	if (!options.private_key)
		fail(_('[Interface] has no PrivateKey'));
	return {
		options,
		peers: peers.map((entries) => peerOptions(entries, named !== 'off')),
		leftOut: LEFT_OUT.filter((key) => lastEntry(own, key))
	};
}

/* The name servers of the file. Only the network configuration of OpenWrt has an option for them. */
function dnsServers(text) {
	return wordsOf(parse(text).own, 'dns').map(({ word }) => word).filter((word) => values.host(word) === null && /[:.]/.test(word));
}

/* { privateKey, options } of the peer that uses the file. The caller derives its public key from privateKey.

   ownKey  our public key, null if not known. The [Peer] with this key in the file has the preshared key. */
function importPeer(text, ownKey) {
	const { own, peers } = parse(text), options = {}, key = {};
	const us = ownKey ? peers.find((entries) => lastEntry(entries, 'publickey')?.value === ownKey)
		: peers.length === 1 ? peers[0] : null;

	take(key, own, 'privatekey', 'private_key', values.key);
	if (!key.private_key)
		fail(_('[Interface] has no PrivateKey, which the public_key of the peer is made from'));
	if (!us)
		fail(_('no [Peer] in the file has the public key of this interface'));
	take(options, us, 'presharedkey', 'preshared_key', values.key);
	takeList(options, own, 'address', 'allowed_ips');
	if (!options.allowed_ips)
		fail(_('[Interface] has no Address for the allowed_ips of the peer'));
	options.allowed_ips = options.allowed_ips.map((text) => {
		const bare = text.split('/')[0];

		return values.networkOf(bare);
	});
	options.route_allowed_ips = '1';
	return { privateKey: key.private_key, options };
}

/* The single addresses in a peer's allowed IPs: they are probably those of the peer itself. */
function ownAddresses(networks) {
	return networks.filter((text) => {
		const net = values.parseNetwork(text);

		return net && net.length === 8 * net.bytes.length;
	}).map(values.networkOf);
}

function hostPort(host, port) {
	return host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`;
}

/* The file for a peer.

   peer      its private_key ('' if not known), public_key, preshared_key, addresses (texts, of ownAddresses())
   ours      our public_key, mtu, allowed_ips (the networks that the peer sends through the tunnel), endpoint ('' if the
             peer does not start handshakes), dns (texts) */
function format(peer, ours) {
	const lines = [ '[Interface]' ], add = (name, value) => value && lines.push(`${name} = ${value}`);

	if (peer.private_key)
		add('PrivateKey', peer.private_key);
	else
		lines.push(`# PrivateKey = (the private key of ${peer.public_key})`);
	add('Address', peer.addresses.join(', '));
	add('DNS', ours.dns.join(', '));
	add('MTU', ours.mtu);
	lines.push('', '[Peer]');
	add('PublicKey', ours.public_key);
	add('PresharedKey', peer.preshared_key);
	add('AllowedIPs', ours.allowed_ips.join(', '));
	if (ours.endpoint) {
		add('Endpoint', ours.endpoint);
		add('PersistentKeepalive', '25');
	}
	return lines.join('\n') + '\n';
}

return baseclass.extend({ importInterface, dnsServers, importPeer, ownAddresses, format, hostPort });
