"""A tunnel of ours that works, and is disturbed, for as long as you like: nothing may grow, leak, go wrong or complain.

    python -m tests.soak.soak [--minutes 30] [--seed 1] [PROGRAM...]

PROGRAM is cpython, micropython, cpython-fast or micropython-fast (with the C library); by default the first. At the near
end it is `wgembed run`, which is reloaded; at the far end `wgembed -f`, which is told over its control socket.
"""

import argparse
import os
import random
import re
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from ..bench import process
from ..lab import leftovers, micropython, net, peers, traffic
from ..lab.router import Pair, Router

HEAP = "1M"
PROGRAMS = {
    "cpython": peers.Wgembed,
    "micropython": peers.WgembedMicropython,
    "cpython-fast": peers.WgembedFast,
    "micropython-fast": peers.WgembedMicropythonFast,
}
SAMPLE_EVERY = 10  # s
# What both ends may need after a disturbance: one notices after KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, one tries again.
TALK_AGAIN_WITHIN = 25
# Of 20 pings. What is on its way when two ends that were disturbed have crossed initiations is lost, as in Linux.
MAY_LOSE = 1
MAY_GROW = 64  # KB, the last third's highest above the first third's highest
BAD_WORDS = re.compile(r"Traceback|ERROR|Exception|MemoryError|cannot ")


class Soak:
    """One tunnel and what is done to it, one thing after the other, by chance of a seed."""

    def __init__(self, program, seed, closing):
        kind = PROGRAMS[program]
        kind.prepare()
        self.random = random.Random(seed)
        places = [net.Namespace(), net.Namespace()]
        for place in places:
            closing.callback(place.close)
        near, far = net.veth(*places)
        folder = str(leftovers.folder("soak"))
        closing.callback(shutil.rmtree, folder, True)
        is_micropython = issubclass(kind, peers.WgembedMicropython)
        command = micropython.command(HEAP) if is_micropython else [sys.executable, "-m", "wgembed"]
        router = Router(near.place, folder, command, **kind.environment)
        self.far = kind(far, 51821)
        closing.callback(self.far.end)
        self.pair = Pair(router, near, self.far)
        self.router, self.near_place, self.far_place = router, near.place, far.place
        self.others = [self.pair.other_peer(n) for n in range(5)]
        self.options = {"listen_port": 51820, "mtu": 1420, "keepalive": 25, "others": 0}
        self.pair.start_far()
        router.start(*self._sections())
        self.done = {}
        self.wrong, self.recent, self.lost = [], [], 0
        self.handshakes = set()
        self.samples = []
        self.port = closing.enter_context(traffic.echo(self.far_place))
        self.near_inside, self.far_inside = (self.pair.INSIDE[end][0] for end in ("near", "far"))
        self.reach()

    def _sections(self):
        options = self.options
        return [
            self.pair.interface(listen_port=options["listen_port"], mtu=options["mtu"]),
            self.pair.peer(persistent_keepalive=options["keepalive"]),
            *self.others[: options["others"]],
        ]

    def reach(self):
        traffic.reach(self.near_place, self.far_inside, TALK_AGAIN_WITHIN)
        traffic.reach(self.far_place, self.near_inside, TALK_AGAIN_WITHIN)

    # ---- work: what arrives is what was sent

    def pings(self):
        for place, inside in ((self.near_place, self.far_inside), (self.far_place, self.near_inside)):
            lost = traffic.ping(place, inside, count=20, interval=0.02, size=self.random.randrange(16, 3000)).lost
            self.lost += lost
            assert lost <= MAY_LOSE, f"{lost} of 20 to {inside} lost"

    def tcp(self):
        ends = [(self.near_place, self.far_place, self.far_inside), (self.far_place, self.near_place, self.near_inside)]
        for client, server, inside in ends:
            data = self.random.randbytes(self.random.randrange(1 << 20, 4 << 20))
            assert traffic.transfer(client, server, inside, data, 30) == data

    def udp(self):
        for size in (1, 500, 1392, 4000):
            data = self.random.randbytes(size)
            assert traffic.datagram_to_echo(self.near_place, self.far_inside, self.port, data) == data

    # ---- what is done to it

    def reload(self):
        """Other peers come and go; the peer's keepalive and the MTU change."""
        self.options |= {
            "others": self.random.randrange(6),
            "keepalive": self.random.choice([0, 10, 25]),
            "mtu": self.random.choice([1280, 1380, 1420]),
        }
        said = self.router.reload(*self._sections())
        assert "configuration applied" in said, said

    def tell(self):
        """A peer comes and goes, over the control socket."""
        stranger = peers.Wgembed(self.far.site, 1).key
        self.far.tool("set", self.far.interface, "peer", stranger, "allowed-ips", "10.99.0.0/24")
        assert stranger in self.far.tool("show", self.far.interface, "peers")
        self.far.tool("set", self.far.interface, "peer", stranger, "remove")
        assert stranger not in self.far.tool("show", self.far.interface, "peers")

    def roam(self):
        """The near end, whose address the far end has learned, has another port: the next packet tells."""
        self.options["listen_port"] = self.random.randrange(51820, 51920)
        self.reload()
        self.reach()
        assert self.far_endpoint().endswith(f":{self.options['listen_port']}")

    def move(self):
        """The near end has another address."""
        self.pair.site.readdress(4, f"192.0.2.{self.random.randrange(10, 200)}")
        self.reach()
        assert self.far_endpoint().startswith(self.pair.site.outer[4] + ":")

    def bounce(self):
        """The wire is out for a while, or the far end's own link."""
        place, device = self.random.choice([(self.near_place, "outer"), (self.far_place, self.far.interface)])
        place.ip("link", "set", device, "down")
        time.sleep(self.random.random())
        place.ip("link", "set", device, "up")
        self.far.raise_()
        self.reach()

    def far_endpoint(self):
        lines = self.far.tool("show", self.far.interface, "endpoints").splitlines()
        return dict(line.split("\t") for line in lines)[self.pair.keys.public]

    # ---- the course of it

    WORK = ("pings", "tcp", "udp")
    DISTURBANCES = ("reload", "reload", "tell", "roam", "move", "bounce")

    def warm_up(self):
        """Everything twice: what a program needs once, it has then."""
        for _ in range(2):
            self.do(*self.WORK, *self.DISTURBANCES, *self.WORK)

    def turn(self):
        """One disturbance between two pieces of work."""
        self.do(self.random.choice(self.WORK), self.random.choice(self.DISTURBANCES), self.random.choice(self.WORK))

    def do(self, *names):
        for name in names:
            self.recent = [*self.recent[-5:], name]
            try:
                getattr(self, name)()
            except Exception as error:
                self.wrong.append(f"{' '.join(self.recent)}: {error!r}")
                print(f"{self.wrong[-1]}\n{self.logs()}", flush=True)
            self.done[name] = self.done.get(name, 0) + 1
        self.handshakes.add(self.pair.handshake())

    def logs(self):
        return f"near: {self.router.log()[-2000:]}\nfar: {self.far.log()[-2000:]}"

    def sample(self):
        """Return RSS in KB, descriptors and children, of each end."""
        taken = []
        for pid in (self.router.pid, self.far.pid):
            taken.append((process.memory(pid)[0], len(os.listdir(f"/proc/{pid}/fd")), len(children(pid))))
        self.samples.append(taken)
        return taken

    def run(self, minutes, every=SAMPLE_EVERY):
        """Work for so long; returns what is wrong at the end, as sentences."""
        self.warm_up()
        begin = time.monotonic()
        end, next_sample = begin + 60 * minutes, begin
        self.idle()
        while time.monotonic() < end:
            self.turn()
            if time.monotonic() >= next_sample:
                next_sample += every
                near, far = self.sample()
                passed = time.monotonic() - begin
                print(f"{passed:7.0f} s  RSS, descriptors, children: near {near} far {far}", flush=True)
        self.idle()
        return self.verdict()

    def idle(self):
        """The first and the last sample: nothing is under way."""
        time.sleep(2)
        self.sample()

    def verdict(self):
        wrong = list(self.wrong)
        third = max(1, len(self.samples) // 3)
        for end, name in enumerate(("near", "far")):
            rss = [sample[end][0] for sample in self.samples]
            first, last = max(rss[:third]), max(rss[-third:])
            print(f"{name}: RSS at most {first} KB in the first third, {last} KB in the last")
            if last > first + MAY_GROW:
                wrong.append(f"{name}: RSS grew from {first} to {last} KB")
            if self.samples[0][end][1:] != self.samples[-1][end][1:]:
                wrong.append(f"{name}: descriptors, children: {self.samples[0][end][1:]}, then {self.samples[-1][end][1:]}")
        for name, log in (("near", self.router.log()), ("far", self.far.log())):
            wrong += [f"{name}: {line}" for line in log.splitlines() if BAD_WORDS.search(line)]
        print(f"{len(self.handshakes)} handshakes seen, {self.lost} pings lost; done: {self.done}")
        return wrong


def children(pid):
    """Return the pids of a process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("programs", metavar="PROGRAM", nargs="*", default=["cpython"])
    given = options.parse_args()
    if unknown := set(given.programs) - set(PROGRAMS):
        options.error(f"no such program: {', '.join(sorted(unknown))}")
    # What is not said to have the C library is pure Python, whatever is installed here.
    os.environ.setdefault("WGEMBED_FASTPATH", "0")
    wrong = []
    for program in given.programs:
        print(f"{program}, {given.minutes:g} minutes, seed {given.seed}", flush=True)
        with ExitStack() as closing:
            wrong += [f"{program}, {sentence}" for sentence in Soak(program, given.seed, closing).run(given.minutes)]
    print("\n".join(wrong) or "nothing is wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
