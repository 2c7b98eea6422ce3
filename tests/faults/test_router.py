"""`wgembed run` whose system calls fail: whatever happens, configuration and clock's mark are as they were or newer."""

import os
import random
import re
import sys
import time

import pytest

from wgembed.daemon import timestamps

from ..lab import micropython, net, peers, traffic
from ..lab.need import need
from ..lab.net import poll
from ..lab.router import Pair, Router

SEED = int(os.environ.get("WGEMBED_FAULTS_SEED", "1"))
STEPS = int(os.environ.get("WGEMBED_FAULTS_STEPS", "8"))
FILES = ["open", "write", "fsync", "rename", "unlink", "mkdir", "fork", "pipe2"]
NETWORK = ["socket", "bind", "send", "sendto", "sendmsg", "recv", "recvmsg", "setsockopt", "ioctl", "poll", "fork"]
BROKEN = re.compile(r"Traceback|MemoryError|Segmentation|Aborted")


@pytest.fixture(params=["cpython", "micropython"])
def pair(request, tmp_path, faults):
    need(peers.WireguardGo.prepare)
    need(peers.Wgembed.prepare)
    command = [sys.executable, "-m", "wgembed"] if request.param == "cpython" else need(micropython.command, "1M")
    places = [net.Namespace(), net.Namespace()]
    near, far = net.veth(*places)
    settings = [f"{name}={value}" for name, value in faults.environment.items()]
    router = Router(near.place, tmp_path / "router", command, prefix=["env", *settings])
    pair = Pair(router, near, peers.WireguardGo(far, 51821))
    pair.start_far()
    router.start(pair.interface(), pair.peer())
    traffic.reach(router.place, pair.INSIDE["far"][0])
    yield pair
    print(router.log())
    faults.none()
    router.stop()
    pair.far.end()
    for place in places:
        place.close()


def mark(router):
    """What the file of the clock's mark says: it is whole, always."""
    found = timestamps.read(str(router.state / "clock"))
    assert found, "the mark is lost"
    return found


def check(pair, faults):
    """Without faults all is well again, maybe by a new daemon; returns the last line of one that ended."""
    faults.none()
    router, last = pair.router, None
    time.sleep(0.3)
    log = router.log()
    # What pyroute2 prints in its child process is its own; the daemon goes on without it.
    ours = "".join(part for part in re.split(r"(?m)^(?=Traceback)", log) if "pyroute2_child.py" not in part[:200])
    assert not BROKEN.search(ours), log
    if not router.running():
        last = [line for line in log.splitlines() if line.strip()][-1]
        router.start()
    traffic.reach(router.place, pair.INSIDE["far"][0], 25)
    return last


def test_a_random_walk(pair, faults):
    """`WGEMBED_FAULTS_SEED` and `WGEMBED_FAULTS_STEPS` lead elsewhere, and farther."""
    rng = random.Random(SEED)
    router = pair.router
    before, ends = mark(router), []
    for step in range(STEPS):
        group, rate = rng.choice([FILES, NETWORK]), rng.choice([2, 5, 20])
        functions = rng.sample(group, rng.randrange(1, len(group) + 1))
        print(step, rate, functions)
        mtu = rng.choice([1300, 1350, 1400])
        router.write(pair.interface(mtu=mtu), pair.peer(), pair.other_peer(step))
        written = router.config.read_bytes()
        faults.often(functions, rate, files=True)
        if router.running():
            os.kill(router.pid, 1)  # SIGHUP
        for _ in range(3):
            router.place.run("ping", "-q", "-c", "5", "-i", "0.05", "-W", "1", pair.INSIDE["far"][0], check=False)
            pair.far.place.run("ping", "-q", "-c", "5", "-i", "0.05", "-W", "1", pair.INSIDE["near"][0], check=False)
        ends.append(check(pair, faults))
        assert router.config.read_bytes() == written
        assert mark(router) >= before
        before = mark(router)
        router.reload()
        poll(lambda mtu=mtu: router.mtu(pair.name) == mtu, 10, what="the configuration")
    print(faults.total, "faults:", faults.counts(), "ends:", *filter(None, ends), sep="\n")
    assert faults.total > 3 * STEPS


def test_a_full_disk(pair, faults):
    """The tunnel goes on, keys and all; a reload works; the mark of before is kept, and renewed when there is room."""
    router = pair.router
    before = mark(router)
    with faults.while_(["write", "fsync", "rename"], 1, error=28, files=True):
        pair.far.restart()  # a handshake, which wants its timestamp noted
        traffic.reach(router.place, pair.INSIDE["far"][0], 25)
        router.write(pair.interface(mtu=1300), pair.peer())
        os.kill(router.pid, 1)
        poll(lambda: router.mtu(pair.name) == 1300, 10, what="the configuration")
    assert mark(router) >= before
    assert router.running() and "Traceback" not in router.log()
    router.stop()
    router.start()
    traffic.reach(router.place, pair.INSIDE["far"][0], 25)
