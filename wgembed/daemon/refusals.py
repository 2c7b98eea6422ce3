"""What the kernel refused, why, and what to do: the sentence for a refused address, route, link, rule or setting.

It is loaded at the first refusal. The request has the words of ip(8), so that it can be repeated there.
"""

from ..errors import cause
from ..runtime import abi, rtnetlink, system
from ..runtime.rtnetlink_abi import RT_TABLE_MAIN

_ENOMEM = 12
_ENETDOWN = 127 if abi.MIPS else 100
_IPV6_SETTING = "/proc/sys/net/ipv6/conf/%s/disable_ipv6"
_IPV6_MIN_MTU = 1280

# The errors for an address or a route of IPv6 on a link where IPv6 is disabled, or whose MTU is too small for it
_WITHOUT_IPV6 = (abi.EACCES, abi.ENODEV, abi.ENOBUFS, abi.EAFNOSUPPORT, abi.EOPNOTSUPP, abi.EINVAL)

_NO_RIGHT = "this process lacks CAP_NET_ADMIN; start it as root, or give it this capability"
_NO_MEMORY = "the machine has no memory for it; end other programs, or configure fewer networks"
_NO_LINK = "the link no longer exists; make it again, or name another link in the configuration"
_NO_GATEWAY = "the gateway is not on that link; add an address or a route with which the link reaches the gateway"
_UNUSUAL = "repeat this command with ip(8), which shows the reason that the kernel gives"

HELD = (
    "so packets do not go into the tunnel; give one of the two networks another address, set route_allowed_ips '0', or "
    "a metric"
)

_REASONS = {
    "address": {
        abi.ENODEV: _NO_LINK,
        abi.EADDRNOTAVAIL: "no link can have this address; correct it in the configuration",
        abi.EINVAL: "no link can have this address with this prefix length; correct it in the configuration",
    },
    "route": {
        abi.ENODEV: _NO_LINK,
        abi.ENETUNREACH: _NO_GATEWAY,
        abi.EHOSTUNREACH: _NO_GATEWAY,
        _ENETDOWN: "the link is down; set it up",
        abi.EINVAL: "the gateway, the network or the table is not valid for a route on that link; correct the configuration",
    },
    "rule": {
        abi.EAFNOSUPPORT: "this kernel has no policy routing for this family; remove fwmark and nohostroute, or use a "
        "kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES",
        abi.EINVAL: "this kernel does not know such a rule; remove fwmark and nohostroute, or use Linux 3.12 or later",
    },
    "link": {
        abi.ENODEV: _NO_LINK,
        abi.EINVAL: "the link cannot have this MTU; set another mtu",
    },
    "setting": {
        abi.ENOENT: "this kernel has no such setting; nothing has to be done if packets pass",
    },
}  # fmt: skip
_REASONS["rule"][abi.EOPNOTSUPP] = _REASONS["rule"][abi.EAFNOSUPPORT]


def sentence(obj, errno, holder=0):
    """Return the sentence for the request to add the object of netconf.py, which failed with `errno`.

    holder  the ifindex of the link that already has this route, if that is the reason
    """
    if holder:
        return "cannot %s: %s" % (_in_words(obj), "%s has this route already, %s" % (_link_name(holder), HELD))
    return "cannot %s: %s; %s" % (_in_words(obj), cause(OSError(errno)), _reason(obj, errno))


def _reason(obj, errno):
    """Return the reason of the error, and what to do."""
    kind = obj[0]
    if kind == "setting":
        return _REASONS[kind].get(errno) or _of_setting(obj, errno)
    if errno == abi.EPERM:
        return _NO_RIGHT
    is_ipv6 = kind in ("address", "route") and ":" in obj[2 if kind == "address" else 1]
    if is_ipv6 and errno in _WITHOUT_IPV6:
        reason = _without_ipv6(obj[1 if kind == "address" else 3])
        if reason:
            return reason
    if errno in (_ENOMEM, abi.ENOBUFS):
        return _NO_MEMORY
    return _REASONS[kind].get(errno, _UNUSUAL)


def _of_setting(obj, errno):
    if errno == abi.EROFS:
        return "set it to %s on the host, because /proc/sys is read-only here" % obj[2]
    return "set it to %s with sysctl as root, or on the host of this container" % obj[2]


def _without_ipv6(index):
    """Return why the link has no IPv6, and what to do; "" if it has IPv6."""
    name = _link_name(index)
    try:
        is_disabled = system.files.read_file(_IPV6_SETTING % name).strip() != b"0"
    except OSError:
        # There is no such folder if the MTU is too small, nor without IPv6 in the kernel.
        is_disabled = False
        if not system.files.exists(_IPV6_SETTING % "all"):
            return "this kernel has no IPv6; remove the IPv6 addresses and networks from the configuration"
    if is_disabled:
        return "the interface has no IPv6: set the sysctl net.ipv6.conf.%s.disable_ipv6 to 0" % name
    try:
        ip = rtnetlink.RtNetlink()
        try:
            mtu = ip.link(index)[1]
        finally:
            ip.close()
    except OSError:
        return _NO_LINK
    if mtu < _IPV6_MIN_MTU:
        return "the interface has no IPv6: its MTU is %d, set mtu to %d or more" % (mtu, _IPV6_MIN_MTU)
    return ""


def _in_words(obj):
    """Return the request to add the object as a person would type it for ip(8)."""
    kind = obj[0]
    if kind == "address":
        return "add address %s/%d dev %s" % (obj[2], obj[3], _link_name(obj[1]))
    if kind == "route":
        _, ip, length, index, gateway, _, table, *flags = obj
        if "unreachable" in flags:
            return "add route unreachable %s/%d" % (ip, length)
        text = "add route %s/%d" % (ip, length) + ("" if gateway == "-" else " via " + gateway)
        return "%s dev %s%s" % (text, _link_name(index), "" if table == RT_TABLE_MAIN else " table %d" % table)
    if kind == "rule":
        return "add IPv%d rule %sfor table %d" % (obj[1], "".join([word + " " for word in obj[7:]]), obj[2])
    if kind == "link":
        return "set link dev %s%s mtu %d" % (_link_name(obj[1]), " up" if obj[2] else "", obj[3])
    return "write %s to /proc/sys/%s" % (obj[2], obj[1])


def _link_name(index):
    """Return the name of the link, or as ip(8) does "if" and the ifindex if there is no such link."""
    try:
        ip = rtnetlink.RtNetlink()
    except OSError:
        return "if%d" % index
    try:
        return ip.link_name(index)
    finally:
        ip.close()
