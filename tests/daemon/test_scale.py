"""Many peers through the stock tools."""

import base64
import os
import sys
from pathlib import Path

import pytest

from ..lab import net
from .test_daemon import ask, path


def configuration(peers, prefixes=1):
    lines = ["[Interface]", "PrivateKey = " + base64.b64encode(os.urandom(32)).decode()]
    for i in range(peers):
        allowed = ", ".join(f"10.{(i * prefixes + k) >> 8 & 255}.{(i * prefixes + k) & 255}.0/24" for k in range(prefixes))
        lines += ["[Peer]", "PublicKey = " + base64.b64encode(os.urandom(32)).decode()]
        lines += [f"AllowedIPs = {allowed}, fd00:{i:x}::/64", f"Endpoint = 192.0.2.1:{i + 1}"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("peers", "prefixes"), [(1000, 10), (10_000, 1)])
def test_many_peers(namespace, peers, prefixes):
    name = net.unique("s")
    child = namespace.spawn(sys.executable, "-m", "wgembed", "-f", name, env=dict(os.environ, WGEMBED_MAX_PEERS="10000"))
    net.poll(lambda: path(name).exists(), 10)
    text = configuration(peers, prefixes)
    namespace.run("wg", "setconf", name, "/dev/stdin", input=text)
    told = ask(name, "get=1\n\n", timeout=20)
    assert told.count("public_key=") == peers
    assert told.count("allowed_ip=10.") == peers * prefixes
    assert told.count("allowed_ip=fd00:") == peers
    namespace.run("wg", "syncconf", name, "/dev/stdin", input=text)
    assert ask(name, "get=1\n\n", timeout=20) == told
    namespace.run("wg", "setconf", name, "/dev/stdin", input="[Interface]\n")
    assert ask(name, "get=1\n\n") == "listen_port=0\nerrno=0\n\n"
    assert child.running()


def test_wg_quick(namespace, tmp_path, command):
    """The stock wg-quick brings the tunnel up with wgembed in place of the kernel, and takes it down."""
    private = namespace.run("wg", "genkey")[1].strip()
    key = namespace.run("sh", "-c", "wg genkey | wg pubkey")[1].strip()
    name = net.unique("q")
    file = tmp_path / f"{name}.conf"
    file.write_text(
        f"[Interface]\nPrivateKey = {private}\nAddress = 10.5.0.1/24, fd05::1/64\nMTU = 1400\n"
        f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.6.0.0/16\n"
    )
    script = tmp_path / "wgembed"
    script.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
    script.chmod(0o755)
    environment = ["env", f"WG_QUICK_USERSPACE_IMPLEMENTATION={script}"]
    namespace.run(*environment, "wg-quick", "up", str(file))
    try:
        assert "mtu 1400" in namespace.ip("link", "show", name)
        assert "10.6.0.0/16" in namespace.ip("route", "show", "dev", name)
        assert namespace.run("wg", "show", name, "peers")[1].strip() == key
    finally:
        namespace.run(*environment, "wg-quick", "down", str(file))
    net.poll(lambda: not Path(f"/var/run/wireguard/{name}.sock").exists(), 5)
