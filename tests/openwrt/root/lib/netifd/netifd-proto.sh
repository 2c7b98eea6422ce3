# shellcheck shell=dash
# shellcheck disable=SC2034,SC2317 # protocol handlers read these variables, and call the functions
# Stands in for netifd's file of this name, in the tests: what a protocol handler asks of netifd (tests/lab/netifd.py).

# shellcheck source=/dev/null
. /usr/share/libubox/jshn.sh

_notify() {
	json_add_string interface "$interface"
	ubus call network.interface notify_proto "$(json_dump)"
}

proto_config_add_string() { _options="$_options $1"; }
proto_config_add_int() { _options="$_options $1"; }
proto_config_add_boolean() { _options="$_options $1"; }

proto_init_update() { _addresses="" _routes="" _prefixes=""; }
proto_add_ipv4_address() { _addresses="$_addresses $1/$2"; }
proto_add_ipv6_address() { _addresses="$_addresses $1/$2"; }
proto_add_ipv4_route() { _routes="$_routes $1/$2"; }
proto_add_ipv6_route() { _routes="$_routes $1/$2"; }
proto_add_ipv6_prefix() { _prefixes="$_prefixes $1"; }
proto_send_update() {
	json_init
	json_add_int action 0
	# shellcheck disable=SC2086 # words, to be split
	_json_add_texts addresses $_addresses
	# shellcheck disable=SC2086
	_json_add_texts routes $_routes
	# shellcheck disable=SC2086
	_json_add_texts prefixes $_prefixes
	_notify
}

proto_export() { _exports="$_exports
$1"; }
proto_run_command() {
	shift
	json_init
	json_add_int action 1
	_json_add_texts command "$@"
	local IFS="
"
	# shellcheck disable=SC2086
	_json_add_texts env $_exports
	_notify
}
proto_kill_command() {
	json_init
	json_add_int action 2
	[ -z "${2-}" ] || json_add_int signal "$2"
	_notify
}
proto_notify_error() {
	shift
	json_init
	json_add_int action 3
	_json_add_texts error "$@"
	_notify
}
proto_block_restart() {
	json_init
	json_add_int action 4
	_notify
}
proto_add_host_dependency() {
	json_init
	json_add_int action 6
	json_add_string host "$2"
	[ -z "${3-}" ] || json_add_string ifname "$3"
	_notify
}
proto_setup_failed() {
	json_init
	json_add_int action 7
	_notify
}

init_proto() {
	_action="$2"
	interface="${3-}"
	_exports=""
	add_protocol() { "proto_$1_$_action" "$interface"; }
	[ "$_action" != dump ] || add_protocol() {
		_options="" renew_handler=0 available=0 no_proto_task=0
		"proto_$1_init_config"
		echo "renew_handler=$renew_handler available=$available no_proto_task=$no_proto_task$_options"
	}
}
