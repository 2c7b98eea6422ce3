"""Two namespaces joined by tunnel devices, with nothing between them but the library: the kernel is content with both."""

import contextlib
import errno
import fcntl
import hashlib
import os
import random
import socket
import struct
import threading
import time

import pytest

from ..lab import net
from ..lab.need import need, privileges, programs
from . import frames
from .fastlib import Fastpath

IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 1, 0x1000, 0x4000
# MIPS and PowerPC encode the direction of an ioctl in other bits.
TUNSETIFF = 0x400454CA, 0x800454CA
TUNSETOFFLOAD = 0x400454D0, 0x800454D0
TCP_OFFLOAD, USO = 1 | 2 | 4, 0x20 | 0x40
UDP_SEGMENT = 103
ADDRESSES = {4: ("10.55.0.1", "10.55.0.2"), 6: ("fd55::1", "fd55::2")}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def ioctl(device, codes, argument):
    try:
        fcntl.ioctl(device, codes[0], argument)
    except OSError as e:
        if e.errno != errno.ENOTTY:
            raise
        fcntl.ioctl(device, codes[1], argument)


class End:
    """A namespace with a tunnel device that the library serves."""

    def __init__(self, library, number):
        self.namespace = net.Namespace()
        self.fast = Fastpath(library)
        self.written = 0
        with self.namespace.entered():
            self.tun = open("/dev/net/tun", "r+b", buffering=0)  # noqa: SIM115 (closed by close)
            os.set_blocking(self.tun.fileno(), False)
            ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"fast", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
        self.fast.tun.close()
        self.fast.tun = self.tun
        for family, length in ((4, 24), (6, 64)):
            nodad = ["nodad"] if family == 6 else []
            self.namespace.ip("addr", "add", f"{ADDRESSES[family][number]}/{length}", "dev", "fast", *nodad)
        self.namespace.ip("link", "set", "fast", "mtu", "1420", "txqueuelen", "1000", "up")

    def offload(self):
        """Ask for super-packets; USO only where the kernel has it (6.2)."""
        try:
            ioctl(self.tun, TUNSETOFFLOAD, TCP_OFFLOAD | USO)
            self.fast.state.offload = TCP_OFFLOAD | USO
        except OSError:
            ioctl(self.tun, TUNSETOFFLOAD, TCP_OFFLOAD)
            self.fast.state.offload = TCP_OFFLOAD

    def carry(self, other):
        """Read a batch and write it to the other end; returns whether there was one."""
        count = self.fast.read()
        assert count >= 0
        target = other.fast
        target.packets[:count] = self.fast.arena.packets[:count]
        target.packet_lengths[:count] = self.fast.lengths[:count]
        assert target.write(count, self.fast.arena.buffer) == 0
        other.written += count
        return count > 0

    def received(self):
        """How many packets the kernel saw come, joined or not."""
        return int(self.namespace.run("cat", "/sys/class/net/fast/statistics/rx_packets")[1])

    def checksum_errors(self):
        """What the kernel counted of TCP and UDP, IPv4 and IPv6, and of IP headers."""
        text = self.namespace.run("sh", "-c", "cat /proc/net/snmp /proc/net/snmp6")[1].split("\n")
        found = {}
        for names, values in zip(text[::2], text[1::2], strict=False):
            if names.startswith(("Ip:", "Tcp:", "Udp:")):
                kind = names.split(":")[0]
                found.update((kind + name, int(n)) for name, n in zip(names.split()[1:], values.split()[1:], strict=True))
        lines = dict(line.split() for line in text if line.startswith(("Udp6", "Ip6")))
        names = ("TcpInCsumErrors", "TcpInErrs", "UdpInCsumErrors", "IpInHdrErrors")
        return [found[name] for name in names] + [int(lines[name]) for name in ("Udp6InCsumErrors", "Ip6InHdrErrors")]

    def close(self):
        self.tun.close()
        self.fast.close()
        self.namespace.close()


@pytest.fixture
def ends(library):
    need(privileges)
    need(programs, "ip")
    with contextlib.ExitStack() as stack:
        ends = []
        for number in (0, 1):
            ends.append(End(library, number))
            stack.callback(ends[-1].close)
        yield ends


@contextlib.contextmanager
def carrying(ends):
    """Packets go back and forth meanwhile."""
    stop, failed = threading.Event(), []

    def work():
        a, b = ends
        try:
            while not stop.is_set():
                if not a.carry(b) | b.carry(a):
                    time.sleep(0.0005)
        except BaseException as e:
            failed.append(e)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        assert not failed


def listener(end, family, kind, number):
    server = end.namespace.socket(FAMILY[family], kind)
    server.settimeout(10)
    server.bind((ADDRESSES[family][number], 0))
    return server


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("offload", [True, False])
def test_tcp(ends, family, offload):
    if offload:
        for end in ends:
            end.offload()
    data = random.Random(family).randbytes(8 << 20)
    digests = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(ends[1], family, socket.SOCK_STREAM, 1))
        client = stack.enter_context(ends[0].namespace.socket(FAMILY[family], socket.SOCK_STREAM))
        server.listen()
        client.settimeout(20)
        stack.enter_context(carrying(ends))
        client.connect(server.getsockname()[:2])
        accepted = stack.enter_context(server.accept()[0])
        accepted.settimeout(20)

        def receive():
            digest = hashlib.sha256()
            while chunk := accepted.recv(1 << 17):
                digest.update(chunk)
            digests.append(digest.digest())

        thread = threading.Thread(target=receive)
        thread.start()
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        thread.join()
    assert digests == [hashlib.sha256(data).digest()]
    assert all(end.checksum_errors() == [0] * 6 for end in ends)
    assert all(end.fast.state.dropped == 0 for end in ends)
    assert ends[1].written > len(data) / 1420
    assert ends[1].received() < ends[1].written / 3, "the kernel takes what was joined"


@pytest.mark.parametrize("family", [4, 6])
def test_udp(ends, family):
    for end in ends:
        end.offload()
    has_uso = ends[0].fast.state.offload & USO
    data = random.Random(family).randbytes(1200 * 40 + 77)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listener(ends[1], family, socket.SOCK_DGRAM, 1))
        client = stack.enter_context(ends[0].namespace.socket(FAMILY[family], socket.SOCK_DGRAM))
        stack.enter_context(carrying(ends))
        client.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1200)
        for _ in range(20):
            client.sendto(data, server.getsockname()[:2])
            assert b"".join(server.recv(2000) for _ in range(41)) == data
    assert all(end.checksum_errors() == [0] * 6 for end in ends)
    assert ends[1].written >= 20 * 41
    if has_uso:
        assert ends[1].received() < ends[1].written / 3


def test_a_link_that_is_down(ends):
    """What the kernel refuses, joined and alone, is counted and no more."""
    ends[0].offload()
    fast = ends[0].fast
    ends[0].namespace.ip("link", "set", "fast", "down")
    packets = frames.split(frames.Header(), bytes(1000), 100)
    for i, packet in enumerate(packets):
        fast.inbox[i * 200 : i * 200 + len(packet)] = packet
        fast.packets[i], fast.packet_lengths[i] = i * 200, len(packet)
    assert fast.write(10) == 10


def test_a_link_that_is_gone(ends):
    ends[0].namespace.ip("link", "del", "fast")
    assert ends[0].fast.read() == -errno.EBADFD
