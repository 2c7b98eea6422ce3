"""A child process that applies requests of netconf.py with pyroute2, and ends.

Each line of the standard input is a request. For each, the process writes a line with the errno to the standard output.
"""

import functools
import os
import sys

sys.path[:1] = os.environ.get("WGEMBED_PATH", "").split(":")

from pyroute2 import IPRoute  # noqa: E402
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402

from wgembed.runtime import abi, netconf, rtnetlink  # noqa: E402
from wgembed.runtime import rtnetlink_abi as rtnl  # noqa: E402


def main():
    with IPRoute() as ip:
        for line in sys.stdin:
            verb, obj = netconf.parse_request(line)
            print(netconf.answer(_change, ip, verb, obj), flush=True)


def _change(ip, verb, obj):
    """Apply the request. OSError if the kernel refuses it."""
    kind = obj[0]
    is_via_ipv6 = kind == "route" and ":" in obj[4] and ":" not in obj[1]
    if verb == "add" and "first" in obj or is_via_ipv6:
        netconf.by_rtnetlink(_rtnetlink(), verb, obj)  # pyroute2 cannot put a route before others
        return
    try:
        {"link": _link, "address": _address, "route": _route, "rule": _rule}[kind](ip, verb, *obj[1:])
    except NetlinkError as e:
        raise OSError(e.code, str(e)) from None


@functools.cache
def _rtnetlink():
    return rtnetlink.RtNetlink()


def _link(ip, verb, index, up, mtu):
    wanted = {"state": "up"} if up else {}
    if mtu:
        wanted["mtu"] = mtu
    ip.link("set", index=index, **wanted)


def _address(ip, verb, index, address, length, *more):
    # "replace" does not change an address that exists. A tunnel needs no detection of duplicate addresses.
    flags = rtnl.IFA_F_NODAD if ":" in address else 0
    if verb == "add" and more:
        flags |= rtnl.IFA_F_NOPREFIXROUTE
    flags = {"flags": flags} if flags else {}
    ip.addr("replace" if verb == "add" else "del", index=index, address=address, prefixlen=length, **flags)


def _route(ip, verb, where, length, index, gateway, metric, table, *flags):
    wanted = {"dst": "%s/%d" % (where, length), "table": table}
    if index:
        wanted["oif"] = index
    if "unreachable" in flags:
        wanted["type"] = rtnl.RTN_UNREACHABLE
        if netconf.KILL_SWITCH in flags:
            wanted["proto"] = rtnl.RTPROT_KILL_SWITCH
    elif gateway != "-":
        wanted["gateway"] = gateway
    elif ":" not in where:
        wanted["scope"] = rtnl.RT_SCOPE_LINK
    if metric:
        wanted["priority"] = metric
    if "onlink" in flags:
        wanted["flags"] = rtnl.RTNH_F_ONLINK
    verb = "replace" if verb == "set" else verb
    ip.route(verb, family=abi.AF_INET6 if ":" in where else abi.AF_INET, **wanted)


def _rule(ip, verb, family, table, fwmark, inverted, suppress, priority, *selector):
    wanted = {"table": table, "action": "FR_ACT_TO_TBL"}
    if fwmark:
        wanted["fwmark"] = fwmark
    if inverted:
        wanted["flags"] = rtnl.FIB_RULE_INVERT
    if suppress >= 0:
        wanted["FRA_SUPPRESS_PREFIXLEN"] = suppress
    if priority:
        wanted["priority"] = priority
    if selector:
        kind, value = selector
        wanted[{"from": "src", "to": "dst", "iif": "iifname"}[kind]] = value
    ip.rule(verb, family=abi.AF_INET if family == 4 else abi.AF_INET6, **wanted)


if __name__ == "__main__":
    main()
