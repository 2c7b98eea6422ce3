"""The two fixed buffers for packets: the arena with slots for packets that leave, and the inbox for datagrams that arrive.

No other part of the packet path holds a packet. A packet is sealed or opened in the buffer into which it was read, so only
the kernel copies it. The operations on a run of packets are methods of the two classes, so that the C library can replace
them (fastpath.py): seal, end_of_run, gso_group_end; open, append.
"""

from .. import crypto
from ..protocol import own_datagrams
from ..protocol.constants import TAG_SIZE, TRANSPORT_HEADER_SIZE, TRANSPORT_OVERHEAD
from ..protocol.ip import (
    IPV4_DESTINATION,
    IPV4_HEADER,
    IPV4_LENGTH,
    IPV4_PROTOCOL,
    IPV6_DESTINATION,
    IPV6_HEADER,
    IPV6_LENGTH,
    IPV6_NEXT,
    UDP,
)
from ..protocol.memory import alloc
from . import runs

ARENA_SIZE = 64 * 1536
MAX_SLOTS = 64
INBOX_SIZE = 65536
MAX_DATAGRAMS = 128

_ALIGN = 4


class Arena:
    """A fixed buffer, divided into slots by the MTU. A slot has space for the header, the padded packet and the tag.

    view, stride, offsets[i], pointers[i], lengths[i]  what `runs.seal_run` uses: see contract.py
    packets[i]  the offset of the packet of slot i
    views[i]    the part of the buffer for the packet of slot i, `slot_size` bytes
    slots       the number of slots

    A slot begins every `stride` bytes. So there is no gap between messages of full size, and one call can send them.
    """

    __slots__ = (
        "buffer", "lengths", "offsets", "packets", "pointers", "slot_size", "slots", "stride", "view", "views",
        "_most", "_pointer",
    )  # fmt: skip

    def __init__(self, mtu, size=ARENA_SIZE, alloc=alloc, most=MAX_SLOTS):
        """Make a buffer of `size` bytes, and divide it into `most` slots, or fewer if they do not fit."""
        self._most = most
        self.buffer = alloc("B", size)
        self.view = memoryview(self.buffer)
        self._pointer = crypto.pointer_to(self.buffer)
        self.carve(mtu)

    def carve(self, mtu):
        """Divide the buffer into slots for packets of up to `mtu` bytes. The content of the slots is lost."""
        # A packet is padded to a multiple of 16, but not beyond the MTU.
        slot_size = -(-mtu // _ALIGN) * _ALIGN
        stride = TRANSPORT_HEADER_SIZE + slot_size + TAG_SIZE
        count = min(len(self.buffer) // stride, self._most)
        if count == 0:
            raise ValueError("the MTU %d is too large for the packet arena" % mtu)
        self.slot_size = slot_size
        self.stride = stride
        self.slots = count
        self.offsets = [i * stride for i in range(count)]
        self.packets = [offset + TRANSPORT_HEADER_SIZE for offset in self.offsets]
        self.views = [self.view[packet : packet + slot_size] for packet in self.packets]
        self.pointers = [runs.message_pointers(self._pointer, offset) for offset in self.offsets]
        self.lengths = [0] * count

    def end_of_run(self, first, count, peer, host):
        """Return the first slot after `first`, at most `count`, whose packet does not belong to the run of slot `first`.

        This packet has another destination, TOS or protocol, or it is our own datagram to the peer. The packet in slot
        `first` has a whole IP header.
        """
        view, stride, lengths = self.view, self.stride, self.lengths
        packet = self.packets[first]
        if view[packet] & 0xF0 == 0x40:
            header, protocol = IPV4_HEADER, IPV4_PROTOCOL
            where, width = IPV4_DESTINATION, 4
        else:
            header, protocol = IPV6_HEADER, IPV6_NEXT
            where, width = IPV6_DESTINATION, 16
        run = runs.common_run(view, packet + where, width, stride, count - first)
        run = runs.common_run(view, packet, 2, stride, run)
        run = runs.common_run(view, packet + protocol, 1, stride, run)
        is_udp = view[packet + protocol] == UDP
        for slot in range(first + 1, first + run):
            if lengths[slot] < header or is_udp and own_datagrams.is_own(view, self.packets[slot], lengths[slot], peer):
                return slot
        return first + run

    def seal(self, first, end, key, header, counter, mtu):
        """Pad and seal the packets in the slots, in place, as transport messages: see `seal_run` in contract.py."""
        return runs.seal_run(self, first, end, key, header, counter, mtu)

    def gso_group_end(self, first, end):
        """Return the end of the messages from slot `first` on that one segmented send can carry.

        All have the size of the first one; only the last one can be shorter.
        """
        lengths = self.lengths
        stop = runs.run_end(lengths, first, end)
        return stop + 1 if stop < end and lengths[stop] < lengths[first] else stop


class Inbox:
    """The datagrams of one receive, and lists with the results of opening them.

    view, pointer, counters, lengths, in_order, pointers, pointers_for  what `runs.open_run` uses: see contract.py
    good                      the number of good packets
    packets, packet_lengths   the offset and the length of each good packet
    received                  the total size of their messages, in bytes
    start                     the offset for the next receive, here always 0
    """

    __slots__ = (
        "buffer", "counters", "good", "in_order", "lengths", "packet_lengths", "packets", "pointer", "pointers",
        "pointers_for", "received", "start", "view",
    )  # fmt: skip

    def __init__(self, size=INBOX_SIZE, alloc=alloc):
        self.buffer = alloc("B", size)
        self.view = memoryview(self.buffer)
        self.pointer = crypto.pointer_to(self.buffer)
        self.counters = [0] * MAX_DATAGRAMS
        self.lengths = [0] * MAX_DATAGRAMS
        self.packets = [0] * MAX_DATAGRAMS
        self.packet_lengths = [0] * MAX_DATAGRAMS
        self.in_order = False
        self.good = self.received = self.start = 0
        self.pointers = []
        self.pointers_for = None

    bytes_equal = staticmethod(runs.bytes_equal)

    def open(self, start, end, stride, key):
        """Open, in place, the run of messages that begins at `start`. Returns the number of messages: see contract.py."""
        return runs.open_run(self, start, end, stride, key)

    def begin(self):
        """Start a new run: forget the good packets of the last one."""
        self.good = self.received = 0

    def clear(self):
        """Forget all good packets, because they were written or are not needed."""
        self.good = 0

    def append(self, packet, stride, first, count, where, width):
        """Append the packet `first` of an opened run, and the next ones that are like it, to the good packets.

        packet        the offset of this packet
        stride        the distance between two packets of the run
        count         the number of packets in the run
        where, width  the offset and the size of its source address

        Packets are alike if they have the same length, TOS and source. Returns the number of the first packet of the run
        that was not appended.
        """
        view, lengths = self.view, self.lengths
        if width == 4:
            length = view[packet + IPV4_LENGTH] << 8 | view[packet + IPV4_LENGTH + 1]
        else:
            length = (view[packet + IPV6_LENGTH] << 8 | view[packet + IPV6_LENGTH + 1]) + IPV6_HEADER
        end = first + self._common_run(packet, stride, runs.run_end(lengths, first, count) - first, where, width)
        packets, packet_lengths = self.packets, self.packet_lengths
        good = self.good
        self.good += end - first
        self.received += (end - first) * (lengths[first] + TRANSPORT_OVERHEAD)
        while good < self.good:
            packets[good] = packet
            packet_lengths[good] = length
            packet += stride
            good += 1
        return end

    def _common_run(self, packet, stride, count, where, width):
        """Return how many of `count` packets, counted from the first, have the length, TOS and source of the first."""
        view = self.view
        if width == 4:
            count = runs.common_run(view, packet, 4, stride, count)
        else:
            count = runs.common_run(view, packet, 2, stride, count)
            count = runs.common_run(view, packet + IPV6_LENGTH, 2, stride, count)
        return runs.common_run(view, where, width, stride, count)
