"""Allowed IPs: which peer a packet goes to, and which peer it may have come from.

One binary trie per address family over the prefixes of all peers, path-compressed as in Linux's allowedips.c: a node
stands for a prefix; it either belongs to a peer, or is a branch with two children. So p prefixes need at most
2p - 1 nodes. Nodes are rows of parallel columns and are named by number; number 0 is no node, and its left child is
the root. A node takes 15 bytes for IPv4 and 27 for IPv6.

A lookup walks down by testing bits alone and compares once, with the last node: nodes on one path agree in all bits
that the upper ones have, so how far the address agrees with the last tells which of the others match it.
"""

from .memory import TableFull
from .memory import alloc as _alloc

# Node numbers have 16 bits.
MAX_PREFIXES = 1 << 15
MAX_PEERS = (1 << 16) - 1

# The length of no node ends every walk.
_NOWHERE = 255

# Bit n of 16, counted from the most significant.
_MASKS = tuple([0x8000 >> n for n in range(16)])

# The number of leading zero bits of a byte.
_LEADING = bytes((8, 7, 6, 6, 5, 5, 5, 5)) + b"\4" * 8 + b"\3" * 16 + b"\2" * 32 + b"\1" * 64 + bytes(128)


class AllowedIPs:
    """The allowed IPs of peers numbered 0 to `peers` - 1: at most `prefixes4` and `prefixes6` prefixes in all.

    lookup4(buf, offset), lookup6(buf, offset)  the peer of the address at `offset`, or -1
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
        """Give the prefix to `peer`, taking it from whoever had it; see Trie.insert."""
        return self._trie(key).insert(key, cidr, peer)

    def remove(self, key, cidr, peer):
        """Remove the prefix if it is exactly one of `peer`; return whether it was."""
        return self._trie(key).remove(key, cidr, peer)

    def remove_peer(self, peer):
        """Remove all prefixes of `peer`."""
        self.trie4.remove_peer(peer)
        self.trie6.remove_peer(peer)


class Trie:
    """The prefixes of one address family. `used` counts them, `capacity` is the most there can be."""

    HALVES = 0  # an address in 16-bit units

    def __init__(self, prefixes, peers, alloc=_alloc):
        if not 0 <= prefixes <= MAX_PREFIXES or not 0 <= peers <= MAX_PEERS:
            raise ValueError(f"expected at most {MAX_PREFIXES} prefixes and {MAX_PEERS} peers")
        rows = 2 * prefixes or 2
        self.capacity = prefixes
        self.used = 0
        self._key = alloc("H", rows * self.HALVES)
        self._cidr = alloc("B", rows)
        self._cidr[0] = _NOWHERE
        self._children = alloc("H", rows), alloc("H", rows)  # left where the next bit is 0, and right
        self._owner = alloc("H", rows)  # peer + 1, or 0 in a branch and in a free node
        self._next = alloc("H", rows)  # of the same peer, in order of insertion
        self._previous = alloc("H", rows)
        self._first = alloc("H", peers)
        self._last = alloc("H", peers)
        self._free = 0  # a chain through the left children
        self._untouched = 1  # nodes from here on have never been used

    def insert(self, key, cidr, peer):
        """Give the prefix `key`/`cidr` to `peer`; bits of `key` (network order) past `cidr` are ignored.

        A prefix of another peer moves; one that `peer` has already stays where it is in the order. Returns the peer
        that had the prefix, or -1. Raises TableFull for a new prefix too many.
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
        """Hang a new node at `link`, where another may be that shares `common` bits with it; return it."""
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
        """Return the node at `link`, which is twice the number of the node above, plus 1 for its right child."""
        return self._children[link & 1][link >> 1]

    def _join(self, link, node):
        self._children[link & 1][link >> 1] = node

    def remove(self, key, cidr, peer):
        """Remove the prefix if it is exactly one of `peer`; return whether it was."""
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
        """Take out of the trie what it no longer needs of `node`, at `link` below the link `above`."""
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
        """Return the peer of the longest prefix of at most `common` bits above the node `last`, or -1."""
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
        """Return a cursor to the oldest prefix of `peer`, or 0 when it has none."""
        return self._first[peer]

    def next(self, peer, cursor):
        """Return the cursor after `cursor`, or 0 at the end.

        Entries may come and go between the calls: a cursor whose prefix is gone is at the end, and one whose
        place another prefix of `peer` has taken goes on from there.
        """
        if self._owner[cursor] != peer + 1:
            return 0
        return self._next[cursor]

    def prefix(self, cursor):
        """Return the prefix at `cursor`: the key in network order, and its length in bits."""
        key = bytearray()
        for half in self._halves(cursor):
            key.append(half >> 8)
            key.append(half & 255)
        return bytes(key), self._cidr[cursor]

    def _masked(self, key, cidr):
        """Return `key` as a list of 16-bit units, zero past `cidr` bits."""
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
        """Return how many leading bits, at most `limit`, the node's key shares with `want`."""
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
        """Make `peer` the owner of `node`, at the end of its list."""
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
        """Make `node` nobody's."""
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
        # A path ends with a prefix of some peer: branches have both children.
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
        # A path ends with a prefix of some peer: branches have both children.
        return self._owner[last] - 1


def _bit(halves, n):
    return 1 if halves[n >> 4] & _MASKS[n & 15] else 0


def _leading_zeros(half):
    return _LEADING[half >> 8] if half >> 8 else 8 + _LEADING[half]
