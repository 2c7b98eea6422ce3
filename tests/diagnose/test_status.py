"""`wgembed status`: for people, as JSON, for Prometheus; and how both commands take wrong arguments."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from ..lab import micropython, peers, traffic
from ..lab.need import need, privileges
from ..lab.net import poll
from ..lab.patience import stretch

CPYTHON = [sys.executable, "-m", "wgembed"]


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    return CPYTHON if request.param == "cpython" else need(micropython.command)


@pytest.fixture
def tunnel(broken):
    """A tunnel at work."""
    broken.tunnel.start((broken.near,))
    broken.tunnel.reach(broken.near)
    return broken


def test_text(tunnel, command):
    near, far = tunnel.near, tunnel.far
    near.place.spawn("ping", "-n", "-c", "100", "-i", "0.05", "10.77.0.2")
    text = tunnel.run(command, near, "status", near.interface)
    lines = text.split("\n")
    assert lines[0] == f"{near.interface}: up, port 51820, MTU 1420, public key {near.key}"
    assert re.fullmatch(rf"  {re.escape(far.key)}: up, handshake \d+ s ago", lines[1])
    assert lines[2] == "    endpoint 192.0.2.2:51821 from 192.0.2.1"
    many = r"(\S+ (?:Ki)?B)"
    _, received, _, sent = re.fullmatch(rf"    received {many} \({many}/s\), sent {many} \({many}/s\)", lines[3]).groups()
    assert received != "0 B" and sent != "0 B"
    assert lines[4] == "    allowed ips 10.77.0.2/32, fd77::2/128"


def test_json(tunnel, command):
    near, far = tunnel.near, tunnel.far
    told = json.loads(tunnel.run(command, near, "status", "--json", "--interval", "0", near.interface))
    assert told["version"] == 1 and abs(told["time"] - time.time()) < stretch(5)
    [interface] = told["interfaces"]
    [peer] = interface.pop("peers")
    interface.pop("dropped")
    assert interface == {
        "name": near.interface, "state": "up", "public_key": near.key, "listen_port": 51820, "fwmark": 0, "mtu": 1420,
        "other_namespace": False, "unconfirmed_s": None, "offloads": {"gso": "on", "gro": "on"}, "problems": [],
    }  # fmt: skip
    seen = near.show(far)
    assert peer.pop("handshake_age_s") == pytest.approx(time.time() - seen.latest_handshake, abs=stretch(2))
    assert [event["event"] for event in peer.pop("events")] == ["initiation_sent", "response_received"]
    assert peer == {
        "public_key": far.key, "state": "up", "has_preshared_key": False, "endpoint": seen.endpoint, "endpoint_host": None,
        "source": "192.0.2.1", "allowed_ips": seen.allowed_ips.split(","), "persistent_keepalive": 0,
        "latest_handshake": seen.latest_handshake, "attempt": 0,
        "segmented_sends": "on", "rx_bytes": seen.received, "tx_bytes": seen.sent,
        "rx_rate": None, "tx_rate": None, "staged": 0,
        "endpoint_choices": [], "endpoint_times_ms": {}, "failover": None, "ping": None, "backup": None,
        "unanswered": 0, "next_attempt_s": None,
    }  # fmt: skip


def test_prometheus(tunnel, command):
    near, far = tunnel.near, tunnel.far
    tunnel.send(near, address="10.77.0.99")
    text = tunnel.run(command, near, "status", "--prometheus", near.interface)
    labels = f'{{interface="{near.interface}",public_key="{far.key}"}}'
    seen = near.show(far)
    assert f"wireguard_received_bytes_total{labels} {seen.received}\n" in text
    assert f"wireguard_sent_bytes_total{labels} {seen.sent}\n" in text
    assert f"wireguard_latest_handshake_seconds{labels} {seen.latest_handshake}\n" in text
    assert f"wireguard_peer_up{labels} 1\n" in text
    assert f'wireguard_interface_up{{interface="{near.interface}"}} 1\n' in text
    assert re.search(rf'wireguard_dropped_packets_total{{interface="{near.interface}",reason="tx_no_peer"}} [1-9]', text)
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+\{(\w+="[^"]*",?)+\} \d+', line), line
    names = re.findall(r"^# TYPE (\w+) ", text, re.M)
    assert len(names) == len(set(names)) == 8


def test_watch(tunnel, command):
    near = tunnel.near
    child = near.place.spawn(*command, "status", "--watch", "--interval", "0.2", near.interface)
    poll(lambda: child.text().count("\033[H\033[2J") > 3, 10)
    near.place.spawn("ping", "-n", "-c", "20", "-i", "0.05", "10.77.0.2")
    child.expect(r"received .* \([1-9]\S* (Ki)?B/s\)", 10)
    child.stop()


def test_all_interfaces(tunnel, command):
    told = json.loads(tunnel.run(command, tunnel.near, "status", "--json", "--interval=0"))
    names = [interface["name"] for interface in told["interfaces"]]
    assert {tunnel.near.interface, tunnel.far.interface} <= set(names) and names == sorted(names)


def test_another_program_is_asked_with_less(broken, command):
    """wireguard-go knows no `status`: what UAPI tells is told."""
    need(peers.WireguardGo.prepare)
    go = peers.WireguardGo(broken.near_site, 51820)
    broken.closing(go)
    broken.tunnel = peers.Tunnel(go, broken.far)
    broken.tunnel.start((go,))
    broken.tunnel.reach(go)
    told = json.loads(broken.run(command, go, "status", "--json", go.interface))
    [interface] = told["interfaces"]
    [peer] = interface["peers"]
    assert interface["public_key"] == go.key and interface["state"] == "up" and interface["mtu"] is None
    assert peer["state"] == "up" and peer["endpoint"] == "192.0.2.2:51821" and peer["rx_rate"] == 0
    text = broken.run(command, go, "diagnose", go.interface)
    assert text == f"{go.interface}: up\n  no problem found\n{go.interface}: {broken.far.key}: up\n  no problem found\n"


# Wrong arguments


@pytest.mark.parametrize(
    "arguments,why",
    [
        (["status", "--yaml"], "unknown option --yaml"),
        (["status", "--json", "--prometheus"], "--json and --prometheus cannot be combined"),
        (["status", "--prometheus", "--watch"], "--watch and --prometheus cannot be combined"),
        (["status", "--interval"], "--interval: expected a number of seconds up to 3600"),
        (["status", "--interval", "-1"], "--interval: expected a number of seconds up to 3600"),
        (["status", "--interval=x"], "--interval: expected a number of seconds up to 3600"),
        (["status", "--interval=3601"], "--interval: expected a number of seconds up to 3600"),
        (["diagnose", "a", "b", "c"], "expected an interface and a peer at most"),
        (["diagnose", "--all"], "expected an interface and a peer at most"),
    ],
)
def test_wrong_arguments(command, arguments, why):
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    first, usage = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == "" and first == f"wgembed: {why}"
    assert usage.startswith(f"usage: wgembed {arguments[0]} ")


@pytest.mark.parametrize("verb", ["status", "diagnose"])
@pytest.mark.parametrize("name", ["wg-nobody", "a" * 200, "../x", ""])
def test_an_interface_that_nobody_serves(command, verb, name):
    done = subprocess.run([*command, verb, name], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"wgembed: no program serves interface .*\n", done.stderr)


def test_a_peer_that_is_not_there(tunnel, command):
    done = subprocess.run([*command, "diagnose", tunnel.near.interface, "abcd"], capture_output=True, text=True)
    assert done.returncode == 1 and f"wgembed: {tunnel.near.interface} has no peer abcd\n" in done.stderr


def test_nothing_is_served(command, tmp_path, monkeypatch):
    need(privileges)
    monkeypatch.setenv("WGEMBED_SOCKET_DIR", str(tmp_path))
    done = subprocess.run([*command, "status"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = subprocess.run([*command, "diagnose"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.startswith("no interface is served: ") and done.stdout.count("\n") == 1
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    done = subprocess.run([*hidden, *command, "diagnose"], capture_output=True, text=True)
    assert done.returncode == 1 and "\n  /dev/net/tun does not exist: load the kernel module tun" in done.stdout


# What others do while we ask


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\n\n", b"listen_port=x\nerrno=0\n\n", b"", b"up=1\nevent=x\nerrno=5\n\n", b"\xff=\n\n"],
    ids=["word", "number", "nothing", "error", "bytes"],
)
def test_a_socket_that_gives_no_sense(command, tmp_path, monkeypatch, answer):
    monkeypatch.setenv("WGEMBED_SOCKET_DIR", str(tmp_path))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "wg0.sock"))
    listener.listen()

    def serve():
        with contextlib.suppress(OSError):
            while True:
                end, _ = listener.accept()
                end.recv(100)
                end.send(answer)
                end.close()

    thread = threading.Thread(target=serve)
    thread.start()
    done = subprocess.run([*command, "status", "wg0"], capture_output=True, text=True, timeout=20)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"wgembed: wg0 (does not answer: .*|gives an answer that cannot be read)\n", done.stderr)


def test_a_look_does_not_disturb_the_traffic(tunnel):
    near = tunnel.near
    child = near.place.spawn(*CPYTHON, "status", "--watch", "--interval", "0.1", near.interface)
    assert traffic.ping(near.place, "10.77.0.2", count=50, interval=0.02).lost == 0
    assert child.running()
    child.stop()
