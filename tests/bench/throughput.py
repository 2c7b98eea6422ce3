"""TCP through a tunnel between two namespaces, one program at both ends: wgembed against wireguard-go.

    python tests/bench/throughput.py [--runs 5] [--seconds 5] [--json FILE] [PROGRAM...]

The programs take turns, so that whatever else the machine does meets all of them alike. Told are medians, and the
ratio to the first program named (wireguard-go of this Debian release, unless said otherwise).
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab import net, peers, traffic  # noqa: E402

PROGRAMS = {kind.name: kind for kind in (peers.WireguardGo, peers.WireguardGoSid, peers.Wgembed,
                                            peers.WgembedMicropython)}
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """The seconds that the process has run, in user space and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    """Resident and proportional memory in MB."""
    def field(file, name):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        return 0.0
    return field("status", "VmRSS:"), field("smaps_rollup", "Pss:")


def measure(kind, seconds):
    """One run: rate in Mbit/s, CPU of both ends in ms a MB, memory of the hungrier end, round trip in ms."""
    namespaces = [net.Namespace(), net.Namespace()]
    sites = net.veth(*namespaces)
    near, far = kind(sites[0], 51820), kind(sites[1], 51821)
    tunnel = peers.Tunnel(near, far)
    try:
        tunnel.start([near, far])
        tunnel.reach(near)
        pings = near.place.run("ping", "-q", "-c", "20", "-i", "0.05", tunnel.inside(far))[1]
        before = cpu(near.pid) + cpu(far.pid)
        report = traffic.iperf(near.place, far.place, tunnel.inside(far), "-C", "cubic", "-t", str(seconds))
        used = cpu(near.pid) + cpu(far.pid) - before
        memory = [max(pair) for pair in zip(resident(near.pid), resident(far.pid), strict=True)]
        received = report["sum_received"]
        return {
            "mbit_s": received["bits_per_second"] / 1e6,
            "cpu_ms_per_mb": used * 1e3 / (received["bytes"] / 1e6),
            "rss_mb": memory[0],
            "pss_mb": memory[1],
            "ping_ms": float(pings.split("=")[-1].split("/")[1]),
            "retransmits": report["sum_sent"].get("retransmits", 0),
        }
    finally:
        near.end()
        far.end()
        for namespace in namespaces:
            namespace.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("programs", nargs="*", default=["wireguard-go", "wgembed"], metavar="PROGRAM")
    options = parser.parse_args()
    kinds = [PROGRAMS[name] for name in options.programs]
    for kind in kinds:
        kind.prepare()
    runs = {kind.name: [] for kind in kinds}
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores", flush=True)
    for number in range(options.runs):
        for kind in kinds:
            result = measure(kind, options.seconds)
            runs[kind.name].append(result)
            print(f"run {number + 1} {kind.name:18}", *(f"{k} {v:.2f}" for k, v in result.items()), flush=True)
    tell(runs)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1))


def tell(runs):
    columns = ("mbit_s", "cpu_ms_per_mb", "rss_mb", "pss_mb", "ping_ms")
    print("\n| program | Mbit/s (spread) | ratio | CPU ms/MB, both ends | ratio | RSS MB | PSS MB | ping ms |")
    print("|---|---|---|---|---|---|---|---|")
    first = None
    for name, results in runs.items():
        median = {c: statistics.median(r[c] for r in results) for c in columns}
        first = first or median
        rates = [r["mbit_s"] for r in results]
        print(
            f"| {name} | {median['mbit_s']:.0f} ({min(rates):.0f} to {max(rates):.0f})"
            f" | {median['mbit_s'] / first['mbit_s']:.2f} | {median['cpu_ms_per_mb']:.1f}"
            f" | {median['cpu_ms_per_mb'] / first['cpu_ms_per_mb']:.2f} | {median['rss_mb']:.1f}"
            f" | {median['pss_mb']:.1f} | {median['ping_ms']:.2f} |"
        )


if __name__ == "__main__":
    main()
