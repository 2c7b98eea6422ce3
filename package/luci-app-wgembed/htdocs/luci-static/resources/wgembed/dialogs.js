'use strict';
'require baseclass';
'require dom';
'require uci';
'require ui';
'require uqr';
'require wgembed.calls as calls';
'require wgembed.quick as quick';
'require wgembed.sections as sections';
'require wgembed.values as values';

/* Import, a new phone, and the file for a peer. Foreign strings go into text nodes and values only. */

const EVERYTHING = [ '0.0.0.0/0', '::/0' ];

function field(label, input, hint) {
	return E('div', { 'class': 'cbi-value' }, [
		E('label', { 'class': 'cbi-value-title' }, [ label ]),
		E('div', { 'class': 'cbi-value-field' }, [
			input, hint ? E('div', { 'class': 'cbi-value-description' }, [ hint ]) : ''
		])
	]);
}

function input(name, value, placeholder) {
	return E('input', { 'type': 'text', 'class': 'cbi-input-text', name, 'value': value ?? '', 'placeholder': placeholder ?? null });
}

function tick(name, isOn) {
	return E('input', { 'type': 'checkbox', name, 'checked': isOn ? '' : null });
}

function errorBox() {
	return E('div', { 'class': 'alert-message danger', 'style': 'display:none' }, [ '' ]);
}

function tell(box, sentence) {
	box.style.display = sentence ? '' : 'none';
	dom.content(box, [ sentence ]);
}

/* A button. An error is shown in the box, and the dialog stays open. */
function goButton(label, box, go) {
	return E('button', {
		'class': 'btn cbi-button cbi-button-positive important',
		'click': ui.createHandlerFn(this, () => {
			tell(box, '');
			return Promise.resolve().then(go).catch((error) => tell(box, error.message));
		})
	}, [ label ]);
}

function show(title, content, ...buttons) {
	ui.showModal(title, [
		...content,
		E('div', { 'class': 'right button-row' }, [
			E('button', { 'class': 'btn cbi-button', 'click': ui.hideModal }, [ _('Dismiss') ]), ' ', ...buttons
		])
	], 'cbi-modal');
}

/* A text area onto which a file can be dropped; `named` is called with the name of the file. */
function dropArea(named) {
	const area = E('textarea', {
		'name': 'file', 'rows': 12, 'style': 'width:100%; font-family:monospace', 'spellcheck': 'false',
		'placeholder': _('Paste or drag supplied WireGuard configuration file…'),
		'dragover': (ev) => ev.preventDefault(),
		'drop': (ev) => {
			const file = ev.dataTransfer.files[0];

			ev.preventDefault();
			if (!file)
				return;
			named(file.name.replace(/\.conf$/i, ''));
			file.text().then((text) => { area.value = text });
		}
	});

	return area;
}

function importInterface(map) {
	const name = input('name', '', 'wg1'), box = errorBox();
	const area = dropArea((stem) => { name.value ||= stem.replace(/[^A-Za-z0-9_]/g, '_').slice(0, 15) });

	show(_('Import configuration'), [
		E('p', {}, [ _('The settings of a wg-quick file become a new interface. Its private key is stored in a file on this router.') ]),
		field(_('Name'), name), area, box
	], goButton(_('Import'), box, () => {
		const { options, peers, leftOut } = quick.importInterface(area.value), own = options.private_key;

		checkName(name.value);
		delete options.private_key;
		return calls.keepKey(name.value, own).then(({ path }) => {
			map.data.add(sections.CONFIG, 'interface', name.value);
			sections.setAll(name.value, { ...options, private_key_file: path });
			for (const peer of peers)
				sections.addPeer(name.value, peer);
			return finish(map);
		}).then(() => {
			if (leftOut.length)
				ui.addNotification(null, [ E('p', {}, [ _('Not imported because UCI has no option for it: %s').format(leftOut.join(', ')) ]) ]);
		});
	}));
}

/* An interface of OpenWrt, in /etc/config/network. It is saved, not applied: its page shows it, with the rest to configure. */
function addToNetwork() {
	const name = input('name', '', 'vpn'), box = errorBox();
	const area = dropArea((stem) => { name.value ||= stem.replace(/[^A-Za-z0-9_]/g, '_').slice(0, 15) });

	show(_('Add an OpenWrt interface'), [
		E('p', {}, [ _('OpenWrt manages the interface: firewall zones, routes, the page of network interfaces and commands such as ifup know it. It runs as a separate process. Its private key is stored in the network configuration.') ]),
		field(_('Name'), name), E('p', {}, [ _('Optional. The settings of a wg-quick file:') ]), area, box
	], goButton(_('Add'), box, () => {
		const isEmpty = !area.value.trim(), { options, peers } = isEmpty ? { options: {}, peers: [] } : quick.importInterface(area.value);
		const dns = isEmpty ? [] : quick.dnsServers(area.value);

		checkName(name.value);
		return (isEmpty ? calls.newPair().then((pair) => pair.private_key) : Promise.resolve(options.private_key)).then((key) => {
			sections.addToNetwork(name.value, { ...options, private_key: key, dns: dns.length ? dns : null }, peers);
			return uci.save();
		}).then(() => { window.location = L.url('admin/network/network') });
	}));
}

function checkName(name) {
	const isKnown = sections.interfaces().includes(name) || uci.get('network', name) != null;
	const why = values.interfaceName(name) ?? (isKnown ? _('an interface with this name already exists') : null);

	if (why)
		throw new Error(why);
}

/* Update the form and, as `Save` does, the changes that are not applied yet. */
function finish(map) {
	return map.save(null, true).then(ui.hideModal);
}

function importPeer(map, name) {
	const description = input('description'), box = errorBox();
	const area = dropArea((stem) => { description.value ||= stem });

	show(_('Import as peer'), [
		E('p', {}, [ _('The device that uses this wg-quick file becomes a peer of the interface. Its private key is not stored.') ]),
		field(_('Description'), description), area, box
	], goButton(_('Import'), box, () => sections.publicKey(name).then((own) => {
		const { privateKey, options } = quick.importPeer(area.value, own);

		return calls.publicKey(privateKey).then(({ public_key }) => {
			if (sections.peers(name).some((peer) => peer.public_key === public_key))
				throw new Error(_('a peer with this key already exists'));
			sections.addPeer(name, { description: description.value || null, public_key, ...options });
			return finish(map);
		});
	})));
}

/* A new peer, on a device that gets its whole configuration from this page. */
function addPhone(map, name, ownAddress) {
	const description = input('description', '', _('my phone')), keep = tick('keep', false), preshared = tick('preshared', true);
	const used = sections.peers(name).flatMap(sections.networksOf), box = errorBox();
	const free = values.freeAddresses(sections.ownAddresses(name), used);
	const lacks = whatLacks(name, free);

	show(_('Add a phone'), [
		lacks ? E('p', { 'class': 'alert-message warning' }, [ lacks ]) : E('p', {}, [ _('The phone gets the address %s.').format(free.join(', ')) ]),
		field(_('Description'), description),
		field(_('Preshared Key'), preshared, _('A second secret that both ends know.')),
		field(_('Keep the private key'), keep, _('Stores the private key of the phone in the configuration of this router, to show the file again later. Otherwise the file is shown only once.')),
		box
	], lacks ? '' : goButton(_('Add'), box, () => Promise.all([
		calls.newPair(), preshared.checked ? calls.newPresharedKey() : {}
	]).then(([ pair, { preshared_key } ]) => {
		const peer = {
			description: description.value || null, public_key: pair.public_key, preshared_key: preshared_key ?? null,
			allowed_ips: free, route_allowed_ips: '1', private_key: keep.checked ? pair.private_key : null
		};

		sections.addPeer(name, peer);
		return finish(map).then(() => showFile(name, { ...peer, private_key: pair.private_key }, ownAddress));
	})));
}

function whatLacks(name, free) {
	if (!free.length)
		return _('There is no free address. First give the interface an address with its network, such as 10.0.0.1/24, and save.');
	if (!+sections.option(name, 'listen_port'))
		return _('The phone needs a listen port. First give one to the interface, and save.');
	return null;
}

/* The file for the peer and, if its private key is known, the QR code of the file. */
function showFile(name, peer, ownAddress) {
	return sections.publicKey(name).then((ownKey) => {
		const host = input('endpoint', ownAddress, 'vpn.example.org'), dns = input('dns'), all = tick('all', true);
		const text = E('pre', { 'class': 'wgembed-file', 'style': 'overflow-x:auto' }, [ '' ]), picture = E('div', { 'class': 'wgembed-qr' }, [ '' ]);
		const box = errorBox(), own = sections.ownAddresses(name), addresses = quick.ownAddresses(sections.networksOf(peer));
		const draw = () => {
			const words = values.words(dns.value.replace(/,/g, ' ')), endpoint = host.value.trim();
			const why = (endpoint && values.host(endpoint)) || words.map((word) => values.host(word)).find((one) => one);

			tell(box, why ?? '');
			dom.content(text, [ why ? '' : quick.format({ ...peer, addresses }, {
				public_key: ownKey ?? _('(start the interface first)'), mtu: sections.option(name, 'mtu'), dns: words,
				endpoint: endpoint && quick.hostPort(endpoint, sections.option(name, 'listen_port') ?? '51820'),
				allowed_ips: all.checked ? EVERYTHING : own.map(values.networkOf)
			}) ]);
			drawPicture(picture, peer.private_key && !why ? text.textContent : '');
		};

		for (const node of [ host, dns, all ])
			node.addEventListener('input', draw);
		draw();
		show(_('Configuration of the peer'), [
			peer.private_key ? '' : E('p', { 'class': 'alert-message notice' }, [ _('The private key of the peer is not on this router. Add it to the file on the peer.') ]),
			addresses.length ? '' : E('p', { 'class': 'alert-message warning' }, [ _('No allowed IP of the peer is a single address, so the file has no Address.') ]),
			field(_('Connection endpoint'), host, _('The public hostname or IP address of this system the peer should connect to. This usually is a static public IP address, a static hostname or a DDNS domain.')),
			field(_('Route all traffic'), all, _('All traffic of the peer goes through the tunnel. Otherwise, only traffic to the networks of this interface.')),
			field(_('DNS Servers'), dns), box, picture, text
		], downloadButton(name, text));
	});
}

function drawPicture(node, text) {
	if (!text) {
		dom.content(node, []);
		return;
	}
	/* The library draws only numbers, so the markup contains no foreign text. */
	const svg = E(uqr.renderSVG(text, { pixelSize: 4, border: 4, whiteColor: 'white', blackColor: 'black' }));

	svg.setAttribute('viewBox', `0 0 ${svg.getAttribute('width')} ${svg.getAttribute('height')}`);
	svg.setAttribute('style', 'max-width:100%; height:auto; display:block; margin:auto');
	dom.content(node, [ svg ]);
}

function downloadButton(name, text) {
	return E('button', {
		'class': 'btn cbi-button',
		'click': () => {
			const url = URL.createObjectURL(new Blob([ text.textContent ], { type: 'text/plain' }));

			E('a', { 'href': url, 'download': `${name}.conf` }, [ '' ]).click();
			window.setTimeout(() => URL.revokeObjectURL(url), 1000);
		}
	}, [ _('Download') ]);
}

return baseclass.extend({ importInterface, importPeer, addToNetwork, addPhone, showFile, checkName });
