'use strict';
'require baseclass';
'require fs';
'require rpc';

/* The requests of the pages to the router, except those of UCI. An error rejects with a sentence. */

function sentence(error) {
	return {
		name: _('not a valid interface name'),
		key: _('not a valid key'),
		file: _('the key file does not exist'),
		write: _('cannot store the key in /etc/wgembed'),
		program: _('wgembed does not answer. See the system log.')
	}[error];
}

function filter(answer) {
	if (L.isObject(answer) && !answer.error)
		return answer;
	throw new Error(sentence(answer?.error) ?? _('The router does not answer (%s).').format(answer));
}

function declare(method, params) {
	return rpc.declare({ object: 'luci.wgembed', method, params, filter });
}

const dumpNetworks = rpc.declare({ object: 'network.interface', method: 'dump', expect: { interface: [] } });

/* The address of this router towards the internet, '' if not known. */
function ownAddress() {
	return dumpNetworks().then((networks) => {
		const outer = networks.filter((network) => network.up &&
			(network.route ?? []).some((route) => route.mask === 0 && (route.target === '0.0.0.0' || route.target === '::')));

		return outer.map((network) => network['ipv4-address']?.[0]?.address ?? network['ipv6-address']?.[0]?.address)
			.find((address) => address) ?? '';
	}, () => '');
}

/* { name: sentences } for the interfaces of OpenWrt with a fault. */
function networkErrors() {
	return dumpNetworks().then((networks) => Object.fromEntries(networks.filter((network) => network.errors?.length)
		.map((network) => [ network.interface, network.errors.map((error) => String(error.code)) ])), () => ({}));
}

/* The output of `wgembed diagnose`. This starts an interpreter and sends probes, so it runs only when the user asks for
   it. */
function diagnose(...which) {
	return fs.exec('/usr/sbin/wgembed', [ 'diagnose', ...which ]).then((done) => done.stdout || done.stderr);
}

/* The output of `wgembed history`, also if the service does not run. */
function history() {
	return fs.exec('/usr/sbin/wgembed', [ 'history' ]).then((done) => done.stdout || done.stderr);
}

return baseclass.extend({
	status: declare('status'),
	names: declare('names'),
	newKey: declare('new_key', [ 'interface' ]),
	keepKey: declare('keep_key', [ 'interface', 'private_key' ]),
	publicKey: declare('public_key', [ 'private_key' ]),
	publicKeyOfFile: declare('public_key_of_file', [ 'path' ]),
	newPair: declare('new_pair'),
	newPresharedKey: declare('new_preshared_key'),
	ownAddress,
	networkErrors,
	diagnose,
	history
});
