#!/bin/sh
# shellcheck shell=dash
# shellcheck disable=SC2034 # netifd-proto.sh reads these variables
# Serves `proto 'wireguard'` of /etc/config/network with wgembed: netifd calls the functions below.

[ -n "$INCLUDE_ONLY" ] || {
	# shellcheck source=/dev/null
	. /lib/functions.sh
	# shellcheck source=/dev/null
	. ../netifd-proto.sh
	init_proto "$@"
}

# shellcheck source=package/files/launch.sh
. /usr/lib/wgembed/launch.sh

WGEMBED_STATE=/var/run/wgembed/netifd
# netifd starts a daemon again as soon as it has ended, and allows a teardown 5 s.
BRAKE_S=4
READY_S=20
RENEWED_S=5

proto_wireguard_init_config() {
	renew_handler=1
	available=1

	proto_config_add_string "private_key"
	proto_config_add_int "listen_port"
	proto_config_add_int "mtu"
	proto_config_add_string "fwmark"
	proto_config_add_string "addresses"
	proto_config_add_string "ip6prefix"
	proto_config_add_boolean "nohostroute"
	proto_config_add_string "tunlink"
	# No peers: netifd would tear the interface down whenever one changes. See /etc/init.d/wgembed-netifd.
}

# Print why this package must not serve the interface, or nothing.
wireguard_refusal() {
	local lacks
	lacks="$(wgembed_lacks)"
	if [ -n "$lacks" ]; then
		echo "$lacks" | head -n 1
	elif [ -d /sys/module/wireguard ] && [ "$(uci -q get wgembed.globals.beside_kernel)" != 1 ]; then
		echo "the kernel has WireGuard: install wireguard-tools in place of wgembed-netifd, or set option beside_kernel '1' in the section globals of /etc/config/wgembed"
	fi
}

# Fail with a sentence, which ifstatus and LuCI show.
wireguard_fail() {
	logger -t wgembed -p daemon.err "$1: $2"
	proto_notify_error "$1" "$2"
	proto_setup_failed "$1"
}

proto_wireguard_setup() {
	local config="$1" refusal report answer heapsize

	refusal="$(wireguard_refusal)"
	if [ -n "$refusal" ]; then
		# First the block: netifd ends this script as soon as it knows that the setup has failed.
		proto_block_restart "$config"
		wireguard_fail "$config" "$refusal"
		return
	fi

	ip link del dev "$config" 2>/dev/null
	mkdir -p "$WGEMBED_STATE"
	rm -f "/var/run/wireguard/$config.sock"
	report="$WGEMBED_STATE/$config.report"
	rm -f "$report.error" "$WGEMBED_STATE/$config.refused" "$WGEMBED_STATE/$config.found"
	wireguard_open_report "$report"

	heapsize="$(uci -q get wgembed.globals.heapsize)"
	case "$heapsize" in
	"" | *[!0-9KM]* | *[KM]?* | [KM]) ;;
	*) WGEMBED_HEAPSIZE="$heapsize" ;;
	esac
	proto_export "WGEMBED_REPORT=$report"
	proto_export "WGEMBED_ENDPOINT_HOOK=/usr/lib/wgembed/endpoint"
	# shellcheck disable=SC2046 # words, to be split
	proto_run_command "$config" $(wgembed_command) run --netifd "$config"
	wireguard_prepare_update "$config" # while the daemon starts

	answer="$(wireguard_read_report "$READY_S")"
	exec 9>&-
	# If the daemon has ended, netifd ends this script at any moment, and calls the teardown.
	case "$answer" in
	ready) wireguard_send_update "$config" ;;
	"") wireguard_fail "$config" "wgembed did not start within $READY_S s" ;;
	esac
}

# The daemon writes one line to this pipe: "ready", or why not.
wireguard_open_report() {
	rm -f "$1"
	mkfifo -m 600 "$1"
	exec 9<>"$1"
}

wireguard_read_report() {
	local answer
	# shellcheck disable=SC3045 # BusyBox has -t
	read -r -t "$1" answer <&9
	echo "$answer"
}

proto_wireguard_renew() {
	local config="$1" report="$WGEMBED_STATE/$1.report" answer
	wireguard_open_report "$report"
	# SIGHUP: the daemon applies the difference, and keeps the sessions.
	proto_kill_command "$config" 1
	answer="$(wireguard_read_report "$RENEWED_S")"
	case "$answer" in
	refused:*) proto_notify_error "$config" "${answer#refused: }" ;;
	*)
		wireguard_prepare_update "$config"
		# The daemon ends if its tables are too small. Then netifd sets the interface up again, with a pipe of its own.
		if [ "$report" -ef /proc/self/fd/9 ] && ip link show dev "$config" >/dev/null 2>&1; then
			wireguard_send_update "$config"
		fi
		;;
	esac
	exec 9>&-
}

proto_wireguard_teardown() {
	local config="$1" file="$WGEMBED_STATE/$1.report.error" sentence
	if [ -s "$file" ]; then
		sentence="$(cat "$file")"
		rm -f "$file"
		logger -t wgembed -p daemon.err "$config: ${sentence#refused: }"
		proto_notify_error "$config" "${sentence#refused: }"
		# A mistake stays until somebody corrects it.
		if [ "$sentence" != "${sentence#refused: }" ]; then
			proto_block_restart "$config"
			: >"$WGEMBED_STATE/$config.refused"
		fi
	fi
	# After a failed start, not at once again.
	case "$ERROR" in
	"" | 0) ;;
	*) sleep "$BRAKE_S" ;;
	esac
	proto_kill_command "$config"
	ip link del dev "$config" 2>/dev/null
}

wireguard_is_address() {
	case "$1" in
	*:* | *[!0-9.]*) case "$1" in *[!0-9a-fA-F:.]*) return 1 ;; *:*) ;; *) return 1 ;; esac ;;
	esac
}

wireguard_add_peer() {
	local section="$1" config="$2" disabled public_key allowed_ips route_allowed_ips endpoint_host host known network
	config_get_bool disabled "$section" disabled 0
	config_get public_key "$section" public_key
	config_get allowed_ips "$section" allowed_ips
	config_get_bool route_allowed_ips "$section" route_allowed_ips 0
	config_get endpoint_host "$section" endpoint_host
	[ "$disabled" = 0 ] && [ -n "$public_key" ] || return 0
	# It can be a list. The routes can lead to the name server, so they wait until one of the endpoints is known. The script
	# `endpoint` renews when a name has been looked up.
	known="${endpoint_host:-none}"
	for host in $endpoint_host; do
		case "$host" in
		"["*"]:"*) host="${host%:*}" ;;
		*:*:*) ;;
		*:*) host="${host%:*}" ;;
		esac
		host="${host#[}"
		host="${host%]}"
		if wireguard_is_address "$host"; then
			HOSTS="$HOSTS $host"
			known=none
		elif grep -qxF -e "$host" "$WGEMBED_STATE/$config.found" 2>/dev/null; then
			known=none
		fi
	done
	[ "$known" = none ] || route_allowed_ips=0
	if [ "$route_allowed_ips" = 1 ]; then
		# wg accepts commas, too.
		for network in $(echo "$allowed_ips" | tr ',' ' '); do
			case "$network" in
			*:*/*) proto_add_ipv6_route "${network%%/*}" "${network##*/}" ;;
			*:*) proto_add_ipv6_route "$network" 128 ;;
			*.*/*) proto_add_ipv4_route "${network%%/*}" "${network##*/}" ;;
			*.*) proto_add_ipv4_route "$network" 32 ;;
			esac
		done
	fi
}

# Put together what netifd must know: addresses, routes and hosts. MTU is then that of the section, or empty.
wireguard_prepare_update() {
	local config="$1" addresses ip6prefix nohostroute tunlink address prefix host HOSTS=""
	set -f # a value can contain *
	config_load network
	config_get addresses "$config" addresses
	config_get MTU "$config" mtu
	config_get ip6prefix "$config" ip6prefix
	config_get_bool nohostroute "$config" nohostroute 0
	config_get tunlink "$config" tunlink

	proto_init_update "$config" 1
	config_foreach wireguard_add_peer "wireguard_$config" "$config"
	for address in $addresses; do
		case "$address" in
		*:*/*) proto_add_ipv6_address "${address%%/*}" "${address##*/}" ;;
		*:*) proto_add_ipv6_address "$address" 128 ;;
		*.*/*) proto_add_ipv4_address "${address%%/*}" "${address##*/}" ;;
		*.*) proto_add_ipv4_address "$address" 32 ;;
		esac
	done
	for prefix in $ip6prefix; do
		proto_add_ipv6_prefix "$prefix"
	done
	if [ "$nohostroute" = 0 ]; then
		for host in $HOSTS; do
			proto_add_host_dependency "$config" "$host" "$tunlink"
		done
	fi
}

# Send it, when the link is there.
wireguard_send_update() {
	[ -z "$MTU" ] || ip link set dev "$1" mtu "$MTU"
	proto_send_update "$1"
}

[ -n "$INCLUDE_ONLY" ] || add_protocol wireguard
