"""Sections as people write them make the same addresses, routes and rules as on OpenWrt, except for listed differences.

corpus.json has what netifd of 24.10 (ea01ed4, December 2024) made of the configurations in corpus.py, with a TUN device in
place of a kernel's WireGuard. It was recorded with a netifd built by hand.
"""

import base64
import json
import re
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from wgembed.config import uci

from ..lab import kernel_state, micropython, net
from ..lab.need import need
from ..lab.router import Router, rest
from .corpus import NETWORKS

RECORDED = json.loads(Path(__file__).with_suffix("").with_name("corpus.json").read_text())
LINKS = ("eth0", "eth1", "eth2")


def with_keys(text):
    """Replace K1 to K9 by keys."""
    return re.sub(r"'K(\d)'", lambda found: f"'{base64.b64encode(bytes([int(found[1])]) * 31 + b'A').decode()}'", text)


class Machine:
    """A namespace with the networks outside the tunnels, as netifd makes them from the sections."""

    def __init__(self, folder, text):
        self.place = net.Namespace()
        for link in LINKS:
            self.place.ip("link", "add", link, "type", "veth", "peer", "name", "peer" + link)
            self.place.ip("link", "set", "peer" + link, "up")
        (folder / "network").write_text(text)
        self.tunnels = []
        for section in uci.load("network", False, str(folder)).sections:
            values = {option.name.decode(): (option.values or [option.value])[0].decode() for option in section.options}
            if values.get("proto") == "wireguard":
                self.tunnels.append(section.name.decode())
            elif values.get("device") in LINKS:
                self._make(**values)

    def _make(self, device, netmask="", ipaddr="", ip6addr="", gateway="", ip6gw="", metric="", ip4table="", **others):
        ip = self.place.ip
        ip("link", "set", device, "up")
        how = ["metric", metric] if metric else []
        how += ["table", ip4table] if ip4table else []
        if ip6addr:
            ip("address", "add", ip6addr, "dev", device, "nodad")
            ip("-6", "route", "add", "default", "via", ip6gw, "dev", device)
            return
        network = ipaddr.rpartition(".")[0] + ".0/24"
        ip("address", "add", ipaddr + "/24", "dev", device, *(["noprefixroute"] if how else []))
        if how:
            ip("route", "add", network, "dev", device, *how)
        if gateway:
            ip("route", "add", "default", "via", gateway, "dev", device, *how)
        if ip4table:
            index = self.place.ip("-o", "link", "show", device).split(":")[0]
            ip("rule", "add", "priority", "10000", "from", ipaddr, "lookup", ip4table)
            ip("rule", "add", "priority", "20000", "to", ipaddr + "/24", "lookup", ip4table)
            ip("rule", "add", "priority", str(90000 + int(index)), "iif", "lo", "lookup", ip4table)


def router_of(machine, folder, command, text):
    """Return a Router with the sections of the tunnels, on a machine with netifd and the network's file."""
    for name in ("sbin", "etc"):
        for part in ("upper", "work"):
            (folder / name / part).mkdir(parents=True)
    (folder / "sbin/upper/netifd").touch()
    (folder / "etc/upper/config").mkdir()
    (folder / "etc/upper/config/network").write_text(text)
    overlays = [
        f"mount -t overlay overlay -o lowerdir={where},upperdir={folder}/{name}/upper,workdir={folder}/{name}/work {where}"
        for name, where in (("sbin", "/usr/sbin"), ("etc", "/etc"))
    ]
    prefix = ["sh", "-c", " && ".join([*overlays, 'exec "$@"']), "sh"]
    sections = [section for section in re.split(r"\n(?=config )", text) if "wireguard" in section]
    router = Router(machine.place, folder / "router", command, prefix)
    router.write(*[section + "\n" for section in sections])
    return router


# The differences of docs/differences.md. Each function returns whether it explains the line, which only one of the two has.


def host_route_that_is_not_needed(line, is_ours, ours, netifds):
    """Netifd adds a host route for each endpoint, wgembed only if the endpoint would be inside a tunnel."""
    found = re.match(r"route[46] ([0-9a-f.:]+) via ", line)
    if is_ours or not found:
        return False
    packed = ip_address(found[1])
    routes = [words.split()[1] for words in ours if re.match(rf"route{packed.version} .* dev wg\w*", words)]
    everything = "0.0.0.0/0" if packed.version == 4 else "::/0"
    return not any(packed in ip_network(everything if one == "default" else one) for one in routes)


def host_route_by_another_provider(line, is_ours, ours, netifds):
    """Netifd copies the metric of the provider's route, and takes any of several; wgembed takes the best, without metric."""
    found = re.match(r"route4 203\.0\.113\.\d+ via ", line)
    return bool(found) and any(other.startswith(found[0]) for other in (netifds if is_ours else ours))


def host_route_into_the_lan(line, is_ours, ours, netifds):
    """Netifd adds none to an address of a connected network, which goes before the default route anyway."""
    return is_ours and bool(re.fullmatch(r"route4 192\.168\.1\.\d+ dev eth1", line))


def default_routes_that_stay(line, is_ours, ours, netifds):
    """The provider's default routes stay, so that of IPv6 in the tunnel has a lower metric."""
    if not is_ours:
        return line == "route6 default dev wg0" and line + " metric 1" in ours
    return line in ("route6 default dev wg0 metric 1", "route4 default via 192.0.2.1 dev eth0") or line.startswith(
        "route6 default via"
    )


def table_with_nohostroute(line, is_ours, ours, netifds):
    """Without host routes, wgembed keeps its own datagrams outside by a separate table."""
    if is_ours:
        return re.sub(r" lookup \d+$| table \d+$", "", line) in (
            "rule4 32764: from all lookup main suppress_prefixlength 0", "rule4 32765: not from all fwmark 0xca6c",
            "route4 default dev wg0",
        )  # fmt: skip
    return line == "route4 default dev wg0" and line + " table 51820" in ours


def routes_that_wait_for_a_name(line, is_ours, ours, netifds):
    """Routes are added when the name of the peer is resolved."""
    return not is_ours and line == "route4 192.168.178.0/24 dev wg0"


def tunnel_without_a_provider(line, is_ours, ours, netifds):
    """Netifd waits with the interface until there is a route to the endpoint; wgembed does not."""
    return is_ours and "default via" not in " ".join(ours)


def prefix_to_delegate(line, is_ours, ours, netifds):
    """ip6prefix has no effect, as wgembed does not hand prefixes on."""
    return not is_ours and line.startswith("route6 unreachable 2001:db8:") and line.endswith("metric 2147483647")


DIFFERENCES = (
    host_route_that_is_not_needed, host_route_by_another_provider, host_route_into_the_lan, default_routes_that_stay,
    table_with_nohostroute, routes_that_wait_for_a_name, tunnel_without_a_provider, prefix_to_delegate,
)  # fmt: skip
ALLOWED = {
    "provider without host route": "table_with_nohostroute", "client by name": "routes_that_wait_for_a_name",
    "no provider yet": "tunnel_without_a_provider",
}  # fmt: skip


def lines_of(machine, names):
    """Return the lines of the machine, with the names of the configuration for the interfaces."""
    text = "\n".join(kernel_state.lines(machine.place, machine.tunnels))
    for link, unique in names.items():
        text = text.replace(unique, link)
    return sorted(text.split("\n"))


def unexplained(name, lines):
    """Return the lines that only one of the two has, without those of the listed differences."""
    recorded = RECORDED[name]
    found = []
    for is_ours, some, others in ((True, lines, recorded), (False, recorded, lines)):
        for line in some:
            if line not in others:
                whys = [why.__name__ for why in DIFFERENCES if why(line, is_ours, lines, recorded)]
                if not [why for why in whys if why not in ALLOWED.values() or ALLOWED.get(name) == why]:
                    found.append(("+ " if is_ours else "- ") + line)
    return found


@pytest.fixture(params=["cpython", pytest.param("micropython", marks=pytest.mark.long)])
def command(request):
    return [sys.executable, "-m", "wgembed"] if request.param == "cpython" else need(micropython.command, "1M")


@pytest.mark.parametrize("name", NETWORKS)
def test_as_on_openwrt(name, tmp_path, command):
    text = with_keys(NETWORKS[name])
    # A control socket is found under the name of its interface, on the whole machine.
    names = {link: net.unique("o") for link in re.findall(r"interface '(\w+)'\n\toption proto 'wireguard'", text)}
    for link, unique in names.items():
        text = re.sub(rf"(?<=['_]){link}\b", unique, text)
    machine = Machine(tmp_path, text)
    try:
        router = router_of(machine, tmp_path, command, text)
        router.start()
        net.poll(lambda: not unexplained(name, lines_of(machine, names)) or None, 3, what="addresses, routes and rules")
        rest(0.2)
        assert unexplained(name, lines_of(machine, names)) == []
        assert "ERROR" not in router.log()
    finally:
        print(router.log())
        router.stop()
        machine.place.close()


def test_the_corpus_is_whole():
    assert set(NETWORKS) == set(RECORDED) and len(NETWORKS) >= 60
    assert all(any(line.startswith("route4 192.0.2.0/24") for line in lines) or "no provider" in name
               for name, lines in RECORDED.items())  # fmt: skip
