"""The daemon as a program, on both runtimes: how it starts, what it says, when it ends."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from ..lab import net, wire
from ..lab.counterpart import Counterpart
from ..lab.patience import stretch

SOCKETS = Path("/var/run/wireguard")


def path(name, directory=SOCKETS):
    return directory / f"{name}.sock"


def listens(name):
    """The file of a socket is there a moment before a client can connect."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path(name))) == 0


def ask(name, text, timeout=5, directory=SOCKETS):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(stretch(timeout))
        client.connect(str(path(name, directory)))
        client.sendall(text.encode())
        answer = b""
        while not answer.endswith(b"\n\n"):
            data = client.recv(65536)
            if not data:
                break
            answer += data
    return answer.decode()


@pytest.fixture
def name():
    return net.unique("d")


@pytest.fixture
def daemon(namespace, name, command):
    """A daemon in the foreground, telling everything."""
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    child.expect("ready", 10)
    return child


def ends(child, within=5):
    net.poll(lambda: not child.running(), within, what="the daemon's end")
    return child.wait(1)


def find(name):
    """The pid of the background daemon for the interface."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_daemon = command.with_name("comm").read_text() == "wgembed\n"
            if is_daemon and command.read_bytes().endswith(b"\0" + name.encode() + b"\0"):
                return int(command.parent.name)
        except OSError:
            continue
    return None


def test_background(namespace, name, command):
    code, told = namespace.run(*command, name)
    assert (code, told) == (0, ""), "it comes back when the socket is there, and says nothing"
    pid = find(name)
    try:
        assert stat.S_IMODE(path(name).stat().st_mode) == 0o600
        assert stat.S_IMODE(SOCKETS.stat().st_mode) == 0o755
        assert ask(name, "get=1\n\n") == "listen_port=0\nerrno=0\n\n"
        assert Path(f"/proc/{pid}/comm").read_text() == "wgembed\n"
        assert os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    net.poll(lambda: not path(name).exists() and find(name) is None, 5, what="the end of the daemon")
    assert namespace.run("ip", "link", "show", name, check=False)[0] != 0


def test_foreground_by_environment(namespace, name, command):
    child = namespace.spawn(*command, name, env=dict(os.environ, WG_PROCESS_FOREGROUND="1"))
    net.poll(lambda: path(name).exists(), 10)
    assert child.running()
    assert find(name) == child.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it(daemon, name, number):
    os.kill(daemon.pid, number)
    assert ends(daemon) == 0
    assert not path(name).exists()


def test_loss_of_the_interface_ends_it(namespace, daemon, name):
    namespace.ip("link", "del", name)
    ends(daemon)
    assert "deleted" in daemon.text() or "gone" in daemon.text()
    assert not path(name).exists()


def test_deletion_of_the_socket_ends_it(namespace, daemon, name):
    other = SOCKETS / f"{name}x"
    other.write_text("")
    other.unlink()
    time.sleep(0.3)
    assert daemon.running(), "another file's end is no reason"
    path(name).unlink()
    assert ends(daemon) == 0
    assert namespace.run("ip", "link", "show", name, check=False)[0] != 0


def test_second_daemon_is_refused(namespace, daemon, name, command):
    code, told = namespace.run(*command, name, check=False)
    assert code == 1 and "another program already serves interface" in told and "Traceback" not in told
    assert daemon.running() and ask(name, "get=1\n\n").endswith("errno=0\n\n")


def test_interface_of_another_kind(namespace, name, command):
    namespace.ip("link", "add", name, "type", "veth")
    code, told = namespace.run(*command, "-f", name, check=False)
    assert code == 1 and "another kind" in told and "Traceback" not in told
    assert not path(name).exists()


@pytest.mark.parametrize("bad", ["toolongforalink00", "a/b", "a b", "..", ""])
def test_bad_names(namespace, bad, command):
    code, told = namespace.run(*command, "-f", bad, check=False)
    assert code == 1 and "is not a valid interface name" in told and "Traceback" not in told


def test_usage(command):
    for arguments in ([], ["-x"], ["-f"], ["a", "b"]):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.startswith("usage:")
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("wgembed ")


def test_stale_socket_is_replaced(namespace, name, command):
    SOCKETS.mkdir(mode=0o755, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path(name)))
    child = namespace.spawn(*command, "-f", name)
    net.poll(lambda: namespace.run("wg", "show", name, check=False)[0] == 0, 10)
    assert child.running()


def test_unreachable_device_node(namespace, name, command):
    """Without /dev/net/tun: a sentence."""
    code, told = namespace.run(
        "unshare", "-m", "sh", "-c", f"mount -t tmpfs none /dev/net && exec {' '.join(command)} -f {name}", check=False
    )
    assert code == 1 and "cannot open /dev/net/tun" in told and "Traceback" not in told


@pytest.mark.parametrize("variable", ["WGEMBED_MAX_PEERS", "WGEMBED_MAX_PREFIXES"])
def test_bad_table_size(namespace, name, command, variable):
    code, told = namespace.run("env", variable + "=0", *command, "-f", name, check=False)
    assert code == 1 and variable in told and "Traceback" not in told


def test_full_table_of_prefixes(namespace, name, command):
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, WGEMBED_MAX_PREFIXES="2"))
    net.poll(lambda: listens(name), 10)
    key = "00" * 31 + "01"
    assert ask(name, f"set=1\npublic_key={key}\nallowed_ip=10.0.0.1/32\nallowed_ip=10.0.0.2/32\n\n") == "errno=0\n\n"
    assert ask(name, f"set=1\npublic_key={key}\nallowed_ip=10.0.0.3/32\n\n") == "errno=-28\n\n"
    child.expect("the table of 2 prefixes of IPv4 is full", 2)
    assert ask(name, f"set=1\npublic_key={key}\nallowed_ip=fd00::1/128\n\n") == "errno=0\n\n"


def test_full_table_with_the_stock_tool(namespace, name, command):
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, WGEMBED_MAX_PEERS="2"))
    net.poll(lambda: listens(name), 10)
    keys = [namespace.run("sh", "-c", "wg genkey | wg pubkey")[1].strip() for _ in range(3)]
    for key in keys[:2]:
        namespace.run("wg", "set", name, "peer", key)
    code, told = namespace.run("wg", "set", name, "peer", keys[2], check=False)
    assert code != 0 and "No space left" in told
    child.expect(r"the peer table is full \(2 peers\)", 2)
    assert sorted(namespace.run("wg", "show", name, "peers")[1].split()) == sorted(keys[:2])


def test_port_taken(namespace, daemon, name):
    namespace.ip("link", "set", name, "up")
    daemon.expect("interface up", 5)
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        before = ask(name, "get=1\n\n")
        assert ask(name, f"set=1\nlisten_port={port}\n\n") == "errno=-98\n\n"
        assert ask(name, "get=1\n\n") == before, "the old port is kept"


def test_ports_follow_the_link(namespace, daemon, name):
    assert ask(name, "set=1\nlisten_port=4567\n\n") == "errno=0\n\n"
    ports = ["ss", "-Hlun"]
    assert ":4567" not in namespace.run(*ports)[1]
    namespace.ip("link", "set", name, "up")
    daemon.expect("listening on port 4567", 5)
    assert namespace.run(*ports)[1].count(":4567") == 2, "IPv4 and IPv6"
    ask(name, "set=1\nlisten_port=4568\n\n")
    told = namespace.run(*ports)[1]
    assert told.count(":4568") == 2 and ":4567" not in told
    namespace.ip("link", "set", name, "down")
    net.poll(lambda: ":4568" not in namespace.run(*ports)[1], 5)


def test_port_is_chosen_and_told(namespace, daemon, name):
    namespace.ip("link", "set", name, "up")
    daemon.expect("interface up", 5)
    port = int(ask(name, "get=1\n\n").split("listen_port=")[1].split()[0])
    assert port > 0 and namespace.run("ss", "-Hlun")[1].count(f":{port} ") == 2
    namespace.ip("link", "set", name, "down")
    daemon.expect("interface down", 5)
    namespace.ip("link", "set", name, "up")
    net.poll(lambda: namespace.run("ss", "-Hlun")[1].count(f":{port} ") == 2, 5, what="the same port")


def test_machine_without_ipv6(namespace, name, command):
    """Others once failed to start."""
    for where in ("all", "default", "lo"):
        namespace.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{where}/disable_ipv6")
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    net.poll(lambda: path(name).exists(), 10)
    namespace.ip("link", "set", name, "up")
    child.expect("interface up", 5)


def test_firewall_mark(namespace, daemon, name):
    namespace.ip("link", "set", name, "up")
    daemon.expect("interface up", 5)
    assert namespace.run("wg", "set", name, "fwmark", "0x1234")[0] == 0
    assert "fwmark=4660\n" in ask(name, "get=1\n\n")

    def sockets():
        return namespace.run("ss", "-Hluenm")[1] + namespace.run("ss", "-Hlune")[1]

    assert sockets().count("fwmark:0x1234") >= 2
    namespace.run("wg", "set", name, "fwmark", "0")
    assert "fwmark" not in ask(name, "get=1\n\n")
    assert "fwmark:" not in sockets()


def test_silent_and_slow_clients_block_nobody(daemon, name):
    """One says nothing, one stops in mid-line, one never reads what it asked for."""
    clients = []
    try:
        for text in (b"", b"set=1\nlisten_po", b"get=1\n\n" * 4000):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(path(name)))
            client.setblocking(False)
            try:
                client.send(text)
            except BlockingIOError:
                pass
            clients.append(client)
        for _ in range(20):
            assert ask(name, "get=1\n\n", timeout=1).endswith("errno=0\n\n")
    finally:
        for client in clients:
            client.close()
    assert daemon.running()


def answer(client):
    """Ask, and return the whole answer."""
    client.sendall(b"get=1\n\n")
    text = b""
    while not text.endswith(b"errno=0\n\n"):
        text += client.recv(65536)
    return text


def test_connections_that_are_left_open_lock_out_nobody(namespace, daemon, name):
    """A monitor asks, and forgets to close: the connection that has been idle for longest ends."""
    clients = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(2)
        client.connect(str(path(name)))
        assert answer(client)
        clients.append(client)
    assert clients[0].recv(1) == b"", "it was closed"
    assert answer(clients[-1])
    assert "interface: " in namespace.run("wg", "show", name)[1]
    for client in clients:
        client.close()
    assert "control socket" not in daemon.text()


def test_too_many_clients(daemon, name):
    """In the middle of requests."""
    clients = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(2)
        client.connect(str(path(name)))
        with contextlib.suppress(BrokenPipeError):
            client.sendall(b"set=1\n")
        clients.append(client)
        time.sleep(0.02)  # the daemon reads it, and answers nothing before the end
    daemon.expect("because 16 are connected", 5)
    for client in clients:
        client.close()

    def answers():
        try:
            return ask(name, "get=1\n\n").endswith("errno=0\n\n")
        except (ConnectionError, BlockingIOError):
            return False

    net.poll(answers, 5, what="room for a client again")


def test_garbage_and_giants_on_the_port(namespace, daemon, name):
    """Others panicked on an oversized datagram."""
    ask(name, "set=1\nlisten_port=4567\nprivate_key=" + "11" * 32 + "\n\n")
    namespace.ip("link", "set", name, "up")
    daemon.expect("interface up", 5)
    told = daemon.text()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with namespace.socket(family, socket.SOCK_DGRAM) as sender:
            for size in (0, 1, 3, 4, 31, 32, 64, 92, 148, 1500, 9000, 65000, 65507):
                for kind in range(6):
                    sender.sendto((bytes((kind, 0, 0, 0)) + bytes(size))[:size], (host, 4567))
    assert ask(name, "get=1\n\n").endswith("errno=0\n\n")
    assert daemon.running()
    assert daemon.text() == told, "what strangers send must not fill the log, though it tells everything"


def switches(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])


def test_idle_wakes_never(namespace, name, command, tmp_path):
    # Sockets of others that come and go beside its own would be news.
    environment = dict(os.environ, LOG_LEVEL="verbose", WGEMBED_SOCKET_DIR=str(tmp_path))
    daemon = namespace.spawn(*command, "-f", name, env=environment)
    daemon.expect("ready", 10)
    text = "set=1\nprivate_key=" + "11" * 32 + "\npublic_key=" + "22" * 32 + "\nendpoint=127.0.0.1:9\n\n"
    ask(name, text, directory=tmp_path)
    # else the kernel looks for neighbours and routers there, now and then
    namespace.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    namespace.ip("link", "set", name, "up")
    daemon.expect("interface up", 5)
    time.sleep(0.5)  # the kernel's own news about the fresh interface
    before = switches(daemon.pid)
    time.sleep(3)
    assert switches(daemon.pid) == before


def test_a_lone_packet_right_after_the_link_came_up(namespace, name, daemon):
    """The daemon reads the packet before the news of the link: it must not wait for a second one."""
    private, port = wire.generate_private_key(), 4501
    other = Counterpart(namespace, wire.public_key(private), ("127.0.0.1", port))
    try:
        configured = (
            f"private_key={private.hex()}\nlisten_port={port}\npublic_key={other.mine.public.hex()}\n"
            f"endpoint=127.0.0.1:{other.port}\nallowed_ip=10.99.0.2/32\n"
        )
        assert ask(name, f"set=1\n{configured}\n") == "errno=0\n\n"
        namespace.ip("addr", "add", "10.99.0.1/24", "dev", name)
        os.kill(daemon.pid, signal.SIGSTOP)
        namespace.ip("link", "set", name, "up")
        sender = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(b"a question", ("10.99.0.2", 53))
        sender.close()
        os.kill(daemon.pid, signal.SIGCONT)
        other.until(lambda: any(packet.endswith(b"a question") for packet in other.mine.got))
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
        other.close()
