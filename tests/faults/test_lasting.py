"""Calls that fail for a while, all of them: what a machine is like that has run out of something."""

import time

import pytest

from ..bench import process
from ..lab import net, peers, traffic
from ..lab.faults import number
from ..lab.need import need
from ..lab.net import poll

KINDS = [peers.Wgembed, peers.WgembedMicropython]
IDLE = 0.2  # of a core: what is not idle is at 1


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def tunnel(request, faults):
    need(request.param.prepare)
    need(peers.Wgembed.prepare)
    places = [net.Namespace(), net.Namespace()]
    near, far = net.veth(*places)
    kind = type("Faulty", (request.param,), {"environment": {**request.param.environment, **faults.environment}})
    tunnel = peers.Tunnel(kind(near, 51820), peers.Wgembed(far, 51821))
    tunnel.start([tunnel.near, tunnel.far])
    tunnel.reach(tunnel.near)
    yield tunnel
    tunnel.near.end()
    tunnel.far.end()
    for place in places:
        place.close()


def asks(tunnel):
    """Whether the control socket answers within a second."""
    near = tunnel.near
    return near.place.run("timeout", "1", "wg", "show", near.interface, check=False)[0] == 0


def _state(tunnel):
    """What the daemon at the near end does: "ended", "answers", or nothing yet."""
    if not tunnel.near._child.running():
        return "ended"
    return asks(tunnel) and "answers"


def test_no_descriptor_for_a_client(tunnel, faults):
    """Whoever knocks waits; the loop does not turn for nothing meanwhile, and packets pass."""
    before = process.cpu(tunnel.near.pid)
    with faults.while_(["accept4"], 1, error=number("EMFILE")):
        begin = time.monotonic()
        assert not asks(tunnel)
        tunnel.reach(tunnel.near)
        time.sleep(max(0, begin + 2 - time.monotonic()))
    assert process.cpu(tunnel.near.pid) - before < 2 * IDLE
    assert faults.total >= 1
    poll(lambda: asks(tunnel), 5, what="an answer")
    assert "control socket: " in tunnel.near.log()


@pytest.mark.parametrize("error", ["EPERM", "ENOBUFS", "ENETUNREACH", "EINVAL", "EIO", "EMSGSIZE"])
def test_nothing_can_be_sent(tunnel, faults, error):
    """A firewall, a full queue, no route: counted, not fatal, and over when it is over."""
    with faults.while_(["sendmsg", "sendto"], 1, error=number(error)):
        assert not tunnel.ping(tunnel.near, count=3, patience=1).received
    assert faults.total >= 3
    tunnel.reach(tunnel.near, 10)


def test_no_port_when_the_link_comes_up(tunnel, faults):
    """It is tried for again, without anybody's doing."""
    near = tunnel.near
    with faults.while_(["bind"], 1, error=number("EADDRINUSE")):
        near.place.ip("link", "set", near.interface, "down")
        near.raise_()
        poll(lambda: "cannot listen on port 51820" in near.log(), 5, what="the sentence")
    traffic.reach(near.place, tunnel.inside(tunnel.far), 15)


def test_the_kernel_forgets_to_tell(tunnel, faults):
    """The routing socket overflowed: what it would have told is asked for."""
    near = tunnel.near
    with faults.while_(["recv"], 1, error=number("ENOBUFS")):
        near.set_mtu(1300)
        time.sleep(0.3)
        faults.none()
    poll(lambda: tunnel.ping(near, size=1272, count=1, patience=1, fragment=False).received, 10, what="a full packet")


def test_a_start_at_which_one_call_fails(tunnel, faults, tmp_path):
    """Whichever it is, there is a daemon that works, or a sentence and no trace of one."""
    near = tunnel.near
    functions = [
        "socket", "bind", "listen", "setsockopt", "getsockname", "ioctl", "open", "unlink", "mkdir", "fork", "pipe2",
        "inotify_init1", "inotify_add_watch", "sendto", "send", "recv", "recvmsg",
    ]  # fmt: skip
    near.stop()
    ended = tried = 0
    for nth in range(1, 200):
        before = faults.total
        faults.once(functions, nth)
        # `ip netns exec` is not to fail: the library is for what it becomes.
        settings = [f"{name}={value}" for name, value in near.environment.items()]
        child = near.place.spawn("env", *settings, *near.command(), near.interface)
        near._child = child
        answers = poll(lambda: _state(tunnel), 15, what="a start or an end")
        if faults.total == before:
            child.stop()
            break
        tried += 1
        faults.none()
        assert "Traceback" not in child.text(), child.text()
        if answers == "ended":
            ended += 1
            assert "wgembed: " in child.text() or "ERROR: " in child.text(), (nth, child.text())
            assert near.place.run("ip", "link", "show", near.interface, check=False)[0], "the link is gone"
            assert not (peers.SOCKETS / f"{near.interface}.sock").exists()
        else:
            near.load(tunnel.configuration(near, 4))
            near.raise_()
            traffic.reach(near.place, tunnel.inside(tunnel.far), 15)
        child.stop()
    assert tried >= 15 and ended >= 5
    near.start()
    near.load(tunnel.configuration(near, 4))
    near.raise_()
    tunnel.reach(near)
