"""On a slow CPU, what waits in the kernel's queues is bounded by time, and only while there is too much."""

import contextlib
import os
import re
import socket
import threading

import pytest

from ..lab import slow
from ..lab.need import need
from ..lab.net import poll
from .test_links import PORT, name, tunnel  # noqa: F401 (fixtures)

PERCENT = 10


@contextlib.contextmanager
def flood(place, address, size):
    """Send more datagrams of `size` bytes than a slow CPU can handle."""
    with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        ended, datagram = threading.Event(), os.urandom(size)

        def send():
            while not ended.wait(0.0005):
                for _ in range(40):
                    with contextlib.suppress(OSError):
                        sender.send(datagram, socket.MSG_DONTWAIT)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def slow_tunnel(namespace, tunnel, name):  # noqa: F811
    need(slow.prepare)
    tunnel.up(namespace, name)
    tunnel.carries(namespace)
    with slow.held(tunnel.child.pid, PERCENT):
        yield tunnel


def length(place, name):  # noqa: F811
    return int(re.search(r"qlen (\d+)", place.ip("link", "show", name))[1])


def room(place):
    """Return the size of the receive buffer of the daemon's socket for IPv4."""
    listed = place.run("ss", "-4uanm", "sport", "=", str(PORT))[1]
    return int(re.search(r"rb(\d+)", listed)[1])


def test_the_queue_of_the_tunnel_device(namespace, slow_tunnel, name):  # noqa: F811
    assert length(namespace, name) == 1000
    with flood(namespace, ("10.99.0.2", 9), 1300):
        poll(lambda: length(namespace, name) < 700, 20, what="a shorter queue")
    poll(lambda: length(namespace, name) == 1000, 30, what="the usual queue")
    assert slow_tunnel.child.running()


def test_the_receive_buffer(namespace, slow_tunnel):
    before = room(namespace)
    with flood(namespace, ("127.0.0.1", PORT), 200):
        poll(lambda: room(namespace) < before * 0.7, 20, what="a smaller buffer")
    poll(lambda: room(namespace) == before, 30, what="the usual buffer")
    slow_tunnel.carries(namespace)


def test_a_queue_that_somebody_has_set_stays(namespace, slow_tunnel, name):  # noqa: F811
    namespace.ip("link", "set", name, "txqueuelen", "900")
    with flood(namespace, ("10.99.0.2", 9), 1300), flood(namespace, ("127.0.0.1", PORT), 200):
        before = room(namespace)
        poll(lambda: room(namespace) < before * 0.7, 20, what="a smaller buffer")
        assert length(namespace, name) == 900
