"""One end of a tunnel over loopback, without a tunnel device, for any runtime on any machine.

python -m tests.foreign.exchange

    echo PRIVATE PEER       tells its port, then sends back what comes, source and destination exchanged
    ask PRIVATE PEER PORT   asks the echo at PORT; the exit status is 0 when all came back as it went

PRIVATE and PEER are keys in hexadecimal.
"""

import sys

from wgembed.packets.arena import Arena, Inbox
from wgembed.protocol.device import Device
from wgembed.protocol.peers import Tables
from wgembed.protocol.timers import expire_timers
from wgembed.runtime import address, system

from ..unit.harness import A4, B4, ipv4

SIZES = (0, 1, 15, 16, 17, 500, 1391, 1392)
PATIENCE = 20_000  # ms
now = system.clock.now


class End:
    """A device whose host is a UDP socket; `got` are the packets that came out of it."""

    def __init__(self, private, public):
        self.socket = system.udp.UdpSocket(False, 0, 0)
        self.realtime = system.clock.realtime
        self.address_bytes = address.address_bytes
        self.got = []
        self.tables = Tables(1, staged=8 * 512)
        self.device = Device(self.tables, Arena(1420), Inbox(), self, 2, 2)
        self.device.set_private_key(private, now())
        self.device.up(now())
        self.peer = self.device.add_peer(public)
        self.device.allowed.insert(bytes(4), 0, self.peer.number)
        self._poller = system.poll.Poller()
        self._poller.watch(self.socket.fd, system.poll.IN)

    # Neither source nor TOS: QEMU leaves the numbers in control messages in the order of the machine that it emulates.

    def send(self, addr, src, buf, size, tos):
        return self.socket.send(addr, None, buf, size, 0)

    def reply(self, addr, src, buf, size):
        return self.socket.reply(addr, None, buf, size)

    tests_segments = 0

    def send_run(self, addr, src, arena, first, end, ecn, segments):
        return self.socket.send_run(addr, None, arena, first, end, 0, segments)

    def source(self, peer, is_new):
        return peer.called_at

    def unanswered(self, peer):
        """Nobody else knows where the peer may be."""

    def deliver(self, view, packets, lengths, count):
        for i in range(count):
            self.got.append(bytes(view[packets[i] : packets[i] + lengths[i]]))

    def transmit(self, packet):
        arena = self.device.arena
        start = arena.packets[0]
        arena.buffer[start : start + len(packet)] = packet
        arena.lengths[0] = len(packet)
        self.device.transmit(now(), 1)

    def turn(self):
        """Wait for what comes, a tenth of a second at most, and take it."""
        for _ in self._poller.wait(100):
            pass
        socket = self.socket
        while socket.receive(self.device.inbox):
            self.device.receive(now(), socket.length, socket.stride, socket.addr, socket.src, socket.tos)
        self.device.handshakes(now(), 1000)
        expire_timers(self.tables, now())


def echo(end):
    print(end.socket.port)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()
    while True:
        end.turn()
        while end.got:
            packet = end.got.pop(0)
            end.transmit(packet[:12] + packet[16:20] + packet[12:16] + packet[20:])


def ask(end, port):
    end.device.set_endpoint(end.peer, address.parse_endpoint("127.0.0.1:" + port), now())
    for size in SIZES:
        payload = bytes([i & 255 for i in range(size)])
        end.transmit(ipv4(A4, B4, payload))
        # The sum over the header is the same whichever way the addresses stand.
        wait_for(end, ipv4(B4, A4, payload))
    return 0


def wait_for(end, packet):
    until = now() + PATIENCE
    while not end.got:
        if now() > until:
            raise AssertionError("no answer of %d bytes" % len(packet))
        end.turn()
    if end.got.pop(0) != packet:
        raise AssertionError("not the packet of %d bytes that was sent" % len(packet))


def main(role, private, public, port=None):
    end = End(bytes.fromhex(private), bytes.fromhex(public))
    return echo(end) if role == "echo" else ask(end, port)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
