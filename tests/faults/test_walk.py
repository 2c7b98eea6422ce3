"""A daemon whose system calls fail, in whatever order a random walk finds: it lives through it, and then all is well."""

import os
import random
import re

import pytest

from ..lab import net, peers, traffic
from ..lab.need import need
from ..lab.net import poll

KINDS = [peers.Wgembed, peers.WgembedMicropython, peers.WgembedFast, peers.WgembedMicropythonFast]
SEED = int(os.environ.get("WGEMBED_FAULTS_SEED", "1"))
STEPS = int(os.environ.get("WGEMBED_FAULTS_STEPS", "12"))
# Whatever a traceback looks like, of either Python.
BROKEN = re.compile(r"Traceback|MemoryError|Segmentation|Aborted")
DATA = ["readv", "writev", "read", "write", "sendmsg", "sendto", "recvmsg", "recvfrom", "recv", "poll"]
CONTROL = ["accept4", "send", "recv", "read", "write", "poll", "socket", "connect", "getsockname"]
LINK = ["recvmsg", "recv", "recvfrom", "socket", "bind", "setsockopt", "sendto", "send", "getsockname", "ioctl", "poll"]
FILES = ["open", "write", "fsync", "rename", "unlink", "mkdir", "fork", "pipe2", "inotify_init1", "inotify_add_watch"]
HEALED = 20  # a handshake or two


class Harness:
    """A tunnel whose near end's calls may fail."""

    def __init__(self, kind, faults):
        self.faults = faults
        self.places = [net.Namespace(), net.Namespace()]
        near, far = net.veth(*self.places)
        kind = type(kind.__name__, (kind,), {"environment": {**kind.environment, **faults.environment}})
        self.tunnel = peers.Tunnel(kind(near, 51820), peers.Wgembed(far, 51821))
        self.near, self.far = self.tunnel.near, self.tunnel.far
        self.ended = []

    def start(self):
        self.tunnel.start([self.near, self.far])
        self.tunnel.reach(self.near)

    def close(self):
        self.near.end()
        self.far.end()
        for place in self.places:
            place.close()

    # What goes on meanwhile. Nothing need succeed.

    def do(self, *argv):
        self.near.place.run(*argv, check=False, timeout=10)

    def ping(self):
        self.do("ping", "-q", "-c", "20", "-i", "0.01", "-W", "1", self.tunnel.inside(self.far))

    def stream(self):
        """Packets that fill the batches, towards us."""
        far = self.far.place
        far.run("ping", "-q", "-f", "-c", "300", "-s", "1300", "-W", "1", self.tunnel.inside(self.near), check=False)

    def ask(self):
        self.do("timeout", "2", "wg", "show", self.near.interface, "dump")

    def change(self):
        self.do("timeout", "2", "wg", "set", self.near.interface, "peer", self.far.key, "persistent-keepalive", "25")

    def bounce(self):
        for state in ("down", "up"):
            self.do("ip", "link", "set", self.near.interface, state)

    def resize(self):
        for mtu in ("1300", "1420"):
            self.do("ip", "link", "set", self.near.interface, "mtu", mtu)

    def move(self):
        self.do("timeout", "2", "wg", "set", self.near.interface, "listen-port", "0")
        self.do("timeout", "2", "wg", "set", self.near.interface, "listen-port", str(self.near.port))

    def _state(self):
        if not self.near._child.running():
            return "ended"
        command = ["timeout", "2", "wg", "show", self.near.interface]
        return self.near.place.run(*command, check=False)[0] == 0 and "alive"

    def check(self):
        """The daemon lives and carries packets, or has ended with a sentence; then another one is started."""
        self.faults.none()
        is_alive = poll(self._state, 10, what="an answer, or the end") == "alive"
        log = self.near.log()
        assert not BROKEN.search(log), log
        if not is_alive:
            last = [line for line in log.splitlines() if line.strip()][-1]
            assert re.search(r"ERROR: .*[a-z]{3}", last), log
            self.ended.append(last)
            self.near.restart()
        self.near.raise_()  # the link may have been left down by a command that failed in the middle
        self.near.load(self.tunnel.configuration(self.near, 4))
        traffic.reach(self.near.place, self.tunnel.inside(self.far), HEALED)
        traffic.reach(self.far.place, self.tunnel.inside(self.near), HEALED)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def harness(request, faults):
    need(request.param.prepare)
    need(peers.Wgembed.prepare)
    harness = Harness(request.param, faults)
    yield harness
    harness.close()


def test_a_random_walk(harness, faults):
    """`WGEMBED_FAULTS_SEED` and `WGEMBED_FAULTS_STEPS` lead elsewhere, and farther."""
    rng = random.Random(SEED)
    harness.start()
    for step in range(STEPS):
        group, rate = rng.choice([DATA, CONTROL, LINK, FILES]), rng.choice([2, 5, 20, 100])
        functions = rng.sample(group, rng.randrange(1, len(group) + 1))
        all_deeds = [getattr(harness, name) for name in ("ping", "stream", "ask", "change", "bounce", "resize", "move")]
        deeds = [rng.choice(all_deeds) for _ in range(3)]
        print(step, rate, functions, [deed.__name__ for deed in deeds])
        faults.often(functions, rate)
        for deed in deeds:
            deed()
        harness.check()
    print(faults.total, "faults:", faults.counts(), "ends:", *harness.ended, sep="\n")
    assert faults.total > 5 * STEPS
