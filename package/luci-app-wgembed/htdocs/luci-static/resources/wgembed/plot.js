'use strict';
'require baseclass';

/* A small plot of the last minutes: received and sent bytes, and handshakes. */

const MINUTES = 5, WIDTH = 150, HEIGHT = 36, BOTTOM = HEIGHT - 5;
const RECEIVED = '#2a7ae2', SENT = '#e2852a', HANDSHAKE = '#4a9e4a';

function svg(tag, attributes, ...children) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);

	for (const name in attributes)
		node.setAttribute(name, attributes[name]);
	node.append(...children);
	return node;
}

/* Samples of one peer: { time (s), rx, tx (bytes until then), handshake (s since 1970) }. */
function History() {
	this.looks = [];
}

History.prototype.add = function(look) {
	const before = this.looks[this.looks.length - 1];

	/* The peer was removed and added again, or the router's clock was set. */
	if (before && (look.rx < before.rx || look.tx < before.tx || look.time <= before.time))
		this.looks = [];
	this.looks.push(look);
	while (this.looks[0].time < look.time - MINUTES * 60)
		this.looks.shift();
};

/* { time, rx, tx } in bytes a second, between each two samples. */
History.prototype.rates = function() {
	return this.looks.slice(1).map((look, i) => {
		const before = this.looks[i], took = look.time - before.time;

		return { time: look.time, rx: (look.rx - before.rx) / took, tx: (look.tx - before.tx) / took };
	});
};

/* inWords  a function that formats a number of bytes */
History.prototype.draw = function(inWords) {
	const rates = this.rates(), end = this.looks[this.looks.length - 1].time;
	const most = Math.max(1, ...rates.map((rate) => Math.max(rate.rx, rate.tx)));
	const x = (time) => (WIDTH - (end - time) / (MINUTES * 60) * WIDTH).toFixed(1);
	const y = (rate) => (BOTTOM - rate / most * (BOTTOM - 2)).toFixed(1);
	const points = (name) => rates.map((rate) => `${x(rate.time)},${y(rate[name])}`).join(' ');
	/* Received as an area, sent as a line: both stay visible when they have the same shape. */
	const area = rates.length ? svg('polygon', {
		fill: RECEIVED, 'fill-opacity': 0.5,
		points: `${x(rates[0].time)},${BOTTOM} ${points('rx')} ${x(end)},${BOTTOM}`
	}) : '';
	const line = svg('polyline', { fill: 'none', stroke: SENT, 'stroke-width': 1, points: points('tx') });
	const times = new Set(this.looks.map((look) => look.handshake).filter((time) => time > end - MINUTES * 60));
	const title = svg('title', {},
		_('The last %d minutes, at most %s/s: received (blue), sent (orange), handshakes (green marks)').format(MINUTES, inWords(most)));

	return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: 'img', class: 'wgembed-plot' },
		title,
		svg('line', { x1: 0, x2: WIDTH, y1: BOTTOM, y2: BOTTOM, stroke: 'currentColor', 'stroke-opacity': 0.3 }),
		area, line,
		...[ ...times ].map((time) => svg('rect', { x: x(time) - 1, y: BOTTOM + 1, width: 2, height: 4, fill: HANDSHAKE })));
};

return baseclass.extend({ History });
