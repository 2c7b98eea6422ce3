"""Addresses, routes and rules by our rtnetlink, compared with the output of `ip`, on CPython and on MicroPython."""

import sys
from pathlib import Path

import pytest

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from wgembed.runtime import abi, system
from wgembed.runtime.address import parse_ip
from wgembed.runtime.rtnetlink import Route, RtNetlink

ip = RtNetlink()
index = system.inet.ifindex("eth")
{body}
print("done")
"""


@pytest.fixture(params=["cpython", "micropython"])
def script(request, namespace, tmp_path):
    """A function that runs Python lines in a namespace with a link `eth`, and returns what they print."""
    command = [sys.executable] if request.param == "cpython" else [*need(debian.micropython), "-X", "heapsize=1M"]
    namespace.ip("link", "add", "eth", "type", "veth", "peer", "name", "far")
    namespace.ip("link", "set", "far", "up")

    def run(body):
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(root=str(ROOT), body=body))
        code, told = namespace.run(*command, str(file), check=False)
        assert code == 0 and told.endswith("done\n"), told
        return told[: -len("done\n")]

    return run


def test_link(script, namespace):
    script("ip.set_link(index, up=True, mtu=1400)")
    told = namespace.ip("link", "show", "eth")
    assert "mtu 1400" in told and ",UP" in told
    script("ip.set_link(index, up=False)")
    told = namespace.ip("link", "show", "eth")
    assert "mtu 1400" in told and ",UP" not in told


def test_addresses(script, namespace):
    told = script(
        "ip.set_link(index, up=True)\n"
        "for a, n in (('10.1.2.3', 24), ('fd01::2', 64)):\n"
        "    ip.add_address(index, parse_ip(a), n)\n"
        "    ip.add_address(index, parse_ip(a), n)\n"
        "print((parse_ip('10.1.2.3'), 24) in ip.addresses(index), (parse_ip('fd01::2'), 64) in ip.addresses(index))\n"
    )
    assert told == "True True\n"
    told = namespace.ip("addr", "show", "dev", "eth")
    assert "inet 10.1.2.3/24" in told and "inet6 fd01::2/64" in told and "tentative" not in told.split("fd01::2")[1][:60]
    script("ip.remove_address(index, parse_ip('10.1.2.3'), 24)\nip.remove_address(index, parse_ip('fd01::2'), 64)")
    told = namespace.ip("addr", "show", "dev", "eth")
    assert "10.1.2.3" not in told and "fd01::2" not in told


def test_errors_have_the_kernels_number(script):
    told = script(
        "for call in (lambda: ip.remove_address(index, parse_ip('10.9.9.9'), 24),\n"
        "             lambda: ip.set_link(9999, up=True),\n"
        "             lambda: ip.remove_route(Route(parse_ip('10.8.0.0'), 16, index))):\n"
        "    try:\n"
        "        call()\n"
        "        print('no error')\n"
        "    except OSError as e:\n"
        "        print(e.errno)\n"
    )
    assert told == "99\n19\n3\n"


def test_routes(script, namespace):
    script(
        "ip.set_link(index, up=True)\n"
        "ip.add_address(index, parse_ip('10.1.2.3'), 24)\n"
        "ip.add_address(index, parse_ip('fd01::2'), 64)\n"
        "ip.add_route(Route(parse_ip('10.5.0.0'), 16, index, metric=7))\n"
        "ip.add_route(Route(parse_ip('10.6.0.0'), 16, index, gateway=parse_ip('10.1.2.1'), table=300))\n"
        "ip.add_route(Route(parse_ip('fd05::'), 32, index, metric=9))\n"
        "ip.add_route(Route(parse_ip('0.0.0.0'), 0, index, table=51820))\n"
    )
    assert "metric 7" in namespace.ip("route", "show", "10.5.0.0/16")
    assert "via 10.1.2.1 dev eth" in namespace.ip("route", "show", "table", "300")
    assert "metric 9" in namespace.ip("-6", "route", "show", "fd05::/32")
    assert "default dev eth" in namespace.ip("route", "show", "table", "51820")
    told = script(
        "wanted = Route(parse_ip('10.5.0.0'), 16, index, metric=7)\n"
        "print(wanted in ip.routes(abi.AF_INET))\n"
        "print(Route(parse_ip('fd05::'), 32, index, metric=9) in ip.routes(abi.AF_INET6))\n"
        "print(ip.route_to(parse_ip('10.5.6.7')).index == index, ip.route_to(parse_ip('fd01::9')).index == index)\n"
        "ip.remove_route(wanted)\n"
        "print(wanted in ip.routes(abi.AF_INET))\n"
    )
    assert told == "True\nTrue\nTrue True\nFalse\n"
    assert namespace.ip("route", "show", "10.5.0.0/16") == ""


def test_rules(script, namespace):
    script(
        "for family in (abi.AF_INET, abi.AF_INET6):\n"
        "    ip.add_rule(family, 51820, fwmark=0xca6c, inverted=True)\n"
        "    ip.add_rule(family, 254, suppress_length=0)\n"
    )
    for family in ("-4", "-6"):
        told = namespace.ip(family, "rule", "show")
        assert "not from all fwmark 0xca6c lookup 51820" in told and "lookup main suppress_prefixlength 0" in told
    script(
        "for family in (abi.AF_INET, abi.AF_INET6):\n"
        "    ip.remove_rule(family, 51820, fwmark=0xca6c, inverted=True)\n"
        "    ip.remove_rule(family, 254, suppress_length=0)\n"
    )
    for family in ("-4", "-6"):
        assert "51820" not in namespace.ip(family, "rule", "show") and "suppress" not in namespace.ip(family, "rule", "show")


def test_several_ways(script, namespace):
    """A route with several next hops is reported once for each hop that is not dead."""
    namespace.ip("link", "add", "eth2", "type", "veth", "peer", "name", "far2")
    for n, name in enumerate(("eth", "eth2")):
        namespace.ip("addr", "add", f"10.{n}.0.1/24", "dev", name)
        namespace.ip("-6", "addr", "add", f"fd0{n}::1/64", "dev", name, "nodad")
        namespace.ip("link", "set", name, "up")
    namespace.ip("link", "set", "far2", "up")
    for where, ways in (("10.9.0.0/16", ("10.0.0.2", "10.1.0.2")), ("fd99::/16", ("fd00::2", "fd01::2"))):
        hops = [word for n, way in enumerate(ways) for word in ("nexthop", "via", way, "dev", ("eth", "eth2")[n])]
        namespace.ip("route", "add", where, "mtu", "1300", *hops)
    body = (
        "for family, where in ((abi.AF_INET, '10.9.0.0'), (abi.AF_INET6, 'fd99::')):\n"
        "    for route in ip.routes(family):\n"
        "        if route.destination == parse_ip(where):\n"
        "            print(where, ip.link(route.index)[0], route.length, route.mtu, route.gateway[-1])\n"
    )
    assert script(body).splitlines() == [
        "10.9.0.0 eth 16 1300 2", "10.9.0.0 eth2 16 1300 2", "fd99:: eth 16 1300 2", "fd99:: eth2 16 1300 2"]  # fmt: skip
    namespace.ip("link", "set", "far", "down")
    assert script(body).splitlines() == ["10.9.0.0 eth2 16 1300 2", "fd99:: eth2 16 1300 2"]


def test_an_answer_that_was_lost(script):
    """There is a timeout for the answer, because the loop is blocked in the meantime."""
    told = script("""
class Deaf:
    def send(self, message):
        pass
    def receive(self):
        return None
ip._netlink = Deaf()
try:
    ip.routes(abi.AF_INET)
except OSError as e:
    print(e)""")
    assert "no answer" in told


def test_a_dump_whose_table_changes_in_the_meantime(script):
    """The kernel counts the entries that it has reported. If an earlier one goes, it omits another one, and says so."""
    told = script(
        "for n in range(700):\n"
        "    ip.add_address(index, bytes((10, n >> 8, n & 255, 1)), 32)\n"
        "other, real = RtNetlink(), ip._netlink\n"
        "class Between:\n"
        "    received = 0\n"
        "    send = real.send\n"
        "    def receive(self):\n"
        "        self.received += 1\n"
        "        if self.received == 2:\n"
        "            other.remove_address(index, parse_ip('10.0.0.1'), 32)\n"
        "        return real.receive()\n"
        "ip._netlink = Between()\n"
        "found = ip.addresses(index)\n"
        "print(ip._netlink.received > 2, sorted(set(range(1, 700)) - {a[1] << 8 | a[2] for a, n in found if len(a) == 4}))\n"
    )
    assert told == "True []\n"


def test_gateways_of_the_other_family_and_nexthop_objects(script, namespace):
    """With `nexthop_compat_mode` 0, the routes have the number of the object alone."""
    namespace.run("sh", "-c", "echo 0 >/proc/sys/net/ipv4/nexthop_compat_mode")
    namespace.ip("link", "set", "eth", "up")
    namespace.ip("addr", "add", "10.1.0.1/24", "dev", "eth")
    namespace.ip("-6", "addr", "add", "fd01::1/64", "dev", "eth", "nodad")
    script("route = Route(parse_ip('10.5.0.0'), 16, index, gateway=parse_ip('fd01::2'))\nip.add_route(route)")
    assert "via inet6 fd01::2 dev eth" in namespace.ip("route", "show", "10.5.0.0/16")
    namespace.ip("nexthop", "add", "id", "1", "via", "10.1.0.2", "dev", "eth")
    namespace.ip("nexthop", "add", "id", "2", "via", "fd01::2", "dev", "eth")
    namespace.ip("nexthop", "add", "id", "3", "group", "1")
    namespace.ip("route", "add", "10.6.0.0/16", "nhid", "3")
    namespace.ip("route", "add", "10.7.0.0/16", "nhid", "2")
    told = script(
        "for n, gateway in ((5, 'fd01::2'), (6, '10.1.0.2'), (7, 'fd01::2')):\n"
        "    print(Route(bytes((10, n, 0, 0)), 16, index, parse_ip(gateway)) in ip.routes(abi.AF_INET))\n"
        "ip.remove_route(Route(parse_ip('10.5.0.0'), 16, index, gateway=parse_ip('fd01::2')))\n"
    )
    assert told == "True\nTrue\nTrue\n" and namespace.ip("route", "show", "10.5.0.0/16") == ""


def test_an_answer_that_is_cut(script):
    """It is an error, and is not taken for a shorter answer."""
    told = script("""
real = ip._netlink
class Short:
    send = real.send
    def receive(self):
        whole = real.receive()
        return whole and whole[:-4]
ip._netlink = Short()
for call in (lambda: ip.routes(abi.AF_INET), lambda: ip.link(index), lambda: ip.rules(abi.AF_INET)):
    try:
        print(call())
    except OSError as e:
        print(e)""")
    assert told.count("is cut") == 3
