'use strict';
'require baseclass';
'require uci';
'require wgembed.calls as calls';
'require wgembed.values as values';

/* The sections of /etc/config/wgembed, and those of the firewall that belong to them, as in the form. */

const CONFIG = 'wgembed', KEYS = '/etc/wgembed';
const publicKeys = {};

function interfaces() {
	return uci.sections(CONFIG, 'interface').map((section) => section['.name']);
}

function peerType(name) {
	return `wireguard_${name}`;
}

function peers(name) {
	return uci.sections(CONFIG, peerType(name));
}

function option(name, what) {
	return uci.get(CONFIG, name, what);
}

function networksOf(peer) {
	return values.words(peer.allowed_ips);
}

function ownAddresses(name) {
	return values.words(uci.get(CONFIG, name, 'addresses'));
}

/* The name of the peer for people. */
function titleOf(peer) {
	return peer.description || (peer.public_key ? peer.public_key.slice(0, 8) + '…' : _('peer without key'));
}

function setAll(sid, options) {
	for (const name in options)
		uci.set(CONFIG, sid, name, options[name]);
}

function addPeer(name, options) {
	const sid = uci.add(CONFIG, peerType(name));

	setAll(sid, options);
	return sid;
}

/* An interface of OpenWrt with its peers. Its options have the same names. */
function addToNetwork(name, options, peers) {
	uci.add('network', 'interface', name);
	for (const [ option, value ] of Object.entries({ proto: 'wireguard', ...options }))
		if (value != null)
			uci.set('network', name, option, value);
	for (const peer of peers) {
		const sid = uci.add('network', peerType(name));

		for (const option in peer)
			uci.set('network', sid, option, peer[option]);
	}
}

function removeInterface(name) {
	for (const peer of peers(name))
		uci.remove(CONFIG, peer['.name']);
	uci.remove(CONFIG, name);
	chooseZone(name, '');
	openPort(name, null);
}

/* Keys. The private key is in a file on the router, and the configuration has the name of the file. */

function useKey(name, { path, public_key }) {
	uci.set(CONFIG, name, 'private_key_file', path);
	uci.unset(CONFIG, name, 'private_key');
	publicKeys[path] = Promise.resolve(public_key);
	return public_key;
}

function newKey(name) {
	return calls.newKey(name).then((made) => useKey(name, made));
}

function keepKey(name, privateKey) {
	return calls.keepKey(name, privateKey).then((kept) => useKey(name, kept));
}

/* For a new interface: the existing key file of this name, if no interface uses it, or a new key. */
function firstKey(name) {
	const path = `${KEYS}/${name}.key`;

	if (interfaces().some((other) => uci.get(CONFIG, other, 'private_key_file') === path))
		return newKey(name);
	return calls.publicKeyOfFile(path).then(({ public_key }) => useKey(name, { path, public_key }), () => newKey(name));
}

/* A promise of the interface's public key, or of null if there is no key yet or it cannot be read. */
function publicKey(name) {
	const path = uci.get(CONFIG, name, 'private_key_file'), key = uci.get(CONFIG, name, 'private_key');
	const place = path || key || '';

	if (!path && !values.isKey(place))
		return Promise.resolve(null);
	publicKeys[place] ??= (path ? calls.publicKeyOfFile(path) : calls.publicKey(key))
		.then((answer) => answer.public_key).catch(() => null);
	return publicKeys[place];
}

/* The firewall. The zone lists the interface as a device, because netifd does not know the interface. */

function zones() {
	return uci.sections('firewall', 'zone').filter((zone) => zone.name);
}

function zoneOf(name) {
	return zones().find((zone) => values.words(zone.device).includes(name))?.name ?? '';
}

function chooseZone(name, chosen) {
	for (const zone of zones()) {
		const devices = values.words(zone.device), others = devices.filter((device) => device !== name);
		const wanted = zone.name === chosen ? [ ...others, name ] : others;

		if (wanted.length !== devices.length)
			uci.set('firewall', zone['.name'], 'device', wanted.length ? wanted : null);
	}
}

function ruleOf(name) {
	return `wgembed_${name}`;
}

function isPortOpen(name) {
	return uci.get('firewall', ruleOf(name)) != null;
}

/* Accept datagrams to the port from wan; with null, stop that. */
function openPort(name, port) {
	const rule = ruleOf(name);

	if (port === null) {
		if (isPortOpen(name))
			uci.remove('firewall', rule);
		return;
	}
	if (!isPortOpen(name))
		uci.add('firewall', 'rule', rule);
	for (const [ option, value ] of Object.entries({
		name: `Allow-${rule}`, src: 'wan', proto: 'udp', dest_port: port, target: 'ACCEPT'
	}))
		if (uci.get('firewall', rule, option) !== value)
			uci.set('firewall', rule, option, value);
}

return baseclass.extend({
	CONFIG, interfaces, peerType, peers, option, networksOf, ownAddresses, titleOf, setAll, addPeer, addToNetwork, removeInterface, newKey,
	keepKey, firstKey, publicKey, zones, zoneOf, chooseZone, isPortOpen, openPort
});
