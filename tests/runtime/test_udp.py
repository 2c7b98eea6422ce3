"""The UDP socket of the runtime, on loopback: batches, their fallbacks, source addresses, the TOS byte."""

import contextlib
import select
import socket
from errno import EAGAIN

import pytest

from wgembed.packets.arena import Arena, Inbox
from wgembed.protocol.constants import SEND_BAD_SOURCE, SEND_LOST, SEND_OK
from wgembed.runtime.address import address_bytes
from wgembed.runtime.cpython import udp

from ..lab import net
from ..lab.need import need, privileges

HOST = {False: "127.0.0.1", True: "::1"}


@pytest.fixture(params=[False, True], ids=["ipv4", "ipv6"])
def ends(request):
    try:
        pair = udp.UdpSocket(request.param, 0, 0), udp.UdpSocket(request.param, 0, 0)
    except OSError as e:
        pytest.skip(str(e))
    yield pair
    for end in pair:
        end.close()


def address(end):
    return (HOST[end.ipv6], end.port, 0, 0) if end.ipv6 else (HOST[end.ipv6], end.port)


def arena_of(*messages):
    arena = Arena(1420)
    for slot, message in enumerate(messages):
        start = arena.offsets[slot]
        arena.buffer[start : start + len(message)] = message
        arena.lengths[slot] = len(message)
    return arena


def received(end, count):
    """Return `count` datagrams, and the number of receives that were needed."""
    inbox, datagrams, calls = Inbox(), [], 0
    while len(datagrams) < count:
        assert select.select([end.fd], [], [], 2)[0], f"{len(datagrams)} of {count} arrived"
        while end.receive(inbox):
            calls += 1
            start = 0
            while start < end.length:
                stop = min(start + end.stride, end.length)
                datagrams.append(bytes(inbox.view[start:stop]))
                start = stop
    return datagrams, calls


def messages(*sizes):
    return [bytes((i,)) * size for i, size in enumerate(sizes)]


def test_runs_of_any_sizes_arrive_as_they_were(ends):
    a, b = ends
    sent = messages(*[1452] * 30, 700, 700, 1452, 32, 32, 96, 64, 1000)
    assert a.send_run(address(b), None, arena_of(*sent), 0, len(sent), 0) == SEND_OK
    got, calls = received(b, len(sent))
    assert got == sent
    assert calls <= len(sent)


def test_the_largest_message(ends):
    """More than one segmented send can carry."""
    a, b = ends
    (sent,) = messages(65487)
    arena = Arena(65455)
    arena.buffer[: len(sent)] = sent
    arena.lengths[0] = len(sent)
    assert a.send_run(address(b), None, arena, 0, 1, 0) == SEND_OK
    assert received(b, 1)[0] == [sent]


def test_part_of_the_slots(ends):
    a, b = ends
    sent = messages(*[500] * 10)
    assert a.send_run(address(b), None, arena_of(*sent), 3, 7, 0) == SEND_OK
    assert received(b, 4)[0] == sent[3:7]


def test_segmentation_is_used_where_the_kernel_has_it(ends):
    a, b = ends
    if not a.gso_limit:
        pytest.skip("no UDP_SEGMENT here")
    sent = messages(*[1452] * 40)
    a.send_run(address(b), None, arena_of(*sent), 0, 40, 0)
    got, calls = received(b, 40)
    assert got == sent and calls < 40


@pytest.mark.parametrize(("errno", "left"), [(5, 0), (22, 1451), (90, 1451)])
def test_refused_segmentation_falls_back_for_good_and_resends(ends, errno, left):
    """Some kernels and drivers refuse segmentation with EIO or EINVAL."""
    a, b = ends
    calls = []
    send = a._sendmsg

    def refusing(buffers, control, flags, addr):
        segmented = any(kind == 103 and level == 17 for level, kind, _ in control)
        calls.append(segmented)
        if segmented:
            raise OSError(errno, "refused")
        return send(buffers, control, flags, addr)

    a._sendmsg = refusing
    a.gso_limit = 65535
    sent = messages(*[1452] * 5)
    for _ in range(2):
        assert a.send_run(address(b), None, arena_of(*sent), 0, 5, 0) == SEND_OK
        assert received(b, 5)[0] == sent
    assert calls.count(True) == 1 and a.gso_limit == left


def test_kernel_without_segmentation(ends, monkeypatch):
    a, b = ends
    monkeypatch.setattr(udp.UdpSocket, "_try_option", lambda self, level, name, value: False)
    old = udp.UdpSocket(a.ipv6, 0, 0)
    try:
        assert old.gso_limit == 0
        sent = messages(*[1452] * 5, 32)
        assert old.send_run(address(b), None, arena_of(*sent), 0, 6, 0) == SEND_OK
        assert received(b, 6)[0] == sent
        assert a.send_run(address(old), None, arena_of(*sent), 0, 6, 0) == SEND_OK
        assert received(old, 6)[0] == sent
    finally:
        old.close()


def test_losses_are_not_fatal(ends):
    a, b = ends
    for errno in (1, 11, 13, 101, 105, 111):

        def failing(*_, errno=errno):
            raise OSError(errno, "no")

        a._sendmsg = failing
        assert a.send(address(b), None, b"x", 1, 0) == SEND_LOST
        assert a.send_run(address(b), None, arena_of(b"x" * 40, b"y" * 40), 0, 2, 0) == SEND_LOST


def test_too_large_is_a_loss(ends):
    a, b = ends
    assert a.send(address(b), None, bytes(65530), 65530, 0) == SEND_LOST


def test_answer_leaves_from_where_the_question_came_to():
    need(privileges)
    a, b = udp.UdpSocket(False, 0, 0), udp.UdpSocket(False, 0, 0)
    try:
        a.send(("127.0.0.77", b.port), None, b"question", 8, 0)
        received(b, 1)
        b.send(b.addr, b.src, b"answer", 6, 0)
        received(a, 1)
        assert a.addr == ("127.0.0.77", b.port)
        assert b.send_run(b.addr, b.src, arena_of(b"1" * 40, b"2" * 40), 0, 2, 0) == SEND_OK
        received(a, 2)
        assert a.addr == ("127.0.0.77", b.port)
    finally:
        a.close(), b.close()


def test_source_that_is_not_ours_is_told():
    a = udp.UdpSocket(False, 0, 0)
    try:
        foreign = socket.inet_aton("192.0.2.99")
        source = bytes(4) + foreign + foreign
        assert a.send(("127.0.0.1", 9), source, b"x", 1, 0) == SEND_BAD_SOURCE
        assert a.send_run(("127.0.0.1", 9), source, arena_of(b"x" * 40, b"x" * 40), 0, 2, 0) == SEND_BAD_SOURCE
        assert a.gso_limit == 65535, "that was no fault of the segmentation"
    finally:
        a.close()


@pytest.mark.parametrize("tos", [0, 1, 2, 3, 0x88])
def test_tos_byte_crosses(ends, tos):
    a, b = ends
    a.send(address(b), None, b"x", 1, tos)
    received(b, 1)
    assert b.tos == tos
    a.send_run(address(b), None, arena_of(b"1" * 40, b"2" * 40), 0, 2, tos)
    received(b, 2)
    assert b.tos == tos


def test_icmp_errors_do_not_end_receiving(ends):
    a, b = ends
    closed = address(b)
    b.close()
    for _ in range(3):
        a.send(closed, None, b"x", 1, 0)
    c = udp.UdpSocket(a.ipv6, 0, 0)
    try:
        c.send(address(a), None, b"still here", 10, 0)
        assert b"still here" in received(a, 1)[0]
    finally:
        c.close()


def test_address_bytes():
    assert address_bytes(("1.2.3.4", 258)) == b"\1\2\3\4\1\2"
    assert address_bytes(("::1", 1, 0, 0)) == bytes(15) + b"\1\0\1"


def test_replies_to_who_is_not_there_leave_room_for_others():
    """Datagrams to a neighbour that does not answer wait, and take space in the queue of the socket."""
    need(privileges)
    with contextlib.ExitStack() as closing:
        places = [net.Namespace(), net.Namespace()]
        for place in places:
            closing.callback(place.close)
        near, far = net.veth(*places)
        with near.place.entered():
            end = udp.UdpSocket(False, 0, 0)
        closing.callback(end.close)
        network = far.outer[4].rpartition(".")[0]
        absent = [(f"{network}.{n}", 9) for n in range(100, 200)]
        results = [end.reply(addr, None, bytes(64), 64) for _ in range(100) for addr in absent]
        assert SEND_OK in results and SEND_LOST in results
        assert [end.send((far.outer[4], 9), None, bytes(1400), 1400, 0) for _ in range(20)] == [SEND_OK] * 20
        # Now the queue is full.
        results = [end.send(addr, None, bytes(64), 64, 0) for _ in range(100) for addr in absent]
        assert SEND_LOST in results and end.errno == EAGAIN
