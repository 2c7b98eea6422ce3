"""Finds the link of the option `tunlink`: the device of an OpenWrt network, or a link by its name.

A network of OpenWrt has the name of its section in /etc/config/network. The section names the device, or the device
follows from the protocol. A question to the network daemon would need ubus.
"""

from ..runtime import system
from . import uci

_NETIFD = "/sbin/netifd"
# Protocols that create a device, with the name PROTOCOL-NETWORK.
_OWN_DEVICE = (b"pppoe", b"pppoa", b"pptp", b"l2tp", b"3g", b"6in4", b"6to4", b"6rd", b"wwan")


def has_netifd():
    """Whether the network of this machine is managed by netifd, as on OpenWrt."""
    return system.files.exists(_NETIFD)


def device_of(name):
    """Return the name of the link for a network or link; the same name if there is no such network."""
    if system.inet.ifindex(name) is not None:
        return name
    try:
        section = uci.load("network", False).find(name.encode())
    except (OSError, uci.ParseError):
        return name
    if section is None:
        return name
    proto = section.find(b"proto")
    if proto is not None and proto.value in _OWN_DEVICE:
        return "%s-%s" % (proto.value.decode(), name)
    kind = section.find(b"type")
    if kind is not None and kind.value == b"bridge":
        return "br-" + name
    for option in (b"device", b"ifname"):
        found = section.find(option)
        words = (found.value or b"").split() if found is not None else ()
        if words and uci.is_type(words[0]):
            return words[0].decode()
    return name


def ifindex(name):
    """Return the ifindex of the link for a network or link, or None if the link does not exist."""
    return system.inet.ifindex(device_of(name))
