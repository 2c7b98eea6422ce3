"""The configuration that the packages bring: it explains every option, and its examples hold."""

import re
from pathlib import Path

import pytest

from wgembed.config import options, uci

TEXT = (Path(__file__).parents[2] / "package/files/wgembed.config").read_text()
KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
# What OpenWrt's own sections may have, and nobody needs to know here.
UNSAID = {"proto", "auto", "delegate", "force_link", "defaultroute", "packet_steering", "ula_prefix"}


def read(text):
    return options.read(uci.parse(b"wgembed", text.encode()), "wgembed")


def test_as_it_is_nothing_is_served():
    found = read(TEXT)
    assert not found.interfaces and not found.warnings


def test_a_second_section_of_the_name_becomes_one_with_the_first():
    """So docs/openwrt.md has a step before sections of /etc/config/network are moved: to remove the first."""
    moved = f"config interface 'wg0'\n\toption proto 'wireguard'\n\toption private_key '{KEY}'\n"
    assert [interface.name for interface in read(moved).interfaces] == ["wg0"]
    assert not read(f"{TEXT}\n{moved}").interfaces, "the first is disabled"
    with pytest.raises(options.ConfigError, match="private_key_file"):
        read(f"{TEXT}\n{moved}\toption disabled '0'\n")


def test_every_option_is_explained():
    said = set(re.findall(r"^\s*#?(?:option|list) (\w+) '", TEXT, re.MULTILINE))
    known = {*options._GLOBAL_OPTIONS, *options._INTERFACE_OPTIONS, *options._PEER_OPTIONS}
    assert said == known - UNSAID


def test_the_examples_hold():
    """With every example in force, but those that stand in for others."""
    text = re.sub(r"^(\s*)#(config|option|list)\b", r"\1\2", TEXT, flags=re.MULTILINE)
    text = text.replace("option disabled '1'", "").replace("option private_key 'generate'", "")
    text = text.replace("option backup_of 'headquarters'", "")
    text = re.sub(r"'[^']*44 characters'", f"'{KEY}'", text)
    found = read(text)
    assert not found.warnings
    (interface,) = found.interfaces
    assert interface.addresses and interface.key_file and len(interface.peers) == 1
