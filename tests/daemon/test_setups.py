"""`wgembed IFNAME` in set-ups from reports about other implementations: a control program that repeats itself."""

import pytest

from ..lab import net
from .test_links import PORT, Tunnel, ask


@pytest.fixture
def name():
    return net.unique("u")


@pytest.fixture
def tunnel(namespace, name, command):
    child = namespace.spawn(*command, "-f", name)
    net.poll(lambda: namespace.run("wg", "show", name, check=False)[0] == 0, 10, what="the control socket")
    tunnel = Tunnel(namespace, name, child)
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    yield tunnel
    tunnel.close()


def sockets(namespace):
    """The inodes of the UDP sockets at the port."""
    return sorted(line.split()[9] for line in namespace.run("cat", "/proc/net/udp", "/proc/net/udp6")[1].splitlines()
                  if line.split()[1].endswith(f":{PORT:04X}"))  # fmt: skip


def test_the_port_that_it_has_is_set_again(namespace, tunnel, name):
    """Its sockets stay, with all that waits in them."""
    before = sockets(namespace)
    assert before and ask(name, f"set=1\nlisten_port={PORT}\n\n") == "errno=0\n\n"
    assert sockets(namespace) == before
    tunnel.carries(namespace)


def test_the_whole_configuration_is_set_again(namespace, tunnel, name):
    """As managers do it each minute: the session stays, and its counters."""
    told = namespace.run("wg", "showconf", name)[1]
    keys = tunnel.other.keys()
    for command in ("syncconf", "setconf", "addconf"):
        namespace.run("sh", "-c", f"wg {command} {name} /dev/stdin", input=told)
        tunnel.carries(namespace)
        if command != "setconf":  # it removes all peers first, as with Linux
            assert tunnel.other.keys() == keys
        keys = tunnel.other.keys()


def test_all_prefixes_go_to_the_peer_that_is_set_last(namespace, tunnel, name):
    """A prefix has one peer: the second one takes it, and gives it back when it is set for the first again."""
    first = f"public_key={tunnel.other.mine.public.hex()}\nallowed_ip=10.99.0.2/32\n"
    second = f"public_key={bytes(range(32)).hex()}\nallowed_ip=10.99.0.2/32\n"
    assert ask(name, f"set=1\n{second}\n") == "errno=0\n\n"
    assert "10.99.0.2/32" in ask(name, "get=1\n\n").split(bytes(range(32)).hex())[1].split("public_key")[0]
    with pytest.raises(AssertionError):
        tunnel.carries(namespace, within=1)
    assert ask(name, f"set=1\n{first}\n") == "errno=0\n\n"
    tunnel.carries(namespace)


def test_a_link_of_the_smallest_and_the_largest_mtu(namespace, tunnel, name):
    for mtu in (68, 65_535, 1420):
        namespace.ip("link", "set", name, "mtu", str(mtu))
        tunnel.carries(namespace)
