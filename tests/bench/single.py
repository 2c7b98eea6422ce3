"""How long single packets take: a million round trips of one datagram each, one after the other, and how they spread.

    python -m tests.bench.single [--count 1000000] [--json FILE] [PROGRAM...]

The datagrams go through a tunnel between two namespaces, and once past it, through the veth pair alone: what is slow there
is the machine's doing and not that of a program. What a program does now and then holds a packet: MicroPython's collector,
a table that grows, a timer. It shows in the last columns. A round trip passes each end twice.
"""

import argparse
import json
import socket
import threading
import time
from array import array

from . import tunnels

PORT = 7007
SHARES = 0.5, 0.99, 0.999, 0.9999, 0.99999, 1
SIZE, WITHIN_S = 64, 1
WARM_UP = 1000
STEPS_MS = 1, 3, 10


def _echo(end, others):
    """Send datagrams back, until an empty one arrives."""
    while True:
        data, source = end.recvfrom(SIZE)
        if not data:
            return
        end.sendto(data, source)


def _times(near, count):
    """Return the times of the round trips in ns, and how many datagrams were lost."""
    datagram = bytearray(SIZE)
    taken, lost = array("Q"), 0
    for number in range(WARM_UP + count):
        datagram[:8] = number.to_bytes(8, "big")
        begin = time.perf_counter_ns()
        near.send(datagram)
        try:
            while near.recv(SIZE) != datagram:
                pass
        except TimeoutError:
            lost += 1
            continue
        if number >= WARM_UP:
            taken.append(time.perf_counter_ns() - begin)
    return taken, lost


def measure(near_place, far_place, address, count):
    """Return the round trips between two namespaces, in ascending order, in ms, and the number that was lost."""
    far, near = (place.socket(socket.AF_INET, socket.SOCK_DGRAM) for place in (far_place, near_place))
    with far, near:
        far.bind((address, PORT))
        near.connect((address, PORT))
        near.settimeout(WITHIN_S)
        thread = threading.Thread(target=_echo, args=(far, near))
        thread.start()
        try:
            taken, lost = _times(near, count)
        finally:
            near.send(b"")
            thread.join()
    return [ns / 1e6 for ns in sorted(taken)], lost


def spread(kind, count):
    """Return the spread of the round trips through a tunnel between two of these programs: {key of a figure: value}."""
    with tunnels.pair(kind) as tunnel:
        times, lost = measure(tunnel.near.place, tunnel.far.place, tunnel.inside(tunnel.far), count)
    return {"half": times[len(times) // 2], "rare": times[int(len(times) * 0.9999)], "most": times[-1], "lost": lost}


def told(name, times, lost):
    """Return a line of the table."""
    cells = [f"{times[min(int(len(times) * share), len(times) - 1)]:.3f}" for share in SHARES]
    cells += [str(sum(1 for one in times if one > step)) for step in STEPS_MS]
    return f"| {name} | {' | '.join(cells)} | {lost} |"


def main():
    from .table import COLUMNS  # which has `spread` as one of its rows

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--json", metavar="FILE", help="write every 1,000th of the sorted times to this file, too")
    parser.add_argument("programs", nargs="*", default=[])
    arguments = parser.parse_args()
    names = [f"{100 * share:g} %" for share in SHARES[:-1]] + ["most"] + [f"> {step} ms" for step in STEPS_MS] + ["lost"]
    print(f"| round trips, ms | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}", flush=True)
    found = {}
    for name in arguments.programs or COLUMNS:
        COLUMNS[name].kind.prepare()
        with tunnels.pair(COLUMNS[name].kind) as tunnel:
            places = tunnel.near.place, tunnel.far.place
            if not found:
                found["no tunnel"] = measure(*places, tunnel.far.site.outer[4], arguments.count)
                print(told("no tunnel", *found["no tunnel"]), flush=True)
            found[name] = measure(*places, tunnel.inside(tunnel.far), arguments.count)
        print(told(name, *found[name]), flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({name: times[::1000] for name, (times, _) in found.items()}, file)


if __name__ == "__main__":
    main()
