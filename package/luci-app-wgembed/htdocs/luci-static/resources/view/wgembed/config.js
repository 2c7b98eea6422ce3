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

/* LuCI takes a string for markup where it shows a value in a grid, and a node for what it is. */
function text(...children) {
	return E('span', { 'style': 'overflow-wrap:anywhere' }, children);
}

/* A check of values.js as a form wants it; an empty field is good. */
function checked(check) {
	return (sid, value) => value === '' || value == null ? true : check(value, sid) ?? true;
}

/* `option disabled`, the other way round. */
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

function failed(error) {
	ui.addNotification(null, [ E('p', {}, [ error.message ]) ], 'danger');
}

/* The interfaces */

function addInterfaces(map) {
	const s = map.section(form.GridSection, 'interface', _('Interfaces'));

	s.addremove = true;
	s.sortable = true;
	s.nodescriptions = true;
	s.addbtntitle = _('Add interface');
	s.tab('general', _('General'));
	s.tab('advanced', _('Routes and more'));
	if (sections.zones().length)
		s.tab('firewall', _('Firewall'), _('The firewall knows the interface by its name, as a device of a zone: lan for those who may go wherever the router\'s own network may, or a zone of its own.'));
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

		node.append(' ', button(_('Import a file…'), () => dialogs.importInterface(map), { 'disabled': map.readonly || null }));
		return node;
	};
	addSwitch(s);
	addColumn(s, '_addresses', _('Addresses'), (name) => text(sections.ownAddresses(name).join(', ') || _('none')));
	addColumn(s, '_port', _('Port'), (name) => text(sections.option(name, 'listen_port') || _('any')));
	addColumn(s, '_peers', _('Peers'), (name) => text(sections.peers(name).length));
	addGeneral(s);
	addAdvanced(s);
	if (sections.zones().length)
		addFirewall(s);
}

function addGeneral(s) {
	addKeys(s);

	let o = addField(s, 'general', form.DynamicList, 'addresses', _('Addresses'),
		_('Of this end inside the tunnel, with its network: 10.0.0.1/24'), values.network);

	o = addField(s, 'general', form.Value, 'listen_port', _('Listen port'),
		_('UDP; needed where others call. Empty: any free one.'), values.port);
	o.placeholder = _('any');
	o.validate = (name, value) => {
		const other = value && +value && sections.interfaces().find((one) => one !== name && sections.option(one, 'listen_port') === value);

		return checked(values.port)(name, value) === true && other
			? _('that is the port of %s already').format(other) : checked(values.port)(name, value);
	};
}

function addKeys(s) {
	let o = s.taboption('general', form.DummyValue, '_public_key', _('Public key'),
		_('The other ends are to know it. The private key stays in a file on this router.'));

	o.modalonly = true;
	o.load = (name) => sections.publicKey(name);
	o.cfgvalue = function(name, value) {
		if (arguments.length > 1)
			this.told = value;
		return keyNode(name, this.told);
	};

	o = addField(s, 'general', form.Value, '_private_key', _('Private key'),
		_('Of your own, in place of the present one, which is not shown. Empty: it stays.'), values.key);
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
	const code = E('code', { 'class': 'wgembed-public-key', 'style': 'overflow-wrap:anywhere' },
		[ told ?? _('made when the interface starts') ]);
	const inConfig = sections.option(name, 'private_key');
	const act = (label, go) => button(label, ui.createHandlerFn(this, () => go().then((key) => dom.content(code, [ key ]), failed)));

	return E('div', {}, [
		code, E('br'), act(_('New key pair'), () => sections.newKey(name)), ' ',
		values.isKey(inConfig ?? '') ? act(_('Move the private key into a file'), () => sections.keepKey(name, inConfig)) : ''
	]);
}

function addAdvanced(s) {
	let o = addField(s, 'advanced', form.Value, 'mtu', _('MTU'),
		_('Empty: the largest that fits the way to the peers, and it follows when the way changes.'));

	o.placeholder = _('automatic');
	o.validate = function(name, value) {
		const addresses = values.words(this.section.formvalue(name, 'addresses') ?? sections.option(name, 'addresses'));

		return checked((mtu) => values.mtu(mtu, addresses.some((address) => address.includes(':'))))(name, value);
	};
	o = addField(s, 'advanced', form.Value, 'metric', _('Metric'), _('Of the routes to what peers have.'), values.metric);
	o.placeholder = '0';
	addField(s, 'advanced', form.Value, 'ip4table', _('IPv4 routing table'), _('By number or name; empty: main.'), checkTable);
	addField(s, 'advanced', form.Value, 'ip6table', _('IPv6 routing table'), null, checkTable);
	addField(s, 'advanced', form.Flag, 'nohostroute', _('No host routes'),
		_('The way to an endpoint that lies in what is routed into the tunnel is kept outside by a rule and a mark, not by a route to it.'));
	addField(s, 'advanced', form.Value, 'tunlink', _('Way out'),
		_('The network or link that endpoints are reached over, where there are several: wan2'), values.link);
	o = addField(s, 'advanced', form.Value, 'fwmark', _('Firewall mark'), _("Of the tunnel's own packets: 0x1234"), values.mark);
	o = addField(s, 'advanced', form.Value, 'max_peers', _('Room for peers'), _('Needs a restart of the service.'), values.peers);
	o = addField(s, 'advanced', form.ListValue, 'log_level', _('Log'));
	addLevels(o);
}

function checkTable(value) {
	return /^[A-Za-z0-9_.-]+$/.test(value) ? null : _('a number or a name is wanted');
}

function addLevels(o) {
	o.value('', _('as set below'));
	o.value('silent', _('silent'));
	o.value('error', _('errors'));
	o.value('verbose', _('everything'));
}

function addFirewall(s) {
	let o = addField(s, 'firewall', form.ListValue, '_zone', _('Zone'));

	o.value('', _('none: what comes through the tunnel is treated as the default policy says'));
	for (const zone of sections.zones())
		o.value(zone.name, zone.name);
	o.cfgvalue = (name) => sections.zoneOf(name);
	o.write = (name, value) => sections.chooseZone(name, value);
	o.remove = (name) => sections.chooseZone(name, '');

	o = addField(s, 'firewall', form.Flag, '_open_port', _('Let others call'),
		_('Opens the listen port to wan, by a rule that goes with the interface.'));
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

		node.append(' ', button(_('Add a phone…'), () => dialogs.addPhone(map, name, ownAddress), off),
			' ', button(_('Import a file…'), () => dialogs.importPeer(map, name), off));
		return node;
	};
	s.renderRowActions = function(sid) {
		const node = form.GridSection.prototype.renderRowActions.call(this, sid);

		node.firstElementChild.prepend(button(_('File…'), () => dialogs.showFile(name, uci.get(CONFIG, sid), ownAddress),
			{ 'title': _('The file for the other side') }));
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
		'style': `background:${colour}; color:#fff; padding:0 5px; border-radius:3px; font-size:85%; margin-left:4px`
	}, [ label ]);
}

function whoNode(peer) {
	return E('span', { 'title': peer.public_key ?? '' }, [
		text(sections.titleOf(peer)),
		peer.public_key ? '' : mark(_('key missing'), '#c0392b'),
		peer.preshared_key ? mark(_('PSK'), '#3d6b8b') : ''
	]);
}

function whatNode(name, peer) {
	const networks = sections.networksOf(peer);
	const wider = values.overlaps(networks.filter((network) => values.parseNetwork(network)), othersOf(name, peer['.name']))
		.filter((one) => !one.network.endsWith('/0'));

	return text(networks.join(', ') || _('none'), ...wider.map((one) => E('div', { 'style': 'opacity:.75; font-size:90%' }, [
		_('%s overlaps with %s: the narrower network gets the address').format(one.network, one.name)
	])));
}

function whereNode(peer) {
	if (!peer.endpoint_host)
		return text(_('it calls'));
	return text(quick.hostPort(peer.endpoint_host, peer.endpoint_port || '51820'));
}

/* { name, networks } of all other peers of the interface. */
function othersOf(name, sid) {
	return sections.peers(name).filter((peer) => peer['.name'] !== sid)
		.map((peer) => ({ name: sections.titleOf(peer), networks: sections.networksOf(peer).filter((one) => !one.endsWith('/0')) }));
}

function addPeerFields(s, name) {
	let o = addField(s, null, form.Value, 'description', _('Description'), _('For you.'));

	o = addField(s, null, form.Value, 'public_key', _('Public key'), _('Of the other side. Without it the peer is passed over.'));
	o.validate = (sid, value) => checkPeerKey(name, sid, value) ?? true;
	o = addField(s, null, form.Value, 'preshared_key', _('Preshared key'), _('A second secret, which both ends know.'), values.key);
	o.password = true;
	addPresharedButton(s);
	o = addField(s, null, form.DynamicList, 'allowed_ips', _('Allowed IPs'),
		_('What is behind it: it may send from these addresses, and what is for them goes to it. 0.0.0.0/0 and ::/0 for everything.'));
	o.validate = (sid, value) => checkAllowed(name, sid, value) ?? true;
	addField(s, null, form.Flag, 'route_allowed_ips', _('Route allowed IPs'), _('Make them routes of this router.'));
	o = addField(s, null, form.Value, 'endpoint_host', _('Endpoint'), _('A name or an address; without, it has to call.'), values.host);
	o.placeholder = 'vpn.example.org';
	o = addField(s, null, form.Value, 'endpoint_port', _('Endpoint port'), null, values.endpointPort);
	o.placeholder = '51820';
	o = addField(s, null, form.Value, 'persistent_keepalive', _('Persistent keepalive'),
		_('Send something every so many seconds, to keep the way back open; 25 where this side is behind NAT.'), values.keepalive);
	o.placeholder = '0';
}

function addPresharedButton(s) {
	const o = s.option(form.DummyValue, '_new_preshared_key', ' ');

	o.modalonly = true;
	o.cfgvalue = function(sid) {
		return button(_('New preshared key'), ui.createHandlerFn(this, () => calls.newPresharedKey().then((made) => {
			this.section.getUIElement(sid, 'preshared_key').setValue(made.preshared_key);
		}, failed)));
	};
}

function checkPeerKey(name, sid, value) {
	if (!value)
		return null;
	if (sections.peers(name).some((peer) => peer['.name'] !== sid && peer.public_key === value))
		return _('another peer has this key already');
	if (ownKeys[name] === value)
		return _("that is the interface's own key; a peer has one of its own");
	return values.key(value);
}

function checkAllowed(name, sid, value) {
	const why = value ? values.network(value) : null;

	if (!value || why)
		return why;
	const [ other ] = values.duplicates([ value ], othersOf(name, sid).concat(defaultRoutes(name, sid)));

	return other ? _('another peer has it already: an address can lead to one peer only') : null;
}

/* What othersOf() leaves out: 0.0.0.0/0 overlaps with all there is, and that is as it should be. */
function defaultRoutes(name, sid) {
	return sections.peers(name).filter((peer) => peer['.name'] !== sid)
		.map((peer) => ({ name: sections.titleOf(peer), networks: sections.networksOf(peer).filter((one) => one.endsWith('/0')) }));
}

/* Public keys of the interfaces, for what must be decided at once. */
const ownKeys = {};

function learnKeys() {
	return Promise.all(sections.interfaces().map((name) => sections.publicKey(name).then((key) => { ownKeys[name] = key })));
}

/* What is of the whole process */

function addGlobals(map) {
	const s = map.section(form.NamedSection, 'globals', 'globals', _('For all interfaces'));
	let o = s.option(form.ListValue, 'log_level', _('Log'));

	o.optional = true;
	o.value('', _('errors'));
	o.value('silent', _('silent'));
	o.value('verbose', _('everything'));
	o = s.option(form.Value, 'heapsize', _('Memory'),
		_('What MicroPython may grow to, 4M unless set; needs a restart of the service. Python passes over it.'));
	o.optional = true;
	o.placeholder = '4M';
	o.validate = checked(values.heapsize);
	return s;
}

/* A map whose sections follow the interfaces that there are. */
function makeMap(ownAddress) {
	const map = new form.Map(CONFIG, _('wgembed'), _('WireGuard in user space. What is saved here is applied without a break for peers that did not change.'));
	const grids = {};

	addInterfaces(map);
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
		return Promise.all([ calls.ownAddress(), uci.load(CONFIG), L.resolveDefault(uci.load('firewall')) ]);
	},

	render([ ownAddress ]) {
		if (!uci.get(CONFIG, 'globals'))
			uci.add(CONFIG, 'globals', 'globals');
		return makeMap(ownAddress).render();
	}
});
