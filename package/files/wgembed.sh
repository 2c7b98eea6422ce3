#!/bin/sh
# wgembed on whichever interpreter the package is for.

# shellcheck source=package/files/launch.sh
. /usr/lib/wgembed/launch.sh

lacks="$(wgembed_lacks_interpreter)"
if [ -n "$lacks" ]; then
	echo "wgembed: $lacks" >&2
	exit 1
fi
# A reload may be asked for before the daemon listens to that.
[ "$1" != run ] || trap "" HUP
# shellcheck disable=SC2046 # words, to be split
exec $(wgembed_command) "$@"
