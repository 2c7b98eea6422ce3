"""The stock `wg`, of this release of Debian and the newest, steers the daemon as it steers a kernel."""

import pytest

from ..lab import debian, peers, wire
from ..lab.bench import Bench
from ..lab.need import need

ANOTHER = "10.99.0.0/16"


@pytest.fixture(params=[lambda: ["wg"], debian.wg_sid], ids=["release", "sid"])
def tool(request):
    return need(request.param)


@pytest.fixture(params=[peers.Wgembed, peers.WgembedMicropython], ids=lambda kind: kind.name)
def tunnel(request, tool, guests):
    """Two of ours, with a session, the near one steered by the `wg` in question."""
    need(peers.Wgembed.prepare)
    need(request.param.prepare)
    bench = Bench(peers.Wgembed, guests, near=request.param)
    bench.near.wg = tool
    tunnel = bench.tunnel()
    tunnel.start(knowing=[tunnel.near])
    tunnel.reach(tunnel.near)
    yield tunnel
    bench.close()


def prefixes(tunnel):
    return set(tunnel.near.show(tunnel.far).allowed_ips.split(","))


def test_show(tunnel):
    near = tunnel.near
    shown = near.tool("show", near.interface)
    for line in (
        f"interface: {near.interface}",
        f"listening port: {near.port}",
        f"peer: {tunnel.far.key}",
        "allowed ips: 10.77.0.2/32, fd77::2/128",
        "latest handshake: ",
    ):
        assert line in shown
    assert near.interface in near.tool("show", "interfaces").split()


def test_showconf_is_what_setconf_took(tunnel):
    given = tunnel.configuration(tunnel.near, 4)
    shown = tunnel.near.tool("showconf", tunnel.near.interface)
    assert set(filter(None, shown.splitlines())) == set(given.splitlines())


def test_syncconf_keeps_the_session(tunnel):
    near = tunnel.near
    with wire.Watch(near.site) as watch:
        changed = tunnel.configuration(near, 4).replace("AllowedIPs = ", f"AllowedIPs = {ANOTHER}, ")
        near.tool("syncconf", near.interface, "/dev/stdin", input=changed)
        assert ANOTHER in prefixes(tunnel)
        near.tool("syncconf", near.interface, "/dev/stdin", input=tunnel.configuration(near, 4))
        assert ANOTHER not in prefixes(tunnel)
        assert tunnel.ping(near).lost == 0
        assert watch.seen(wire.DATA) and not watch.seen(wire.INITIATION)


def test_set_changes_one_thing(tunnel):
    near, key = tunnel.near, tunnel.far.key
    near.tool("set", near.interface, "peer", key, "persistent-keepalive", "25")
    near.tool("set", near.interface, "fwmark", "0x2a")
    near.tool("set", near.interface, "peer", key, "allowed-ips", f"10.77.0.2/32,{ANOTHER}")
    assert prefixes(tunnel) == {"10.77.0.2/32", ANOTHER}
    assert near.tool("show", near.interface, "persistent-keepalive").split() == [key, "25"]
    assert near.tool("show", near.interface, "fwmark").strip() == "0x2a"
    assert tunnel.ping(near).lost == 0


def test_a_removed_peer_is_gone_and_comes_back(tunnel):
    near, key = tunnel.near, tunnel.far.key
    near.tool("set", near.interface, "peer", key, "remove")
    assert near.tool("show", near.interface, "peers").strip() == ""
    assert tunnel.ping(near, count=2, patience=1).received == 0
    peer = tunnel.configuration(near, 4).partition("[Peer]")
    near.tool("addconf", near.interface, "/dev/stdin", input=peer[1] + peer[2])
    tunnel.reach(near, within=12)


def test_a_preshared_key_counts_from_the_next_handshake(tunnel):
    near, far = tunnel.near, tunnel.far
    secret = near.tool("genpsk")
    for peer in (near, far):
        other = tunnel.other(peer)
        peer.tool("set", peer.interface, "peer", other.key, "preshared-key", "/dev/stdin", input=secret)
    assert tunnel.ping(near).lost == 0
    assert near.tool("show", near.interface, "preshared-keys").split() == [far.key, secret.strip()]
    far.stop()
    far.start()
    far.load(tunnel.configuration(far, 4) + f"PresharedKey = {secret}")
    far.raise_()
    tunnel.reach(far, within=12)
