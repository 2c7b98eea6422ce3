"""The link of a tunnel as people treat it: renamed, moved to other namespaces and back, made by others, put into a VRF."""

import os
import re
import socket

import pytest

from ..lab import net, wire
from ..lab.counterpart import Counterpart
from ..lab.net import poll
from ..lab.router import Keys, Router, interface, peer
from .test_daemon import ask, ends, path

PORT = 4502
TUNSETIFF, TUNSETPERSIST, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454CB, 0x400454D0, 0x400454D8
TUNSETSNDBUF, TUNSETCARRIER, TUNSETVNETLE = 0x400454D4, 0x400454E2, 0x400454DC
TUN, TAP, MULTI_QUEUE, NO_PI, VNET_HDR = 1, 2, 0x100, 0x1000, 0x4000


@pytest.fixture
def name():
    return net.unique("l")


class Tunnel:
    """A daemon whose peer is in the test's process, at a socket of the first namespace."""

    def __init__(self, namespace, name, child):
        private = wire.generate_private_key()
        self.name, self.child = name, child
        self.other = Counterpart(namespace, wire.public_key(private), ("127.0.0.1", PORT))
        configured = (
            f"private_key={private.hex()}\nlisten_port={PORT}\npublic_key={self.other.mine.public.hex()}\n"
            f"endpoint=127.0.0.1:{self.other.port}\nallowed_ip=10.99.0.2/32\n"
        )
        assert ask(name, f"set=1\n{configured}\n") == "errno=0\n\n"

    def up(self, place, name):
        place.ip("address", "add", "10.99.0.1/24", "dev", name)
        place.ip("link", "set", name, "up")

    def carries(self, place, within=10):
        """A packet sent in that namespace arrives within so many seconds."""
        mark = os.urandom(8)
        with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark, ("10.99.0.2", 53))
        self.other.until(lambda: any(packet.endswith(mark) for packet in self.other.mine.got), within)

    def close(self):
        self.other.close()


@pytest.fixture
def tunnel(namespace, name, command):
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    child.expect("ready", 10)
    tunnel = Tunnel(namespace, name, child)
    yield tunnel
    tunnel.close()


@pytest.fixture
def far():
    """Another namespace."""
    far = net.Namespace()
    yield far
    far.close()


def move(source, name, target):
    source.ip("link", "set", name, "netns", target.name)


def test_to_another_namespace_and_back(namespace, far, tunnel, name):
    """The set-up of containers: the sockets stay where they were made, the tunnel is there."""
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    move(namespace, name, far)
    tunnel.child.expect("moved to another network namespace", 5)
    tunnel.child.expect("interface down", 5)
    assert "away=1\n" in ask(name, "status=1\n\n")
    tunnel.up(far, name)
    tunnel.carries(far)
    far.ip("link", "set", name, "down")
    tunnel.child.expect("interface down", 5)
    far.ip("link", "set", name, "mtu", "1300")
    tunnel.child.expect("MTU is now 1300", 5)
    assert ask(name, f"set=1\nlisten_port={PORT + 1}\n\n") == "errno=0\n\n"
    assert ask(name, f"set=1\nlisten_port={PORT}\n\n") == "errno=0\n\n"
    far.ip("link", "set", name, "up")
    tunnel.carries(far)
    assert f" {PORT} " in re.sub(r"[:\s]+", " ", namespace.run("ss", "-lunp")[1]), "its sockets stay"
    move(far, name, namespace)
    tunnel.child.expect("back in this network namespace", 5)
    assert "away=" not in ask(name, "status=1\n\n")
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    namespace.ip("link", "delete", name)
    assert ends(tunnel.child) == 0


def test_deleted_is_one_sentence(namespace, tunnel, name):
    """The daemon can hear of it from the device or from the kernel's news, and says the same."""
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    namespace.ip("link", "delete", name)
    assert ends(tunnel.child) == 0
    errors = [line for line in tunnel.child.text().splitlines() if line.startswith("ERROR")]
    assert errors == [f"ERROR: ({name}) the interface was deleted"]


def test_deleted_in_another_namespace(namespace, far, tunnel, name):
    move(namespace, name, far)
    tunnel.child.expect("moved to another network namespace", 5)
    far.ip("link", "delete", name)
    assert ends(tunnel.child) == 0
    assert not path(name).exists()


def test_the_namespace_goes_with_it(namespace, tunnel, name):
    far = net.Namespace()
    try:
        move(namespace, name, far)
        tunnel.child.expect("moved to another network namespace", 5)
    finally:
        far.close()
    assert ends(tunnel.child, 10) == 0


def test_on_to_a_third_namespace_under_other_names(namespace, far, tunnel, name):
    third = net.Namespace()
    try:
        for lost in (far, third):  # its number here is taken there
            lost.ip("link", "add", "b0", "type", "bridge")
        move(namespace, name, far)
        far.ip("link", "set", name, "name", "inner")
        tunnel.child.expect("now called inner", 5)
        far.ip("link", "set", "inner", "netns", third.name)
        tunnel.up(third, "inner")
        tunnel.carries(third)
        third.ip("link", "set", "inner", "netns", namespace.name)
        tunnel.child.expect("back in this network namespace", 5)
        tunnel.up(namespace, "inner")
        tunnel.carries(namespace)
        assert "errno=0" in ask("inner", "get=1\n\n")
    finally:
        third.close()


def test_another_link_of_its_name_is_not_it(namespace, far, tunnel, name):
    """While it is away, others make a link of the name that it had."""
    move(namespace, name, far)
    tunnel.child.expect("moved to another network namespace", 5)
    tunnel.up(far, name)
    tunnel.carries(far)
    namespace.ip("link", "add", name, "type", "bridge")
    namespace.ip("link", "set", name, "up")
    namespace.ip("link", "delete", name)
    tunnel.carries(far)
    assert tunnel.child.running() and "back in" not in tunnel.child.text()


def test_renamed(namespace, tunnel, name):
    """It is found under the new name, and another link that gets the old one is let alone."""
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    other = net.unique("r")
    try:
        namespace.ip("link", "set", name, "name", other)
    except net.CommandFailed:  # kernels before 6.2 rename only what is down
        namespace.ip("link", "set", name, "down")
        namespace.ip("link", "set", name, "name", other)
        namespace.ip("link", "set", other, "up")
    tunnel.child.expect(f"now called {other}", 5)
    poll(lambda: path(other).exists(), 5)
    assert not path(name).exists()
    assert f"listen_port={PORT}" in ask(other, "get=1\n\n")
    namespace.ip("link", "add", name, "type", "bridge")
    namespace.ip("link", "set", name, "mtu", "1200")
    tunnel.carries(namespace)
    assert "MTU is now 1200" not in tunnel.child.text()
    namespace.ip("link", "delete", name)
    namespace.ip("link", "set", other, "mtu", "1350")
    tunnel.child.expect("MTU is now 1350", 5)
    path(other).unlink()
    assert ends(tunnel.child) == 0, "the socket under its new name was deleted"


def test_a_name_whose_socket_is_taken(namespace, far, tunnel, name, command):
    """Another daemon, in another namespace, serves an interface of the new name: its control socket stays."""
    other = net.unique("r")
    second = far.spawn(*command, "-f", other)
    poll(lambda: path(other).exists(), 10)
    namespace.ip("link", "set", name, "name", other)
    tunnel.child.expect(f"now called {other}", 5)
    tunnel.child.expect("control socket stays", 5)
    assert f"listen_port={PORT}" in ask(name, "get=1\n\n") and "listen_port=0" in ask(other, "get=1\n\n")
    assert second.running()


def test_a_name_that_is_no_text(namespace, tunnel, name):
    namespace.ip("link", "set", name, "name", b"caf\xe9")
    tunnel.child.expect(r"now called caf\?", 5)
    namespace.ip("address", "add", "10.99.0.1/24", "dev", b"caf\xe9")
    namespace.ip("link", "set", b"caf\xe9", "up")
    tunnel.carries(namespace)


def test_in_a_vrf_and_out_of_it(namespace, tunnel, name):
    if namespace.run("ip", "link", "add", "blue", "type", "vrf", "table", "10", check=False)[0]:
        pytest.skip("this kernel has no VRF")
    namespace.ip("link", "set", "blue", "up")
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    namespace.ip("link", "set", name, "master", "blue")
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"blue\0")
        sender.sendto(b"in a VRF", ("10.99.0.2", 53))
    tunnel.other.until(lambda: any(packet.endswith(b"in a VRF") for packet in tunnel.other.mine.got), 10)
    namespace.ip("link", "set", name, "nomaster")
    tunnel.carries(namespace)


def test_news_of_bridges_and_of_other_links(namespace, tunnel, name):
    """That a bridge loses a port is told as the end of a link, of another family."""
    tunnel.up(namespace, name)
    namespace.ip("link", "add", "bridge", "type", "bridge")
    for n in range(5):
        namespace.ip("link", "add", f"port{n}", "type", "veth", "peer", "name", f"end{n}")
        namespace.ip("link", "set", f"port{n}", "master", "bridge")
    namespace.ip("link", "delete", "bridge")
    tunnel.carries(namespace)


def test_a_hundred_flaps(namespace, tunnel, name):
    """Faster than the daemon can follow: what holds in the end is what counts."""
    namespace.ip("address", "add", "10.99.0.1/24", "dev", name)
    batch = "".join(f"link set {name} {state}\n" for _ in range(100) for state in ("up", "down"))
    namespace.run("ip", "-batch", "-", input=batch)
    namespace.ip("link", "set", name, "up")
    tunnel.carries(namespace)


# What Linux sets on its device, wg_open


def test_no_address_by_itself_and_no_packet_at_the_start(namespace, tunnel, name):
    """Neither a link-local address nor what goes with it: router solicitations and multicast reports."""
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    assert "fe80" not in namespace.ip("address", "show", "dev", name)
    namespace.run("sleep", "2")
    assert "tx_no_peer" not in ask(name, "status=1\n\n")


def test_no_redirects(namespace, tunnel, name):
    """A hub forwards from peer to peer by the same link."""
    tunnel.up(namespace, name)
    tunnel.child.expect("interface up", 5)
    for conf in (name, "all"):
        assert namespace.run("cat", f"/proc/sys/net/ipv4/conf/{conf}/send_redirects")[1] == "0\n"


# Devices that others made


def made_before(namespace, name, flags, settings=()):
    """Have a program make the device, change it, and leave it behind."""
    script = (
        "import fcntl, os, struct\n"
        "fd = os.open('/dev/net/tun', os.O_RDWR)\n"
        f"fcntl.ioctl(fd, {TUNSETIFF}, struct.pack('16sH22x', {name.encode()!r}, {flags}))\n"
        f"for code, value, by_number in {list(settings)!r}:\n"
        "    fcntl.ioctl(fd, code, value if by_number else struct.pack('i', value))\n"
        f"fcntl.ioctl(fd, {TUNSETPERSIST}, 1)\n"
    )
    namespace.run("python3", "-c", script)


DEVICES = {
    "plain": (TUN | NO_PI, ()),
    "packet information": (TUN, ()),
    "several queues": (TUN | NO_PI | MULTI_QUEUE, ()),
    "virtio header": (TUN | NO_PI | VNET_HDR, ()),
    "long virtio header": (TUN | NO_PI | VNET_HDR, ((TUNSETVNETHDRSZ, 12, False),)),
    "offloads": (TUN | NO_PI | VNET_HDR, ((TUNSETOFFLOAD, 7, True),)),
    "headers of the other byte order": (TUN | NO_PI | VNET_HDR, ((TUNSETVNETLE, 1, False),)),
    "a queue for one packet": (TUN | NO_PI, ((TUNSETSNDBUF, 1, False),)),
    "no carrier": (TUN | NO_PI, ((TUNSETCARRIER, 0, False),)),
}


@pytest.mark.parametrize("flags, settings", DEVICES.values(), ids=DEVICES)
@pytest.mark.parametrize("is_up", [False, True], ids=["down", "up"])
def test_device_made_before(namespace, name, command, flags, settings, is_up):
    made_before(namespace, name, flags, settings)
    if is_up:
        namespace.ip("link", "set", name, "mtu", "1280", "up")
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    child.expect("ready", 10)
    tunnel = Tunnel(namespace, name, child)
    try:
        tunnel.up(namespace, name)
        tunnel.carries(namespace)
        # A large one: what is left over from others' offloads would join or cut it.
        with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(6000), ("10.99.0.2", 53))
        tunnel.other.until(lambda: sum(map(len, tunnel.other.mine.got)) > 6000, 10)
        tunnel.other.talk()
    finally:
        tunnel.close()


def test_a_device_of_the_other_kind(namespace, name, command):
    made_before(namespace, name, TAP | NO_PI)
    code, told = namespace.run(*command, "-f", name, check=False)
    assert code == 1 and "of another kind" in told


# The same in a router


@pytest.fixture
def router(namespace, name, command, tmp_path):
    router = Router(namespace, tmp_path, [word.replace("heapsize=512K", "heapsize=1M") for word in command])
    yield router
    if router.log():
        router.stop()


def test_a_router_lets_go_of_what_was_moved(namespace, far, name, router):
    """It says so and makes no other in its place; what it had added for it goes; back here, it is the router's again."""
    namespace.ip("link", "add", "wan", "type", "veth", "peer", "name", "isp")
    namespace.ip("address", "add", "192.0.2.1/24", "dev", "wan")
    for end in ("wan", "isp"):
        namespace.ip("link", "set", end, "up")
    keys, other = Keys(), Keys()
    router.start(
        interface(name, private_key=keys.private, listen_port=PORT, addresses="10.99.0.1/24"),
        peer(name, public_key=other.public, allowed_ips="192.0.2.8/29", route_allowed_ips="1",
             endpoint_host="192.0.2.9", endpoint_port="9"),
    )  # fmt: skip

    def host_route():
        return "192.0.2.9" in namespace.ip("route")

    poll(host_route, 5)
    move(namespace, name, far)
    router.expect("moved to another network namespace", 5)
    poll(lambda: not host_route(), 5)
    assert "applied" in router.reload()
    namespace.ip("route", "add", "198.51.100.0/24", "dev", "wan")
    assert name not in namespace.ip("link") and "198.51.100" in namespace.ip("route") and not host_route()
    assert "10.99.0.1" not in far.ip("address")
    assert far.ip("link").count(name) == 1
    move(far, name, namespace)
    router.expect("back in this network namespace", 5)
    poll(lambda: "10.99.0.1/24" in namespace.ip("address", "show", "dev", name), 5)
    namespace.ip("link", "set", name, "up")
    poll(lambda: host_route() and f"192.0.2.8/29 dev {name}" in namespace.ip("route"), 5)
    assert "ERROR" not in router.log()


def test_a_router_follows_a_new_name(namespace, name, router):
    keys = Keys()
    section = interface(name, private_key=keys.private, listen_port=PORT, addresses="10.99.0.1/24")
    router.start(section)
    other = net.unique("r")
    namespace.ip("link", "set", name, "down")
    namespace.ip("link", "set", name, "name", other)
    router.expect(f"now called {other}", 5)
    poll(lambda: path(other).exists(), 5)
    assert "applied" in router.reload(section.replace("10.99.0.1", "10.99.0.7"))
    poll(lambda: "10.99.0.7/24" in namespace.ip("address", "show", "dev", other), 5)
    assert name not in namespace.ip("link")
