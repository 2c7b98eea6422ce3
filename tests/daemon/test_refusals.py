"""Refusals of the kernel: each sentence says what failed, the error, why, and what to do."""

import errno
import re
import sys

import pytest

from wgembed.daemon import refusals
from wgembed.runtime.rtnetlink_abi import RT_TABLE_MAIN

from ..lab import micropython, net
from ..lab.need import need, privileges

OBJECTS = [
    ("address", 1, "10.0.0.2", 24),
    ("address", 1, "fd77::1", 64),
    ("address", 99999, "fd77::1", 64),
    ("route", "10.0.0.0", 24, 1, "-", 0, RT_TABLE_MAIN),
    ("route", "fd77::", 64, 1, "-", 0, RT_TABLE_MAIN),
    ("route", "192.0.2.1", 32, 99999, "10.0.0.1", 0, 77),
    ("route", "192.0.2.1", 32, 0, "-", 0, RT_TABLE_MAIN, "unreachable"),
    ("rule", 4, 51820, 51820, 1, -1, 32765),
    ("rule", 6, RT_TABLE_MAIN, 0, 0, 0, 32764),
    ("link", 1, 1, 1420),
    ("setting", "net/ipv4/conf/all/src_valid_mark", "1", "0"),
]
# What rtnetlink and /proc/sys can answer (net/core, net/ipv4, net/ipv6), beside those that mean "it is there".
ERRORS = [
    "EPERM", "ENOENT", "ESRCH", "EIO", "ENXIO", "E2BIG", "ENOMEM", "EACCES", "EBUSY", "EEXIST", "ENODEV", "EINVAL", "ENFILE",
    "EMFILE", "EFBIG", "ENOSPC", "EROFS", "ERANGE", "EMSGSIZE", "ENOPROTOOPT", "EOPNOTSUPP", "EPFNOSUPPORT", "EAFNOSUPPORT",
    "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH", "ENOBUFS", "ENOTCONN", "ETIMEDOUT", "EHOSTUNREACH", "EALREADY",
]  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_has_a_reason_and_a_remedy(name):
    number = getattr(errno, name)
    for obj in OBJECTS:
        text = refusals.sentence(obj, number)
        found = re.fullmatch(r"cannot (add|set|write) .+: [A-Z][^:]+ \((\d+)\); (.{20,})", text)
        assert found and int(found[2]) == number, text
        assert re.search(r"\b(set|add|make|start|end|remove|correct|repeat|done)\b", found[3]), text


# Errors of the real kernel: what is done before, the object, and how the sentence goes on
CASES = {
    "IPv6 is disabled": (
        "echo 1 >/proc/sys/net/ipv6/conf/outer/disable_ipv6",
        "address OUTER fd77::1 64",
        r"cannot add address fd77::1/64 dev outer: Permission denied \(13\); the interface has no IPv6: set the sysctl "
        r"net.ipv6.conf.outer.disable_ipv6 to 0",
    ),
    "IPv6 is disabled, and a route": (
        "echo 1 >/proc/sys/net/ipv6/conf/outer/disable_ipv6",
        "route fd77:: 64 OUTER - 0 254",
        r"cannot add route fd77::/64 dev outer: .*; the interface has no IPv6: set the sysctl net.ipv6.conf.outer.disable",
    ),
    "a small MTU": (
        "ip link set outer mtu 1200",
        "address OUTER fd77::1 64",
        r"cannot add address fd77::1/64 dev outer: .*; the interface has no IPv6: its MTU is 1200, set mtu to 1280 or more",
    ),
    "a small MTU, and a route": (
        "ip link set outer mtu 1200",
        "route fd77:: 64 OUTER - 0 254",
        r"cannot add route fd77::/64 dev outer: .*; the interface has no IPv6: its MTU is 1200, set mtu to 1280 or more",
    ),
    "a link that is gone": ("true", "address 99999 10.0.0.1 24", r".* dev if99999: No such device \(19\); the link no"),
    "a route of such a link": ("true", "route 10.0.0.0 24 99999 - 0 254", r".* No such device \(19\); the link no longer"),
    "a link that is down": (
        "ip link set outer down",
        "route 10.0.0.0 24 OUTER - 0 254",
        r"cannot add route 10.0.0.0/24 dev outer: Network is down \(100\); the link is down; set it up",
    ),
    "a gateway that is elsewhere": (
        "true",
        "route 10.0.0.0 24 OUTER 203.0.113.1 0 254",
        r".* via 203.0.113.1 dev outer: Network is unreachable \(101\); the gateway is not on that link; add an address",
    ),
    "the same with IPv6": (
        "true",
        "route fd77:: 64 OUTER fd99::1 0 254",
        r".* via fd99::1 dev outer: (.*unreach|No route to host).*; the gateway is not on that",
    ),
    "a multicast address": ("true", "address OUTER ff02::7 64", r".*; no link can have this address"),
    "an MTU that is too large": ("true", "link OUTER 1 1000000", r".* Invalid argument \(22\); the link cannot have"),
    "a setting that does not exist": ("true", "setting net/ipv4/no_such 1 0", r".* \(2\); this kernel has no such setting"),
    "a read-only setting": (
        "mount -o bind,ro /proc/sys /proc/sys",
        "setting net/ipv4/conf/all/src_valid_mark 1 0",
        r".* Read-only file system \(30\); set it to 1 on the host, because /proc/sys is read-only here",
    ),
    "no rights": (
        "exec setpriv --bounding-set -net_admin --inh-caps -net_admin",
        "address OUTER 10.0.0.1 24",
        r".* Operation not permitted \(1\); this process lacks CAP_NET_ADMIN; start it as root",
    ),
    "no rights for a rule": (
        "exec setpriv --bounding-set -net_admin --inh-caps -net_admin",
        "rule 4 77 77 1 -1 32765",
        r"cannot add IPv4 rule for table 77: Operation not permitted \(1\); this process lacks CAP_NET_ADMIN",
    ),
}

SCRIPT = """
import sys
from wgembed.runtime import netconf, system
words = [word if word != "OUTER" else str(system.inet.ifindex("outer")) for word in WORDS.split()]
verb, obj = netconf.parse_request("add " + " ".join(words))
number = netconf.apply([("set" if obj[0] == "link" else "add", obj)])[0]
from wgembed.daemon import refusals
print(refusals.sentence(obj, number) if number else "accepted")
"""


@pytest.fixture
def place():
    need(privileges)
    place = net.Namespace()
    place.ip("link", "add", "outer", "type", "veth", "peer", "name", "inner")
    for name in ("outer", "inner"):
        place.ip("link", "set", name, "up")
    yield place
    place.close()


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
@pytest.mark.parametrize("before,words,pattern", CASES.values(), ids=CASES)
def test_what_the_kernel_refuses(place, kind, before, words, pattern):
    command = [sys.executable]
    if kind == "micropython":
        command = need(micropython.command, "1M")[:-2]  # without `-m wgembed`
    joined = f'{before} "$@"' if before.startswith("exec") else f'{before} && exec "$@"'
    script = SCRIPT.replace("WORDS", repr(words))
    status, printed = place.run("unshare", "-m", "sh", "-c", joined, "sh", *command, "-c", script, check=False)
    assert re.match(pattern, printed), printed
