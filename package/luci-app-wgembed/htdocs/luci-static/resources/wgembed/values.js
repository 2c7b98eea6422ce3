'use strict';
'require baseclass';

/* Checks the values of the configuration, as wgembed/config/options.py does. Each check returns null, or a sentence about
   the expected value. The sentence never contains the typed text, which can be a secret, or markup.
   tests/luci/test_rules.py compares both. */

const MAX_MTU = 65455, LEAST_MTU = 576, LEAST_MTU_IPV6 = 1280, MAX_PEERS = 16383;
const LINK = /^[^\s\/:\x00-\x20\x7f]{1,15}$/;
const KEY = /^[A-Za-z0-9+\/]{42}[AEIMQUYcgkosw048]=$/;

function isKey(text) {
	return KEY.test(text);
}

function key(text) {
	return isKey(text) ? null : _("a key has 44 characters of base64, the last one is '='");
}

function number(text, least, most, also) {
	const digits = /^(0x[0-9A-Fa-f]{1,10}|[0-9]{1,10})$/.test(text) ? parseInt(text, text.startsWith('0x') ? 16 : 10) : -1;

	if (text.toLowerCase() === also || (digits >= least && digits <= most))
		return null;
	return _('expected a number from %d to %d').format(least, most);
}

const port = (text) => number(text, 0, 65535);
const endpointPort = (text) => number(text, 1, 65535);
const mark = (text) => number(text, 0, 0xffffffff, 'off');
const keepalive = (text) => number(text, 0, 65535, 'off');
const metric = (text) => number(text, 0, 0xffffffff);
const failback = (text) => number(text, 0, 86400);
const peers = (text) => number(text, 1, MAX_PEERS);

function mtu(text, hasIpv6) {
	const why = number(text, LEAST_MTU, MAX_MTU);

	if (!why && hasIpv6 && +text < LEAST_MTU_IPV6)
		return _('IPv6 needs an MTU of at least %d').format(LEAST_MTU_IPV6);
	return why;
}

/* The bytes of an IPv4 address, or null. */
function ipv4(text) {
	const words = text.split('.');

	if (words.length !== 4 || !words.every((word) => /^(0|[1-9][0-9]{0,2})$/.test(word) && +word < 256))
		return null;
	return words.map((word) => +word);
}

function groups(text) {
	if (text === '')
		return [];
	const words = text.split(':'), tail = words[words.length - 1].includes('.') ? ipv4(words.pop()) : [];

	if (tail === null || !words.every((word) => /^[0-9A-Fa-f]{1,4}$/.test(word)))
		return null;
	return [ ...words.flatMap((word) => [ parseInt(word, 16) >> 8, parseInt(word, 16) & 255 ]), ...tail ];
}

/* The bytes of an IPv6 address, or null. */
function ipv6(text) {
	const halves = text.split('::');

	if (halves.length > 2 || (halves.length === 2 && halves[0].includes('.')))
		return null;
	const [ head, rest ] = halves.map(groups);

	if (head === null || rest === null)
		return null;
	if (halves.length === 1)
		return head.length === 16 ? head : null;
	const gap = 16 - head.length - rest.length;

	return gap >= 2 ? [ ...head, ...new Array(gap).fill(0), ...rest ] : null;
}

function address(text) {
	return text.includes(':') ? ipv6(text) : ipv4(text);
}

/* { bytes, length } of an address with or without prefix length, or null. */
function parseNetwork(text) {
	const [ where, bits, more ] = text.split('/'), bytes = address(where);

	if (!bytes || more !== undefined)
		return null;
	if (bits === undefined)
		return { bytes, length: bytes.length * 8 };
	return /^[0-9]{1,3}$/.test(bits) && +bits <= bytes.length * 8 ? { bytes, length: +bits } : null;
}

function network(text) {
	return parseNetwork(text) ? null : _('expected an address, or a network such as 10.0.0.0/24 or fd00::/64');
}

function masked(net) {
	return net.bytes.map((byte, i) => byte & (0xff00 >> Math.min(Math.max(net.length - 8 * i, 0), 8)) & 255);
}

/* Whether the network `one` is in `other`, or the same. */
function isWithin(one, other) {
	return one.bytes.length === other.bytes.length && one.length >= other.length &&
		String(masked({ bytes: one.bytes, length: other.length })) === String(masked(other));
}

function isAddress(text) {
	return address(text) !== null;
}

/* Whether the address is in the network, both as text. */
function isInside(text, network) {
	const one = parseNetwork(text), other = parseNetwork(network);

	return one !== null && other !== null && isWithin(one, other);
}

function isSame(one, other) {
	return one.length === other.length && isWithin(one, other);
}

function formatIpv6(bytes) {
	const words = [];

	for (let i = 0; i < 16; i += 2)
		words.push((bytes[i] << 8 | bytes[i + 1]).toString(16));
	/* The longest run of two or more zeros is left out, the first one if there are several. */
	let best = [ 0, 0 ];

	for (let i = 0; i < 8; i++) {
		let end = i;

		while (words[end] === '0')
			end++;
		if (end - i > best[1] - best[0])
			best = [ i, end ];
	}
	if (best[1] - best[0] < 2)
		return words.join(':');
	return words.slice(0, best[0]).join(':') + '::' + words.slice(best[1]).join(':');
}

function format(bytes) {
	return bytes.length === 4 ? bytes.join('.') : formatIpv6(bytes);
}

/* The network of an address with its prefix length, as text. */
function networkOf(text) {
	const net = parseNetwork(text);

	return `${format(masked(net))}/${net.length}`;
}

function host(text) {
	const bare = /^\[.*:.*\]$/.test(text) ? text.slice(1, -1) : text;

	if (bare.includes(':') || /^[0-9.]*$/.test(bare)) {
		const at = bare.indexOf('%');

		if (!address(at < 0 ? bare : bare.slice(0, at)) || (at >= 0 && !LINK.test(bare.slice(at + 1))))
			return _('not an IP address');
		return null;
	}
	const labels = text.replace(/\.$/, '').split('.');

	if (text.length > 253 || !labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label)))
		return _('not a host name');
	return null;
}

/* Whether the endpoint of a list has a port. */
function hasPort(text) {
	return /^(\[.*\]|[^:]+):[0-9]+$/.test(text);
}

/* One endpoint, or several with blanks between them. */
function hosts(text) {
	const all = words(text);

	if (all.length < 2)
		return host(text);
	for (const one of all) {
		const colon = one.lastIndexOf(':');
		const why = hasPort(one) ? host(one.slice(0, colon)) ?? endpointPort(one.slice(colon + 1)) : host(one);

		if (why)
			return why;
	}
	return null;
}

function link(text) {
	return LINK.test(text) && text !== '.' && text !== '..' ? null : _('not a valid name of a network or interface');
}

/* The name of an interface and of its section: both the kernel and UCI must accept it. */
function interfaceName(text) {
	return /^[A-Za-z0-9_]{1,15}$/.test(text) ? null : _('expected 1 to 15 letters, digits and underscores');
}

function path(text) {
	return text.startsWith('/') ? null : _('expected an absolute path');
}

function heapsize(text) {
	return /^[0-9]+[KM]?$/.test(text) ? null : _('expected a number, perhaps with K or M at its end');
}

/* The words of an option, which is a list or a text with spaces or commas. */
function words(value) {
	return [].concat(value ?? []).flatMap((text) => text.split(/[\s,]+/)).filter((word) => word);
}

/* The networks of `texts` that `others` ({ name, networks }) have too, each { network, name }. A network can belong to one
   peer only. */
function duplicates(texts, others) {
	return clashes(texts, others, isSame);
}

/* The networks that overlap and are not the same: the longer prefix gets the address. */
function overlaps(texts, others) {
	return clashes(texts, others, (one, other) =>
		!isSame(one, other) && (isWithin(one, other) || isWithin(other, one)));
}

function clashes(texts, others, test) {
	const found = [];

	for (const text of texts) {
		const one = parseNetwork(text);

		for (const { name, networks } of one ? others : [])
			for (const other of networks.map(parseNetwork))
				if (other && test(one, other))
					found.push({ network: `${format(masked(one))}/${one.length}`, name });
	}
	return found;
}

function increment(bytes) {
	const next = [ ...bytes ];

	for (let i = next.length - 1; i >= 0; i--) {
		next[i] = (next[i] + 1) & 255;
		if (next[i])
			break;
	}
	return next;
}

/* The first unused addresses, one for each network of `own` (addresses with prefix length).

   used  the addresses and networks of peers; a network that contains our whole network does not count */
function freeAddresses(own, used) {
	const found = [], taken = [ ...own.map((text) => text.split('/')[0]), ...used ].map(parseNetwork).filter((net) => net);

	for (const net of own.map(parseNetwork).filter((one) => one && one.length < one.bytes.length * 8)) {
		const most = net.bytes.length * 8, narrow = taken.filter((other) => !isWithin(net, other));
		/* Not the first address of the network, and with IPv4 not the last one, unless there are only two. */
		const isPair = most - net.length === 1;
		let bytes = isPair ? masked(net) : increment(masked(net));

		for (let i = 0; i < 65536; i++, bytes = increment(bytes)) {
			const one = { bytes, length: most };

			if (!isWithin(one, net) || (most === 32 && !isPair && !isWithin({ bytes: increment(bytes), length: most }, net)))
				break;
			if (!narrow.some((other) => isWithin(one, other))) {
				found.push(`${format(bytes)}/${most}`);
				break;
			}
		}
	}
	return found;
}

/* Whether a switch of UCI is on. */
function isOn(value) {
	return [ '1', 'on', 'true', 'yes', 'enabled' ].includes(value);
}

return baseclass.extend({
	isKey, key, port, endpointPort, failback, mark, keepalive, metric, peers, mtu, network, parseNetwork, isAddress, isInside, networkOf, host, hosts, hasPort,
	link,	interfaceName, path, heapsize, words, duplicates, overlaps, freeAddresses, isOn
});
