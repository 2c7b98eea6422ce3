"""From the start to the end of commands that a person waits for: whole processes, medians in ms.

    python -m tests.bench.commands [--runs 21]

`wgembed show` and `status` are asked of a daemon with one peer, on both interpreters; Debian's own `wg show` beside them.
They take turns, so that whatever else the machine does meets all of them alike.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from ..lab import micropython, net, peers


def elapsed(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1000


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=21)
    runs = options.parse_args().runs
    place = net.Namespace()
    daemon = peers.Wgembed(net.Site(place, "lo", 1), 51820)
    try:
        daemon.start()
        daemon.load(f"[Peer]\nPublicKey = {daemon.key}\nAllowedIPs = 10.0.0.0/24\n")
        programs = {"CPython": [str(Path(sys.executable).parent / "wgembed")], "MicroPython": micropython.command()}
        commands = {"wg show": ["wg", "show", daemon.interface]}
        for name, program in programs.items():
            commands[f"wgembed show, {name}"] = [*program, "show", daemon.interface]
            commands[f"wgembed status, {name}"] = [*program, "status", "--interval", "0", daemon.interface]
        took = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                took[name].append(elapsed(command))
        for name, found in took.items():
            print(f"{name}: {statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})")
    finally:
        daemon.end()
        place.close()


if __name__ == "__main__":
    main()
