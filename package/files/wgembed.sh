#!/bin/sh
# Start wgembed with the interpreter of the package.

# shellcheck source=package/files/launch.sh
. /usr/lib/wgembed/launch.sh

# Called by the name wg, the program behaves as wg(8).
name="${0##*/}"
[ "$name" = wg ] || name=wgembed
refuse() {
	echo "$name: $1" >&2
	exit 1
}

lacks="$(wgembed_lacks_interpreter)"
[ -z "$lacks" ] || refuse "$lacks"
if [ "$(wgembed_interpreter)" = micropython ]; then
	for argument; do
		# MicroPython would end with an unclear error.
		[ ${#argument} -le 255 ] || refuse "MicroPython accepts no argument of more than 255 bytes: use a file (addconf)"
	done
fi
# A reload can be requested before the daemon handles the signal.
[ "$1" != run ] || trap "" HUP
# shellcheck disable=SC2046 # words, to be split
exec $(wgembed_command "$name") "$@"
