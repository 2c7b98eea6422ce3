"""The two fixed places where packets stand: slots for what leaves, one inbox for what arrives.

Nothing else on the packet path holds a packet. Sealing and opening happen where the packet was read, so a packet is
copied by the kernel alone. What is done with a run of packets is a method here, so that a library may do it instead
(fastpath.py): seal, end_of_run, gso_group_end; open, append.
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
    """A fixed buffer carved into slots by the MTU: room for header, padded packet and tag each.

    view, stride, offsets[i], pointers[i], lengths[i] are what `runs.seal_run` takes; packets[i] is where the packet of
    slot i begins, views[i] the part of the buffer that may be read into, `slot_size` bytes. A slot begins every `stride`
    bytes: full messages stand without a gap, as one piece to be sent.
    """

    __slots__ = (
        "buffer", "lengths", "offsets", "packets", "pointers", "slot_size", "slots", "stride", "view", "views",
        "_most", "_pointer",
    )  # fmt: skip

    def __init__(self, mtu, size=ARENA_SIZE, alloc=alloc, most=MAX_SLOTS):
        """Make a buffer of `size` bytes and carve it into `most` slots, or as many as it has room for."""
        self._most = most
        self.buffer = alloc("B", size)
        self.view = memoryview(self.buffer)
        self._pointer = crypto.pointer_to(self.buffer)
        self.carve(mtu)

    def carve(self, mtu):
        """Lay the slots out for links of up to `mtu` bytes. What stood in them is void."""
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
        """Return the first slot after `first`, `count` at most, whose packet cannot go with that one.

        It has another destination, TOS or protocol, or is a datagram of our own to the peer. The first packet has a whole
        IP header.
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
        """Pad and seal the packets of the slots in place, as transport messages: see `runs.seal_run`."""
        return runs.seal_run(self, first, end, key, header, counter, mtu)

    def gso_group_end(self, first, end):
        """Return the end of the messages from `first` on that one segmented send can take: the last may be shorter."""
        lengths = self.lengths
        stop = runs.run_end(lengths, first, end)
        return stop + 1 if stop < end and lengths[stop] < lengths[first] else stop


class Inbox:
    """One receive's worth of datagrams, and the lists in which opening them leaves its results.

    view, pointer, counters, lengths, in_order, pointers, pointers_for are what `runs.open_run` takes. The good packets are
    `good` in number, by offset and length in `packets` and `packet_lengths`, in messages of `received` bytes. What is
    received goes to the offset `start`, here 0.
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
        """Open in place the run of messages that begins at `start`; returns how many it was: see `runs.open_run`."""
        return runs.open_run(self, start, end, stride, key)

    def begin(self):
        """Forget what was good of the last run."""
        self.good = self.received = 0

    def clear(self):
        """Forget all that is here: it was written, or is not wanted."""
        self.good = 0

    def append(self, packet, stride, first, count, where, width):
        """Append the good packet at `packet`, the `first` of an opened run of `count`, with those behind that are like it.

        where, width  its source address

        They are put behind the `good` ones that are there. Returns the first that was not taken.
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
        """Return how many of `count` packets, from the first on, have its length, TOS and source."""
        view = self.view
        if width == 4:
            count = runs.common_run(view, packet, 4, stride, count)
        else:
            count = runs.common_run(view, packet, 2, stride, count)
            count = runs.common_run(view, packet + IPV6_LENGTH, 2, stride, count)
        return runs.common_run(view, where, width, stride, count)
