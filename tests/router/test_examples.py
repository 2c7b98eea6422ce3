"""The examples that people copy: each is found to be right by `check`, and comes up."""

import re
from pathlib import Path

import pytest

from wgembed.config import options, uci
from wgembed.runtime.address import format_ip

from ..lab import net

FOLDER = Path(__file__).parents[2] / "docs/examples"
FILES = sorted(FOLDER.glob("*.config"))
# Where the names in the examples lead to here: the other end of the wire.
NAMES = "".join(
    f"{name} 192.0.2.2\n" for name in ("site-b.example.org", "vpn.example.net", "hq.example.org", "hq-lte.example.org")
)


def read(path):
    return options.read(uci.parse(b"wgembed", path.read_bytes()), path.name)


def address_in(network, length):
    """An address in the network, as text: somewhere on the internet if that is all of it."""
    if not length:
        return "198.51.100.7" if len(network) == 4 else "2001:db8:9::7"
    return format_ip(network if length == 8 * len(network) else network[:-1] + b"\x07")


def test_the_index_lists_them():
    assert set(re.findall(r"\]\(([\w.-]+\.config)\)", (FOLDER / "README.md").read_text())) == {path.name for path in FILES}


def test_no_two_peers_have_the_same_key():
    keys = [peer.public_key for path in FILES for peer in read(path).interfaces[0].peers]
    assert len(keys) == len(set(keys)) > len(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_right_and_comes_up(harness, tmp_path, path):
    place = harness.near.place
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        place.run("sh", "-c", f"echo 1 > /proc/sys/net/{name}")
    place.ip("route", "add", "default", "via", "192.0.2.2")
    names = harness.names()
    names.set(NAMES)
    router = harness.router(prefix=names.prefix, WGEMBED_SOCKET_DIR=str(tmp_path))
    router.write(path.read_text())
    environment = [f"WGEMBED_STATE_DIR={router.state}", f"WGEMBED_SOCKET_DIR={tmp_path}"]
    command = [*names.prefix, "env", *environment, *harness.command, "check", "--config-dir", str(router.config.parent)]
    code, said = place.run(*command, check=False)
    assert (code, said) == (0, "no problem found\n")

    router.start()
    (interface,) = read(path).interfaces
    wanted = {f"{format_ip(packed)}/{length}" for packed, length in interface.addresses}
    net.poll(lambda: wanted <= set(place.ip("-o", "addr", "show", "wg0").split()), 5, what="the addresses")
    for peer in interface.peers:
        for packed, length in peer.allowed_ips if peer.route else ():
            where = address_in(packed, length)
            net.poll(lambda where=where: "dev wg0" in place.ip("route", "get", where), 5, what=f"the route to {where}")
    assert "cannot" not in router.log() and "ERROR" not in router.log()
    if any(peer.host for peer in interface.peers):
        net.poll(lambda: "sending initiation" in router.log(), 10, what="an initiation")
