"""What the daemon costs when it is idle, configured, flooded and reloaded: memory, wake-ups, time to start.

    python -m tests.bench.memory [--micropython] [--json FILE] [MEASUREMENT...]

Measurements are idle, load, packets, flood, peers, prefixes, reloads, handshake, start and router (`wgembed run`, from
a UCI configuration); all, unless some are named.
The budget stands beside each figure. Growth is told in KB from after a warm-up of the same kind to the end.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..lab import micropython, net, peers, traffic, uapi, wire
from ..lab.router import Pair, Router
from . import process, tunnels

PACKETS = 1_000_000
HANDSHAKES = 100_000
PREFIXES = 10_000
CONFIGURATIONS = 3
RELOADS = 1_000
STARTS = 10
MORE_PEERS = 50
ROUTER_RELOADS = 100
SINGLE_HANDSHAKES = 20
IDLE_SECONDS = 5
# The last keepalive, and a handshake that was not needed, are over after this.
QUIET_AFTER = 16

# Set once this process has a directory for control sockets to itself: the kernel wakes every daemon whenever
# another one of the machine makes or removes its socket.
ALONE = "WGEMBED_BENCH_ALONE"


@dataclass
class Program:
    """What is measured, its budgets, and how much of some things it is asked for."""

    kind: type
    resident: int  # MB under load
    ready: int  # ms until the control socket is there
    peers: int  # to be configured at once
    capacity: int  # of the peer table then
    changing: int  # peers that come and go with reloads
    routing: int  # MB of `wgembed run` under load


CPYTHON = Program(peers.Wgembed, resident=12, ready=150, peers=1000, capacity=2000, changing=50, routing=13)
MICROPYTHON = Program(peers.WgembedMicropython, resident=4, ready=60, peers=16, capacity=32, changing=20, routing=4)
program = CPYTHON


@contextlib.contextmanager
def one(kind, **environment):
    """One daemon in a namespace of its own, not yet configured."""
    place = net.Namespace()
    site = net.Site(place, "lo", 1)
    site.settle()
    peer = kind(site, 51820)
    peer.environment = {**kind.environment, **environment}
    try:
        peer.start()
        yield peer
    finally:
        peer.end()
        place.close()


def two():
    """Two daemons that have just talked; the second one is measured, as the one that receives."""
    return tunnels.pair(program.kind)


def connect(peer):
    return uapi.Control(peers.SOCKETS / f"{peer.interface}.sock")


class Report:
    """Rows of name, figure, unit and budget; a budget of None is none."""

    def __init__(self):
        self.rows = []

    def add(self, name, figure, unit, budget=None):
        self.rows.append({"name": name, "figure": figure, "unit": unit, "budget": budget})
        print(f"{name}: {figure:.4g} {unit}", file=sys.stderr, flush=True)

    def memory(self, name, pid, budget=None):
        rss, pss = process.memory(pid)
        self.add(f"RSS, {name}", rss / 1024, "MB", budget)
        self.add(f"PSS, {name}", pss / 1024, "MB")

    def markdown(self):
        lines = ["| what | measured | budget |", "|---|---|---|"]
        for row in self.rows:
            budget, unit = row["budget"], row["unit"]
            over = budget is not None and row["figure"] > budget
            figure = f"**{row['figure']:.4g} {unit}**" if over else f"{row['figure']:.4g} {unit}"
            lines.append(f"| {row['name']} | {figure} | {'' if budget is None else f'<= {budget} {unit}'} |")
        return "\n".join(lines)


# ---- measurements


def idle(report):
    with one(program.kind) as peer:
        report.memory("just started", peer.pid)
    with two() as tunnel:
        time.sleep(QUIET_AFTER)
        before = process.switches(tunnel.far.pid)
        time.sleep(IDLE_SECONDS)
        report.add(f"wake-ups in {IDLE_SECONDS} s, a peer, idle", process.switches(tunnel.far.pid) - before, "", 0)
        report.memory("one peer, idle", tunnel.far.pid, program.resident)


def load(report):
    with two() as tunnel:
        near, far = tunnel.near, tunnel.far
        end = traffic.iperf(near.place, far.place, tunnel.inside(far), "-C", "cubic", "-t", "10")
        report.add("carried under load", end["sum_received"]["bits_per_second"] / 1e6, "Mbit/s")
        report.memory("one peer, after 10 s of TCP, receiver", far.pid, program.resident)
        report.memory("one peer, after 10 s of TCP, sender", near.pid, program.resident)


def _blast(tunnel, count):
    """Send small datagrams through the tunnel until `count` went through `far`, whatever was lost on the way."""
    near, far = tunnel.near, tunnel.far
    target = (tunnel.inside(far), 9)
    with near.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(target)
        begin = received(far)
        payload = bytes(100)
        while received(far) - begin < count:
            for _ in range(20):
                for _ in range(100):
                    # Nobody listens there: every answer is an ICMP error, and a packet the other way.
                    with contextlib.suppress(OSError):
                        sender.send(payload)
                time.sleep(0.002)


def received(peer):
    """How many packets the tunnel device was handed."""
    return int(peer.place.run("cat", f"/sys/class/net/{peer.interface}/statistics/rx_packets")[1])


def packets(report):
    with two() as tunnel:
        _blast(tunnel, PACKETS // 10)
        before = [process.memory(p.pid)[0] for p in (tunnel.near, tunnel.far)]
        _blast(tunnel, PACKETS)
        after = [process.memory(p.pid)[0] for p in (tunnel.near, tunnel.far)]
    report.add(f"growth over {PACKETS:,} packets, sender", after[0] - before[0], "KB", 0)
    report.add(f"growth over {PACKETS:,} packets, receiver", after[1] - before[1], "KB", 0)


def lost(peer):
    """How many datagrams found no room in the queues of the sockets."""
    return sum(int(line.split()[-1]) for line in peer.place.run("cat", "/proc/net/udp")[1].splitlines()[1:])


def flood(report):
    with two() as tunnel:
        near, far = tunnel.near, tunnel.far
        messages = wire.anonymous_initiations(far.public)
        target = (far.site.outer[4], far.port)
        # From many ports: the kernel joins nothing of it.
        senders = [near.place.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(50)]
        for sender in senders:
            sender.connect(target)
            sender.setblocking(False)

        def send(count):
            """Send until the daemon has taken `count`; returns how many it answered with a cookie."""
            answered = sent = 0
            before = lost(far)
            while sent - (lost(far) - before) < count:
                for _ in range(10):
                    for _ in range(200):
                        senders[sent % len(senders)].send(messages[sent % len(messages)])
                        sent += 1
                    time.sleep(0.01)
                    for sender in senders:
                        with contextlib.suppress(BlockingIOError):
                            while sender.recv(100):
                                answered += 1
            return answered

        send(HANDSHAKES // 10)
        before = process.memory(far.pid)[0]
        answered = send(HANDSHAKES)
        after = process.memory(far.pid)[0]
        for sender in senders:
            sender.close()
        tunnel.reach(near)
    report.add(f"cookies in answer to {HANDSHAKES:,} initiations", answered, "")
    report.add(f"growth over a flood of {HANDSHAKES:,} initiations", after - before, "KB", 0)


def configure(report):
    count, environment = program.peers, {"WGEMBED_MAX_PEERS": str(program.capacity)}
    grown, took = zip(*(configured(program.kind, count, **environment) for _ in range(CONFIGURATIONS)), strict=True)
    report.add(f"memory per configured peer ({count:,}, one prefix and an endpoint each)", max(grown), "KB", 5)
    report.add(f"{count:,} peers through the control socket, median of {CONFIGURATIONS}", statistics.median(took), "s", 0.5)


def configured(kind, count, **environment):
    """Return the growth in KB a peer of a new daemon that is given so many peers, and the seconds that it takes."""
    with one(kind, **environment) as peer:
        control = connect(peer)
        lines = []
        for n in range(count):
            lines += [f"public_key={os.urandom(32).hex()}", f"endpoint=192.0.2.2:{n + 1}",
                      f"allowed_ip=10.{n >> 8}.{n & 255}.1/32"]  # fmt: skip
        # One of them first, and gone again: the code for it is no peer's.
        control.set([f"private_key={peer.private.hex()}", "listen_port=51820", *lines[:3]])
        peer.raise_()
        control.set([lines[0], "remove=true"])
        before = process.memory(peer.pid)[0]
        took = control.set(lines)
        control.close()
        return (process.memory(peer.pid)[0] - before) / count, took


def prefixes(report):
    for name, budget, form in (("IPv4", 32, "10.{0}.{1}.0/24"), ("IPv6", 64, "fd00:0:{0:x}:{1:x}::/64")):
        with one(program.kind) as peer:
            control = connect(peer)
            # The table's size is fixed: what it cannot hold is measured as far as it goes.
            lines = ["public_key=" + "11" * 32] + ["allowed_ip=" + form.format(n >> 8, n & 255) for n in range(PREFIXES)]
            control.set(lines[:100])
            before = process.memory(peer.pid)[0]
            count = _fill(control, lines)
            grown = process.memory(peer.pid)[0] - before
            control.close()
        report.add(f"memory per {name} prefix ({count:,} of them)", grown * 1024 / count, "bytes", budget)


def _fill(control, lines):
    """Insert as many prefixes as there is room for, after the first hundred; returns how many."""
    count = 0
    for first in range(100, len(lines), 100):
        try:
            control.set([lines[0], *lines[first : first + 100]])
        except AssertionError:
            break
        count += len(lines[first : first + 100])
    return count


def reloads(report):
    with two() as tunnel:
        near, far = tunnel.near, tunnel.far
        control = connect(far)
        keys = [os.urandom(32).hex() for _ in range(program.changing)]

        def reload(number):
            """What `wg syncconf` sends: peers that went, that came, and that stayed and changed."""
            lines = [f"private_key={far.private.hex()}", "listen_port=51821"]
            for n, key in enumerate(keys):
                if (n + number) % 3 == 0:
                    lines += [f"public_key={key}", "remove=true"]
                else:
                    lines += [f"public_key={key}", f"preshared_key={os.urandom(32).hex()}", "endpoint=192.0.2.9:1",
                              "persistent_keepalive_interval=0", "replace_allowed_ips=true",
                              f"allowed_ip=10.{number % 250}.{n}.0/24", f"allowed_ip=fd00:{n:x}::/64"]  # fmt: skip
            lines += [f"public_key={near.public.hex()}", "replace_allowed_ips=true",
                      f"allowed_ip={tunnel.inside(near)}/32", f"allowed_ip={tunnel.inside(near, 6)}/128"]  # fmt: skip
            control.set(lines)

        for number in range(RELOADS):
            reload(number)
        before = process.memory(far.pid)[0]
        for number in range(RELOADS):
            reload(number)
        after = process.memory(far.pid)[0]
        control.close()
        tunnel.reach(near)
    report.add(f"growth over {RELOADS:,} reloads", after - before, "KB", 0)


def handshake(report):
    """From an initiation to the response: what one handshake costs one end, the wire included."""
    took = []
    with two() as tunnel, tunnel.near.place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        near, far = tunnel.near, tunnel.far
        near.stop()
        sender.settimeout(5)
        sender.connect((far.site.outer[4], far.port))
        for _ in range(SINGLE_HANDSHAKES):
            message = wire.initiation(near.private, far.public, wire.tai64n(time.time()))
            begin = time.perf_counter()
            sender.send(message)
            while len(sender.recv(256)) != wire.LENGTHS[wire.RESPONSE]:
                pass
            took.append((time.perf_counter() - begin) * 1000)
            time.sleep(0.05)
    report.add(f"answer to an initiation, median of {SINGLE_HANDSHAKES}", statistics.median(took), "ms", 5)


def start(report):
    report.add(f"start to ready, median of {STARTS}", statistics.median(starts(program.kind, STARTS)), "ms", program.ready)


def starts(kind, count):
    """Return the times in ms from the command to the control socket of so many daemons, one after the other."""
    took = []
    place = net.Namespace()
    try:
        for _ in range(count):
            name = net.unique("m")
            begin = time.perf_counter()
            child = place.spawn(*kind.command(), name, env={**os.environ, **kind.environment})
            path = peers.SOCKETS / f"{name}.sock"
            while not path.exists():
                if not child.running():
                    raise AssertionError(f"{kind.name} ended: {child.text()}")
                time.sleep(0.001)
            took.append((time.perf_counter() - begin) * 1000)
            child.stop()
    finally:
        place.close()
    return took


@contextlib.contextmanager
def routed(others):
    """A router, configured with one peer that is there and so many that are not; gives the Pair."""
    with contextlib.ExitStack() as closing, tempfile.TemporaryDirectory() as folder:
        places = [net.Namespace(), net.Namespace()]
        for place in places:
            closing.callback(place.close)
        near, far = net.veth(*places)
        # A larger heap costs nothing where it is not used.
        command = micropython.command("4M") if program is MICROPYTHON else [sys.executable, "-m", "wgembed"]
        pair = Pair(Router(near.place, folder, command), near, peers.Wgembed(far, 51821))
        closing.callback(pair.far.end)
        pair.start_far()
        pair.router.start(pair.interface(), pair.peer(), *[
            pair.other_peer(n, endpoint_host=f"192.0.2.{n + 9}", allowed_ips=[f"10.80.{n}.0/24", f"fd80:{n}::/32"])
            for n in range(others)
        ])  # fmt: skip
        traffic.reach(near.place, "10.77.0.2")
        yield pair


def router(report):
    resident = []
    for others in (0, MORE_PEERS):
        with routed(others) as pair:
            near, far = pair.router.place, pair.far.place
            for reverse in ([], ["-R"]):
                traffic.iperf(near, far, "10.77.0.2", "-C", "cubic", "-t", "10", *reverse)
            resident.append(pair.router.memory())
            if not others:
                report.memory("`wgembed run`, one peer, after 20 s of TCP", pair.router.pid, program.routing)
                for _ in range(20):
                    pair.router.reload()
                before = pair.router.memory()
                for _ in range(ROUTER_RELOADS):
                    pair.router.reload()
                report.add(f"growth over {ROUTER_RELOADS} reloads of `wgembed run`", pair.router.memory() - before, "KB", 0)
    report.add(f"added by {MORE_PEERS} peers", resident[1] - resident[0], "KB", 250)


MEASUREMENTS = {
    "idle": idle, "load": load, "packets": packets, "flood": flood, "peers": configure, "prefixes": prefixes,
    "reloads": reloads, "handshake": handshake, "start": start, "router": router,
}  # fmt: skip


def main():
    global program
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--micropython", action="store_true", help="measure the daemon under MicroPython")
    parser.add_argument("--json", type=Path)
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT")
    options = parser.parse_args()
    unknown = set(options.measurements) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no measurement: {', '.join(sorted(unknown))}")
    program = MICROPYTHON if options.micropython else CPYTHON
    program.kind.prepare()
    if os.environ.get(ALONE) != "1":
        os.execvpe(
            "unshare",
            ["unshare", "--mount", sys.executable, "-m", "tests.bench.memory", *sys.argv[1:]],
            dict(os.environ, **{ALONE: "1"}),
        )
    peers.SOCKETS.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(peers.SOCKETS)], check=True)
    report = Report()
    for name in options.measurements or MEASUREMENTS:
        MEASUREMENTS[name](report)
    print(report.markdown())
    if options.json:
        options.json.write_text(json.dumps(report.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
