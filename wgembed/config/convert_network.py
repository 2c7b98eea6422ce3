"""Moves interfaces between /etc/config/network, with OpenWrt's own WireGuard, and /etc/config/wgembed.

The options have the same names in both files. Options that only one side has are left out, and the caller reports them.
"""

from ..errors import UserError, cause
from . import keys, options, uci

# Options of wgembed that OpenWrt's WireGuard does not have
_OWN = (b"max_peers", b"log_level", b"kill_switch", b"failback_time", b"backup_of") + (
    b"endpoint_order", b"ping_check", b"ping_interval",
)  # fmt: skip
_OF_THE_LINK = b"device", b"ifname", b"type"


def _select(package, names, is_wanted=lambda section: True):
    """Return a package with the interfaces of these names, or with all, and with their peers."""
    found = uci.Package(package.name)
    for section in package.sections:
        if section.kind == b"interface" and is_wanted(section) and (not names or section.name in names):
            found.sections.append(section)
    kinds = [options.PEER_TYPE.encode() + section.name for section in found.sections]
    found.sections += [section for section in package.sections if section.kind in kinds]
    return found


def from_network(package, names, path):
    """Return what `network`, a uci.Package, has for wgembed, and what is to be reported; UserError.

    names  of interfaces, empty for all with the protocol wireguard
    path   the name of the file in messages

    The result is (package, warnings, package of the sections that take the place of the old interfaces).
    """
    found = _select(package, names, lambda section: _value(section, b"proto") == b"wireguard")
    if not found.sections:
        raise UserError("%s has no such interface with the protocol wireguard" % path)
    config = options.read(found, path)
    for interface in config.interfaces:
        interface.forget_secrets()
    others = uci.Package(b"network")
    for section in found.sections:
        known = options.known(section.kind)
        left = [option for option in section.options if option.name.decode() not in known]
        section.options = [option for option in section.options if option not in left]
        if section.kind == b"interface":
            kept = [option for option in left if option.name.decode() in options.WITHOUT_EFFECT]
            kept = [option for option in kept if option.name not in _OF_THE_LINK]
            other = others.add(b"interface", section.name)
            other.set(b"proto", b"static" if kept else b"none")
            other.set(b"device", section.name)
            other.options += kept
    return found, config.warnings, others


def to_network(package, name):
    """Return what `package`, one of wgembed without mistakes, has for OpenWrt, and the options left out; UserError."""
    found = _select(package, [name.encode()])
    if not found.sections:
        raise UserError("there is no interface '%s'" % name)
    left_out = []
    for section in found.sections:
        known = options.known(section.kind)
        given, section.options = section.options, []
        if section.kind == b"interface":
            section.set(b"proto", b"wireguard")
        for option in given:
            text = option.name.decode()
            if option.name == b"private_key_file":
                section.set(b"private_key", _read_key((option.value or option.values[0]).decode()))
            elif option.name in _OWN or text not in known:
                left_out.append(text)
            elif option.name == b"endpoint_host" and option.values is not None:
                _keep_first_endpoint(section, option)
                if len(option.values) > 1:
                    left_out.append("endpoint_host (all but the first)")
            elif option.name != b"proto":
                try:
                    section.options.append(_plain(option, known[text]))
                except ValueError:
                    section.options.append(option)  # a wrong value in a section that is disabled
    return found, left_out


def _keep_first_endpoint(section, option):
    """Set the first endpoint of a list, whose port is an option there. It can be wrong in a section that is disabled."""
    text = option.values[0].decode().strip()
    try:
        host, port = options.host_and_port(text)
    except ValueError:
        host, port = text, 0
    section.set(b"endpoint_host", host.encode())
    if port:
        section.set(b"endpoint_port", b"%d" % port)


def _read_key(path):
    try:
        return keys.encode(keys.read_file(path))
    except (OSError, ValueError) as e:
        raise UserError("%s: %s" % (path, cause(e) if isinstance(e, OSError) else e)) from None


def _plain(option, rule):
    """Return the option in the form that OpenWrt's scripts read: without blanks and commas, and 1 or 0 for a switch."""
    parse = rule[1] if rule else options.boolean if option.name in (b"disabled", b"auto") else None
    if parse in (options.network, options.own_address):
        values = [option.value] if option.values is None else option.values
        option.value, option.values = None, b" ".join(values).replace(b",", b" ").split()
    elif option.value is not None and parse not in (None, options.line_of_text):
        text = option.value.decode().strip()
        option.value = (b"1" if options.boolean(text) else b"0") if parse is options.boolean else text.encode()
    return option


def _value(section, name):
    option = section.find(name)
    return option.value if option is not None else None
