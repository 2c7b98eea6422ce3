#!/bin/sh
# shellcheck shell=dash
# Runs programs when something happens to a peer: hooks.sh CONFIG [FIFO]. docs/hooks.md describes them.
#
# The daemon writes a line for each event to the standard input: VARIABLE=value, separated by tabs. It starts this script
# before it drops its privileges. From a jail it cannot do that, so the init script starts it, and the lines come by FIFO.
# The programs run one after another, each with a time limit. This script prints "ready" if there are any, and then a
# sentence when one fails.

exec 2>/dev/null # the shell reports what is killed there
trap '' HUP      # a reload of the service
config="$1"
fifo="${2-}"
folder="${WGEMBED_HOTPLUG_DIR:-/etc/hotplug.d/wgembed}"
limit="${WGEMBED_HOOK_SECONDS:-30}"
tab="$(printf '\t')"
count=0

# Print the value of option on_event. The file can change at any time.
on_event() {
	sed -n "s/^[[:blank:]]*option[[:blank:]]\{1,\}['\"]\{0,1\}on_event['\"]\{0,1\}[[:blank:]]\{1,\}['\"]\{0,1\}\(\/[^'\"]*[^'\"[:blank:]]\)['\"]\{0,1\}[[:blank:]]*$/\1/p" "$config" | tail -n 1
}

has_programs() {
	local file
	[ -z "$(on_event)" ] || return 0
	for file in "$folder"/*; do
		[ ! -f "$file" ] || return 0
	done
	return 1
}

tell() {
	echo "${fifo:+ERROR: (hooks) }$1"
}

# Kill what runs for the event with the mark $1, and what that has started.
kill_marked() {
	local process
	for process in /proc/[0-9]*; do
		if tr '\0' '\n' <"$process/environ" | grep -qxF "WGEMBED_HOOK=$1"; then
			kill -9 "${process#/proc/}"
		fi
	done
}

# Succeeds after the time limit, when the programs with the mark $1 are killed; fails when it is ended before that.
guard() {
	local nap
	sleep "$limit" &
	nap=$!
	trap 'kill $nap; exit 1' TERM
	wait "$nap"
	trap '' TERM
	kill_marked "$1"
	exit 0
}

# Run the command after $1, which is its name in sentences. Return its status, 0 if that was told.
run() {
	local name="$1" mark job guard status
	shift
	count=$((count + 1))
	mark="$$.$count"
	WGEMBED_HOOK="$mark" "$@" </dev/null >/dev/null 2>&1 &
	job=$!
	guard "$mark" &
	guard=$!
	wait "$job"
	status=$?
	kill "$guard"
	if wait "$guard"; then
		tell "the hook $name did not end within $limit s, and was killed"
		return 0
	fi
	return "$status"
}

handle() {
	local file program
	for file in "$folder"/*; do
		# shellcheck disable=SC2016 # the other shell has $1
		[ ! -f "$file" ] || run "$file" \
			/bin/sh -c '[ ! -r /lib/functions.sh ] || . /lib/functions.sh; . "$1"' sh "$file"
	done
	program="$(on_event)"
	if [ -n "$program" ]; then
		run "$program" "$program" || tell "the hook $program ended with the status $?"
	fi
}

if [ -n "$fifo" ]; then
	exec <>"$fifo"
else
	has_programs || exit 0
	echo ready
fi
export HOTPLUG_TYPE=wgembed
while IFS= read -r line; do
	set -f
	IFS="$tab"
	for field in $line; do
		case "$field" in
		ACTION=* | INTERFACE=* | PEER=* | PEER_NAME=* | ENDPOINT=* | REASON=* | SINCE=* | DURATION=*) export "${field?}" ;;
		esac
	done
	set +f
	unset IFS
	handle
done
