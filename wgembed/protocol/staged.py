"""Packets that wait for a handshake: one pool of blocks for the whole process, with a queue for each peer.

A packet is a chain of blocks, so its memory depends on its size, not on the MTU. When the pool is full, the
peer with the most packets loses its oldest packet. If several peers have the same number, it is the peer that has had
this number for the longest time. To find this peer without a search, the peers with n packets form a ring, for each n.

In all links, blocks and peers are numbered from 1; 0 means no block or no peer.
"""

from .constants import MAX_STAGED_PACKETS
from .memory import alloc as _alloc

MAX_BLOCKS = (1 << 16) - 1
MAX_SIZE = (1 << 16) - 1


class StagedPool:
    """`blocks` blocks of `block_size` bytes, for peers numbered 0 to `peers` - 1.

    free_blocks  the number of blocks that are free
    """

    def __init__(self, blocks, block_size, peers, alloc=_alloc):
        if not 1 <= blocks <= MAX_BLOCKS or not 0 <= peers < 1 << 16 or block_size < 1:
            raise ValueError(f"expected 1 to {MAX_BLOCKS} blocks, and at most as many peers")
        self.free_blocks = self._blocks = blocks
        self._block_size = block_size
        self._data = memoryview(alloc("B", blocks * block_size))
        self._rest = alloc("H", blocks + 1)  # next block of the packet, or of the free ones
        self._later = alloc("H", blocks + 1)  # at a packet's first block: the peer's next packet
        self._size = alloc("H", blocks + 1)  # at a packet's first block: its bytes
        self._free = 0
        self._untouched = 1
        self._oldest = alloc("H", peers)
        self._newest = alloc("H", peers)
        self._count = alloc("B", peers)
        self._ring = alloc("H", MAX_STAGED_PACKETS + 1)  # by count: the peer that has had this count for the longest time
        self._before = alloc("H", peers + 1)
        self._after = alloc("H", peers + 1)
        self._most = 0  # the count of the peer with the most packets

    def push(self, peer, buf, offset, size):
        """Append the packet `buf[offset : offset + size]` to the queue of `peer`.

        Returns the number of packets that were dropped to make room. A packet that is larger than the pool is itself
        dropped, and the result is 1.
        """
        need = (size + self._block_size - 1) // self._block_size or 1
        if need > self._blocks or size > MAX_SIZE:
            return 1
        dropped = 0
        if self._count[peer] == MAX_STAGED_PACKETS:
            self.discard(peer)
            dropped = 1
        while self.free_blocks < need:
            self.discard(self._ring[self._most] - 1)
            dropped += 1
        self._append(peer, self._store(buf, offset, size), size)
        return dropped

    def pop(self, peer, buf, offset):
        """Move the oldest packet of `peer` to `buf[offset:]`. Returns its size in bytes, or -1 if no packet waits."""
        if not self._count[peer]:
            return -1
        block = self._oldest[peer]
        left = self._size[block]
        while left:
            part = min(left, self._block_size)
            start = (block - 1) * self._block_size
            buf[offset : offset + part] = self._data[start : start + part]
            offset += part
            left -= part
            block = self._rest[block]
        return self.discard(peer)

    def discard(self, peer):
        """Drop the oldest packet of `peer`. Returns its size in bytes, or -1 if no packet waits."""
        if not self._count[peer]:
            return -1
        first = self._oldest[peer]
        self._oldest[peer] = self._later[first]
        self._recount(peer, self._count[peer] - 1)
        last = first
        self.free_blocks += 1
        while self._rest[last]:
            last = self._rest[last]
            self.free_blocks += 1
        self._rest[last] = self._free
        self._free = first
        return self._size[first]

    def purge(self, peer):
        """Drop all packets of `peer`. Returns their number."""
        count = self._count[peer]
        for _ in range(count):
            self.discard(peer)
        return count

    def peek(self, peer):
        """Return the size of the oldest packet of `peer` in bytes, or -1 if no packet waits."""
        return self._size[self._oldest[peer]] if self._count[peer] else -1

    def count(self, peer):
        """Return the number of packets that wait for `peer`."""
        return self._count[peer]

    def _store(self, buf, offset, size):
        """Copy the packet into free blocks. Returns the first block. The caller has checked that there are enough."""
        first = last = 0
        while True:
            block = self._take()
            if last:
                self._rest[last] = block
            else:
                first = block
            part = min(size, self._block_size)
            start = (block - 1) * self._block_size
            self._data[start : start + part] = buf[offset : offset + part]
            offset += part
            size -= part
            last = block
            if not size:
                return first

    def _take(self):
        block = self._free
        if block:
            self._free = self._rest[block]
        else:
            block = self._untouched
            self._untouched += 1
        self._rest[block] = 0
        self.free_blocks -= 1
        return block

    def _append(self, peer, block, size):
        self._size[block] = size
        self._later[block] = 0
        if self._count[peer]:
            self._later[self._newest[peer]] = block
        else:
            self._oldest[peer] = block
        self._newest[peer] = block
        self._recount(peer, self._count[peer] + 1)

    def _recount(self, peer, count):
        """Move the peer from the ring of its old count to the end of the ring of its new one."""
        if self._count[peer]:
            self._leave(peer + 1, self._count[peer])
        self._count[peer] = count
        if count:
            self._join(peer + 1, count)
        self._most = max(self._most, count)
        while self._most and not self._ring[self._most]:
            self._most -= 1

    def _leave(self, member, count):
        before, after = self._before[member], self._after[member]
        self._after[before] = after
        self._before[after] = before
        if self._ring[count] == member:
            self._ring[count] = after if after != member else 0

    def _join(self, member, count):
        first = self._ring[count]
        if not first:
            self._ring[count] = first = member
            self._before[member] = member
        last = self._before[first]
        self._after[last] = member
        self._before[member] = last
        self._after[member] = first
        self._before[first] = member
