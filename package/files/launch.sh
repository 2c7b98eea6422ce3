# shellcheck shell=dash
# What runs wgembed on this machine, for /usr/sbin/wgembed and /etc/init.d/wgembed.

WGEMBED_HOME=/usr/lib/wgembed
# Only the part of MicroPython's heap that is in use takes memory.
WGEMBED_HEAPSIZE="${WGEMBED_HEAPSIZE:-4M}"

# The package has bytecode for MicroPython, or source for Python.
wgembed_interpreter() {
	if [ -e "$WGEMBED_HOME/wgembed/__init__.mpy" ]; then
		echo micropython
	else
		echo python3
	fi
}

# Print the command, in words without spaces; `wgembed_command wg` prints that of wg. The command names a file, because
# -m would look for modules in the working directory first, where other users could write.
wgembed_command() {
	local interpreter file=start.py
	[ "${1-}" != wg ] || file=wg
	interpreter="$(wgembed_interpreter)"
	case "$interpreter" in
	micropython) set -- -X "heapsize=$WGEMBED_HEAPSIZE" ;;
	*) set -- -S -E -s ;;
	esac
	echo "$(command -v "$interpreter") $* $WGEMBED_HOME/$file"
}

wgembed_lacks_interpreter() {
	local interpreter
	interpreter="$(wgembed_interpreter)"
	command -v "$interpreter" >/dev/null || echo "$interpreter is not installed: install the package $interpreter"
}

# Print what the machine lacks, one sentence a line, or nothing.
wgembed_lacks() {
	local file
	wgembed_lacks_interpreter
	[ -c /dev/net/tun ] || echo "/dev/net/tun does not exist: install the package kmod-tun, or load the tun module of the firmware"
	for file in /usr/lib/libsodium.so* /usr/lib/*/libsodium.so*; do
		[ -e "$file" ] && return
	done
	echo "libsodium is not installed: install the package libsodium"
}
