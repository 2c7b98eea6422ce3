'use strict';
'require view';
'require dom';
'require poll';
'require ui';
'require wgembed.calls as calls';
'require wgembed.diagnosis as diagnosis';
'require wgembed.plot as plot';
'require wgembed.state as state';

/* Names come from users and from the network: they go into text nodes (arrays of children), never into markup. */

const GOOD = [ 'up' ], CALM = [ 'idle', 'waiting for peer', 'down' ];
const SMALL = 'opacity:.75; font-size:90%; overflow-wrap:anywhere';
const COLOURS = { good: '#3d8b40', calm: '#707070', busy: '#b36b00', bad: '#c0392b' };

function kindOf(word) {
	if (GOOD.includes(word))
		return 'good';
	if (CALM.includes(word))
		return 'calm';
	return word === 'handshaking' ? 'busy' : 'bad';
}

function badge(word) {
	return E('span', {
		'class': 'ifacebadge', 'data-state': word,
		'style': `background:${COLOURS[kindOf(word)]}; color:#fff; border:0; padding:2px 8px; border-radius:3px`
	}, [ state.inWords(word) ]);
}

function shortKey(hex) {
	return state.keyText(hex).slice(0, 8) + '…';
}

function cell(title, children, attributes) {
	return E('td', { 'class': 'td left', 'data-title': title, ...attributes }, children);
}

function small(children) {
	return E('div', { 'style': SMALL }, children);
}

function bytes(count) {
	return '%1024.1mB'.format(Math.round(count));
}

function transfer(arrow, count, rate) {
	return E('div', { 'class': 'nowrap' }, [
		`${arrow} ${bytes(count)} `, E('span', { 'style': SMALL }, [ rate == null ? '' : bytes(rate) + '/s' ])
	]);
}

return view.extend({
	/* Loaded once, and again when an unknown peer appears. */
	names: {},
	errors: {},
	histories: {},
	clockAhead: 0,

	load() {
		return Promise.all([ calls.status().catch(() => null), this.loadNames() ]).then(([ told ]) => this.loadErrors(told));
	},

	/* netifd knows why its interfaces do not run. Returns `told`. */
	loadErrors(told) {
		const isMissing = told && Object.keys(this.names).some((name) => this.names[name].of_network && !told.interfaces[name]);

		return (isMissing ? calls.networkErrors() : Promise.resolve({})).then((errors) => {
			this.errors = errors;
			return told;
		});
	},

	loadNames() {
		return calls.names().then((answer) => { this.names = answer.interfaces }, () => {});
	},

	render(told) {
		const root = E('div', { 'class': 'cbi-map' });

		this.show(root, told);
		poll.add(() => calls.status().then((fresh) => this.loadErrors(fresh)).then((fresh) => this.show(root, fresh), () => this.show(root, null)));
		window.setInterval(() => this.tick(root), 1000);
		return root;
	},

	show(root, told) {
		const isOpen = [ ...root.querySelectorAll('details[open]') ].map((node) => node.dataset.name);
		const served = Object.entries(told?.interfaces ?? {}).map(([ name, text ]) => state.parse(name, text));

		if (told)
			this.clockAhead = told.time - Date.now() / 1000;
		this.now = told?.time;
		dom.content(root, [
			E('h2', {}, [ _('wgembed') ]),
			told ? '' : E('p', { 'class': 'alert-message warning' }, [ _('The router does not answer.') ]),
			...served.map((iface) => this.showInterface(iface, isOpen)),
			...(told ? this.showOthers(served) : []),
			this.historyButton()
		]);
		this.tick(root);
		if (served.some((iface) => iface.peers.some((peer) => this.peerName(iface, peer) === null)) && !this.isStrange) {
			/* Peers of `wg set` are in no configuration: one more request for each page is enough. */
			this.isStrange = true;
			this.loadNames();
		}
	},

	peerName(iface, peer) {
		const key = state.keyText(peer.public_key);

		return this.names[iface.name]?.peers.find((known) => known.public_key === key)?.description ?? null;
	},

	showInterface(iface, isOpen) {
		const word = state.ofInterface(iface), facts = [ _('port %d').format(iface.listen_port) ];

		if (iface.mtu)
			facts.push(_('MTU %d').format(iface.mtu));
		if (iface.fwmark)
			facts.push(_('fwmark 0x%x').format(iface.fwmark));
		if (iface.is_away)
			facts.push(_('in another network namespace'));
		return E('div', { 'class': 'cbi-section', 'data-interface': iface.name }, [
			E('h3', {}, [ iface.name, ' ', badge(word) ]),
			E('p', { 'style': 'overflow-wrap:anywhere' }, [
				facts.join(', '), ...(this.names[iface.name]?.of_network ? [ ', ', this.networkLink() ] : []), E('br'),
				iface.public_key ? _('public key') + ' ' + state.keyText(iface.public_key) : ''
			]),
			this.sentences(diagnosis.ofInterface(iface), 'bad'),
			iface.peers.length ? this.showPeers(iface) : '',
			this.showDrops(iface, isOpen)
		]);
	},

	showPeers(iface) {
		return E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, [
				_('Peer'), _('State'), _('Handshake'), _('Transfer'), _('Last minutes')
			].map((title) => E('th', { 'class': 'th left' }, [ title ]))),
			...iface.peers.flatMap((peer) => this.showPeer(iface, peer))
		]);
	},

	showPeer(iface, peer) {
		const word = state.ofPeer(iface, peer), history = this.remember(iface, peer), rate = history.rates().pop();
		const found = diagnosis.ofPeer(iface, peer, this.now);

		return [
			E('tr', { 'class': 'tr', 'data-peer': state.keyText(peer.public_key) }, [
				cell(_('Peer'), [
					E('strong', {}, [ this.peerName(iface, peer) ?? shortKey(peer.public_key) ]),
					small([ this.whereabouts(peer) ]),
					peer.failover ? small([ this.failover(peer) ]) : '',
					small([ peer.allowed_ips.join(', ') || _('no allowed IPs') ])
				], { 'title': state.keyText(peer.public_key) }),
				cell(_('State'), [
					badge(word),
					peer.attempt > 1 ? small([ _('attempt %d').format(peer.attempt) ]) : '',
					peer.next_attempt_ms >= 8000 ? small([
						_('next attempt in %d s').format(Math.floor(peer.next_attempt_ms / 1000))
					]) : '',
					peer.staged ? small([ _('%d packets wait for a handshake').format(peer.staged) ]) : '',
					E('div', {}, [ this.closerButton(iface, peer) ])
				]),
				cell(_('Handshake'), [ E('span', { 'data-handshake': peer.latest_handshake }, [ '' ]) ]),
				cell(_('Transfer'), [
					transfer('↓', peer.rx_bytes, rate?.rx), transfer('↑', peer.tx_bytes, rate?.tx)
				]),
				cell(_('Last minutes'), [ history.draw(bytes) ])
			]),
			found.length ? E('tr', { 'class': 'tr', 'data-why': state.keyText(peer.public_key) }, [
				E('td', { 'class': 'td left', 'colspan': 5, 'style': 'border-top:0; padding-top:0' }, [
					this.sentences(found, kindOf(word))
				])
			]) : ''
		];
	},

	failover(peer) {
		const number = peer.endpoint_choices.indexOf(peer.endpoint_host) + 1;
		const where = peer.backup_role
			? (peer.backup_role === 'active' ? _('in use') : _('standby'))
			: _('endpoint %d of %d').format(number, peer.endpoint_choices.length);

		if (!peer.failover.switches)
			return where;
		return _('%s: %s (%d switches)').format(where, state.failoverInWords(peer.failover.reason), peer.failover.switches);
	},

	whereabouts(peer) {
		const where = [];

		if (peer.endpoint_host)
			where.push(peer.endpoint_host);
		if (peer.endpoint && peer.endpoint !== peer.endpoint_host)
			where.push(where.length ? _('at %s').format(peer.endpoint) : peer.endpoint);
		return where.join(' ') || _('no endpoint');
	},

	remember(iface, peer) {
		const history = this.histories[`${iface.name} ${peer.public_key}`] ??= new plot.History();

		history.add({ time: this.now, rx: peer.rx_bytes, tx: peer.tx_bytes, handshake: peer.latest_handshake });
		return history;
	},

	/* Bold only for a fault: a phone that has not connected yet is not a fault. */
	sentences(found, kind) {
		return found.length ? E('ul', { 'class': 'wgembed-why', 'style': 'margin:0 0 4px 18px' }, found.map((one) => E('li', {
			'style': 'color:inherit' + (kind !== 'calm' && one.weight >= diagnosis.LIKELY ? '; font-weight:bold' : '')
		}, [ one.sentence ]))) : '';
	},

	closerButton(iface, peer) {
		return E('button', {
			'class': 'btn cbi-button', 'style': 'padding:0 6px; line-height:1.6; min-height:0; font-size:85%; margin-top:4px',
			'title': _('Also checks routes, the port of the peer and the size of packets. This takes some seconds.'),
			'click': ui.createHandlerFn(this, () => this.lookCloser(iface.name, state.keyText(peer.public_key)))
		}, [ _('Diagnose') ]);
	},

	lookCloser(name, key) {
		return this.showText(_('Diagnosis'), calls.diagnose(name, key));
	},

	showText(title, output) {
		return output.catch((error) => error.message).then((text) => ui.showModal(title, [
			E('pre', { 'style': 'white-space:pre-wrap; max-height:70vh; overflow:auto' }, [ text ]),
			E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Dismiss') ]) ])
		]));
	},

	/* Below everything, because it also has what happened while the service did not run. */
	historyButton() {
		return E('p', {}, [ E('button', {
			'class': 'btn cbi-button', 'data-action': 'history',
			'title': _('Outages, restarts and changes of the last weeks'),
			'click': ui.createHandlerFn(this, () => this.showText(_('History'), calls.history()))
		}, [ _('History') ]) ]);
	},

	showDrops(iface, isOpen) {
		const reasons = Object.keys(iface.drops).sort();

		if (!reasons.length)
			return '';
		const total = reasons.reduce((sum, reason) => sum + iface.drops[reason], 0);

		return E('details', { 'data-name': iface.name, 'open': isOpen.includes(iface.name) ? '' : null }, [
			E('summary', {}, [ _('%d packets were dropped').format(total) ]),
			E('ul', {}, reasons.map((reason) => E('li', {
				'title': reason, 'data-reason': reason, 'style': 'color:inherit'
			}, [
				`${iface.drops[reason]} – ${state.dropInWords(reason)}`
			])))
		]);
	},

	/* The interfaces that are configured and not served. */
	showOthers(served) {
		const missing = Object.keys(this.names).filter((name) => !served.some((iface) => iface.name === name));

		if (!served.length && !missing.length)
			return [ E('p', {}, [ _('No interface is configured yet.') ]) ];
		return missing.map((name) => E('div', { 'class': 'cbi-section', 'data-interface': name }, [
			E('h3', {}, [ name ]), E('p', {}, [ ...this.whyNotRunning(name) ])
		]));
	},

	whyNotRunning(name) {
		const errors = this.errors[name] ?? [];

		if (!this.names[name].of_network)
			return [ this.names[name].disabled ? _('It is disabled.')
				: _('It is not running. Check that the service is started, and see the system log.') ];
		return [
			errors.length ? _('It is not running: %s.').format(errors.join('; '))
				: this.names[name].disabled ? _('It is disabled.') : _('It is not running. See the system log.'),
			' ', this.networkLink()
		];
	},

	networkLink() {
		return E('a', { 'href': L.url('admin/network/network') }, [ _('Network interfaces') ]);
	},

	tick(root) {
		const now = Date.now() / 1000 + this.clockAhead;

		for (const node of root.querySelectorAll('[data-handshake]'))
			node.textContent = +node.dataset.handshake
				? _('%s ago').format(state.span(Math.max(0, now - node.dataset.handshake))) : _('never');
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
