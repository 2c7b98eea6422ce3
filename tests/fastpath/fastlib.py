"""The library through ctypes, and the memory that it works in."""

import ctypes
import socket
from pathlib import Path

from wgembed import crypto
from wgembed.packets.arena import INBOX_SIZE, MAX_DATAGRAMS, Arena

ROOT = Path(__file__).parents[2]
# A library to test in place of one made here: the tests run a second time over one that checks itself.
GIVEN = "WGEMBED_FASTPATH_LIBRARY"

_U32, _I32, _U64, _P = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_void_p

MEMORY = ("buffer", "lengths", "inbox", "opened", "counters", "packets", "packet_lengths")
SODIUM = ("encrypt", "decrypt", "stream", "authenticate", "verify")
SIZES = ("buffer_size", "slots", "stride", "slot_size", "inbox_size", "datagrams", "offload", "pending")
RESULTS = ("appended_bytes", "appended_good", "in_order", "dropped")
SUPER = ("super_size", "super_transport", "super_header", "super_segment", "super_next", "super_count")


class State(ctypes.Structure):
    _fields_ = [
        *((name, _U64) for name in (*MEMORY, *SODIUM)),
        *((name, _U32) for name in SIZES),
        *((name, _U32) for name in (*RESULTS, *SUPER, "abi", "unjoined", "taken", "emptied")),
    ]


FUNCTIONS = {
    "abi": (_U32, []),
    "self_test": (_I32, [_P]),
    "read": (_I32, [_P, _I32, _I32]),
    "seal": (_U32, [_P, _I32, _I32, _P, _P, _U64, _U32]),
    "end_of_run": (_I32, [_P, _I32, _I32, _P, _U32]),
    "gso_group_end": (_I32, [_P, _I32, _I32]),
    "open": (_I32, [_P, _I32, _I32, _I32, _P]),
    "append": (_I32, [_P, _I32, _I32, _I32, _I32, _I32, _I32, _I32]),
    "write": (_I32, [_P, _I32, _P, _I32]),
    "choose_cipher": (_I32, [_P, _I32]),
    "blake2s": (_I32, [_P, _U32, _P, _U32, _P, _U32]),
    "hkdf": (_I32, [_P, _U32, _P, _U32, _P, _U32]),
    "chacha20": (_I32, [_P, _P, _U32, _P, _U32, _P]),
}


def _hold(memory):
    """Return the memory as ctypes has it: as long as that lives, its address and size stay."""
    return ctypes.c_char.from_buffer(memory)


class Fastpath:
    """The library at `path`, with memory of its own: `arena`, `inbox`, and arrays; a socket pair is the tunnel device."""

    def __init__(self, path, mtu=1420, arena_size=64 * 1536, inbox_size=INBOX_SIZE, datagrams=MAX_DATAGRAMS):
        self.path = str(path)
        library = ctypes.CDLL(self.path)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(library, "wgembed_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, "_" + name, function)
        self.arena = Arena(mtu, arena_size)
        self.inbox = bytearray(inbox_size)
        self._held = _hold(self.arena.buffer), _hold(self.inbox)
        slots = self.arena.slots
        self.lengths, self.opened = (_I32 * slots)(), (_I32 * datagrams)()
        self.counters = (_U64 * datagrams)()
        self.packets, self.packet_lengths = (_I32 * datagrams)(), (_I32 * datagrams)()
        self.state = State(
            buffer=ctypes.addressof(self._held[0]), inbox=ctypes.addressof(self._held[1]),
            **dict(zip(SODIUM, crypto.aead_addresses(), strict=True)),
            buffer_size=len(self.arena.buffer), slots=slots, stride=self.arena.stride,
            slot_size=self.arena.slot_size, inbox_size=inbox_size, datagrams=datagrams, abi=self._abi(),
        )  # fmt: skip
        for name in ("lengths", "opened", "counters", "packets", "packet_lengths"):
            setattr(self.state, name, ctypes.addressof(getattr(self, name)))
        self._at = ctypes.addressof(self.state)
        self.tun, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.tun, self.kernel):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 23)

    def close(self):
        self.tun.close()
        self.kernel.close()

    def abi(self):
        return self._abi()

    def self_test(self):
        return self._self_test(self._at)

    def choose_cipher(self, always=False):
        """Return whether the library's ChaCha20 is used from now on."""
        return bool(self._choose_cipher(self._at, always))

    def chacha20(self, data, nonce, counter, key):
        """Return the data with the library's key stream, or None if there is none for this CPU."""
        out = ctypes.create_string_buffer(len(data))
        return out.raw if not self._chacha20(out, data, len(data), nonce, counter, key) else None

    def blake2s(self, size, key, data):
        """Return the hash; None if the library refuses a size."""
        out = ctypes.create_string_buffer(max(size, 1))
        return out.raw if not self._blake2s(out, size, key, len(key), data, len(data)) else None

    def hkdf(self, size, key, data):
        """Return the output; None if the library refuses a size."""
        out = ctypes.create_string_buffer(max(size, 1))
        return out.raw if not self._hkdf(out, size, key, len(key), data, len(data)) else None

    def read(self, most=64):
        return self._read(self._at, self.tun.fileno(), most)

    def slot(self, index):
        """Return the packet in the slot."""
        at = self.arena.packets[index]
        return bytes(self.arena.buffer[at : at + self.lengths[index]])

    def put(self, index, packet):
        """Put a packet into the slot."""
        at = self.arena.packets[index]
        self.arena.buffer[at : at + len(packet)] = packet
        self.lengths[index] = len(packet)

    def read_all(self, *frames):
        """Give the frames to the device and return the packets that come of them, by however many calls it takes."""
        for frame in frames:
            self.kernel.send(frame)
        found = []
        while True:
            count = self.read()
            assert 0 <= count <= self.state.slots
            found += [self.slot(i) for i in range(count)]
            if not count and not self.state.pending and not self._left():
                return found

    def _left(self):
        try:
            return self.tun.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return b""

    def seal(self, first, end, key, header, counter, mtu):
        return self._seal(self._at, first, end, key, header, counter, mtu)

    def end_of_run(self, first, count, own=b""):
        return self._end_of_run(self._at, first, count, own, len(own))

    def gso_group_end(self, first, end):
        return self._gso_group_end(self._at, first, end)

    def open(self, start, end, stride, key):
        return self._open(self._at, start, end, stride, key)

    def append(self, packet, stride, first, count, where, width, good):
        return self._append(self._at, packet, stride, first, count, where, width, good)

    def write(self, count, base=None):
        """Write the packets that stand in the inbox, or in another buffer."""
        held = _hold(self.inbox if base is None else base)
        return self._write(self._at, self.tun.fileno(), ctypes.addressof(held), count)

    def write_all(self, packets, stride=None):
        """Put the packets into the inbox as a run leaves them and write them; returns the frames that were written."""
        stride = stride or max(map(len, packets)) + 32
        for i, packet in enumerate(packets):
            at = 16 + i * stride
            self.inbox[at : at + len(packet)] = packet
            self.packets[i], self.packet_lengths[i] = at, len(packet)
        before = bytes(self.inbox)
        assert self.write(len(packets)) == 0
        assert self.inbox == before, "what is written is not changed"
        return self.written()

    def written(self):
        """Return the frames that were written."""
        found = []
        while True:
            try:
                found.append(self.kernel.recv(70000))
            except BlockingIOError:
                return found
