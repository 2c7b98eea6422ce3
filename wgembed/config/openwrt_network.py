"""Finds the link of the option `tunlink`: the device of an OpenWrt network, or a link by its name.

A network of OpenWrt has the name of its section in /etc/config/network. When netifd brings the network up, its hotplug
script writes the link to the state of UCI, network.NAME.ifname in /var/state: only that names the link of a modem. Before,
the section names the device, or the device follows from the protocol. A question to netifd itself would need ubus.
"""

from ..runtime import system
from . import uci

_NETIFD = "/sbin/netifd"
_STATE = "/var/state"
# Protocols that create a device with the name PROTOCOL-NETWORK, or with another word before the network.
_OWN_DEVICE = (
    b"pppoe", b"pppoa", b"pptp", b"l2tp", b"3g", b"6in4", b"6to4", b"6rd", b"wwan", b"ppp", b"sstp", b"map", b"ipip", b"vti",
)  # fmt: skip
_PREFIXES = {b"dslite": "ds", b"464xlat": "464", b"openconnect": "vpn", b"gre": "gre4", b"grev6": "gre6"}
# The device of a network can be @OTHER, the device of another network. Networks can name each other in a circle.
_ALIASES_MAX = 8


def has_netifd():
    """Whether the network of this machine is managed by netifd, as on OpenWrt."""
    return system.files.exists(_NETIFD)


def device_of(name):
    """Return the name of the link for a network or link, "" for a network that has none yet."""
    found = name
    for _ in range(_ALIASES_MAX):
        found = _in_state(name) or _in_section(name)
        if found[:1] != "@":
            return found
        name = found[1:]
    return ""


def _in_state(name):
    """Return the link of the network when it came up the last time, if that exists now, or ""."""
    package = uci.Package(b"network")
    section = package.add(b"interface", name.encode())
    uci.apply_saved(package, _STATE)
    option = section.find(b"ifname")
    link = _link(option)
    return link if link and system.inet.ifindex(link) is not None else ""


def _in_section(name):
    """Return the link of the network as far as its section shows it, or @OTHER; see device_of."""
    try:
        section = uci.load("network", False).find(name.encode())
    except (OSError, uci.ParseError):
        section = None
    if section is None or section.kind != b"interface":
        return name
    proto = section.find(b"proto")
    proto = proto.value if proto is not None else None
    if proto in _OWN_DEVICE or proto in _PREFIXES:
        return "%s-%s" % (_PREFIXES.get(proto) or proto.decode(), name)
    kind = section.find(b"type")
    if kind is not None and kind.value == b"bridge":
        return "br-" + name
    device = _link(section.find(b"device")) or _link(section.find(b"ifname"))
    # The device of a modem is a file, and the driver names its link.
    return "" if device[:1] == "/" else device or name


def _link(option):
    words = (option.value or b"").split() if option is not None else ()
    return words[0].decode() if words and uci.is_type(words[0]) else ""


def ifindex(name):
    """Return the ifindex of the link for a network or link, or None if the link does not exist."""
    device = device_of(name)
    return system.inet.ifindex(device) if device else None


def why_missing(name):
    """Return the sentence for a network or link whose link does not exist."""
    device = device_of(name)
    what = "link %s does not exist" % device if device else "network %s has no link yet" % name
    return what + "; bring the network up, or name another one"
