"""Offloads that this kernel has, but that the daemon must not use: by its version, by a switch, or after a refusal."""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from wgembed.commands import status_model

from ..lab import fastpath, net, peers, traffic
from ..lab.need import need
from ..lab.router import Keys, Router, interface, section
from .test_daemon import ask
from .test_segments import KINDS, Scene, stream

SOURCE = Path(__file__).with_name("refuse_joined.c")
SIOCETHTOOL, ETHTOOL_GTSO = 0x8946, 0x1E
FAST = [kind for kind in KINDS if issubclass(kind, peers.Fast)]


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    scene.close()


def offloads(name):
    return status_model.look(name).offloads


def started(namespace, kind, prefix=(), **environment):
    """Start a daemon that is up; returns the name of its interface."""
    need(kind.prepare)
    name = net.unique("o")
    child = namespace.spawn(
        *prefix, *kind.command(), name, env={**os.environ, **kind.environment, "LOG_LEVEL": "verbose", **environment}
    )
    child.expect(r"\) ready", 10)
    namespace.ip("link", "set", name, "up")
    child.expect("interface up", 5)
    return name


def segments_tcp(namespace, name):
    """Whether the kernel leaves the segmentation of TCP to the device (ethtool -k)."""
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        value = bytearray(struct.pack("II", ETHTOOL_GTSO, 0))
        buffer = (memoryview(value),)
        import ctypes

        held = (ctypes.c_char * 8).from_buffer(value)
        fcntl.ioctl(end, SIOCETHTOOL, struct.pack("16sP16x", name.encode(), ctypes.addressof(held)))
        del held, buffer
        return struct.unpack("II", value)[1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "release, gro, uso",
    [("5.11.22", "bad_kernel", "on"), ("6.8.4-generic", "on", "bad_kernel"), ("6.12.0", "on", "on")],
    ids=["5.11", "6.8", "6.12"],
)
def test_a_kernel_with_a_fault(namespace, tmp_path, kind, release, gro, uso):
    (tmp_path / "osrelease").write_text(release + "\n")
    mount = f"mount --bind {tmp_path}/osrelease /proc/sys/kernel/osrelease"
    prefix = ["unshare", "-m", "sh", "-c", mount + ' && exec "$@"', "sh"]
    found = offloads(started(namespace, kind, prefix))
    assert found == {"gso": "on", "gro": gro, **({"tun_tcp": "on", "tun_udp": uso} if kind in FAST else {})}


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
def test_the_switch_of_the_tunnel_device(namespace, kind):
    name = started(namespace, kind)
    assert segments_tcp(namespace, name)
    name = started(namespace, kind, WGEMBED_TUN_OFFLOAD="0")
    assert not segments_tcp(namespace, name)
    assert (offloads(name)["tun_tcp"], offloads(name)["tun_udp"]) == ("disabled", "disabled")


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
def test_a_tunnel_without_offloads(scene, kind, monkeypatch):
    for name in ("GSO", "GRO", "TUN_OFFLOAD"):
        monkeypatch.setenv("WGEMBED_" + name, "0")
    scene.start(kind)
    traffic.reach(scene.near.place, "10.1.0.2")
    stream(scene)
    stream(scene, back=True)
    assert set(offloads(scene.near.interface).values()) == {"disabled"}
    text = scene.near.place.run(sys.executable, "-m", "wgembed", "status", scene.near.interface)[1]
    assert "  offloads: gro off by option, gso off by option, tun_tcp off by option" in text


@pytest.mark.parametrize("kind", FAST, ids=lambda kind: kind.name)
def test_joined_packets_that_are_refused(scene, kind, tmp_path, monkeypatch):
    """They are written one by one, none is lost, and the next ones are not joined. The log says so once."""
    library = tmp_path / "refuse_joined.so"
    need(fastpath.compiler)
    subprocess.run([fastpath.compiler(), "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    scene.start(kind)
    traffic.reach(scene.near.place, "10.1.0.2")
    assert offloads(scene.near.interface)["tun_tcp"] == "on"
    for _ in range(30):  # packets are joined only if several arrive together
        stream(scene, back=True, size=1_000_001)
        if offloads(scene.near.interface)["tun_tcp"] == "refused":
            break
    assert offloads(scene.near.interface)["tun_tcp"] == "refused"
    assert scene.near.log().count("the kernel refuses joined packets") == 1 and "update the kernel" in scene.near.log()
    assert "drop=rx_tun" not in ask(scene.near.interface, "status=1\n\n")


@pytest.mark.parametrize("kind", FAST[:1], ids=lambda kind: kind.name)
def test_options(namespace, kind, tmp_path):
    """The options of the globals section, at the start and after a reload."""
    need(kind.prepare)
    name = net.unique("o")
    router = Router(namespace, tmp_path, [sys.executable, "-m", "wgembed"], **kind.environment)
    of = interface(name, private_key=Keys().private, addresses=["10.78.0.1/24"])
    router.start(section("globals", "globals", {"gso": 0, "gro": 0, "tun_offload": 0}), of)
    net.poll(lambda: len(offloads(name)) == 4, 5, what="the sockets")
    assert set(offloads(name).values()) == {"disabled"} and not segments_tcp(namespace, name)
    assert "applied" in router.reload(section("globals", "globals", {"gso": 1}), of)
    assert set(offloads(name).values()) == {"on"} and segments_tcp(namespace, name)
    router.stop()
