# shellcheck shell=dash
# Stands in for OpenWrt's file of this name, in the tests: configuration, and what packages run when they come and go.

# The files are read as what they look like, commands.
config() {
	_section="${2:-cfg${#_sections}}"
	_sections="$_sections $_section"
	eval "_type_$_section=\$1"
}
option() { eval "_value_${_section}_$1=\$2"; }
list() { eval "_value_${_section}_$1=\"\${_value_${_section}_$1:-} \$2\""; }

config_load() {
	_sections=""
	# shellcheck source=/dev/null
	[ ! -e "/etc/config/$1" ] || . "/etc/config/$1"
}

config_get() { eval "$1=\"\${_value_$2_$3:-\${4:-}}\""; }

config_get_bool() {
	config_get "$@"
	case "$(eval "echo \"\$$1\"")" in
	1 | on | true | yes | enabled) eval "$1=1" ;;
	0 | off | false | no | disabled) eval "$1=0" ;;
	*) eval "$1=\$4" ;;
	esac
}

config_foreach() {
	local section function="$1" kind="$2"
	shift 2
	for section in $_sections; do
		[ "$(eval "echo \"\$_type_$section\"")" != "$kind" ] || "$function" "$section" "$@"
	done
}

# The scripts of apk set the name, those of opkg have it as their own name.
_name_of() {
	local name="${1##*/}"
	echo "${pkgname:-${name%.*}}"
}

_scripts_of() {
	local list="/lib/apk/packages/$1.list"
	[ -e "$list" ] || list="/usr/lib/opkg/info/$1.list"
	grep "^/etc/$2/" "$list"
}

_run_own() {
	local script="/usr/lib/opkg/info/$1.$2-pkg"
	# shellcheck source=/dev/null
	[ ! -e "$script" ] || (. "$script")
}

default_postinst() {
	local name script
	name="$(_name_of "$1")"
	for script in $(_scripts_of "$name" uci-defaults); do
		# shellcheck source=/dev/null
		[ ! -e "$script" ] || (cd /etc/uci-defaults && . "$script") && rm -f "$script"
	done
	_run_own "$name" postinst
	for script in $(_scripts_of "$name" init.d); do
		[ "${PKG_UPGRADE:-0}" = 1 ] || "$script" enable
		"$script" start
	done
}

default_prerm() {
	local name script
	name="$(_name_of "$1")"
	_run_own "$name" prerm
	for script in $(_scripts_of "$name" init.d); do
		[ "${PKG_UPGRADE:-0}" = 1 ] || "$script" disable
		"$script" stop
	done
}
