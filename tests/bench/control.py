"""What questions at the control socket cost the tunnel: the round trip of pings while they are answered.

    python -m tests.bench.control [--micropython] [--peers 10000] [--pings 1000]

Told are the median, the 99th percentile and the longest round trip, in ms, while nobody asks, while `get` and `status`
of all peers are asked for one after the other, and while sixteen clients read one byte a second each.
"""

import argparse
import os
import socket
import statistics
import threading
import time

from ..lab import net, peers, traffic, uapi

CLIENTS = 16  # as many as a daemon takes


def connect(peer):
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(peers.SOCKETS / f"{peer.interface}.sock"))
    return end


def fill(peer, count):
    """Give the daemon so many peers, with an allowed IP each."""
    lines = []
    for n in range(count):
        lines += [f"public_key={os.urandom(32).hex()}", f"allowed_ip=10.{100 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32"]
    control = uapi.Control(peers.SOCKETS / f"{peer.interface}.sock")
    control.set(lines)
    control.close()


def ask(peer, question, stop):
    """Ask again and again; returns how often it was answered."""
    answered = 0
    while not stop.is_set():
        with connect(peer) as end:
            end.sendall(question)
            last = b""
            while not last.endswith(b"errno=0\n\n"):
                last = last[-20:] + end.recv(1 << 20)
        answered += 1
    return answered


def dawdle(peer, stop):
    """Ask, and read one byte a second."""
    ends = [connect(peer) for _ in range(CLIENTS)]
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        end.sendall(b"get=1\n\n")
    while not stop.wait(1):
        for end in ends:
            end.recv(1)
    for end in ends:
        end.close()


def trips(place, address, count):
    found = traffic.round_trips(place, address, count, 0.01)
    longest = found[len(found) * 99 // 100]
    return {"lost": count - len(found), "median": statistics.median(found), "p99": longest, "max": found[-1]}


def meanwhile(function, peer, *arguments):
    stop = threading.Event()
    thread = threading.Thread(target=function, args=(peer, *arguments, stop))
    thread.start()
    time.sleep(0.5)
    return stop, thread


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--micropython", action="store_true")
    options.add_argument("--peers", type=int, default=10_000)
    options.add_argument("--pings", type=int, default=1000)
    given = options.parse_args()
    os.environ["WGEMBED_MAX_PEERS"] = str(given.peers + 10)
    namespaces = [net.Namespace(), net.Namespace()]
    sites = net.veth(*namespaces)
    kind = peers.WgembedMicropython if given.micropython else peers.Wgembed
    near, far = kind(sites[0], 51820), peers.WireguardGo(sites[1], 51821)
    tunnel = peers.Tunnel(near, far)
    try:
        tunnel.start([near, far])
        fill(near, given.peers)
        traffic.reach(near.place, tunnel.inside(far))
        print(f"{given.peers} peers, round trips in ms: lost, median, 99 %, longest")
        for name, function, *arguments in (
            ("nobody asks", None),
            ("get", ask, b"get=1\n\n"),
            ("status", ask, b"status=1\n\n"),
            (f"{CLIENTS} clients that read a byte a second", dawdle),
            ("nobody asks", None),
        ):
            busy = meanwhile(function, near, *arguments) if function else None
            told = trips(near.place, tunnel.inside(far), given.pings)
            if busy:
                busy[0].set()
                busy[1].join()
            print(f"  {name}: {told['lost']}, {told['median']:.2f}, {told['p99']:.2f}, {told['max']:.2f}")
    finally:
        near.end()
        far.end()
        for namespace in namespaces:
            namespace.close()


if __name__ == "__main__":
    main()
