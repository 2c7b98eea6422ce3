"""The two fixed places where packets stand: slots for what leaves, one inbox for what arrives.

Nothing else on the packet path holds a packet. Sealing and opening happen where the packet was read, so a packet is
copied by the kernel alone.
"""

from .. import crypto
from .constants import TAG_SIZE, TRANSPORT_HEADER_SIZE
from .memory import alloc

ARENA_SIZE = 64 * 1536
MAX_SLOTS = 64
INBOX_SIZE = 65536
MAX_DATAGRAMS = 128
# The largest MTU whose messages still fit a UDP datagram over IPv4, headers and tag included.
MAX_MTU = 65535 - 80

_ALIGN = 4


class Arena:
    """A fixed buffer carved into slots by the MTU: room for header, padded packet and tag each.

    view, stride, offsets[i], places[i], lengths[i] are what `crypto.seal_run` takes; packets[i] is where the packet of
    slot i begins, views[i] the part of the buffer that may be read into, `room` bytes. A slot begins every `stride`
    bytes: full messages stand without a gap, as one piece to be sent.
    """

    __slots__ = (
        "buffer", "lengths", "offsets", "packets", "places", "room", "slots", "stride", "view", "views",
        "_pointer",
    )  # fmt: skip

    def __init__(self, mtu, size=ARENA_SIZE, alloc=alloc):
        self.buffer = alloc("B", size)
        self.view = memoryview(self.buffer)
        self._pointer = crypto.address(self.buffer)
        self.carve(mtu)

    def carve(self, mtu):
        """Lay the slots out for links of up to `mtu` bytes. What stood in them is void."""
        # A packet is padded to a multiple of 16, but not beyond the MTU.
        room = -(-mtu // _ALIGN) * _ALIGN
        stride = TRANSPORT_HEADER_SIZE + room + TAG_SIZE
        count = min(len(self.buffer) // stride, MAX_SLOTS)
        if count == 0:
            raise ValueError("an MTU of %d does not fit the packet arena" % mtu)
        self.room = room
        self.stride = stride
        self.slots = count
        self.offsets = [i * stride for i in range(count)]
        self.packets = [offset + TRANSPORT_HEADER_SIZE for offset in self.offsets]
        self.views = [self.view[packet : packet + room] for packet in self.packets]
        self.places = [crypto.place(self._pointer, offset) for offset in self.offsets]
        self.lengths = [0] * count

    def end_of_equal(self, first, end):
        """Return the end, `end` at most, of the slots from `first` on that have one length."""
        return crypto.end_of_equal(self.lengths, first, end)


class Inbox:
    """One receive's worth of datagrams, and the lists in which opening them leaves its results.

    view, pointer, counters, lengths, in_order, places, placed are what `crypto.open_run` takes.
    """

    __slots__ = (
        "buffer", "counters", "in_order", "lengths", "packet_lengths", "packets", "placed", "places", "pointer", "view",
    )  # fmt: skip

    def __init__(self, size=INBOX_SIZE, alloc=alloc):
        self.buffer = alloc("B", size)
        self.view = memoryview(self.buffer)
        self.pointer = crypto.address(self.buffer)
        self.counters = [0] * MAX_DATAGRAMS
        self.lengths = [0] * MAX_DATAGRAMS
        self.packets = [0] * MAX_DATAGRAMS
        self.packet_lengths = [0] * MAX_DATAGRAMS
        self.in_order = False
        self.places = []
        self.placed = None

    def add(self, number, packet, length, stride, count):
        """Note `count` good packets from the `number`th on: one of `length` bytes every `stride` bytes from `packet` on."""
        packets, packet_lengths = self.packets, self.packet_lengths
        for i in range(number, number + count):
            packets[i] = packet
            packet_lengths[i] = length
            packet += stride
