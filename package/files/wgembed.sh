#!/bin/sh
# wgembed on whichever interpreter the package is for.

# shellcheck source=package/files/launch.sh
. /usr/lib/wgembed/launch.sh

# A link called wg is wg(8).
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
		# It would end with a complaint that nobody understands.
		[ ${#argument} -le 255 ] || refuse "MicroPython accepts no argument of more than 255 bytes: use a file (addconf)"
	done
fi
# A reload may be asked for before the daemon listens to that.
[ "$1" != run ] || trap "" HUP
# shellcheck disable=SC2046 # words, to be split
exec $(wgembed_command "$name") "$@"
