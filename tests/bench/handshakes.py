"""Handshakes: how many a program answers."""

import functools
import socket
import time

from ..lab import net, peers, uapi, wire
from . import process, tunnels

INITIATORS = 500  # each is heard no more often than every 20 ms, so that no program finds it too often
ROUNDS = 6
# Far from what any program takes for load.
OUTSTANDING = 8
PORT = 51821


@functools.cache
def _initiations():
    """Return the responder's private key, the keys of the initiators, and initiations of them all in turn, in rounds."""
    responder = wire.generate_private_key()
    public = wire.public_key(responder)
    initiators = [wire.generate_private_key() for _ in range(INITIATORS)]
    begin = time.time()
    messages = [wire.initiation(private, public, wire.tai64n(begin + number))
                for number in range(1 + ROUNDS) for private in initiators]  # fmt: skip
    return responder, [wire.public_key(private) for private in initiators], messages


def _listens(place):
    return f":{PORT:04X} " in place.run("cat", "/proc/net/udp")[1]


def _exchange(sender, messages):
    """Send all, some at a time, each next one when another was answered; returns the seconds that it took."""
    begin = time.perf_counter()
    waiting = iter(messages)
    for _ in range(OUTSTANDING):
        sender.send(next(waiting))
    for _ in range(len(messages)):
        answer = sender.recv(256)
        if len(answer) != wire.LENGTHS[wire.RESPONSE] or answer[0] != wire.RESPONSE:
            raise AssertionError(f"an answer of {len(answer)} bytes and type {answer[0]} where a response belongs")
        message = next(waiting, None)
        if message is not None:
            sender.send(message)
    return time.perf_counter() - begin


def rate(kind, seconds):
    """Handshakes answered a second, of the wall clock and of the CPU."""
    private, keys, messages = _initiations()
    places = [net.Namespace(), net.Namespace()]
    sites = net.veth(*places)
    responder = tunnels.sized(kind, INITIATORS)(sites[1], PORT, private)
    try:
        responder.start()
        control = uapi.Control(peers.SOCKETS / f"{responder.interface}.sock")
        control.set([f"private_key={private.hex()}", f"listen_port={PORT}", *(f"public_key={key.hex()}" for key in keys)])
        control.close()
        responder.raise_()
        net.poll(lambda: _listens(responder.place), 10, what="the responder's socket")
        with places[0].socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(5)
            sender.connect((sites[1].outer[4], PORT))
            _exchange(sender, messages[:INITIATORS])  # the first ones of all: what is made once is made then
            before = process.cpu(responder.pid)
            took = _exchange(sender, messages[INITIATORS:])
            used = process.cpu(responder.pid) - before
    finally:
        responder.end()
        for place in places:
            place.close()
    return {"wall": INITIATORS * ROUNDS / took, "cpu": INITIATORS * ROUNDS / used}
