"""A tunnel between two namespaces, one program at both ends, and what goes through it: TCP, UDP, pings.

Each measurement makes a tunnel of its own and returns its figures by name.
"""

import contextlib
import os
import socket
import statistics
import threading
import time

from ..lab import net, peers, traffic, uapi
from . import process

SOL_UDP, UDP_SEGMENT, SO_SNDBUFFORCE = 17, 103, 32
DISCARD = 9  # the port that datagrams are sent to
PAUSE = 0.0005  # between two bursts of datagrams
WARM_UP = 0.3
PINGS, PING_INTERVAL = 100, 0.02

# Datagrams a second that are offered first, and how many times more the next time; until this part of them comes through.
# What comes too much is work as well, so that the most may come through at any of the loads.
FIRST_LOAD = {64: 100_000, 1392: 60_000}
MORE, OVERLOAD = 1.5, 0.5

# Peers and prefixes of them all, of the ends of a tunnel. The first is what the others are compared with.
SCALES = ((1, 1), (100, 1_000), (1_000, 10_000), (10_000, 10_000))


def sized(kind, count):
    """Return the program with room for so many peers, where it must be told."""
    if not issubclass(kind, peers.Wgembed):
        return kind
    changed = {"environment": {**kind.environment, "WGEMBED_MAX_PEERS": str(max(count, 8))}}
    if issubclass(kind, peers.WgembedMicropython):
        changed["heap"] = f"{512 + 5 * count}K"
    return type(kind.__name__, (kind,), changed)


@contextlib.contextmanager
def pair(kind):
    """Two ends that have just talked, as a peers.Tunnel."""
    with contextlib.ExitStack() as closing:
        places = [net.Namespace(), net.Namespace()]
        for place in places:
            closing.callback(place.close)
            # The kernel looks for routers on every new interface: packets, and wake-ups, that are not ours.
            place.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/router_solicitations")
        sites = net.veth(*places)
        tunnel = peers.Tunnel(kind(sites[0], 51820), kind(sites[1], 51821))
        closing.callback(tunnel.near.end)
        closing.callback(tunnel.far.end)
        tunnel.start([tunnel.near, tunnel.far])
        tunnel.reach(tunnel.near)
        for peer in (tunnel.near, tunnel.far):
            _check_library(peer)
        yield tunnel


def _check_library(peer):
    """AssertionError if the program was given the C library and does without."""
    path = peer.environment.get("WGEMBED_FASTPATH", "0")
    if path != "0" and not process.has_mapped(peer.pid, path):
        raise AssertionError(f"{peer.name} has not loaded {path}: {peer.log()}")


def cpu(tunnel):
    """Return the seconds that both ends have run."""
    return process.cpu(tunnel.near.pid) + process.cpu(tunnel.far.pid)


def memory(tunnel):
    """Return resident and proportional memory of the hungrier end, in MB."""
    ends = [process.memory(peer.pid) for peer in (tunnel.near, tunnel.far)]
    return [max(kind) / 1024 for kind in zip(*ends, strict=True)]


def stream(tunnel, seconds, streams=1):
    """Return megabits a second that TCP carries, and the milliseconds of CPU that a megabyte costs at both ends."""
    before = cpu(tunnel)
    options = ["-C", "cubic", "-t", str(seconds), "-P", str(streams)]
    end = traffic.iperf(tunnel.near.place, tunnel.far.place, tunnel.inside(tunnel.far), *options)
    used = cpu(tunnel) - before
    received = end["sum_received"]
    return received["bits_per_second"] / 1e6, used * 1e3 / (received["bytes"] / 1e6)


def tcp(kind, seconds, streams=1):
    """TCP at full speed."""
    with pair(kind) as tunnel:
        rate, cost = stream(tunnel, seconds, streams)
        resident, proportional = memory(tunnel)
    return {"rate": rate, "cost": cost, "rss": resident, "pss": proportional}


def idle(kind, seconds):
    """Round trips where nothing else happens, and the memory of the two ends then."""
    with pair(kind) as tunnel:
        trips = traffic.round_trips(tunnel.near.place, tunnel.inside(tunnel.far), PINGS, PING_INTERVAL)
        resident, proportional = memory(tunnel)
    return {"trip": statistics.median(trips), "rss": resident, "pss": proportional}


def loaded(kind, seconds):
    """Round trips beside a TCP stream."""
    with pair(kind) as tunnel:
        near, inside = tunnel.near, tunnel.inside(tunnel.far)
        trips = []

        def pings():
            time.sleep(0.5)
            trips.extend(traffic.round_trips(near.place, inside, int((seconds - 1) / PING_INTERVAL), PING_INTERVAL))

        thread = threading.Thread(target=pings)
        thread.start()
        stream(tunnel, seconds)
        thread.join()
    return {"trip": statistics.median(trips)}


class Sink:
    """A socket inside the far end that nobody reads: the kernel counts what it drops there, and that is what arrived."""

    def __init__(self, place, address):
        self._socket = place.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._socket.bind((address, DISCARD))
        with place.entered():
            self._table = open("/proc/thread-self/net/udp")  # noqa: SIM115 (closed by close)

    def count(self):
        """Return how many datagrams have come, but for the first few."""
        self._table.seek(0)
        for line in self._table.read().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == DISCARD:
                return int(fields[-1])
        raise AssertionError("the socket is not in the kernel's table")

    def close(self):
        self._table.close()
        self._socket.close()


class Source:
    """Sends datagrams of `size` bytes at a steady rate. One system call is many of them."""

    def __init__(self, place, address, size):
        self._socket = place.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((address, DISCARD))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 22)
        self._socket.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        self._segments = min(64, 65_000 // (size + 28))
        self._burst = bytes(size * self._segments)

    def send(self, rate, seconds):
        """Offer `rate` datagrams a second; returns how many a second were really sent."""
        begin = now = time.monotonic()
        due = sent = 0
        while now - begin < seconds:
            while due < (now - begin) * rate:
                due += self._segments
                with contextlib.suppress(BlockingIOError):
                    self._socket.send(self._burst, socket.MSG_DONTWAIT)
                    sent += self._segments
            time.sleep(PAUSE)
            now = time.monotonic()
        return sent / (now - begin)

    def close(self):
        self._socket.close()


def udp(kind, seconds, size):
    """Datagrams a second that come through, at the one of several loads at which most do."""
    with pair(kind) as tunnel:
        near, far = tunnel.near, tunnel.far
        # The bursts are cut before the tunnel device, whatever it offers: as if each datagram had been sent by itself.
        near.place.ip("link", "set", "dev", near.interface, "gso_max_segs", "1")
        sink = Sink(far.place, tunnel.inside(far))
        source = Source(near.place, tunnel.inside(far), size)
        load, told = FIRST_LOAD[size], []
        while not told or told[-1]["rate"] > OVERLOAD * load:
            load *= MORE if told else 1
            told.append(_offer(tunnel, source, sink, load, seconds / 4))
        source.close()
        sink.close()
    return max(told, key=lambda one: one["rate"])


def _offer(tunnel, source, sink, load, seconds):
    source.send(load, WARM_UP)
    arrived, used, begin = sink.count(), cpu(tunnel), time.monotonic()
    offered = source.send(load, seconds)
    arrived, used, took = sink.count() - arrived, cpu(tunnel) - used, time.monotonic() - begin
    return {"rate": arrived / took, "cost": used / max(arrived, 1) * 1e6, "offered": offered}


def _fill(tunnel, count, prefixes):
    """Give both ends so many peers and prefixes, those of the tunnel itself among them."""
    each = prefixes // count
    for peer in (tunnel.near, tunnel.far):
        # Around the addresses of the tunnel, so that the way to them is as long as a table of this size makes it.
        networks = (f"10.{64 + (n >> 8)}.{n & 255}.0/24" for n in range(prefixes + each) if n != (77 - 64) << 8)
        control = uapi.Control(peers.SOCKETS / f"{peer.interface}.sock")
        lines = []
        for _ in range(count - 1):
            lines.append(f"public_key={os.urandom(32).hex()}")
            lines += [f"allowed_ip={next(networks)}" for _ in range(each)]
        control.set(lines)
        control.close()


def scale(kind, seconds):
    """What a megabyte costs with many peers and prefixes, in times of what it costs with one of each."""
    costs = {}
    for count, prefixes in SCALES:
        with pair(sized(kind, count + 1)) as tunnel:
            if count > 1:
                _fill(tunnel, count, prefixes)
            costs[count] = stream(tunnel, seconds)[1]
    return {f"peers_{count}": costs[count] / costs[1] for count, _ in SCALES[1:]}
