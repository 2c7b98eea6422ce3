"""The peer table: everything about a peer, in memory that is laid out at start.

Secrets and replay windows stand in two large tables, a fixed record a peer; untouched records cost no resident
memory. The objects in this file are made when an entry of the table is first used, and reused ever after.
"""

from .. import crypto
from . import noise
from .constants import NEVER
from .events import Rings
from .indices import IndexTable
from .memory import TableFull, alloc
from .ratelimiter import RateLimiter
from .replay import WINDOW_BYTES
from .staged import StagedPool
from .timers import Timers

_HANDSHAKE = 3  # beside 0, 1, 2 for the keypairs: what of a peer an index names


class Keypair:
    """One of a peer's three keypair slots. Not in use while its index is None.

    number   0, 1 or 2
    index    our index, 4 bytes as on the wire
    header   the first 8 bytes of what is sent with it: type and the other end's index
    usable   False once expired or replaced by a new private key: then nothing more is sent with it
    counter  of the next packet sent
    top      of the replay window: one more than the highest counter accepted
    """

    __slots__ = (
        "birth", "counter", "header", "index", "initiator", "number", "receiving", "sending", "top", "usable",
        "window",
    )  # fmt: skip

    def __init__(self, tables, peer, number):
        record = peer * noise.RECORD_SIZE + noise.KEYPAIRS + number * 64
        self.number = number
        self.sending = tables.pointer + record
        self.receiving = tables.pointer + (record + 32)
        self.window = (peer * 3 + number) * WINDOW_BYTES
        self.index = None
        self.usable = False


class Peer:
    """A peer of one device. Times are `now` values; 0 stands for never or not armed."""

    __slots__ = (
        # who it is, and where
        "number", "tables", "device", "public_key", "addr", "before", "after",
        # where it is answered from
        "src", "called_at", "best_link", "routes_seen",
        # handshake and keypairs (noise.py)
        "handshake", "handshake_index", "remote_index", "keypairs", "current", "previous", "next",
        "last_initiation", "last_sent_handshake",
        # cookies (cookie.py)
        "cookie_birth", "has_sent_mac1",
        # timers (timers.py)
        "retransmit_at", "keepalive_at", "new_handshake_at", "zero_at", "persistent_at", "wake", "heap_index",
        "attempts", "another_keepalive", "sent_lastminute", "persistent_keepalive",
        # what the owner is told
        "handshake_sec", "handshake_nsec", "tx_bytes", "rx_bytes", "last_rx", "last_data_rx", "last_data_tx",
    )  # fmt: skip

    def __init__(self, tables, number):
        self.tables = tables
        self.number = number
        self.keypairs = tuple(Keypair(tables, number, i) for i in range(3))
        self.device = self.before = self.after = None
        self.reset()

    def __repr__(self):
        return "<Peer %d>" % self.number

    def reset(self):
        self.public_key = b""
        self.addr = None
        self.forget_source()
        self.handshake = noise.ZEROED
        self.handshake_index = self.remote_index = None
        self.current = self.previous = self.next = None
        self.last_initiation = self.last_sent_handshake = NEVER
        self.cookie_birth = 0
        self.has_sent_mac1 = False
        self.retransmit_at = self.keepalive_at = self.new_handshake_at = self.zero_at = self.persistent_at = 0
        self.wake = 0
        self.heap_index = -1
        self.attempts = self.persistent_keepalive = 0
        self.another_keepalive = self.sent_lastminute = False
        self.handshake_sec = self.handshake_nsec = self.tx_bytes = self.rx_bytes = 0
        self.last_rx = self.last_data_rx = self.last_data_tx = 0

    def forget_source(self):
        """Let the machine choose the source of what is sent, until the peer speaks to an address."""
        self.src = self.called_at = None
        self.best_link = self.routes_seen = 0

    def secret(self, field, size):
        """Return the part of the peer's record that begins at `field`: a writable view of `size` bytes."""
        start = self.number * noise.RECORD_SIZE + field
        return self.tables.records[start : start + size]

    def wipe(self, field, size):
        crypto.memzero(self.secret(field, size))

    # Indices: every way out of a handshake or a keypair leads through here.

    def new_index(self):
        """Draw the index of a new handshake and free the one of the handshake that it replaces."""
        self.free_handshake_index()
        self.handshake_index = self.tables.indices.new(self.number * 4 + _HANDSHAKE + 1)
        return self.handshake_index

    def free_handshake_index(self):
        if self.handshake_index is not None:
            self.tables.indices.free(self.handshake_index, 0)
            self.handshake_index = None

    def give_index(self, keypair):
        """Hand the handshake's index on to the keypair that came of it."""
        keypair.index = self.handshake_index
        self.handshake_index = None
        self.tables.indices.assign(keypair.index, 0, self.number * 4 + keypair.number + 1)

    def drop_handshake(self):
        """Wipe the handshake, whatever its state."""
        self.free_handshake_index()
        if self.handshake != noise.ZEROED:
            self.handshake = noise.ZEROED
            self.wipe(noise.HASH, noise.COOKIE - noise.HASH)

    def drop_keypair(self, keypair):
        """Wipe the keypair and free its slot. The caller mends current, previous and next. None is ignored."""
        if keypair is None:
            return
        self.tables.indices.free(keypair.index, 0)
        keypair.index = None
        keypair.usable = False
        self.wipe(noise.KEYPAIRS + keypair.number * 64, 64)

    def drop_keypairs(self):
        for keypair in (self.current, self.previous, self.next):
            self.drop_keypair(keypair)
        self.current = self.previous = self.next = None

    def spare_keypair(self):
        """Return the slot that neither of current, previous and next uses."""
        for keypair in self.keypairs:
            if keypair.index is None:
                return keypair
        raise AssertionError("all three keypairs are in use")


class Tables:
    """The fixed state of the process, shared by its devices.

    peers     how many there can be
    staged    bytes for packets that wait for a handshake
    alloc     see memory.py
    """

    def __init__(self, peers=64, staged=256 * 512, limiter=512, alloc=alloc):
        self.records = memoryview(alloc("B", peers * noise.RECORD_SIZE))
        self.pointer = crypto.pointer_to(self.records)
        self.windows = alloc("B", peers * 3 * WINDOW_BYTES)
        self.indices = IndexTable(peers * 4, alloc)
        self.staged = StagedPool(staged // 512, 512, peers, alloc)
        self.limiter = RateLimiter(limiter, alloc)
        self.timers = Timers()
        self.events = Rings(peers, alloc)
        self.alloc = alloc
        self.capacity = peers
        self.used = 0
        self._peers = []  # by number
        self._at = alloc("H", 2 * peers)  # a peer's number, by the hash of its endpoint: the last one to be there
        self._free = []

    def allocate(self):
        """Return an unused Peer; TableFull when there is none."""
        if self._free:
            peer = self._free.pop()
        elif len(self._peers) < self.capacity:
            peer = Peer(self, len(self._peers))
            self._peers.append(peer)
        else:
            raise TableFull("the peer table is full (%d peers)" % self.capacity)
        self.used += 1
        return peer

    def release(self, peer):
        """Wipe the peer and make its entry free again."""
        self.timers.stop(peer)
        self.staged.purge(peer.number)
        peer.drop_handshake()
        peer.drop_keypairs()
        peer.wipe(0, noise.RECORD_SIZE)
        self.events.clear(peer.number)
        peer.reset()
        self._free.append(peer)
        self.used -= 1

    def peer(self, number):
        return self._peers[number]

    def move(self, peer, addr):
        """The peer's endpoint is `addr` from now on."""
        peer.addr = addr
        self._at[hash(addr) % len(self._at)] = peer.number

    def is_endpoint(self, addr):
        """Whether `addr` is a peer's endpoint; of two with one hash, that of the last one to move is known."""
        number = self._at[hash(addr) % len(self._at)]
        return number < len(self._peers) and self._peers[number].addr == addr

    def owner(self, buf, offset):
        """Return (peer, keypair) for the index at `offset`: keypair None for a handshake, both None for no one."""
        found = self.indices.lookup(buf, offset) - 1
        if found < 0:
            return None, None
        peer = self._peers[found >> 2]
        which = found & 3
        return peer, None if which == _HANDSHAKE else peer.keypairs[which]
