"""How long packets wait on a slow CPU: pings beside a TCP stream that takes all it can, with little of a core for each end.

    python -m tests.bench.delay [--runs 3] [--seconds 6] [--shares 5,10,20,100] [PROGRAM...]

Each end of the tunnel may use this share of a core, in percent: the kernel (CFS, cgroup v1) stops it for the rest of a
period of 10 ms, or 20 ms for 5 percent, because 1 ms is the least that it grants. A packet that waits for an end which has
used up its time waits for half a period in the mean, and a round trip passes the ends four times. Medians of the runs:
mean and 95th percentile of the round trips in ms, and megabits a second of the stream.
"""

import argparse
import statistics
import threading
import time

from ..lab import slow, traffic
from . import tunnels
from .table import COLUMNS

INTERVAL_S = 0.02


def measure(kind, percent, seconds):
    """Return the mean and the 95th percentile of the round trips in ms, and the rate of the stream in Mbit/s."""
    with tunnels.pair(kind) as tunnel, slow.held(tunnel.near.pid, percent), slow.held(tunnel.far.pid, percent):
        near, inside = tunnel.near, tunnel.inside(tunnel.far)
        trips = []

        def pings():
            time.sleep(1)
            count = int((seconds - 1.5) / INTERVAL_S)
            trips.extend(traffic.round_trips(near.place, inside, count, INTERVAL_S))

        thread = threading.Thread(target=pings)
        thread.start()
        end = traffic.iperf(near.place, tunnel.far.place, inside, "-C", "cubic", "-t", str(seconds))
        thread.join()
    return statistics.mean(trips), trips[len(trips) * 95 // 100], end["sum_received"]["bits_per_second"] / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--shares", default="5,10,20,100")
    parser.add_argument("programs", nargs="*", default=[])
    arguments = parser.parse_args()
    for name in arguments.programs or COLUMNS:
        COLUMNS[name].kind.prepare()
    columns = {name: COLUMNS[name] for name in arguments.programs or COLUMNS}
    print("| program | share of a core | mean, ms | 95 %, ms | Mbit/s |\n|---|---|---|---|---|")
    for percent in [int(one) for one in arguments.shares.split(",")]:
        told = {name: [] for name in columns}
        for _ in range(arguments.runs):
            for name, column in columns.items():
                told[name].append(measure(column.kind, percent, arguments.seconds))
        for name, runs in told.items():
            mean, tail, rate = (statistics.median(kind) for kind in zip(*runs, strict=True))
            print(f"| {name} | {percent} % | {mean:.1f} | {tail:.1f} | {rate:.0f} |", flush=True)


if __name__ == "__main__":
    main()
