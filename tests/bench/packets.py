"""Packets through two devices in one process, on the real runtime, for instructions.py to count: runs on both interpreters.

    packets.py PACKETS tcp|udp send|both PEERS PREFIXES

Pairs of UNIX sockets stand in for the tunnel devices: they too give one packet a read. The UDP sockets talk over loopback.
Packets come in batches, each put in and taken out by one system call, so that what the counting itself costs is little.
send  the first device sends, and nobody takes what arrives
both  the second device takes it, too

WGEMBED_FASTPATH says what serves the packets, as it does for the daemon. With the library each packet has a virtio header;
a batch of TCP goes in as the one super-packet that a kernel makes of it, and comes out as the library joins it.
"""

import sys
from struct import calcsize, pack, pack_into, unpack_from

from wgembed.runtime import fastpath_library, system  # isort: skip (the daemon loads it first, too)
from wgembed.packets.arena import Arena, Inbox
from wgembed.protocol.device import Device
from wgembed.protocol.icmp import checksum
from wgembed.protocol.peers import Tables
from wgembed.runtime import address

BATCH = 32
# compact.py leaves no names of constants in the bytecode. These are not those of MIPS.
DEFAULT_MTU = 1420
AF_UNIX, O_NONBLOCK, MSG_DONTWAIT = 1, 0o4000, 0x40
SOCK_SEQPACKET = 5
LOOPBACK = b"\x7f\0\0\1"
INNER = b"\x0a\x4d\0\1", b"\x0a\x4d\0\2"  # the addresses of the two ends in the tunnel
START = 1_000_000  # of the clock; it goes on by a millisecond a batch
WORD = calcsize("P")
VECTOR, MESSAGE = 2 * WORD, 8 * WORD  # the sizes of struct iovec and struct mmsghdr
OFFLOAD = 0x01 | 0x06 | 0x60  # what a tunnel device of a new kernel is told: checksums, TCP and UDP are left to us
VNET_HEADER = "BBHHHH"  # struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
PLAIN = bytes(10)
NEEDS_CSUM, GSO_TCPV4 = 1, 1
IPV4, TCP, UDP = 20, 20, 8  # the sizes of the headers
TCP_CHECKSUM, UDP_CHECKSUM = 16, 6
FRAME_MOST = 10 + 65535

if sys.implementation.name == "micropython":
    import ffi
    import uctypes

    _libc = ffi.open(None)
    address_of = uctypes.addressof

    def libc(name, arguments):
        return _libc.func("i", name, arguments)

else:
    import ctypes

    _libc = ctypes.CDLL(None)
    _KINDS = {"i": ctypes.c_int, "I": ctypes.c_uint, "L": ctypes.c_size_t, "P": ctypes.c_void_p}

    def address_of(buf):
        return ctypes.addressof(ctypes.c_char.from_buffer(buf))

    def libc(name, arguments):
        function = getattr(_libc, name)
        function.argtypes = [_KINDS[kind] for kind in arguments]
        return function


_sendmmsg = libc("sendmmsg", "iPIi")
_recvmmsg = libc("recvmmsg", "iPIiP")
_read = libc("read", "iPL")
_socketpair = libc("socketpair", "iiiP")


class Batch:
    """A batch of buffers for sendmmsg or recvmmsg: `packets`, laid out once."""

    def __init__(self, packets):
        self._count = len(packets)
        self._packets = [bytearray(packet) for packet in packets]
        self._vectors = bytearray(len(packets) * VECTOR)
        self._messages = bytearray(len(packets) * MESSAGE)
        vectors = address_of(self._vectors)
        for i, packet in enumerate(self._packets):
            pack_into("PL", self._vectors, i * VECTOR, address_of(packet), len(packet))
            # no name, one vector, no control message
            pack_into("PIPLPLi", self._messages, i * MESSAGE, 0, 0, vectors + i * VECTOR, 1, 0, 0, 0)
        self._pointer = address_of(self._messages)

    def send(self, fd):
        if _sendmmsg(fd, self._pointer, self._count, 0) != self._count:
            raise OSError("a batch does not fit the socket")

    def receive(self, fd):
        if _recvmmsg(fd, self._pointer, self._count, MSG_DONTWAIT, 0) != self._count:
            raise OSError("a packet was lost")


class Joined:
    """Takes a batch of packets, however many of them are joined in a frame: told by the bytes of their payload.

    headers  the bytes before the payload, of a packet as of a frame
    payload  of each packet
    """

    def __init__(self, headers, payload):
        self._headers = len(PLAIN) + headers
        self._payload = BATCH * payload
        self._buffer = bytearray(FRAME_MOST)
        self._pointer = address_of(self._buffer)

    def receive(self, fd):
        left = self._payload
        while left > 0:
            size = _read(fd, self._pointer, FRAME_MOST)
            if size <= self._headers:
                raise OSError("a packet was lost")
            left -= size - self._headers
        if left:
            raise OSError("more came than was sent")


class End:
    """A device with its host, as daemon/interface.py has it; `outside` is the other end of its tunnel device."""

    def __init__(self, number, peers):
        fds = bytearray(8)
        if _socketpair(AF_UNIX, SOCK_SEQPACKET | O_NONBLOCK, 0, address_of(fds)) < 0:
            raise OSError("no pair of sockets")
        fd, self.outside = unpack_from("ii", fds)
        self._prepare(fd, system.files.alloc)
        self.udp = system.udp.UdpSocket(False, 0, 0)
        self.addr = system.inet.make_address(LOOPBACK, self.udp.port, 0)
        tables = Tables(peers, alloc=system.files.alloc)
        prefixes = min(16 * peers, 1 << 15)
        self.device = Device(tables, self.arena, self.inbox, self, prefixes, prefixes)
        self.device.set_private_key(bytes([number + 1]) * 32, START)
        self.device.up(START)
        self.address_bytes = address.address_bytes
        self.refused = 0

    def _prepare(self, fd, alloc):
        """Make arena, inbox and the port of the tunnel device."""
        path = fastpath_library()
        if path is None:
            self.arena, self.inbox = Arena(DEFAULT_MTU, alloc=alloc), Inbox(alloc=alloc)
            self.tun = system.tun.TunPort(fd)
            return
        from wgembed.packets import fastpath

        self.fastpath = fastpath.Fastpath(path, system.clib.Library, alloc)
        self.arena, self.inbox = self.fastpath.arena, self.fastpath.inbox
        self.tun = self.fastpath.port(fd, OFFLOAD)

    def send(self, addr, src, buf, size, tos):
        return self.udp.send(addr, src, buf, size, tos)

    def reply(self, addr, src, buf, size):
        return self.udp.reply(addr, src, buf, size)

    tests_segments = 0

    def send_run(self, addr, src, arena, first, end, ecn, segments):
        return self.udp.send_run(addr, src, arena, first, end, ecn, segments)

    def deliver(self, view, packets, lengths, count):
        self.refused += self.tun.write_batch(view, packets, lengths, count)

    def realtime(self):
        return 1_700_000_000, 0

    def source(self, peer, is_new):
        return peer.called_at

    def unanswered(self, peer):
        """Nothing is lost here."""

    def transmit(self, now):
        """Send what the tunnel device has."""
        tun, arena = self.tun, self.arena
        count = tun.read_batch(arena)
        while count:
            self.device.transmit(now, count)
            count = tun.read_rest(arena)

    def receive(self, now):
        """Take what the socket has."""
        udp = self.udp
        while udp.receive(self.inbox):
            self.device.receive(now, udp.length, udp.stride, udp.addr, udp.src, udp.tos)
        self.refused += self.tun.flush()
        self.device.handshakes(now, 1000)


def connect(ends, others, prefixes):
    """Make the ends each other's peer, among so many others with so many prefixes each; exchange a packet each way."""
    for number, end in enumerate(ends):
        other = ends[1 - number]
        network = 0
        for n in range(others):
            peer = end.device.add_peer(pack("<I", n + 1) + bytes([number]) * 28)
            for _ in range(prefixes):
                if network == (77 - 64) << 8:
                    network += 1
                # Around the addresses of the tunnel, so that the way to them is as long as a table of this size makes it.
                end.device.allow(peer, bytes([10, 64 + (network >> 8), network & 255, 0]), 24, START)
                network += 1
        peer = end.device.add_peer(other.device.identity.public)
        end.device.allow(peer, INNER[1 - number], 32, START)
        end.device.set_endpoint(peer, other.addr, START)
    first, second = ends
    for end, other, number in ((first, second, 0), (second, first, 1)):
        feed([ip(number, 17, bytes(UDP))] * BATCH).send(end.outside)
        end.transmit(START)
        for _ in range(2):
            other.receive(START)
            end.receive(START)
    for end in ends:
        drain(IPV4, UDP).receive(end.outside)
        if end.device.last.current is None:
            raise OSError("there is no session")


def pseudo_header(packet, protocol, size):
    """Return the pseudo header before `size` bytes of a transport protocol."""
    return bytes(packet[12:20]) + pack(">HH", protocol, size)


def ip(sender, protocol, payload, number=0):
    """Return an IPv4 packet from this end to the other, with the checksum of its transport protocol at its place."""
    addresses = INNER[sender] + INNER[1 - sender]
    header = bytearray(pack(">BBHHHBBH", 0x45, 0, IPV4 + len(payload), number, 0x4000, 64, protocol, 0) + addresses)
    pack_into(">H", header, 10, checksum(header, 0, IPV4))
    covered = pseudo_header(header, protocol, len(payload)) + payload
    payload = bytearray(payload)
    pack_into(">H", payload, TCP_CHECKSUM if protocol == 6 else UDP_CHECKSUM, checksum(covered, 0, len(covered)))
    return header + payload


SEGMENT = DEFAULT_MTU - IPV4 - TCP  # as large as the link takes


def tcp(number, count=1):
    """Return the packet of this number of a stream, or so many from there on as if there were no limit to a packet."""
    header = pack(">HHIIBBHHH", 5201, 40000, number * SEGMENT, 1, 0x50, 0x10, 512, 0, 0)
    return ip(0, 6, header + bytes(range(230)) * (count * SEGMENT // 230), number)


def super_packet():
    """Return a batch of a stream as a kernel gives it, for us to split and to complete the checksums."""
    packet = tcp(0, BATCH)
    pseudo = pseudo_header(packet, 6, len(packet) - IPV4)
    pack_into(">H", packet, IPV4 + TCP_CHECKSUM, 0xFFFF ^ checksum(pseudo, 0, len(pseudo)))
    return pack(VNET_HEADER, NEEDS_CSUM, GSO_TCPV4, IPV4 + TCP, SEGMENT, IPV4, TCP_CHECKSUM) + packet


def udp(number):
    """Return a packet with a datagram of 64 bytes."""
    return ip(0, 17, pack(">HHHH", 40000, 9, UDP + 64, 0) + bytes(range(64)), number)


def feed(packets):
    """Return what puts these packets into a tunnel device, as they are."""
    return Batch([PLAIN + packet for packet in packets] if fastpath_library() else packets)


def drain(headers, payload):
    """Return what takes a batch of packets, with so many bytes of headers and payload each, out of a tunnel device."""
    return Joined(headers, payload) if fastpath_library() else Batch([bytearray(DEFAULT_MTU) for _ in range(BATCH)])


def traffic(kind):
    """Return what puts in a batch of this kind, and what takes it out."""
    if kind == "udp":
        return feed([udp(number) for number in range(BATCH)]), drain(IPV4 + UDP, 64)
    put = Batch([super_packet()]) if fastpath_library() else feed([tcp(number) for number in range(BATCH)])
    return put, drain(IPV4 + TCP, SEGMENT)


def main(packets, kind, mode, peers, prefixes):
    others = peers - 1
    ends = [End(number, peers) for number in range(2)]
    connect(ends, others, prefixes // peers if others else 0)
    first, second = ends
    put, take = traffic(kind)
    if sys.implementation.name == "micropython":
        system.start._settle(0)  # as the daemon does when it is ready
    before, sent = second.device.last.rx_bytes, first.device.last.tx_bytes
    for batch in range(packets // BATCH):
        now = START + batch
        put.send(first.outside)
        first.transmit(now)
        if mode == "both":
            second.receive(now)
            take.receive(second.outside)
    dropped = sum(first.device.drops) + sum(second.device.drops) + second.refused
    carried = second.device.last.rx_bytes - before
    if dropped or carried != (first.device.last.tx_bytes - sent if mode == "both" else 0):
        raise OSError("not all packets came through")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
