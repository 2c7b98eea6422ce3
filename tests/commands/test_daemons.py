"""Running daemons, ours and wireguard-go, changed by the newest wg and by ours: they end up the same."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import debian, micropython, net
from ..lab.need import need, privileges, programs
from .cli_cases import KEY, PRIVATE
from .cli_harness import OURS

STEPS = [
    "set IF private-key /dev/stdin listen-port 41820 fwmark 0x10",
    "set IF peer P1 endpoint 192.0.2.1:5 allowed-ips 10.0.0.0/8,fd00::/8 persistent-keepalive 25",
    "set IF peer P2 preshared-key /dev/stdin allowed-ips 11.0.0.1 endpoint [2001:db8::1]:6",
    "set IF peer P1 allowed-ips +12.0.0.0/8",
    "set IF peer P1 allowed-ips -10.0.0.0/8,+13.0.0.0/8",
    "set IF peer P2 allowed-ips 12.0.0.0/8",
    "set IF peer P3 remove peer P4",
    "addconf IF conf1",
    "syncconf IF conf2",
    "set IF fwmark off listen-port 41821 peer P2 persistent-keepalive off preshared-key /dev/null",
    "setconf IF conf1",
    "set IF private-key /dev/null",
    "set IF peer P1 endpoint 192.0.2.1:0",
    "setconf IF conf3",
]
FILES = {
    "conf1": f"[Interface]\nListenPort = 41823\n[Peer]\nPublicKey = {KEY[5]}\nAllowedIPs = 14.0.0.0/8\n"
    "PersistentKeepalive = 9\n",
    "conf2": f"[Interface]\nPrivateKey = {PRIVATE}\nListenPort = 41824\n[Peer]\nPublicKey = {KEY[5]}\n[Peer]\n"
    f"PublicKey = {KEY[1]}\nEndpoint = 192.0.2.9:9\n",
    "conf3": "[Interface]\nListenPort = 41825\n",
}
WORDS = {f"P{n}": KEY[n] for n in range(1, 6)}


def daemons():
    return {
        "wgembed": [sys.executable, "-m", "wgembed", "-f"],
        "wgembed-micropython": [*need(micropython.command), "-f"],
        "wireguard-go": ["wireguard-go", "-f"],
        "wireguard-go-sid": [*need(debian.wireguard_go_sid), "-f"],
    }


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("daemon", ["wgembed", "wgembed-micropython", "wireguard-go", "wireguard-go-sid"])
def test_daemons_are_changed_alike(daemon, ours, wgs, tmp_path):
    """Two of the same daemon, one in the hands of the newest wg, one in ours."""
    need(privileges)
    need(programs, "ip", "wireguard-go")
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    environment = {**os.environ, "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}
    namespaces = net.Namespace(), net.Namespace()
    names = net.unique("c"), net.unique("c")
    try:
        for namespace, name in zip(namespaces, names, strict=True):
            namespace.spawn(*daemons()[daemon], name, env=environment)
        for name in names:
            net.poll(lambda name=name: Path(f"/var/run/wireguard/{name}.sock").exists(), 15, what="the control socket")
        for step in STEPS:
            _compare_step(step, [wgs["newest"], wgs[ours]], names, tmp_path, daemon)
    finally:
        for namespace in namespaces:
            namespace.close()


def _compare_step(step, pair, names, folder, daemon):
    results = []
    for (argv, environment), name in zip(pair, names, strict=True):

        def ask(*words, argv=argv, environment=environment, name=name):
            done = subprocess.run(
                [*argv, *[name if word == "IF" else WORDS.get(word, word) for word in words]], capture_output=True,
                input=PRIVATE.encode(), cwd=folder, env={**os.environ, **environment}, timeout=30,
            )  # fmt: skip
            told = [text.replace(name.encode(), b"IF") for text in (done.stdout, done.stderr)]
            return done.returncode, *(map(_in_order, told) if daemon.startswith("wireguard-go") else told)

        results.append([ask(*step.split()), ask("show", "IF"), ask("show", "IF", "dump"), ask("showconf", "IF")])
    assert results[1] == results[0], step


@pytest.mark.parametrize("daemon", ["wgembed", "wgembed-micropython"])
@pytest.mark.parametrize("key", ["0" * 64 + " ", "0" * 20 + "\t" + "0" * 44, "0" * 63, "0" * 66, "g" * 64])
def test_a_key_for_the_control_socket_has_64_digits_and_no_space(daemon, key):
    need(privileges)
    need(programs, "ip")
    namespace, name = net.Namespace(), net.unique("c")
    path = Path(f"/var/run/wireguard/{name}.sock")
    try:
        namespace.spawn(*daemons()[daemon], name)
        net.poll(path.exists, 15, what="the control socket")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(f"set=1\nprivate_key={key}\n\n".encode())
            assert client.recv(100) == b"errno=-22\n\n"
    finally:
        namespace.close()


def _in_order(text):
    """Peers in an order: that of Go's maps is another each time."""
    return sorted(block.strip() for block in text.split(b"\n\n" if b"\n\n" in text else b"\n"))
