"""Complete configurations of OpenWrt's network, as people write them, with tunnels of `proto 'wireguard'`.

test_corpus.py compares what wgembed makes of them with what netifd made of them (corpus.json). In `NETWORKS`, K1 to K9 stand
for keys. The links of the machine have names such as eth0; all networks outside the tunnels are static, whatever they are
where the configuration comes from, so that no other programs are needed.
"""

_BASE = """
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	option ipaddr '127.0.0.1'
	option netmask '255.0.0.0'

config interface 'lan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '192.168.1.1'
	option netmask '255.255.255.0'
"""

_WAN = """
config interface 'wan'
	option device 'eth0'
	option proto 'static'
	option ipaddr '192.0.2.2'
	option netmask '255.255.255.0'
	option gateway '192.0.2.1'
"""

_WAN6 = """
config interface 'wan6'
	option device 'eth0'
	option proto 'static'
	list ip6addr '2001:db8:1::2/64'
	option ip6gw '2001:db8:1::1'
"""

_LTE = """
config interface 'lte'
	option device 'eth2'
	option proto 'static'
	option ipaddr '198.51.100.2'
	option netmask '255.255.255.0'
	option gateway '198.51.100.1'
"""


def _with(block, *lines):
    return block.rstrip("\n") + "".join("\n\t" + line for line in lines) + "\n"


_WAN_METRIC = _with(_WAN, "option metric '10'")
_LTE_METRIC = _with(_LTE, "option metric '20'")
_WAN_TABLE = _with(_WAN, "option ip4table '100'")
_LTE_TABLE = _with(_LTE, "option ip4table '200'")
_TWO_WANS = _WAN_METRIC + _LTE_METRIC


def _tunnel(*options, name="wg0", addresses=("10.9.0.2/24",), key="K1"):
    lines = ["", f"config interface '{name}'", "\toption proto 'wireguard'", f"\toption private_key '{key}'"]
    lines += [f"\tlist addresses '{address}'" for address in addresses]
    return "\n".join(lines + ["\t" + option for option in options]) + "\n"


def _peer(*options, name="wg0", key="K2", allowed=("0.0.0.0/0",), host="203.0.113.5", route=True):
    lines = ["", f"config wireguard_{name}", f"\toption public_key '{key}'"]
    lines += [f"\tlist allowed_ips '{one}'" for one in allowed]
    if route:
        lines.append("\toption route_allowed_ips '1'")
    if host:
        lines.append(f"\toption endpoint_host '{host}'")
    return "\n".join(lines + ["\t" + option for option in options]) + "\n"


_ONE = _BASE + _WAN
_ONE6 = _BASE + _WAN + _WAN6
_TWO = _BASE + _TWO_WANS
_BOTH = "0.0.0.0/0", "::/0"

NETWORKS = {
    # a provider of VPNs, everything through it
    "provider": _ONE + _tunnel() + _peer("option persistent_keepalive '25'"),
    "provider with /32": _ONE + _tunnel(addresses=["10.66.12.34/32"]) + _peer(),
    "provider of both families": _ONE6 + _tunnel(addresses=["10.66.12.34/32", "fc00:bbbb::34/128"]) + _peer(allowed=_BOTH),
    "provider reached by IPv6": _ONE6 + _tunnel(addresses=["10.66.1.1", "fc00::1"])
    + _peer(allowed=_BOTH, host="2001:db8:ffff::5"),
    "provider with a metric": _BASE + _WAN_METRIC + _tunnel("option metric '5'") + _peer(),
    "provider behind the WAN": _ONE + _tunnel("option metric '50'") + _peer(),
    "provider without default route": _ONE + _tunnel("option defaultroute '0'") + _peer(),
    "provider without both default routes": _ONE6
    + _tunnel("option defaultroute '0'", addresses=["10.66.0.1/32", "fc00::1/128"])
    + _peer(allowed=[*_BOTH, "10.64.0.1/32"]),
    "provider without routes": _ONE + _tunnel() + _peer(route=False, allowed=_BOTH),
    "provider with a mark": _ONE + _tunnel("option fwmark '0x2a'") + _peer(),
    "provider without host route": _ONE + _tunnel("option nohostroute '1'") + _peer(),
    "provider in a table": _ONE + _tunnel("option ip4table '77'") + _peer(),
    "provider in two tables": _ONE6
    + _tunnel("option ip4table '77'", "option ip6table '78'", addresses=["10.66.0.1/32", "fc00::1/128"])
    + _peer(allowed=_BOTH),
    "provider with halves": _ONE + _tunnel() + _peer(allowed=["0.0.0.0/1", "128.0.0.0/1"]),
    "provider, IPv6 only": _ONE6 + _tunnel(addresses=["fc00::1/64"]) + _peer(allowed=["::/0"], host="2001:db8:ffff::5"),
    "provider by tunlink": _TWO + _tunnel("option tunlink 'lte'") + _peer(),
    "two providers with metrics": _BASE + _WAN_METRIC
    + _tunnel("option metric '3'", name="vpna") + _peer(name="vpna")
    + _tunnel("option metric '4'", name="vpnb", addresses=["10.8.0.2/24"], key="K3")
    + _peer(name="vpnb", key="K4", host="203.0.113.77"),
    "provider with a name server": _ONE + _tunnel("list dns '10.9.0.1'", "option peerdns '0'") + _peer(),
    "provider, default in lower case booleans": _ONE + _tunnel("option defaultroute 'true'") + _peer(),
    "provider, host in the LAN": _ONE + _tunnel() + _peer(host="192.168.1.20"),
    # a road warrior, and the server for them
    "server": _ONE + _tunnel("option listen_port '51820'", addresses=["10.9.0.1/24"])
    + _peer(key="K2", allowed=["10.9.0.2/32"], host="") + _peer(key="K3", allowed=["10.9.0.3/32"], host=""),
    "server without routes": _ONE + _tunnel("option listen_port '51820'", addresses=["10.9.0.1/24"])
    + _peer(key="K2", allowed=["10.9.0.2/32"], host="", route=False),
    "server of both families": _ONE6 + _tunnel("option listen_port '51820'", addresses=["10.9.0.1/24", "fd09::1/64"])
    + _peer(key="K2", allowed=["10.9.0.2/32", "fd09::2/128"], host=""),
    "server with a disabled client": _ONE + _tunnel(addresses=["10.9.0.1/24"])
    + _peer("option disabled '1'", allowed=["10.9.0.7/32"], host="") + _peer(key="K3", allowed=["10.9.0.3/32"], host=""),
    "server with the networks of clients": _ONE + _tunnel(addresses=["10.9.0.1/24"])
    + _peer(allowed=["10.9.0.2/32", "192.168.20.0/24"], host="")
    + _peer(key="K3", allowed=["10.9.0.3/32", "192.168.30.0/24", "192.168.31.0/24"], host=""),
    "server with addresses in one option": _ONE + _tunnel("option addresses '10.9.0.1/24 10.10.0.1/24'", addresses=())
    + _peer(allowed=["10.9.0.2/32"], host=""),
    "server on a network without mask": _ONE + _tunnel(addresses=["10.9.0.1"]) + _peer(allowed=["10.9.0.0/24"], host=""),
    "client of a LAN": _ONE + _tunnel() + _peer(allowed=["192.168.178.0/24", "10.9.0.0/24"]),
    "client with an MTU": _ONE + _tunnel("option mtu '1280'") + _peer(allowed=["192.168.178.0/24"]),
    "client by a port": _ONE + _tunnel() + _peer("option endpoint_port '443'", allowed=["192.168.178.0/24"]),
    "client by name": _ONE + _tunnel() + _peer(allowed=["192.168.178.0/24"], host="vpn.example.org"),
    "client with networks in one option": _ONE + _tunnel()
    + _peer("option allowed_ips '192.168.178.0/24 192.168.179.0/24'", allowed=()),
    # site to site
    "site to site": _ONE + _tunnel("option listen_port '51820'", addresses=["10.255.0.1/30"])
    + _peer(allowed=["10.255.0.2/32", "192.168.2.0/24"]),
    "site to site, IPv6": _ONE6 + _tunnel(addresses=["fd00:255::1/64"])
    + _peer(allowed=["fd00:255::2/128", "fd00:2::/48"], host="2001:db8:ffff::5"),
    "site to site, networks with host bits": _ONE + _tunnel(addresses=["10.255.0.1/30"])
    + _peer(allowed=["192.168.2.7/24", "172.16.9.9/12"]),
    "site to site, several sites": _ONE + _tunnel(addresses=["10.255.0.1/24"])
    + "".join(
        _peer(key=f"K{n}", allowed=[f"10.255.0.{n}/32", f"192.168.{n}.0/24"], host=f"203.0.113.{n}") for n in (2, 3, 4)
    ),
    "site to site, the endpoint within": _ONE + _tunnel() + _peer(allowed=["203.0.113.0/24"]),
    "site to site, all private networks": _ONE + _tunnel()
    + _peer(allowed=["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
    "site to site with a metric": _ONE + _tunnel("option metric '100'", addresses=["10.255.0.1/30"])
    + _peer(allowed=["192.168.2.0/24"]),
    "site to site, overlapping networks": _ONE + _tunnel()
    + _peer(allowed=["192.168.0.0/16"]) + _peer(key="K3", allowed=["192.168.7.0/24"], host="203.0.113.6"),
    "site to site, networks twice": _ONE + _tunnel() + _peer(allowed=["192.168.2.0/24", "192.168.2.0/24", "192.168.2.0/24"]),
    # several providers of the Internet
    "failover": _TWO + _tunnel("option metric '30'") + _peer(allowed=["192.168.2.0/24"]),
    "failover, everything through the tunnel": _TWO + _tunnel() + _peer(),
    "failover, tunnel last": _TWO + _tunnel("option metric '99'") + _peer(),
    "failover, tunlink": _TWO + _tunnel("option tunlink 'wan'") + _peer(allowed=["192.168.2.0/24"]),
    "failover, a tunnel over each": _TWO
    + _tunnel("option tunlink 'wan'", "option metric '1'", name="wga") + _peer(name="wga", allowed=["10.20.0.0/16"])
    + _tunnel("option tunlink 'lte'", "option metric '2'", name="wgb", addresses=["10.8.0.2/24"], key="K3")
    + _peer(name="wgb", key="K4", allowed=["10.20.0.0/16"], host="203.0.113.6"),
    "failover, tables": _BASE + _WAN_TABLE + _LTE_METRIC + _tunnel() + _peer(allowed=["192.168.2.0/24"]),
    "failover, tables for all": _BASE + _WAN_TABLE + _LTE_TABLE + _tunnel("option ip4table '300'") + _peer(),
    "failover, table and metric": _TWO + _tunnel("option ip4table '300'", "option metric '7'") + _peer(),
    "no provider yet": _BASE + _tunnel() + _peer(),
    # meshes and routing daemons
    "mesh with link-local": _ONE6 + _tunnel(addresses=["fe80::1234/64"])
    + _peer(allowed=["fe80::1/128", "ff02::/16"], host="2001:db8:ffff::5", route=False),
    "mesh, DN42": _ONE6 + _tunnel("option nohostroute '1'", addresses=["fe80::265:a8ff:fe0d:8a36/64", "172.20.1.1/32"])
    + _peer(allowed=["0.0.0.0/0", "::/0"], route=False),
    "mesh, Gluon": _ONE6 + _tunnel(addresses=["fe80::265:a8ff:fe0d:8a36/128"])
    + _peer(allowed=["fe80::1/128"], host="2001:db8:ffff::5"),
    "mesh with OSPF": _ONE + _tunnel(addresses=["10.255.1.1/31"]) + _peer(allowed=["0.0.0.0/0"], route=False),
    "mesh, two links": _ONE
    + _tunnel(name="wga", addresses=["10.255.1.1/31"]) + _peer(name="wga", allowed=_BOTH, route=False)
    + _tunnel(name="wgb", addresses=["10.255.1.3/31"], key="K3")
    + _peer(name="wgb", key="K4", allowed=_BOTH, host="203.0.113.6", route=False),
    # what programs and vendors write
    "LuCI": _ONE + _tunnel("option mtu '1412'", "option defaultroute '0'", "option listen_port '51820'")
    + _peer("option description 'phone'", "option private_key 'K9'", "option persistent_keepalive '25'",
            "option endpoint_port '51820'", allowed=["10.9.0.3/32"]),
    "LuCI, generated key and IPv6 delegation": _ONE6
    + _tunnel("option delegate '0'", "option force_link '1'", "option ip6assign '60'") + _peer(allowed=["192.168.2.0/24"]),
    "OpenWISP": _ONE + _tunnel("option nohostroute '0'", "option mtu '1420'", "option auto '1'", "option metric '0'")
    + _peer("option endpoint_port '51820'", "option persistent_keepalive '60'", allowed=["10.0.0.0/24"]),
    "GL.iNet": _ONE + _tunnel("option mtu '1420'", "option disabled '0'", "option ip6table '1001'", "option ip4table '1001'")
    + _peer(),
    "switched off": _ONE + _tunnel("option disabled '1'") + _peer(),
    "not at boot": _ONE + _tunnel("option auto '0'") + _peer(),
    "numbers in hexadecimal": _ONE + _tunnel("option fwmark '0xca6c'") + _peer(allowed=["192.168.2.0/24"]),
    "prefix for the LAN": _ONE6 + _tunnel("list ip6prefix '2001:db8:7::/48'", addresses=["2001:db8:7::1/128"])
    + _peer(allowed=["::/0"], host="203.0.113.9"),
    "prefix in one option": _ONE6 + _tunnel("option ip6prefix '2001:db8:8::/56'") + _peer(allowed=["10.9.0.0/24"]),
}  # fmt: skip
