"""The kernels that vendors ship: what they lack is gone without, one thing at a time and all at once."""

import os
import sys
from collections import Counter

import pytest

from ..lab import micropython, old_kernel, traffic
from ..lab.need import need

HEAP = "1M"
RUNTIMES = ["cpython", "micropython"]


@pytest.fixture
def refused(tmp_path):
    """The file with what was refused."""
    return tmp_path / "refused"


@pytest.fixture
def things():
    return ()


@pytest.fixture
def command(request, things, refused):
    """`wgembed`, without the things that the test names."""
    runtime = request.node.callspec.params["runtime"]
    if runtime == "cpython":
        interpreter = [sys.executable]
    else:
        whole = need(micropython.command, HEAP)
        interpreter = whole[: whole.index("-m")]
    return [*interpreter, old_kernel.__file__, str(refused), ",".join(things)]


def counted(refused):
    return Counter(refused.read_text().split()) if refused.exists() else Counter()


def prove(harness, family, refused, things):
    """Traffic both ways, and that each of the things was asked for in vain."""
    near, far = harness.near.place, harness.far.place
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(family=family))
    traffic.reach(near, "10.77.0.2")
    # With ECN's bits, which go to the outer header, and without. What the kernel refuses, it refuses each time: a
    # second try tells that from one packet that a busy machine lost.
    for tos in ("0", "2"):
        command = ["ping", "-n", "-c", "5", "-i", "0.05", "-W", "2", "-Q", tos, "10.77.0.2"]
        outputs = [near.run(*command, check=False)[1]]
        if traffic.parse_pings(outputs[0]).lost:
            outputs += [near.run(*command, check=False)[1], near.run("wg", "show", pair.name, "dump")[1]]
            print(*outputs, near.ip("-s", "link"), far.ip("-s", "link"), sep="\n")
            assert traffic.parse_pings(outputs[1]).lost == 0
    assert traffic.ping(far, "10.77.0.1", size=1300).lost == 0 and traffic.ping(far, "fd77::1").lost == 0
    for reverse in (False, True):
        # The end of what iperf3 sends is on its way when it counts.
        assert traffic.tcp(near, far, "10.77.0.2", "8M", reverse=reverse) > 4 << 20
    with traffic.echo(far) as port:
        data = os.urandom(1 << 20)
        assert traffic.stream_to_echo(near, "10.77.0.2", port, data) == data
    assert "applied" in pair.router.reload(pair.interface(), pair.peer(family=family), pair.other_peer(1))
    # The other end begins anew: it is answered.
    pair.far.restart()
    pair.far.tool("set", pair.far.interface, "peer", pair.keys.public, "endpoint", harness.near.endpoint(family, 51820))
    traffic.reach(far, "10.77.0.1")
    assert traffic.ping(near, "10.77.0.2").lost == 0
    counts = counted(refused)
    assert sorted(counts) == sorted(things), "each was asked for"
    return pair, counts


USUAL = ["gso", "gro", "pktinfo", "recvtos", "mtu-discover", "buffers", "boottime", "inotify", "tos"]
AT_WORK = ["gso-driver", "gso-size", "pktinfo-send"]
OF_IPV6 = ["pktinfo6", "recvtclass"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("things", [[t] for t in USUAL + OF_IPV6 + ["ipv6", *AT_WORK]], ids="".join)
def test_without(harness, runtime, things, refused):
    pair, counts = prove(harness, 4, refused, things)
    if things[0] in ("tos", "gso-driver"):
        assert counts[things[0]] <= 2, "once a socket"
    if things == ["inotify"]:
        assert "for changes: send SIGHUP after each change" in pair.router.log()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("things", [[t] for t in [*OF_IPV6, "tclass", "pktinfo6-send", "gso"]], ids="".join)
def test_without_over_ipv6(harness, runtime, things, refused):
    prove(harness, 6, refused, things)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "family,things",
    [(4, [*USUAL, "ipv6"]), (4, [*USUAL, *OF_IPV6]), (6, [*USUAL[:-1], *OF_IPV6, "tclass"])],
    ids=["no-ipv6", "ipv4", "ipv6"],
)
def test_without_everything(harness, runtime, family, things, refused):
    prove(harness, family, refused, things)


@pytest.mark.parametrize("things", [["memfd"]], ids="".join)
@pytest.mark.parametrize("runtime", ["cpython"])
def test_without_what_pyroute2_is_called_by(harness, things, runtime, refused):
    pair, _ = prove(harness, 4, refused, things)
    assert "pyroute2 does not work here, using rtnetlink" in pair.router.log()


SENTENCE = "fwmark and nohostroute have no effect because the kernel cannot mark packets"


@pytest.mark.parametrize("things", [["mark"]], ids="".join)
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("options", [{"fwmark": 7}, {"nohostroute": 1}, {"fwmark": 7, "nohostroute": 1}], ids=str)
def test_without_marks(harness, things, runtime, refused, options):
    """A default route that marks would keep the tunnel's own datagrams out of: host routes do it."""
    near = harness.near.place
    near.ip("route", "add", "default", "via", "192.0.2.2")
    harness.far.place.ip("addr", "add", "203.0.113.9/32", "dev", "lo")
    pair = harness.pair()
    pair.start_far()
    everything = pair.peer(allowed_ips=["0.0.0.0/0"], route_allowed_ips=1)
    pair.router.start(pair.interface(**options), everything)
    traffic.reach(near, "203.0.113.9")
    assert f"dev {pair.name} " in near.ip("route", "get", "203.0.113.9") and counted(refused)
    # From one configuration to the next
    pair.router.reload(pair.interface(), everything)
    assert "applied" in pair.router.reload(pair.interface(**options), everything)
    traffic.reach(near, "203.0.113.9")
    assert f"interface '{pair.name}': {SENTENCE}" in pair.router.log()
    assert pair.router.dump(pair.name)[0][3] == "off"
    # By hand it is refused, and nothing else happens.
    assert near.run("wg", "set", pair.name, "fwmark", "9", check=False)[0]
    assert traffic.ping(near, "10.77.0.2").received and pair.router.running()


@pytest.mark.parametrize("things", [["mark"]], ids="".join)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_marks_where_none_is_wanted(harness, things, runtime, refused):
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(nohostroute=1), pair.peer())
    traffic.reach(harness.near.place, "10.77.0.2")
    assert SENTENCE not in pair.router.log()
