"""The batch steps of the packet path in the optional C library (fastpath/fastpath.c): arena, inbox and tunnel device.

The library has no state. It uses one struct, which this module fills in, and reads keys from the table of secrets.
"""

from struct import calcsize, pack_into

from .. import crypto
from ..errors import UserError
from ..protocol.constants import DEFAULT_MTU
from . import arena as arena_module

_ABI = 6 << 16 | 184  # the version, and the size of struct fastpath

# struct fastpath has twelve pointers of 64 bits, then numbers of 32 bits. These are the positions of the numbers, in units
# of 32 bits from the beginning of the struct.
_POINTERS = "12Q"
_SIZE = 46
_BUFFER_SIZE = 24
_SLOTS = 25
_STRIDE = 26
_SLOT_SIZE = 27
_INBOX_SIZE = 28
_DATAGRAMS = 29
_OFFLOAD = 30
_PENDING = 31
_APPENDED_BYTES = 32
_APPENDED_GOOD = 33
_IN_ORDER = 34
_ABI_FIELD = 42
_UNJOINED = 43
_TAKEN = 44
_EMPTIED = 45

# MicroPython makes a long integer of every item that it reads from an array of "Q".
_UINT64 = "L" if calcsize("L") == 8 else "Q"

# Neither packets of TCP nor of UDP are joined.
_UNJOINED_ALL = 3

_FUNCTIONS = {
    "abi": ("I", ""),
    "self_test": ("i", "P"),
    "read": ("i", "Pii"),
    "end_of_run": ("i", "PiiPI"),
    "seal": ("I", "PiiPPQI"),
    "gso_group_end": ("i", "Pii"),
    "open": ("i", "PiiiP"),
    "append": ("i", "Piiiiiii"),
    "write": ("i", "PiPi"),
    "choose_cipher": ("i", "Pi"),
    "blake2s": ("i", "PIPIPI"),
    "hkdf": ("i", "PIPIPI"),
}

# Two super-packets of 64 KB. The end of the first one, which needs another segmented send, can leave with the second one.
_MOST_SLOTS = 100
_ARENA_SIZE = _MOST_SLOTS * 1536

_KEPT = 4  # the inbox has space for this many receives

# After this many reads, the loop turns to other descriptors.
_READS = 64


class Fastpath:
    """The library at `path`, with its arena and inbox. UserError if the library cannot be loaded or does not work.

    library         the class that loads it, clib.Library of the runtime
    alloc           see protocol/memory.py
    chooses_cipher  whether the library's ChaCha20 is used if it is faster than libsodium's; then `has_own_cipher` is True
    """

    def __init__(self, path, library, alloc, chooses_cipher=True):
        self.path = path
        try:
            self._library = library(path)
            self.functions = {name: self._function(name) for name in _FUNCTIONS}
        except OSError as e:
            raise UserError("cannot load %s: %s" % (path, e)) from None
        abi = self.functions["abi"]()
        if abi != _ABI:
            raise UserError("%s has interface version %#x, expected %#x" % (path, abi, _ABI))
        self.state = alloc("I", _SIZE)
        self.at = crypto.pointer_to(self.state)
        self.state[_ABI_FIELD] = _ABI
        self.inbox = FastInbox(self, alloc)
        self.arena = FastArena(self, alloc)
        self._fill_in()
        self.has_own_cipher = chooses_cipher and bool(self.functions["choose_cipher"](self.at, 0))
        wrong = self.functions["self_test"](self.at)
        if wrong:
            raise UserError("%s fails its self-test %d" % (path, wrong))
        if not crypto.use_hashes(self.functions["blake2s"], self.functions["hkdf"]):
            raise UserError("%s: its BLAKE2s is wrong" % path)

    def _function(self, name):
        result, arguments = _FUNCTIONS[name]
        return self._library.function(result, "wgembed_" + name, arguments)

    def _fill_in(self):
        held = self.arena.buffer, self.arena.lengths, self.inbox.buffer, self.inbox.lengths, self.inbox.counters
        held += self.inbox.packets, self.inbox.packet_lengths
        pointers = [crypto.address_of(crypto.pointer_to(memory)) for memory in held]
        pack_into(_POINTERS, self.state, 0, *pointers, *crypto.aead_addresses())
        self.state[_INBOX_SIZE] = len(self.inbox.buffer)
        self.state[_DATAGRAMS] = arena_module.MAX_DATAGRAMS

    def use_offload(self, offload):
        """Use these offloads, which were set on the tunnel device (TUNSETOFFLOAD). They are the same for all devices."""
        self.state[_OFFLOAD] = offload
        self.state[_UNJOINED] = 0 if offload else _UNJOINED_ALL

    @property
    def offload(self):
        return self.state[_OFFLOAD]

    @property
    def unjoined(self):
        """The packets for the tunnel device that are not joined: 1 TCP, 2 UDP. The kernel can have refused joined ones."""
        return self.state[_UNJOINED]

    def port(self, fd, offload):
        """Return the port of an open tunnel device whose packets have a virtio header: see `use_offload`."""
        self.use_offload(offload)
        return FastTunPort(self, fd)


class FastArena(arena_module.Arena):
    """An arena whose runs the library seals."""

    __slots__ = ("_at", "_end_of_run", "_fixed_lengths", "_gso_group_end", "_own", "_own_addr", "_seal", "_state")

    def __init__(self, fastpath, alloc):
        self._at, self._state = fastpath.at, fastpath.state
        self._seal = fastpath.functions["seal"]
        self._gso_group_end = fastpath.functions["gso_group_end"]
        self._end_of_run = fastpath.functions["end_of_run"]
        self._own, self._own_addr = b"", None
        self._fixed_lengths = alloc("i", _MOST_SLOTS)
        super().__init__(DEFAULT_MTU, _ARENA_SIZE, alloc, _MOST_SLOTS)

    def carve(self, mtu):
        super().carve(mtu)
        self.lengths = self._fixed_lengths
        state = self._state
        state[_BUFFER_SIZE] = len(self.buffer)
        state[_SLOTS] = self.slots
        state[_STRIDE] = self.stride
        state[_SLOT_SIZE] = self.slot_size

    def end_of_run(self, first, count, peer, host):
        # The library ends a run before a datagram to the peer's endpoint. The caller checks whether it is our own, because
        # it is then the first packet of a run.
        if peer.addr is not self._own_addr:
            self._own_addr = peer.addr
            self._own = host.address_bytes(peer.addr)
        return self._end_of_run(self._at, first, count, self._own, len(self._own))

    def seal(self, first, end, key, header, counter, mtu):
        return self._seal(self._at, first, end, key, header, counter, mtu)

    def gso_group_end(self, first, end):
        return self._gso_group_end(self._at, first, end)


class FastInbox(arena_module.Inbox):
    """An inbox whose runs the library opens.

    It has space for several receives. So the good packets of one receive can wait for those of the next, and one write to
    the tunnel device can join them. For example, a super-packet of 64 KB does not fit into one receive, and needs two.
    """

    __slots__ = ("_at", "_end", "_open", "_state", "_append")

    def __init__(self, fastpath, alloc):
        super().__init__(_KEPT * arena_module.INBOX_SIZE, alloc)
        self._end = 0
        self._at, self._state = fastpath.at, fastpath.state
        self._open = fastpath.functions["open"]
        self._append = fastpath.functions["append"]
        self.lengths = alloc("i", arena_module.MAX_DATAGRAMS)
        self.counters = alloc(_UINT64, arena_module.MAX_DATAGRAMS)
        self.packets = alloc("i", _KEPT * arena_module.MAX_DATAGRAMS)
        self.packet_lengths = alloc("i", _KEPT * arena_module.MAX_DATAGRAMS)

    def begin(self):
        self.received = 0
        if self.good > (_KEPT - 1) * arena_module.MAX_DATAGRAMS:
            self.clear()  # the good packets were not written, and there would be no space for more

    def keep(self):
        """Let the next receive go after the packets that are here. False, without a change, if there is no space for it."""
        others = _KEPT - 1
        if self._end > others * arena_module.INBOX_SIZE or self.good > others * arena_module.MAX_DATAGRAMS:
            return False
        self.start = self._end
        return True

    def clear(self):
        self.good = self.start = 0

    def open(self, start, end, stride, key):
        self._end = end
        count = self._open(self._at, start, end, stride, key)
        self.in_order = self._state[_IN_ORDER] == count
        return count

    def append(self, packet, stride, first, count, where, width):
        end = self._append(self._at, packet, stride, first, count, where, width, self.good)
        self.good = self._state[_APPENDED_GOOD]
        self.received += self._state[_APPENDED_BYTES]
        return end


class FastTunPort:
    """The batch steps on an open, non-blocking tunnel device whose packets have a virtio header. See runtime/contract.py."""

    def __init__(self, fastpath, fd):
        self.fd = fd
        self._at, self._state, self._inbox = fastpath.at, fastpath.state, fastpath.inbox
        self._read = fastpath.functions["read"]
        self._write = fastpath.functions["write"]
        self._inbox_at = crypto.pointer_to(self._inbox.buffer)

    def read_batch(self, arena):
        """Read packets into the arena's slots, from the first on. Returns their number; OSError if the device is gone.

        The content of the inbox is lost.
        """
        count = self._read(self._at, self.fd, _READS)
        if count < 0:
            raise OSError(-count, "cannot read the tunnel device")
        return count

    def taken(self, arena, count):
        """Return how many packets the last `read_batch` took from the queue; 0 if it emptied the queue."""
        return 0 if self._state[_EMPTIED] else self._state[_TAKEN]

    def read_rest(self, arena):
        """Fill the slots again with the rest of a super-packet that needed more slots. Returns 0 if there is no rest."""
        return self._read(self._at, self.fd, 0) if self._state[_PENDING] else 0

    def write_batch(self, view, packets, lengths, count):
        """Write `count` IP packets, given by offset and length. Returns the number of packets that the kernel refused.

        Packets of the inbox can stay there. The next write or `flush` then writes them.
        """
        inbox = self._inbox
        if packets is inbox.packets:
            return 0 if inbox.keep() else self.flush()
        for i in range(count):
            inbox.packets[i], inbox.packet_lengths[i] = packets[i], lengths[i]
        return self._write(self._at, self.fd, crypto.pointer_to(view), count)

    def flush(self):
        """Write the packets that were kept. Returns the number of packets that the kernel refused."""
        inbox = self._inbox
        refused = self._write(self._at, self.fd, self._inbox_at, inbox.good) if inbox.good else 0
        inbox.clear()
        return refused
