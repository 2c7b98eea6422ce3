"""The peer table: everything about a peer, in memory that is reserved at start.

Secrets and replay windows are in two large tables, with a fixed record for each peer. A record that was never used costs
no resident memory. The objects of this file are made when an entry of the table is first used, and are then reused.
"""

from .. import crypto
from . import noise, segmentation
from .constants import NEVER
from .events import Rings
from .indices import IndexTable
from .memory import TableFull, alloc
from .ratelimiter import RateLimiter
from .replay import WINDOW_BYTES
from .staged import StagedPool
from .timers import Timers

_HANDSHAKE = 3  # an index names a keypair of a peer, 0, 1 or 2, or its handshake


class Keypair:
    """One of a peer's three keypair slots. The slot is free while its index is None.

    number              0, 1 or 2
    index               our receiver index, 4 bytes as on the wire
    header              the first 8 bytes of each message that is sent: the type and the receiver index of the peer
    sending, receiving  pointers to the two keys, 32 bytes each
    birth               when the keypair was derived, a `now` value
    usable              False after the private key changed: then nothing more is sent under this keypair
    counter             the counter of the next packet that is sent
    top                 the upper end of the replay window: one more than the highest counter that was accepted
    window              the offset of the replay window in the table of windows, in bytes
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
    """A peer of one device. Times are `now` values; 0 means never, or that the timer does not run."""

    __slots__ = (
        # identity and endpoint
        "number", "tables", "device", "public_key", "addr", "trial", "left", "before", "after",
        # the source address of packets to the peer
        "src", "called_at", "best_link", "routes_seen",
        # handshake and keypairs (noise.py)
        "handshake", "handshake_index", "remote_index", "keypairs", "current", "previous", "next",
        "last_initiation", "last_sent_handshake",
        # tests of segmented sends (segmentation.py)
        "segments", "probe", "probe_at", "probe_lost", "probe_wait", "probe_link",
        "watched", "suspected", "suspicion",
        # cookies (cookie.py)
        "cookie_birth", "has_sent_mac1",
        # timers (timers.py)
        "retransmit_at", "keepalive_at", "new_handshake_at", "zero_at", "persistent_at", "watch_at", "wake", "heap_index",
        "attempts", "unanswered", "another_keepalive", "sent_lastminute", "persistent_keepalive",
        # reported at the control socket
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
        self.addr = self.trial = self.left = None
        self.forget_source()
        self.handshake = noise.ZEROED
        self.handshake_index = self.remote_index = None
        self.current = self.previous = self.next = None
        self.last_initiation = self.last_sent_handshake = NEVER
        segmentation.reset(self)
        self.probe_link = self.watched = self.suspected = self.watch_at = 0
        self.cookie_birth = 0
        self.has_sent_mac1 = False
        self.retransmit_at = self.keepalive_at = self.new_handshake_at = self.zero_at = self.persistent_at = 0
        self.wake = 0
        self.heap_index = -1
        self.attempts = self.unanswered = self.persistent_keepalive = 0
        self.another_keepalive = self.sent_lastminute = False
        self.handshake_sec = self.handshake_nsec = self.tx_bytes = self.rx_bytes = 0
        self.last_rx = self.last_data_rx = self.last_data_tx = 0

    def forget_source(self):
        """Let the machine choose the source address, until the peer sends to one of our addresses."""
        self.src = self.called_at = None
        self.best_link = self.routes_seen = 0

    def secret(self, field, size):
        """Return the part of the peer's record that begins at `field`: a writable view of `size` bytes."""
        start = self.number * noise.RECORD_SIZE + field
        return self.tables.records[start : start + size]

    def wipe(self, field, size):
        crypto.memzero(self.secret(field, size))

    # Indices. Every function that ends a handshake or a keypair calls one of these.

    def new_index(self):
        """Return a new index for the peer's handshake, 4 bytes, and free the index of the handshake before."""
        self.free_handshake_index()
        self.handshake_index = self.tables.indices.new(self.number * 4 + _HANDSHAKE + 1)
        return self.handshake_index

    def free_handshake_index(self):
        if self.handshake_index is not None:
            self.tables.indices.free(self.handshake_index, 0)
            self.handshake_index = None

    def give_index(self, keypair):
        """Give the index of the handshake to the keypair that was derived from the handshake."""
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
        """Wipe the keypair and free its slot. The caller updates current, previous and next. None is ignored."""
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
        """Return a slot other than current, previous and next."""
        for keypair in self.keypairs:
            if keypair.index is None:
                return keypair
        raise AssertionError("all three keypairs are in use")


class Tables:
    """The fixed state of the process, shared by its devices.

    peers     the capacity of the peer table
    staged    bytes for packets that wait for a handshake
    limiter   entries of the rate limiter
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
        self._at = alloc("H", 2 * peers)  # by the hash of an endpoint: the number of the last peer that moved there
        self._free = []

    def allocate(self):
        """Return an unused Peer. TableFull if all are in use."""
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
        """Set the peer's endpoint to `addr`."""
        peer.addr = addr
        self._at[hash(addr) % len(self._at)] = peer.number

    def is_endpoint(self, addr):
        """Whether `addr` is a peer's endpoint. If two endpoints have the same hash, only the last one is known."""
        number = self._at[hash(addr) % len(self._at)]
        return number < len(self._peers) and self._peers[number].addr == addr

    def owner(self, buf, offset):
        """Return (peer, keypair) for the index at `buf[offset]`.

        `keypair` is None if the index names a handshake. Both are None if the index is unknown.
        """
        found = self.indices.lookup(buf, offset) - 1
        if found < 0:
            return None, None
        peer = self._peers[found >> 2]
        which = found & 3
        return peer, None if which == _HANDSHAKE else peer.keypairs[which]
