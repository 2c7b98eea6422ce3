'use strict';

/* Runs functions of the pages' modules in node: node modules.js FOLDER <CALLS, both JSON lists; a call is [module,
   function, ...arguments], and its answer { value } or { error }. What LuCI would provide is what they use of it. */

const fs = require('fs');

const [ folder ] = process.argv.slice(2);
const loaded = { baseclass: { extend: (members) => members } };

String.prototype.format = function(...values) {
	return this.replace(/%[sd]/g, () => values.shift());
};

function load(name) {
	if (loaded[name])
		return loaded[name];
	const source = fs.readFileSync(`${folder}/${name.replace(/\./g, '/')}.js`, 'utf-8');
	const wanted = [ ...source.matchAll(/'require (\S+?)(?: as (\w+))?';/g) ]
		.map((found) => ({ name: found[1], as: found[2] ?? found[1] }));
	const run = new Function('_', 'L', ...wanted.map((one) => one.as), source);

	return loaded[name] = run((text) => text, {}, ...wanted.map((one) => load(one.name)));
}

const answers = JSON.parse(fs.readFileSync(0, 'utf-8')).map(([ module, name, ...values ]) => {
	try {
		return { value: load(module)[name](...values) ?? null };
	}
	catch (error) {
		return { error: error.message };
	}
});

process.stdout.write(JSON.stringify(answers));
