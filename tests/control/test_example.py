"""The annotated example, which is the package's default configuration: whole, and right in every line."""

import re
from pathlib import Path

from lab.router import Keys
from wgembed.control import config, uci

FILE = Path(__file__).parents[2] / "package/files/wgembed.config"
# Known from /etc/config/network, and nothing to be explained.
UNTOLD = {"ula_prefix", "packet_steering", "proto", "auto", "delegate", "force_link", "defaultroute", "private_key"}
KEYS = {"public_key": Keys().public, "preshared_key": Keys().private}


def uncommented():
    """The example with all that is commented out but prose."""
    text = re.sub(r"(?m)^(\s*)#(option|list|config) ", r"\1\2 ", FILE.read_text())
    for option, key in KEYS.items():
        text = re.sub(rf"(option {option}) '.*'", rf"\1 '{key}'", text)
    return text


def test_as_installed_it_serves_nothing_and_says_nothing():
    found = config.read(uci.parse(b"wgembed", FILE.read_bytes()), "wgembed")
    assert found.interfaces == [] and found.warnings == []


def test_every_line_of_it_holds():
    text = uncommented().replace("option disabled '1'", "option disabled '0'")
    text = text.replace("\toption private_key 'generate'\n", "")
    found = config.read(uci.parse(b"wgembed", text.encode()), "wgembed")
    assert found.warnings == []
    interface = found.interfaces[0]
    peer = interface.peers[0]
    assert (interface.mtu, interface.fwmark, interface.tunlink, interface.max_peers) == (1420, 0x1234, "wan2", 100)
    assert len(interface.addresses) == 2 and interface.table4 == 254
    assert peer.host == "vpn.example.org" and peer.route and len(peer.allowed_ips) == 2


def test_every_option_is_explained():
    named = set(re.findall(r"(?m)^\s*(?:option|list) (\w+) ", uncommented()))
    known = {*config._INTERFACE_OPTIONS, *config._PEER_OPTIONS, *config._GLOBAL_OPTIONS}
    assert known - named - UNTOLD == set()
    assert named <= known
