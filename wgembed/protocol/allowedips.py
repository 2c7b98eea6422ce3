"""Allowed IPs: which peer a packet goes to, and which source addresses a peer may use.

Each address family has one binary trie for the prefixes of all peers, path-compressed as in Linux's allowedips.c. A node
is a prefix: it belongs to a peer, or it is a branch with two children. So p prefixes need at most 2p - 1 nodes. A node is
a row of parallel columns, and its name is the number of the row. Number 0 is not a node: its left child is the root. A
node takes 15 bytes for IPv4 and 27 for IPv6, and in a table of more than NARROW prefixes 23 and 35.

A lookup walks down the trie. It tests one bit at each node, and compares the address once, with the last node. All nodes
on a path agree in the bits that the upper ones have. So the number of leading bits that the address shares with the last
node shows which of the other nodes match the address.
"""

from .memory import TableFull
from .memory import alloc as _alloc

# Up to this size of a table, node numbers have 16 bits. In a larger table they have 32.
NARROW = 1 << 15
MAX_PREFIXES = 1 << 16
MAX_PEERS = (1 << 16) - 1

# The prefix length of row 0. It is longer than every address, so it ends every walk.
_NOWHERE = 255

# Bit n of 16, counted from the most significant.
_MASKS = tuple([0x8000 >> n for n in range(16)])

# The number of leading zero bits of a byte.
_LEADING = bytes((8, 7, 6, 6, 5, 5, 5, 5)) + b"\4" * 8 + b"\3" * 16 + b"\2" * 32 + b"\1" * 64 + bytes(128)


class AllowedIPs:
    """The allowed IPs of peers 0 to `peers` - 1: at most `prefixes4` prefixes of IPv4 and `prefixes6` of IPv6 in total.

    lookup4(buf, offset), lookup6(buf, offset)  return the number of the peer of the address at `buf[offset]`, or -1
    trie4, trie6                                the two tables, for iteration and counts
    """

    def __init__(self, prefixes4, prefixes6, peers, alloc=_alloc):
        self.trie4 = Trie4(prefixes4, peers, alloc)
        self.trie6 = Trie6(prefixes6, peers, alloc)
        self.lookup4 = self.trie4.lookup
        self.lookup6 = self.trie6.lookup

    def _trie(self, key):
        if len(key) == 4:
            return self.trie4
        if len(key) == 16:
            return self.trie6
        raise ValueError(f"expected an address of 4 or 16 bytes, got {len(key)}")

    def insert(self, key, cidr, peer):
        """Give the prefix to `peer`, also if another peer has it; see Trie.insert."""
        return self._trie(key).insert(key, cidr, peer)

    def remove(self, key, cidr, peer):
        """Remove the prefix if `peer` has exactly this prefix. Returns whether it was removed."""
        return self._trie(key).remove(key, cidr, peer)

    def remove_peer(self, peer):
        """Remove all prefixes of `peer`."""
        self.trie4.remove_peer(peer)
        self.trie6.remove_peer(peer)


class Trie:
    """The prefixes of one address family. `used` is their number, `capacity` the largest possible number."""

    HALVES = 0  # the size of an address in 16-bit units

    def __init__(self, prefixes, peers, alloc=_alloc):
        if not 0 <= prefixes <= MAX_PREFIXES or not 0 <= peers <= MAX_PEERS:
            raise ValueError(f"expected at most {MAX_PREFIXES} prefixes and {MAX_PEERS} peers")
        rows = 2 * prefixes or 2
        self.capacity = prefixes
        self.used = 0
        self._key = alloc("H", rows * self.HALVES)
        self._cidr = alloc("B", rows)
        self._cidr[0] = _NOWHERE
        number = "H" if prefixes <= NARROW else "I"
        self._children = alloc(number, rows), alloc(number, rows)  # left where the next bit is 0, and right
        self._owner = alloc("H", rows)  # peer + 1, or 0 in a branch and in a free node
        self._next = alloc(number, rows)  # the next node of the same peer, in order of insertion
        self._previous = alloc(number, rows)
        self._first = alloc(number, peers)
        self._last = alloc(number, peers)
        self._free = 0  # a chain through the left children
        self._untouched = 1  # nodes from here on have never been used

    def insert(self, key, cidr, peer):
        """Give the prefix `key`/`cidr` to `peer`. The bits of `key` (network order) after the first `cidr` are ignored.

        If another peer has the prefix, it moves. If `peer` has it already, its position in the order stays. Returns the
        peer that had the prefix, or -1. TableFull if the prefix is new and the table is full.
        """
        want = self._masked(key, cidr)
        if not 0 <= peer < len(self._first):
            raise ValueError(f"there is no peer {peer}")
        link = common = 0
        while True:
            node = self._follow(link)
            if not node:
                break
            common = self._common(node, want, min(cidr, self._cidr[node]))
            if common == cidr or common < self._cidr[node]:
                break
            link = node << 1 | _bit(want, common)
        exact = node and common == cidr == self._cidr[node]
        if self.used == self.capacity and not (exact and self._owner[node]):
            raise TableFull(f"the table of {self.capacity} prefixes of IPv{4 if self.HALVES == 2 else 6} is full")
        had = self._owner[node] - 1 if exact else -1
        self._give(node if exact else self._place(link, want, cidr, common), peer)
        return had

    def _place(self, link, want, cidr, common):
        """Add a node at `link` and return it. A node that is there already shares `common` bits with the new one."""
        below = self._follow(link)
        new = top = self._new(want, cidr)
        if below and common < cidr:
            top = self._new(want, common)
            self._join(top << 1 | _bit(want, common), new)
        if below:
            self._join(top << 1 | _bit(self._halves(below), common), below)
        self._join(link, top)
        return new

    def _follow(self, link):
        """Return the node at `link`. A link is twice the number of the node above it, plus 1 for its right child."""
        return self._children[link & 1][link >> 1]

    def _join(self, link, node):
        self._children[link & 1][link >> 1] = node

    def remove(self, key, cidr, peer):
        """Remove the prefix if `peer` has exactly this prefix. Returns whether it was removed."""
        return self._drop(self._masked(key, cidr), cidr, peer)

    def remove_peer(self, peer):
        """Remove all prefixes of `peer`."""
        while True:
            node = self._first[peer]
            if not node:
                return
            self._drop(self._halves(node), self._cidr[node], peer)

    def _drop(self, want, cidr, peer):
        above = link = 0
        while True:
            node = self._follow(link)
            if self._cidr[node] > cidr:
                return False
            if self._cidr[node] == cidr:
                break
            above = link
            link = node << 1 | _bit(want, self._cidr[node])
        if self._owner[node] != peer + 1 or self._common(node, want, cidr) < cidr:
            return False
        self._take(node)
        self._unhang(node, link, above)
        return True

    def _unhang(self, node, link, above):
        """Remove `node` from the trie if it has no peer and fewer than two children, and then its parent likewise.

        link   the link to `node`
        above  the link to its parent
        """
        left = self._follow(node << 1)
        right = self._follow(node << 1 | 1)
        if left and right:
            return
        self._join(link, left or right)
        self._release(node)
        parent = link >> 1
        if parent and not (left or right or self._owner[parent]):
            self._join(above, self._follow(link ^ 1))
            self._release(parent)

    def lookup(self, buf, offset):
        """Return the peer with the longest prefix that matches the address at `buf[offset]`, or -1."""
        raise NotImplementedError

    def _deepest(self, last, common):
        """Return the peer of the longest prefix of at most `common` bits on the path to the node `last`, or -1."""
        cidrs = self._cidr
        left, right = self._children
        base = last * self.HALVES
        owner = 0
        node = left[0]
        n = cidrs[node]
        while n <= common:
            owner = self._owner[node] or owner
            node = (right if self._key[base + (n >> 4)] & _MASKS[n & 15] else left)[node]
            n = cidrs[node]
        return owner - 1

    def first(self, peer):
        """Return a cursor to the oldest prefix of `peer`, or 0 if the peer has no prefix."""
        return self._first[peer]

    def next(self, peer, cursor):
        """Return the cursor after `cursor`, or 0 at the end.

        Prefixes can be added and removed between the calls. If the prefix of the cursor was removed, the result is 0. If
        another prefix of `peer` has taken its row, the list continues from that prefix.
        """
        if self._owner[cursor] != peer + 1:
            return 0
        return self._next[cursor]

    def prefix(self, cursor):
        """Return the prefix at `cursor`: the address in network order (bytes), and the length in bits."""
        key = bytearray()
        for half in self._halves(cursor):
            key.append(half >> 8)
            key.append(half & 255)
        return bytes(key), self._cidr[cursor]

    def _masked(self, key, cidr):
        """Return `key` as a list of 16-bit units. The bits after the first `cidr` are zero."""
        if len(key) != 2 * self.HALVES or not 0 <= cidr <= 16 * self.HALVES:
            raise ValueError(f"not a prefix: {len(key)} bytes, /{cidr}")
        halves = []
        for i in range(self.HALVES):
            keep = min(max(cidr - 16 * i, 0), 16)
            halves.append((key[2 * i] << 8 | key[2 * i + 1]) & (0xFFFF << (16 - keep)))
        return halves

    def _halves(self, node):
        base = node * self.HALVES
        return [self._key[base + i] for i in range(self.HALVES)]

    def _common(self, node, want, limit):
        """Return the number of leading bits, at most `limit`, that the node's key shares with `want`."""
        base = node * self.HALVES
        for i in range((limit + 15) >> 4):
            different = self._key[base + i] ^ want[i]
            if different:
                return min(16 * i + _leading_zeros(different), limit)
        return limit

    def _new(self, want, cidr):
        node = self._free
        if node:
            self._free = self._follow(node << 1)
        else:
            node = self._untouched
            self._untouched += 1
        base = node * self.HALVES
        for i in range(self.HALVES):
            self._key[base + i] = want[i] & (0xFFFF << (16 - min(max(cidr - 16 * i, 0), 16)))
        self._cidr[node] = cidr
        self._join(node << 1, 0)
        self._join(node << 1 | 1, 0)
        return node

    def _release(self, node):
        self._join(node << 1, self._free)
        self._free = node

    def _give(self, node, peer):
        """Make `peer` the owner of `node`. The node becomes the last one in the peer's list."""
        if self._owner[node] == peer + 1:
            return
        last = self._last[peer]
        if self._owner[node]:
            self._take(node)
        self._owner[node] = peer + 1
        self._next[node] = 0
        self._previous[node] = last
        self._last[peer] = node
        if last:
            self._next[last] = node
        else:
            self._first[peer] = node
        self.used += 1

    def _take(self, node):
        """Remove `node` from its owner's list. Then it has no owner."""
        peer = self._owner[node] - 1
        before, after = self._previous[node], self._next[node]
        if before:
            self._next[before] = after
        else:
            self._first[peer] = after
        if after:
            self._previous[after] = before
        else:
            self._last[peer] = before
        self._owner[node] = 0
        self.used -= 1


class Trie4(Trie):
    """Prefixes of IPv4."""

    HALVES = 2

    def lookup(self, buf, offset):
        """Return the peer with the longest prefix that matches the IPv4 address at `buf[offset]`, or -1."""
        high = buf[offset] << 8 | buf[offset + 1]
        low = buf[offset + 2] << 8 | buf[offset + 3]
        masks = _MASKS
        cidrs = self._cidr
        left, right = self._children
        last = 0
        node = left[0]
        n = cidrs[node]
        while n < 16:
            last = node
            node = (right if high & masks[n] else left)[node]
            n = cidrs[node]
        while n < 32:
            last = node
            node = (right if low & masks[n - 16] else left)[node]
            n = cidrs[node]
        last = node or last
        common = 0
        different = self._key[last << 1] ^ high
        if not different:
            different = self._key[last << 1 | 1] ^ low
            common = 16
        common = common + _leading_zeros(different) if different else 32
        # The last node of a path belongs to a peer, because a branch has two children.
        if common >= cidrs[last]:
            return self._owner[last] - 1
        return self._deepest(last, common)


class Trie6(Trie):
    """Prefixes of IPv6."""

    HALVES = 8

    def lookup(self, buf, offset):
        """Return the peer with the longest prefix that matches the IPv6 address at `buf[offset]`, or -1."""
        masks = _MASKS
        cidrs = self._cidr
        left, right = self._children
        last = 0
        node = left[0]
        n = cidrs[node]
        while n < 128:
            last = node
            node = (right if buf[offset + (n >> 3)] & masks[n & 7 | 8] else left)[node]
            n = cidrs[node]
        last = node or last
        if not last:
            return -1
        key = self._key
        base = last << 3
        n = cidrs[last]
        for i in range((n + 15) >> 4):
            different = key[base + i] ^ (buf[offset] << 8 | buf[offset + 1])
            if different:
                common = (i << 4) + _leading_zeros(different)
                if common < n:
                    return self._deepest(last, common)
                break
            offset += 2
        # The last node of a path belongs to a peer, because a branch has two children.
        return self._owner[last] - 1


def _bit(halves, n):
    return 1 if halves[n >> 4] & _MASKS[n & 15] else 0


def _leading_zeros(half):
    return _LEADING[half >> 8] if half >> 8 else 8 + _LEADING[half]
