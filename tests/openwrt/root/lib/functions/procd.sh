# shellcheck shell=dash
# Stands in for OpenWrt's file of this name, in the tests: puts together what procd is told, in JSON. No value here has
# anything in it that would need escaping.

_array() {
	local item out=""
	for item; do
		out="$out${out:+,}\"$item\""
	done
	echo "[$out]"
}

_table() {
	local item out=""
	for item; do
		out="$out${out:+,}\"${item%%=*}\":\"${item#*=}\""
	done
	echo "{$out}"
}

procd_open_service() {
	_service="\"name\":\"$1\",\"script\":\"$2\""
	_instances=""
	_triggers=""
}

procd_open_instance() {
	_instance=""
	_name="${1:-instance1}"
	_jail=""
	_mounts=""
}

_add() { _instance="$_instance${_instance:+,}\"$1\":$2"; }

procd_set_param() {
	local name="$1"
	shift
	case "$name" in
	command | respawn) _add "$name" "$(_array "$@")" ;;
	env) _add env "$(_table "$@")" ;;
	term_timeout) _add "$name" "$1" ;;
	reload_signal) _add "$name" "$(kill -l "$1")" ;;
	stdout | stderr | no_new_privs) _add "$name" true ;;
	capabilities | seccomp) _add "$name" "\"$1\"" ;;
	*) echo "procd_set_param $name: not known to the tests" >&2 ;;
	esac
}

procd_add_jail() {
	local flag
	_jail="\"name\":\"$1\""
	shift
	for flag; do
		_jail="$_jail,\"$flag\":true"
	done
}

_mount() {
	local path mode="$1"
	shift
	for path; do
		_mounts="$_mounts${_mounts:+,}\"$path\":\"$mode\""
	done
}
procd_add_jail_mount() { _mount 0 "$@"; }
procd_add_jail_mount_rw() { _mount 1 "$@"; }

procd_close_instance() {
	[ -z "$_jail" ] || _add jail "{$_jail,\"mount\":{$_mounts}}"
	_instances="$_instances${_instances:+,}\"$_name\":{$_instance}"
}

_trigger() { _triggers="$_triggers${_triggers:+,}$1"; }

procd_add_reload_trigger() {
	local rule run
	rule="$(_array eq package "$1")"
	run="$(_array run_script "/etc/init.d/$1" reload)"
	_trigger "[\"config.change\",[\"if\",$rule,$run],1000]"
}

procd_add_raw_trigger() {
	local event="$1" delay="$2"
	shift 2
	_trigger "[\"$event\",[$(_array run_script "$@")],$delay]"
}

procd_close_service() {
	service_triggers
	ubus call service set "{$_service,\"instances\":{$_instances},\"triggers\":[$_triggers]}"
}

procd_kill() { ubus call service delete "{\"name\":\"$1\"}"; }

procd_send_signal() {
	ubus call service signal "{\"name\":\"$1\",\"signal\":$(kill -l "$3")}"
}

procd_running() {
	ubus call service list "{\"name\":\"$1\"}" | grep -q '"running": true'
}

procd_status() {
	local told
	told="$(ubus call service list "{\"name\":\"$1\"}")"
	case "$told" in
	*'"running": true'*) echo running ;;
	*'"running": false'*)
		echo "not running"
		return 5
		;;
	"{}")
		echo inactive
		return 3
		;;
	*) echo "active with no instances" ;;
	esac
}
