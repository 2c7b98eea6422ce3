'use strict';
'require view';
'require dom';
'require form';
'require uci';
'require ui';
'require wgembed.calls as calls';
'require wgembed.dialogs as dialogs';
'require wgembed.quick as quick';
'require wgembed.sections as sections';
'require wgembed.values as values';

const CONFIG = sections.CONFIG;

/* In a grid, LuCI shows a string as markup, and a node as it is. */
function text(...children) {
	return E('span', { 'style': 'overflow-wrap:anywhere' }, children);
}

/* A check of values.js in the form that LuCI expects; an empty field is valid. */
function checked(check) {
	return (sid, value) => value === '' || value == null ? true : check(value, sid) ?? true;
}

/* `option disabled`, inverted. */
function addSwitch(s, ...where) {
	const o = s[where.length ? 'taboption' : 'option'](...where, form.Flag, '_enabled', _('Enabled'));

	o.editable = true;
	o.default = '1';
	o.rmempty = true;
	o.cfgvalue = (sid) => {
		const auto = sections.option(sid, 'auto');

		return values.isOn(sections.option(sid, 'disabled')) || (auto != null && !values.isOn(auto)) ? '0' : '1';
	};
	o.write = (sid) => uci.set(CONFIG, sid, 'disabled', '1');
	o.remove = (sid) => {
		uci.unset(CONFIG, sid, 'disabled');
		uci.unset(CONFIG, sid, 'auto');
	};
	return o;
}

function addColumn(s, name, title, textvalue) {
	const o = s.option(form.DummyValue, name, title);

	o.modalonly = false;
	o.textvalue = textvalue;
	return o;
}

function addField(s, tab, kind, name, title, description, check) {
	const o = tab ? s.taboption(tab, kind, name, title, description) : s.option(kind, name, title, description);

	o.modalonly = true;
	o.optional = true;
	if (check)
		o.validate = checked(check);
	return o;
}

function button(label, onclick, attributes) {
	return E('button', { 'class': 'btn cbi-button cbi-button-action', 'click': onclick, ...attributes }, [ label ]);
}

/* Below the table of a section. A narrow screen needs more than one line for the buttons. */
function addButtons(node, ...buttons) {
	node.style.flexWrap = 'wrap';
	node.append(...buttons.flatMap((one) => [ ' ', one ]));
	return node;
}

function failed(error) {
	ui.addNotification(null, [ E('p', {}, [ error.message ]) ], 'danger');
}

/* The interfaces */

function addInterfaces(map, hasNetwork) {
	const s = map.section(form.GridSection, 'interface', _('Interfaces'));

	s.addremove = true;
	s.sortable = true;
	s.nodescriptions = true;
	s.addbtntitle = _('Add interface');
	s.tab('general', _('General Settings'));
	s.tab('advanced', _('Advanced Settings'));
	if (sections.zones().length)
		s.tab('firewall', _('Firewall Settings'), _('The firewall zone that the interface belongs to, as a device. In the zone lan, peers have the same rights as the local network.'));
	s.handleAdd = function(ev, name) {
		try {
			dialogs.checkName(name);
		}
		catch (error) {
			return failed(error);
		}
		uci.add(CONFIG, 'interface', name);
		map.addedSection = name;
		return sections.firstKey(name).then(() => this.renderMoreOptionsModal(name), (error) => {
			uci.remove(CONFIG, name);
			failed(error);
		});
	};
	s.handleRemove = (name) => {
		sections.removeInterface(name);
		return map.save(null, true);
	};
	s.renderSectionAdd = function(...args) {
		const node = form.GridSection.prototype.renderSectionAdd.apply(this, args);

		return addButtons(node,
			button(_('Import configuration'), () => dialogs.importInterface(map), { 'disabled': map.readonly || null }),
			...(hasNetwork ? [ button(_('Add an OpenWrt interface…'), () => dialogs.addToNetwork(), { 'disabled': map.readonly || null }) ] : []));
	};
	addSwitch(s);
	addColumn(s, '_addresses', _('IP Addresses'), (name) => text(sections.ownAddresses(name).join(', ') || _('none')));
	addColumn(s, '_port', _('Port'), (name) => text(sections.option(name, 'listen_port') || _('random')));
	addColumn(s, '_peers', _('Peers'), (name) => text(sections.peers(name).length));
	addGeneral(s);
	addAdvanced(s);
	if (sections.zones().length)
		addFirewall(s);
}

function addGeneral(s) {
	addKeys(s);

	let o = addField(s, 'general', form.DynamicList, 'addresses', _('IP Addresses'),
		_('Recommended. IP addresses of the WireGuard interface.'), values.network);
	o.placeholder = '10.0.0.1/24';

	o = addField(s, 'general', form.Value, 'listen_port', _('Listen Port'),
		_('Optional. UDP port used for outgoing and incoming packets.'), values.port);
	o.placeholder = _('random');
	o.validate = (name, value) => {
		const other = value && +value && sections.interfaces().find((one) => one !== name && sections.option(one, 'listen_port') === value);

		return checked(values.port)(name, value) === true && other
			? _('already the port of %s').format(other) : checked(values.port)(name, value);
	};
}

function addKeys(s) {
	let o = s.taboption('general', form.DummyValue, '_public_key', _('Public Key'),
		_('Base64-encoded public key of this interface for sharing.'));

	o.modalonly = true;
	o.load = (name) => sections.publicKey(name);
	o.cfgvalue = function(name, value) {
		if (arguments.length > 1)
			this.told = value;
		return keyNode(name, this.told);
	};

	o = addField(s, 'general', form.Value, '_private_key', _('Private Key'),
		_('Replaces the current key (not shown). Leave empty to keep it. The key is stored in a file on this router.'), values.key);
	o.password = true;
	o.placeholder = _('unchanged');
	o.cfgvalue = () => '';
	o.write = (name, value) => sections.keepKey(name, value).catch((error) => {
		failed(error);
		throw error;
	});
	o.remove = () => {};
}

function keyNode(name, told) {
	const code = E('code', { 'class': 'wgembed-public-key', 'style': 'display:inline-block; margin-bottom:4px; overflow-wrap:anywhere' },
		[ told ?? _('generated when the interface starts') ]);
	const inConfig = sections.option(name, 'private_key');
	const act = (label, go) => button(label, ui.createHandlerFn(this, () => go().then((key) => dom.content(code, [ key ]), failed)));

	return E('div', {}, [
		code, E('br'), act(_('Generate new key pair'), () => sections.newKey(name)), ' ',
		values.isKey(inConfig ?? '') ? act(_('Move the private key into a file'), () => sections.keepKey(name, inConfig)) : ''
	]);
}

function addAdvanced(s) {
	let o = addField(s, 'advanced', form.Value, 'mtu', _('MTU'),
		_('Optional. Maximum Transmission Unit of tunnel interface.'));

	o.placeholder = _('automatic');
	o.validate = function(name, value) {
		const addresses = values.words(this.section.formvalue(name, 'addresses') ?? sections.option(name, 'addresses'));

		return checked((mtu) => values.mtu(mtu, addresses.some((address) => address.includes(':'))))(name, value);
	};
	o = addField(s, 'advanced', form.Value, 'metric', _('Metric'), _('Metric of the routes into the tunnel.'), values.metric);
	o.placeholder = '0';
	addField(s, 'advanced', form.Value, 'ip4table', _('Override IPv4 routing table'), _('A number or a name. Default is main.'), checkTable);
	addField(s, 'advanced', form.Value, 'ip6table', _('Override IPv6 routing table'), null, checkTable);
	addField(s, 'advanced', form.Flag, 'nohostroute', _('No Host Routes'),
		_('Optional. Do not create host routes to peers.'));
	addField(s, 'advanced', form.Flag, 'kill_switch', _('Kill switch'),
		_('Optional. Traffic for the tunnel leaves by the tunnel or not at all, also while the service does not run.'));
	addField(s, 'advanced', form.Value, 'tunlink', _('Bind interface'),
		_('Optional. Network or device for the encrypted packets, such as wan2.'), values.link);
	o = addField(s, 'advanced', form.Value, 'fwmark', _('Firewall Mark'),
		_('Optional. 32-bit mark for outgoing encrypted packets. Enter value in hex, starting with <code>0x</code>.'), values.mark);
	o = addField(s, 'advanced', form.Value, 'max_peers', _('Maximum number of peers'), _('A change needs a restart of the service.'), values.peers);
	o = addField(s, 'advanced', form.ListValue, 'log_level', _('Log level'));
	addLevels(o);
}

function checkTable(value) {
	return /^[A-Za-z0-9_.-]+$/.test(value) ? null : _('expected a number or a name');
}

function addLevels(o) {
	o.value('', _('as for all interfaces'));
	o.value('silent', _('silent'));
	o.value('error', _('errors'));
	o.value('verbose', _('everything'));
}

function addFirewall(s) {
	let o = addField(s, 'firewall', form.ListValue, '_zone', _('Zone'),
		_('Without a zone, the default policy of the firewall applies.'));

	o.value('', _('none'));
	for (const zone of sections.zones())
		o.value(zone.name, zone.name);
	o.cfgvalue = (name) => sections.zoneOf(name);
	o.write = (name, value) => sections.chooseZone(name, value);
	o.remove = (name) => sections.chooseZone(name, '');

	o = addField(s, 'firewall', form.Flag, '_open_port', _('Open listen port on WAN'),
		_('Adds a firewall rule that accepts UDP packets from wan at the listen port.'));
	o.optional = false;
	o.rmempty = false;
	o.cfgvalue = (name) => sections.isPortOpen(name) ? '1' : '0';
	o.write = function(name, value) {
		const port = this.section.formvalue(name, 'listen_port');

		sections.openPort(name, value === '1' && port ? port : null);
	};
	o.validate = function(name, value) {
		return value === '1' && !this.section.formvalue(name, 'listen_port')
			? _('the interface has no listen port') : true;
	};
}

/* The peers of one interface */

function addPeers(map, name, ownAddress) {
	const s = map.section(form.GridSection, sections.peerType(name), _('Peers of %s').format(name));

	s.anonymous = true;
	s.addremove = true;
	s.sortable = true;
	s.nodescriptions = true;
	s.addbtntitle = _('Add peer');
	s.modaltitle = _('Peer of %s').format(name);
	s.renderSectionAdd = function(...args) {
		const node = form.GridSection.prototype.renderSectionAdd.apply(this, args), off = { 'disabled': map.readonly || null };

		return addButtons(node, button(_('Add a phone…'), () => dialogs.addPhone(map, name, ownAddress), off),
			button(_('Import configuration as peer…'), () => dialogs.importPeer(map, name), off));
	};
	s.renderRowActions = function(sid) {
		const node = form.GridSection.prototype.renderRowActions.call(this, sid);

		/* The label is long, so the button has its own line. Beside the others it would take the width of the addresses. */
		node.firstElementChild.style.cssText = 'flex-wrap:wrap; row-gap:3px';
		node.firstElementChild.prepend(button(_('Generate configuration…'), () => dialogs.showFile(name, uci.get(CONFIG, sid), ownAddress),
			{ 'title': _('Generates a configuration suitable for import on a WireGuard peer'), 'style': 'flex:1 0 100%' }));
		return node;
	};
	addSwitch(s);
	addColumn(s, '_who', _('Peer'), (sid) => whoNode(uci.get(CONFIG, sid)));
	addColumn(s, '_what', _('Allowed IPs'), (sid) => whatNode(name, uci.get(CONFIG, sid)));
	addColumn(s, '_where', _('Endpoint'), (sid) => whereNode(uci.get(CONFIG, sid)));
	addPeerFields(s, name);
}

function mark(label, colour) {
	return E('span', {
		'style': `background:${colour}; color:#fff; padding:0 5px; border-radius:3px; font-size:85%; margin-left:4px; white-space:nowrap`
	}, [ label ]);
}

function whoNode(peer) {
	return E('span', { 'title': peer.public_key ?? '' }, [
		text(sections.titleOf(peer)),
		peer.public_key ? '' : mark(_('Key missing'), '#c0392b'),
		peer.preshared_key ? mark(_('PSK'), '#3d6b8b') : ''
	]);
}

function whatNode(name, peer) {
	const networks = sections.networksOf(peer);
	const wider = values.overlaps(networks.filter((network) => values.parseNetwork(network)), othersOf(name, peer['.name']))
		.filter((one) => !one.network.endsWith('/0'));

	return text(networks.join(', ') || _('none'), ...wider.map((one) => E('div', { 'style': 'opacity:.75; font-size:90%' }, [
		_('%s overlaps with a network of %s. The longer prefix gets the address.').format(one.network, one.name)
	])));
}

/* The option endpoint_host, which can be a list. */
function endpointsOf(peer) {
	return [].concat(peer.endpoint_host ?? []);
}

function whereNode(peer) {
	if (!peer.endpoint_host)
		return text(_('incoming only'));

	const [ first, ...others ] = endpointsOf(peer);
	const where = values.hasPort(first) ? first : quick.hostPort(first, peer.endpoint_port || '51820');
	const colon = where.lastIndexOf(':');

	/* A line ends before the port rather than in it. */
	return E('span', { 'style': 'display:inline-block; min-width:11em; overflow-wrap:anywhere' }, [
		where.slice(0, colon), E('span', { 'class': 'nowrap' }, [ where.slice(colon) ]),
		others.length ? E('div', { 'style': 'opacity:.75; font-size:90%' }, [ _('then %s').format(others.join(', ')) ]) : ''
	]);
}

/* { name, networks } of all other peers of the interface. */
function othersOf(name, sid) {
	return sections.peers(name).filter((peer) => peer['.name'] !== sid)
		.map((peer) => ({ name: sections.titleOf(peer), networks: sections.networksOf(peer).filter((one) => !one.endsWith('/0')) }));
}

function addPeerFields(s, name) {
	let o = addField(s, null, form.Value, 'description', _('Description'), _('Optional. Description of peer.'));

	o = addField(s, null, form.Value, 'public_key', _('Public Key'), _('Required. Public key of the WireGuard peer.'));
	o.validate = (sid, value) => checkPeerKey(name, sid, value) ?? true;
	o = addField(s, null, form.Value, 'preshared_key', _('Preshared Key'),
		_('Optional. Base64-encoded preshared key. Adds in an additional layer of symmetric-key cryptography for post-quantum resistance.'), values.key);
	o.password = true;
	addPresharedButton(s);
	o = addField(s, null, form.DynamicList, 'allowed_ips', _('Allowed IPs'),
		_("Optional. IP addresses and prefixes that this peer is allowed to use inside the tunnel. Usually the peer's tunnel IP addresses and the networks the peer routes through the tunnel."));
	o.validate = (sid, value) => checkAllowed(name, sid, value) ?? true;
	addField(s, null, form.Flag, 'route_allowed_ips', _('Route Allowed IPs'),
		_('Optional. Create routes for Allowed IPs for this peer.'));
	o = addField(s, null, form.Value, 'endpoint_host', _('Endpoint Host'),
		_('Optional. Name or address of peer. Without it, the peer must start the handshake. Several, with a space between them, are used in this order if one does not answer. Each of them can have a port.'), values.hosts);
	o.placeholder = 'vpn.example.org';
	o.cfgvalue = (sid) => endpointsOf(uci.get(CONFIG, sid)).join(' ');
	o.write = (sid, value) => {
		const words = values.words(value);

		return uci.set(CONFIG, sid, 'endpoint_host', words.length > 1 ? words : words[0]);
	};
	o = addField(s, null, form.Value, 'endpoint_port', _('Endpoint Port'), _('Optional. Port of peer.'), values.endpointPort);
	o.placeholder = '51820';
	addField(s, null, form.Value, 'backup_of', _('Backup Of'),
		_('Optional. Description or public key of the peer that this peer replaces, with its allowed IPs, while it does not answer.'));
	o = addField(s, null, form.Value, 'failback_time', _('Failback Time'),
		_('Optional. Seconds that the first of several endpoints, or a peer with a backup, must answer before it is used again. 0: only when the others do not answer.'), values.failback);
	o.placeholder = '300';
	o = addField(s, null, form.ListValue, 'endpoint_order', _('Endpoint Order'),
		_('Optional. Which of several endpoints is preferred.'));
	o.value('', _('The first one'));
	o.value('fastest', _('The one that answers fastest'));
	addField(s, null, form.Value, 'ping_check', _('Ping Check'),
		_('Optional. An address behind the peer. If it does not answer pings through the tunnel, the next endpoint or the backup is used.'),
		(value) => values.isAddress(value) ? null : _('This is not an IP address.'));
	addField(s, null, form.Value, 'ping_interval', _('Ping Interval'),
		_('Optional. Seconds between two pings. Without it, there are pings only while there is traffic.'), values.failback);
	o = addField(s, null, form.Value, 'persistent_keepalive', _('Persistent Keep Alive'),
		_('Optional. Seconds between keep alive messages. Default is 0 (disabled). Recommended value if this device is behind a NAT is 25.'), values.keepalive);
	o.placeholder = '0';
}

function addPresharedButton(s) {
	const o = s.option(form.DummyValue, '_new_preshared_key', ' ');

	o.modalonly = true;
	o.cfgvalue = function(sid) {
		return button(_('Generate preshared key'), ui.createHandlerFn(this, () => calls.newPresharedKey().then((made) => {
			this.section.getUIElement(sid, 'preshared_key').setValue(made.preshared_key);
		}, failed)));
	};
}

function checkPeerKey(name, sid, value) {
	if (!value)
		return null;
	if (sections.peers(name).some((peer) => peer['.name'] !== sid && peer.public_key === value))
		return _('another peer has the same key');
	if (ownKeys[name] === value)
		return _('this is the public key of the interface itself; set that of the peer');
	return values.key(value);
}

function checkAllowed(name, sid, value) {
	const why = value ? values.network(value) : null;

	if (!value || why)
		return why;
	const [ other ] = values.duplicates([ value ], othersOf(name, sid).concat(defaultRoutes(name, sid)));

	return other ? _('another peer already has this network; give each network to one peer only') : null;
}

/* The networks that othersOf() leaves out: 0.0.0.0/0 overlaps with all networks, which is correct. */
function defaultRoutes(name, sid) {
	return sections.peers(name).filter((peer) => peer['.name'] !== sid)
		.map((peer) => ({ name: sections.titleOf(peer), networks: sections.networksOf(peer).filter((one) => one.endsWith('/0')) }));
}

/* The public keys of the interfaces, for checks that cannot wait. */
const ownKeys = {};

function learnKeys() {
	return Promise.all(sections.interfaces().map((name) => sections.publicKey(name).then((key) => { ownKeys[name] = key })));
}

/* The options of the whole process */

function addGlobals(map) {
	const s = map.section(form.NamedSection, 'globals', 'globals', _('For all interfaces'));
	let o = s.option(form.ListValue, 'log_level', _('Log level'));

	o.optional = true;
	o.value('', _('errors'));
	o.value('silent', _('silent'));
	o.value('verbose', _('everything'));
	o = s.option(form.Value, 'heapsize', _('Memory limit'),
		_('Maximum size of the heap of MicroPython. Default is 4M. A change needs a restart of the service. Python ignores it.'));
	o.optional = true;
	o.placeholder = '4M';
	o.validate = checked(values.heapsize);
	return s;
}

/* A map with sections for the existing interfaces. */
function makeMap(ownAddress, hasNetwork) {
	const map = new form.Map(CONFIG, _('wgembed'), _('WireGuard in user space. A change does not interrupt the peers that it does not concern.'));
	const grids = {};

	addInterfaces(map, hasNetwork);
	const globals = addGlobals(map);

	map.load = function() {
		const names = sections.interfaces();

		for (const name of names.filter((one) => !grids[one])) {
			addPeers(map, name, ownAddress);
			grids[name] = map.children[map.children.length - 1];
		}
		map.children = [ map.children[0], ...names.map((name) => grids[name]), globals ];
		return learnKeys().then(() => form.Map.prototype.load.call(this));
	};
	return map;
}

return view.extend({
	load() {
		return Promise.all([
			calls.ownAddress(), calls.names().then((told) => told.network && uci.load('network').then(() => true)).catch(() => false),
			uci.load(CONFIG), L.resolveDefault(uci.load('firewall'))
		]);
	},

	render([ ownAddress, hasNetwork ]) {
		if (!uci.get(CONFIG, 'globals'))
			uci.add(CONFIG, 'globals', 'globals');
		return makeMap(ownAddress, hasNetwork).render();
	}
});
