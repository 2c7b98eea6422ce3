"""The batch steps at the tunnel device. A socket pair that keeps packets apart replaces the device."""

import socket

import pytest

from wgembed.packets.arena import Arena, Inbox
from wgembed.runtime.cpython.tun import TunPort

SMALL, LARGE = 100, 60_000


@pytest.fixture
def ends():
    """A port, and the socket at its other end. A LARGE packet is refused."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * SMALL)
    with near, far:
        yield TunPort(near.fileno()), far


def received(end):
    got = []
    try:
        while True:
            got.append(end.recv(65536))
    except BlockingIOError:
        return got


@pytest.mark.parametrize(
    "sizes",
    [
        [SMALL] * 3,
        [LARGE],
        [LARGE, LARGE],
        [SMALL, LARGE, SMALL],
        [LARGE, SMALL, LARGE, LARGE, SMALL, LARGE],
        [1, 40, 7],
    ],
)
def test_what_is_refused_is_counted_and_holds_up_nothing(ends, sizes):
    port, far = ends
    inbox = Inbox()
    for i, size in enumerate(sizes):
        inbox.packets[i], inbox.packet_lengths[i] = 16 + i * SMALL, size
    # The second batch has the offsets of the first, and other bytes.
    for fill in (b"x", b"y"):
        inbox.view[:] = fill * len(inbox.view)
        refused = port.write_batch(inbox.view, inbox.packets, inbox.packet_lengths, len(sizes))
        assert refused == sizes.count(LARGE)
        assert received(far) == [fill * size for size in sizes if size != LARGE]


def test_views_follow_the_batch(ends):
    """Other offsets, other lengths, another buffer."""
    port, far = ends
    inbox, other = Inbox(), Inbox()
    inbox.view[:] = bytes(i % 251 for i in range(len(inbox.view)))
    for view, packets, lengths in (
        (inbox.view, [16, 200], [50, 60]), (inbox.view, [16, 201], [50, 60]), (inbox.view, [16, 201], [50, 61]),
        (inbox.view, [16], [50]), (other.view, [16], [50]),
    ):  # fmt: skip
        assert port.write_batch(view, packets, lengths, len(packets)) == 0
        assert received(far) == [bytes(view[at : at + size]) for at, size in zip(packets, lengths, strict=True)]


def test_a_batch_is_what_is_there_and_fits(ends):
    port, far = ends
    arena = Arena(1420)
    assert port.read_batch(arena) == 0
    sent = [bytes((i,)) * (20 + i) for i in range(arena.slots + 3)]
    for packet in sent:
        far.send(packet)
    assert port.read_batch(arena) == arena.slots
    assert [bytes(arena.views[i][: arena.lengths[i]]) for i in range(arena.slots)] == sent[: arena.slots]
    assert port.read_batch(arena) == 3
    assert [bytes(arena.views[i][: arena.lengths[i]]) for i in range(3)] == sent[-3:]


def test_any_other_failure_is_raised():
    with pytest.raises(OSError):
        TunPort(10_000).read_batch(Arena(1420))
