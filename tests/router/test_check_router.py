"""`wgembed check` beside the other files of OpenWrt: networks that netifd does not know, ports, marks, overlaps."""

import pytest

from ..lab.router import Keys, interface, peer, section
from .test_check import SANE, Checked


@pytest.fixture
def checked(harness):
    checked = Checked(harness)
    # Names are the same in all files of a router, and must be names in UCI.
    checked.name = checked.pair.name
    return checked


class Files:
    """The other files beside the configuration."""

    def __init__(self, checked):
        self.folder = checked.router.config.parent

    def write(self, **files):
        for name in ("network", "firewall", "mwan3", "pbr"):
            (self.folder / name).unlink(missing_ok=True)
            if name in files:
                (self.folder / name).write_text("\n".join(files[name]))

    def at(self, file, line):
        return f"{self.folder}/{file}:{line}"


@pytest.fixture
def files(checked):
    return Files(checked)


LAN = section(
    "interface", "lan", {"device": "br-lan", "proto": "static", "ipaddr": "192.168.1.1", "netmask": "255.255.255.0"}
)
WAN = section("interface", "wan", {"device": "outer", "proto": "dhcp"})
WAN_ZONE = section("zone", None, {"name": "wan", "network": ["wan", "wan6"], "input": "REJECT"})


def zone(*networks, **options):
    return section("zone", None, {"name": "vpn", "network": networks, **options})


def companion(name):
    return section("interface", name, {"proto": "none", "device": name})


def offer(checked, files):
    """The note with the section."""
    name = checked.name
    return [
        f"note: this makes {name} known to netifd, in {files.folder}/network (for a zone of the firewall, list device "
        f"'{name}' is enough):",
        f"config interface '{name}'", "\toption proto 'none'", f"\toption device '{name}'",
    ]  # fmt: skip


def test_a_router_without_mistakes(checked, files):
    """With the interface as a device of a zone, and as a network with a section of its own."""
    name = checked.name
    checked.write(checked.pair.interface(), checked.pair.peer())
    files.write(network=[LAN, WAN], firewall=[WAN_ZONE, section("zone", None, {"name": "lan", "device": [name]})])
    checked.says(SANE)
    files.write(network=[LAN, WAN], firewall=[WAN_ZONE, section("zone", None, {"name": "vpn", "device": name[:2] + "+"})])
    checked.says(SANE)
    route = section("route", None, {"interface": name, "target": "10.1.0.0/16"})
    files.write(
        network=[LAN, WAN, companion(name), route],
        firewall=[WAN_ZONE, zone("lan", name), section("forwarding", None, {"src": "vpn", "dest": "wan"})],
        mwan3=[section("interface", name, {"enabled": 1})],
        pbr=[section("policy", None, {"interface": name})],
    )
    checked.says(SANE)
    files.write(network=["config interface 'lan\n"], firewall=["nonsense"])
    checked.says(SANE)


def test_networks_that_netifd_does_not_know(checked, files):
    """One sentence for each place, and the lines that end all of them: with these, check finds nothing."""
    name = checked.name
    checked.write(checked.pair.interface(), checked.pair.peer())
    uses = {
        "network": [
            LAN,
            section("route", None, {"interface": name, "target": "10.1.0.0/16"}),
            section("route6", None, {"interface": name, "target": "fd01::/16"}),
            section("rule", "one", {"in": name, "out": name, "lookup": "100"}),
            section("rule6", None, {"in": name, "disabled": 1}),
            section("route", None, {"interface": "lan", "target": "10.1.0.0/16"}),
        ],
        "firewall": [zone(name), section("zone", None, {"name": "off", "network": name, "enabled": 0})],
        "mwan3": [section("interface", name, {"enabled": 1}), section("interface", "wan", {"enabled": 1})],
        "pbr": [section("policy", None, {"interface": name, "src_addr": "192.168.1.7"})],
    }
    files.write(**uses)
    why = f": netifd has no network '{name}', so this has no effect"
    places = [
        f"{files.at('firewall', 1)}: zone, option network",
        f"{files.at('network', 7)}: route, option interface",
        f"{files.at('network', 11)}: route6, option interface",
        f"{files.at('network', 15)}: rule 'one', option in",
        f"{files.at('network', 15)}: rule 'one', option out",
        f"{files.at('mwan3', 1)}: interface '{name}'",
        f"{files.at('pbr', 1)}: policy, option interface",
    ]
    lines = offer(checked, files)
    checked.says(*[f"error: {place}{why}" for place in places], *lines)
    files.write(**{**uses, "network": [*uses["network"], "\n".join(lines[1:]) + "\n"]})
    checked.says(SANE)
    # A section that is disabled is not known either.
    files.write(firewall=[zone(name)], network=[companion(name) + "\toption disabled '1'\n"])
    checked.says(f"error: {places[0]}{why}", *lines)


def test_a_zone_by_the_name_of_the_interface(checked, files):
    name = checked.name
    checked.write(checked.pair.interface(), checked.pair.peer())
    files.write(firewall=[
        section("zone", None, {"name": "lan", "device": name}),
        section("forwarding", None, {"src": "lan", "dest": name}), section("rule", "r", {"src": name, "target": "ACCEPT"}),
    ])  # fmt: skip
    checked.says(
        f"error: {files.at('firewall', 5)}: forwarding, option dest: there is no zone '{name}', so this has no effect",
        f"error: {files.at('firewall', 9)}: rule 'r', option src: there is no zone '{name}', so this has no effect",
    )


def test_no_zone_at_all(checked, files):
    checked.write(checked.pair.interface(), checked.pair.peer())
    files.write(firewall=[WAN_ZONE])
    checked.says(f"note: {checked.where}: no zone of {files.folder}/firewall has list device '{checked.name}', so the "
                 "defaults of the firewall hold for the tunnel")  # fmt: skip
    # By another name of a network with the link.
    files.write(
        firewall=[zone("office")], network=[section("interface", "office", {"proto": "none", "device": checked.name})]
    )
    checked.says(SANE)


def test_the_section_of_the_stock_wireguard(checked, files):
    checked.write(checked.pair.interface(), checked.pair.peer())
    stock = section("interface", checked.name, {"proto": "wireguard", "private_key": Keys().private})
    files.write(network=[LAN, stock], firewall=[zone(checked.name)])
    checked.says(f"error: {files.at('network', 7)}: interface '{checked.name}': OpenWrt's own WireGuard makes this "
                 "interface too; set disabled '1' there")  # fmt: skip


@pytest.mark.parametrize(
    "rule,is_open",
    [
        ({"proto": "udp", "dest_port": "51820"}, True),
        ({"proto": ["tcp", "udp"], "dest_port": ["22", "51820"]}, True),
        ({"proto": "all"}, True),
        ({"dest_port": "51000-52000"}, True),
        ({"proto": "udp", "dest_port": "51000:52000", "src": "*"}, True),
        ({"proto": "tcp", "dest_port": "51820"}, False),
        ({"proto": "udp", "dest_port": "51821"}, False),
        ({"proto": "udp", "dest_port": "51820", "src": "lan"}, False),
        ({"proto": "udp", "dest_port": "51820", "dest": "lan"}, False),
        ({"proto": "udp", "dest_port": "51820", "target": "DROP"}, False),
        ({"proto": "udp", "dest_port": "51820", "enabled": "0"}, False),
        ({"proto": "udp", "dest_port": "wireguard"}, False),
    ],
)
def test_the_port_on_wan(checked, files, rule, is_open):
    name = checked.name
    files.write(firewall=[
        WAN_ZONE, section("zone", None, {"name": "lan", "device": name}),
        section("rule", None, {"src": "wan", "target": "ACCEPT", **rule}),
    ])  # fmt: skip
    checked.write(checked.pair.interface(), checked.pair.peer())
    checked.says(SANE)  # this end connects
    checked.write(checked.pair.interface(), checked.pair.peer(family=0))
    note = (f"note: {checked.where}, option listen_port: no rule in {files.folder}/firewall lets UDP to port 51820 in from "
            "wan, so a peer without endpoint_host cannot connect from there")  # fmt: skip
    checked.says(SANE if is_open else note)


def test_networks_of_the_router_behind_a_peer(checked, files):
    """The allowed IPs that are routed; a default route covers all, and the network of the tunnel is not another one."""
    name = checked.name
    lists = section("interface", "guest", {"proto": "static", "ipaddr": ["10.20.0.1/16"], "ip6addr": "fd20::1/64"})
    off = section("interface", "off", {"proto": "static", "ipaddr": "10.40.0.1/16", "disabled": 1})
    own = section("interface", name, {"proto": "static", "device": name, "ipaddr": "10.77.0.1/24"})
    files.write(network=[LAN, lists, off, own])
    inside = ["10.77.0.2/32", "192.168.0.0/16", "10.20.3.0/24", "fd20::/16", "10.40.0.0/16", "10.30.0.0/16"]
    checked.write(checked.pair.interface(), checked.pair.peer(allowed_ips=inside, route_allowed_ips=1))
    where = f"note: {checked.peer_where}, option allowed_ips: "
    why = ", so hosts with these addresses at one end cannot be reached from the other"
    checked.says(
        f"{where}192.168.0.0/16 overlaps with 192.168.1.1/255.255.255.0 of {files.at('network', 1)}: interface 'lan'{why}",
        f"{where}10.20.3.0/24 overlaps with 10.20.0.1/16 of {files.at('network', 7)}: interface 'guest'{why}",
        f"{where}fd20::/16 overlaps with fd20::1/64 of {files.at('network', 7)}: interface 'guest'{why}",
    )
    checked.write(checked.pair.interface(), checked.pair.peer(allowed_ips=inside))
    checked.says(SANE)
    checked.write(checked.pair.interface(), checked.pair.peer(allowed_ips=["0.0.0.0/0", "::/0"], route_allowed_ips=1))
    checked.says(SANE)


def test_marks_of_mwan3_and_pbr(checked, files):
    default = {"allowed_ips": ["0.0.0.0/0"], "route_allowed_ips": 1}
    files.write(mwan3=[section("globals", "globals", {"logging": 0})])

    def note(mark, file, mask, free="0x1000000"):
        return (f"note: {checked.where}: the firewall mark {mark} has bits that {file} uses to choose a route ({mask}); "
                f"set fwmark '{free}'")  # fmt: skip

    for options, lines in (
        ({}, [SANE]),
        ({"nohostroute": 1}, [note("0xca6c", "mwan3", "0x3f00")]),
        ({"nohostroute": 1, "fwmark": "0x1000000"}, [SANE]),
        ({"fwmark": "0x100"}, [note("0x100", "mwan3", "0x3f00")]),
        ({"fwmark": "0x10000"}, [SANE]),
    ):
        checked.write(checked.pair.interface(**options), checked.pair.peer(**default))
        checked.says(*lines)
    files.write(
        pbr=[section("pbr", "config", {"enabled": 1})], mwan3=[section("globals", "globals", {"mmx_mask": "0x3F000000"})]
    )
    checked.write(checked.pair.interface(fwmark="0x1010000"), checked.pair.peer(**default))
    checked.says(note("0x1010000", "mwan3", "0x3f000000", "0x40000000"), note("0x1010000", "pbr", "0xff0000", "0x40000000"))


def test_interfaces_that_are_not_ours(checked, files):
    """Only what concerns an interface of wgembed is reported."""
    checked.write(checked.pair.interface(), checked.pair.peer(), interface("wgoff", disabled=1), peer("wgoff"))
    files.write(firewall=[zone("wgoff", "elsewhere", device=checked.name)])
    checked.says(SANE)
