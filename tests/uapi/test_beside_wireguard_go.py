"""The same requests to the control sockets of wireguard-go and of our daemon: the answers, and the settings after them."""

import re
import socket
import sys

import pytest

from ..lab import micropython, net, peers, wire
from ..lab.need import need, privileges, programs

KEY = "aa" * 32
ZERO = "0" * 64
PRIVATE = "08" + "11" * 30 + "41"
OWN = wire.public_key(bytes.fromhex(PRIVATE)).hex()
PEER = f"public_key={KEY}\n"
RESET = f"set=1\nprivate_key={ZERO}\nlisten_port=0\nfwmark=0\nreplace_peers=true\n\n"


def settings(*lines):
    return {line: f"set=1\n{line}\n\n" for line in lines}


def of_peer(*lines):
    return {line: f"set=1\n{PEER}{line}\n\n" for line in lines}


# Requests with the same answer, and the same settings after them. Those without an empty line at the end end the input.
SAME = {
    "get": "get=1\n\n",
    "get 2": "get=2\n\n",
    "line ends of Windows": "get=1\r\n\r\n",
    "an empty line": "\n",
    "another operation": "foo=1\n\n",
    "no operation": "get\n\n",
    "nothing": "set=1\n\n",
    "set 2": "set=2\n\n",
    **settings(
        f"private_key={PRIVATE}", f"private_key={PRIVATE.upper()}", f"private_key={ZERO}", "private_key=00", "private_key=",
        "listen_port=0", "listen_port=65536", "listen_port=-1", "listen_port=", "listen_port=+7000", "listen_port=0x10",
        "listen_port = 7", "listen_port=7=8", "listen_port=7\0", "fwmark=77", "fwmark=0x4d", "fwmark=0X4D", "fwmark=077",
        "fwmark=0b11", "fwmark=1_0", "fwmark=", "fwmark=4294967295", "fwmark=4294967296", "fwmark=0", "replace_peers=true",
        "replace_peers=false", "replace_peers=1", "foo=1", "foo", "=1", "endpoint=192.0.2.1:5", f"public_key={KEY}",
        f"public_key={KEY.upper()}", "public_key=00", f"public_key={ZERO}",
        f"private_key={PRIVATE}\npublic_key={OWN}\nallowed_ip=10.0.0.0/24",
    ),
    **of_peer(
        f"preshared_key={'cc' * 32}", f"preshared_key={ZERO}", "endpoint=192.0.2.1:51820", "endpoint=[2001:db8::1]:51820",
        "endpoint=[2001:DB8::A]:5", "endpoint=[::ffff:192.0.2.1]:5", "endpoint=0.0.0.0:5", "endpoint=192.0.2.1:0005",
        "persistent_keepalive_interval=25", "persistent_keepalive_interval=025", "allowed_ip=10.0.0.0/24",
        "allowed_ip=10.0.0.7/24", "allowed_ip=fd00::1/64", "allowed_ip=::ffff:10.0.0.0/120", "allowed_ip=0.0.0.0/0",
        "allowed_ip=10.0.0.0/24\nreplace_allowed_ips=true", "allowed_ip=10.0.0.0/24\nupdate_only=true", "remove=true",
        "update_only=true\nallowed_ip=10.0.0.0/24", "protocol_version=1",
        f"allowed_ip=10.0.0.0/24\n{PEER}allowed_ip=10.1.0.0/24",
        # Lines that are refused, after one that adds the peer
        *[f"replace_allowed_ips=true\n{line}" for line in (
            "preshared_key=", "endpoint=192.0.2.1", "endpoint=192.0.2.1:65536", "endpoint=localhost:5", "endpoint=::1:5",
            "endpoint=[192.0.2.1]:5", "endpoint=[fe80::1%nolink]:5", "endpoint=", "endpoint=192.0.2.01:5",
            "persistent_keepalive_interval=off", "persistent_keepalive_interval=65536", "persistent_keepalive_interval=",
            "persistent_keepalive_interval=0x19", "allowed_ip=10.0.0.1", "allowed_ip=10.0.0.7/33", "allowed_ip=10.0.0.7/",
            "allowed_ip=10.0.0.7/-1", "allowed_ip=10.0.0.7/024", "allowed_ip=fe80::1%lo/64", "allowed_ip=+10.0.0.0/24",
            "allowed_ip=", "allowed_ip=10/8", "replace_allowed_ips=false", "remove=false", "update_only=false",
            "protocol_version=2", "protocol_version=", "foo=1", "listen_port=0", "foo",
        )],
    ),
    "a set without its end": f"set=1\n{PEER}allowed_ip=10.9.0.0/24\n",
    "a set without lines and end": "set=1\n",
    "a peer without its end": f"set=1\n{PEER}",
    "a refused line without end": "set=1\nfoo=1\n",
    "a get without its end": "get=1\n",
    "no input": "",
}  # fmt: skip

# Requests with another answer, or other settings: what wireguard-go has, and what we have. Each has a row in differences.md.
DIFFERENT = {
    "a get with lines": ("get=1\nx=1\n\n", "errno=-22", "errno=22"),
    "port 0": (f"set=1\n{PEER}endpoint=192.0.2.1:0\n\n", "errno=0", "errno=-22"),
    "the link of an address": (
        f"set=1\n{PEER}endpoint=[fe80::1%lo]:5\n\n",
        "endpoint=[fe80::1]:5",
        "endpoint=[fe80::1%1]:5",
    ),
    "a peer whose first line is refused": (f"set=1\n{PEER}foo=1\n\n", f"public_key={KEY}", "errno=-22"),
    "an unfinished line": (f"set=1\n{PEER}allowed_ip=10.9.0.0/2", "allowed_ip=0.0.0.0/2", "errno=-71"),
    "a long line": ("set=1\nfoo=" + "a" * 5000 + "\n\n", "errno=-22", ""),
}


def ask(path, text, answers=1):
    """Send the request, and return the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(text.encode())
        if not text.endswith("\n\n"):
            client.shutdown(socket.SHUT_WR)
        told = b""
        while told.count(b"\n\n") < answers:
            try:
                part = client.recv(65536)
            except ConnectionResetError:
                break
            if not part:
                break
            told += part
    return told.decode()


def outcome(path, text):
    """The answer to the request, and the settings after it, without the port, which is random."""
    assert ask(path, RESET) == "errno=0\n\n"
    told = ask(path, text)
    return [re.sub(r"listen_port=\d+", "listen_port=", part) for part in (told, ask(path, "get=1\n\n"))]


@pytest.fixture(scope="module")
def sockets():
    """The paths of the control sockets: of wireguard-go, and of our daemon on both runtimes."""
    need(privileges)
    need(programs, "wireguard-go")
    commands = {
        "wireguard-go": ["wireguard-go", "-f"],
        "cpython": [sys.executable, "-m", "wgembed", "-f"],
        "micropython": [*need(micropython.command, "1M"), "-f"],
    }
    place, paths = net.Namespace(), {}
    place.ip("link", "set", "lo", "up")
    environment = [f"{name}={value}" for name, value in peers.WireguardGo.environment.items()]
    for kind, command in commands.items():
        name = net.unique("s")
        place.spawn("env", *environment, *command, name)
        paths[kind] = f"/var/run/wireguard/{name}.sock"
    for path in paths.values():
        net.poll(lambda path=path: answers(path), 10)
    yield paths
    place.close()


def answers(path):
    try:
        return ask(path, "get=1\n\n")
    except OSError:
        return ""


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
@pytest.mark.parametrize("text", SAME.values(), ids=range(len(SAME)))
def test_the_same_answer(sockets, kind, text):
    assert outcome(sockets[kind], text) == outcome(sockets["wireguard-go"], text)


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
@pytest.mark.parametrize("text,theirs,ours", DIFFERENT.values(), ids=DIFFERENT)
def test_another_answer(sockets, kind, text, theirs, ours):
    """If wireguard-go answers as we do one day, the row in differences.md can go."""
    told = "".join(outcome(sockets[kind], text))
    other = "".join(outcome(sockets["wireguard-go"], text))
    assert told != other and ours in told and theirs in other


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
def test_two_requests_at_once(sockets, kind):
    """wireguard-go loses the second one if both arrive together."""
    assert ask(sockets[kind], "set=1\n\nset=1\n\n", 2) == "errno=0\n\nerrno=0\n\n"
