# shellcheck shell=dash
# Stands in for OpenWrt's file of this name, in the tests: builds an object of JSON, in the variable _json.

_json_text() {
	printf '%s' "$1" | sed -e ':more' -e '$!{' -e 'N' -e 'b more' -e '}' -e 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g; s/\n/\\n/g'
}
_json_member() { _json="${_json:+$_json, }\"$1\": $2"; }
json_init() { _json=""; }
json_add_int() { _json_member "$1" "$2"; }
json_add_boolean() { _json_member "$1" "$2"; }
json_add_string() { _json_member "$1" "\"$(_json_text "$2")\""; }
# Adds an array of the other arguments.
_json_add_texts() {
	local name="$1" texts="" text
	shift
	for text; do
		texts="${texts:+$texts, }\"$(_json_text "$text")\""
	done
	_json_member "$name" "[$texts]"
}
json_dump() { echo "{$_json}"; }
