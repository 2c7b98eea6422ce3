"""The client of the control socket: what it finds, what it leaves, what it makes of an answer, also of a very long one."""

import base64
import re
import socket
import time

import pytest

from ..lab import wire
from ..lab.patience import stretch
from ..lab.uapi import UapiServer
from .cli_cases import FULL, PRIVATE, RAW, device
from .cli_harness import ALL, OURS, ROOT, Case


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("line", ["show", "show interfaces", "show wg0", "set wg0 fwmark 1"])
def test_a_socket_that_was_left_behind_is_removed(inside, name, line):
    path = inside.place.sockets / "wg0.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    done = inside(name, *line.split())
    assert not path.exists() and done.stdout == b""
    assert done.returncode == (0 if line in ("show", "show interfaces") else 1)


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_socket_stays(inside, serve, name):
    serve("wg1", device())
    for other in ("file.sock", ".sock", "wg2", "directory.sock/"):
        path = inside.place.sockets / other
        path.mkdir() if other.endswith("/") else path.touch()
    try:
        done = inside(name, "show", "interfaces")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"wg1\n", b"")
        assert inside(name, "show", "file").returncode == 1
        assert len(list(inside.place.sockets.iterdir())) == 5
    finally:
        (inside.place.sockets / "directory.sock").rmdir()


@pytest.mark.parametrize("name", ALL)
def test_no_directory_is_no_interface(inside, name, tmp_path):
    # The real ones know one directory only.
    environment = {"WGEMBED_SOCKET_DIR": str(tmp_path / "none")} if name in OURS else None
    done = inside(name, "show", "interfaces", environment=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("name", OURS)
def test_another_directory_of_sockets(inside, name, tmp_path):
    server = UapiServer(tmp_path / "wg7.sock", device())
    environment = {"WGEMBED_SOCKET_DIR": str(tmp_path)}
    assert inside(name, "show", "interfaces", environment=environment).stdout == b"wg7\n"
    assert inside(name, "show", "wg7", "listen-port", environment=environment).stdout == b"51820\n"
    assert inside(name, "set", "wg7", "fwmark", "1", environment=environment).returncode == 0
    assert server.take()[-1] == b"set=1\nfwmark=1\n\n"
    server.close()


# Many peers

MANY = 10_000


@pytest.fixture(scope="module")
def many():
    return device(
        *[
            b"public_key=%064x\npreshared_key=%064x\nendpoint=192.0.2.%d:5\nlast_handshake_time_sec=%d\n"
            b"last_handshake_time_nsec=0\ntx_bytes=%d\nrx_bytes=1\npersistent_keepalive_interval=0\nallowed_ip=10.%d.%d.0/24\n"
            % (n + 1, n + 1, n & 255, n * 7919 % MANY, n, n >> 8, n & 255)
            for n in range(MANY)
        ]
    )


@pytest.mark.parametrize("line", ["show", "show wg0 dump", "show wg0 transfer", "showconf wg0"])
def test_ten_thousand_peers(inside, serve, many, wgs, line):
    serve("wg0", many)
    # The heap that the launcher gives it
    argv, environment = wgs["micropython"]
    wgs = {**wgs, "router": ([word.replace("heapsize=1M", "heapsize=4M") for word in argv], environment)}
    told = {}
    for name in ("newest", "cpython", "router"):
        argv, own = wgs[name]
        begun = time.monotonic()
        done = inside.place.submit(inside.place.execute, argv, Case(line.split(), environment=own)).result()
        assert (done.returncode, done.stderr) == (0, b""), name
        # Time goes by between two answers.
        told[name] = re.sub(rb"latest handshake: .*", b"", done.stdout)
        assert time.monotonic() - begun < stretch(20)
    assert told["cpython"] == told["router"] == told["newest"] and told["newest"].count(b"\n") >= MANY


# The client of the control socket, as our own commands use it

CLIENT = """
import sys
sys.path.insert(0, {root!r})
from wgembed.uapi import client

parts = client.read("wg0")
interface = next(parts)
peers = list(parts)
print(client.list_interfaces(), interface.name, interface.listen_port, interface.fwmark, len(peers))
print(list(interface.private_key), list(interface.public_key))
peer = peers[0]
print(list(peer.public_key), list(peer.preshared_key), peer.endpoint, peer.allowed_ips, peer.handshake_sec,
      peer.handshake_nsec, peer.rx_bytes, peer.tx_bytes, peer.persistent_keepalive)
print(peers[1].preshared_key, peers[2].endpoint, peers[2].allowed_ips)
client.send_set("wg0", b"fwmark=5\\n")
for name in ("none", "wg1", "wg2", "a/b"):
    try:
        list(client.read(name))
    except OSError as e:
        print(name, e.errno)
try:
    client.send_set("wg1", b"fwmark=5\\n")
except OSError as e:
    print(e.errno)
"""


@pytest.mark.parametrize("name", OURS)
def test_the_client(inside, serve, name, wgs, tmp_path):
    server = serve("wg0", FULL.replace(b"@3661@", b"1700000000"))
    serve("wg1", b"errno=1\n\n", b"errno=-28\n\n")
    serve("wg2", None)
    script = tmp_path / "script.py"
    script.write_text(CLIENT.format(root=str(ROOT)))
    argv, environment = wgs[name]
    case = Case([], environment=environment)
    done = inside.place.submit(inside.place.execute, [*argv[:-1], str(script)], case).result()
    private = base64.b64decode(PRIVATE)
    lines = done.stdout.decode().splitlines()
    assert sorted(eval(lines[0].rpartition("]")[0] + "]")) == ["wg0", "wg1", "wg2"], done.stderr
    assert lines[0].endswith("] wg0 51820 51820 3")
    assert lines[1:] == [
        f"{list(private)} {list(wire.public_key(private))}",
        f"{list(RAW[1])} {list(RAW[5])} 192.0.2.1:51820 ['10.0.0.0/8', 'fd00::/64'] 1700000000 17 123456789 1000 25",
        "None [fe80::1%lo]:65535 []",
        "none 19",
        "wg1 1",
        "wg2 71",
        "a/b 19",
        "28",
    ]
    assert server.take()[-1] == b"set=1\nfwmark=5\n\n"
