"""Allowed IPs, compared with a simple model with `ipaddress`, in random and in difficult sequences of operations."""

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol.allowedips import AllowedIPs, Trie4, Trie6
from wgembed.protocol.memory import TableFull

PEERS = 4
SIZES = {4: 4, 6: 16}


class Oracle:
    """A simple model: which peer has which network, in order of insertion for each peer."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.peers = [[] for _ in range(PEERS)]

    def owner(self, network):
        return next((peer for peer in range(PEERS) if network in self.peers[peer]), -1)

    def insert(self, network, peer):
        owner = self.owner(network)
        if owner == peer:
            return True
        if owner >= 0:
            self.peers[owner].remove(network)
        elif sum(map(len, self.peers)) == self.capacity:
            return False
        self.peers[peer].append(network)
        return True

    def remove(self, network, peer):
        if network not in self.peers[peer]:
            return False
        self.peers[peer].remove(network)
        return True

    def lookup(self, address):
        found = [(network.prefixlen, peer) for peer in range(PEERS) for network in self.peers[peer] if address in network]
        return max(found)[1] if found else -1


def network(key, cidr):
    return ipaddress.ip_network((key, cidr), strict=False)


def keys(size):
    """Any addresses, and addresses that differ in few bits, because these share long paths."""
    few = st.sampled_from([bytes(size), b"\xff" * size, b"\xaa" * size])
    flipped = st.builds(_flip, few, st.lists(st.integers(0, 8 * size - 1), max_size=2))
    return st.one_of(flipped, st.binary(min_size=size, max_size=size))


def _flip(key, bits):
    key = bytearray(key)
    for bit in bits:
        key[bit >> 3] ^= 128 >> (bit & 7)
    return bytes(key)


def lengths(size):
    return st.one_of(st.sampled_from([0, 1, 7, 8, 15, 16, 17, 8 * size - 1, 8 * size]), st.integers(0, 8 * size))


@st.composite
def scripts(draw):
    version = draw(st.sampled_from([4, 6]))
    size = SIZES[version]
    prefix = st.tuples(keys(size), lengths(size), st.integers(0, PEERS - 1))
    if draw(st.booleans()):
        # The same few prefixes repeatedly, so that they move, are removed and are added again.
        prefix = st.sampled_from(draw(st.lists(prefix, min_size=1, max_size=6)))
    operation = st.one_of(
        st.tuples(st.just("insert"), prefix), st.tuples(st.just("insert"), prefix),
        st.tuples(st.just("remove"), prefix), st.tuples(st.just("remove_peer"), prefix),
    )  # fmt: skip
    operations = draw(st.lists(operation, max_size=60))
    addresses = draw(st.lists(keys(size), max_size=6))
    return version, draw(st.integers(0, 12)), operations, addresses


def structure(trie):
    """Check that all nodes are in their place: a branch has two children, and no node has two parents or is lost."""
    nodes, branches, waiting = set(), 0, [trie._follow(0)]
    while waiting:
        node = waiting.pop()
        if not node:
            continue
        assert node not in nodes
        nodes.add(node)
        children = [trie._follow(node << 1), trie._follow(node << 1 | 1)]
        if not trie._owner[node]:
            assert all(children)
            branches += 1
        for bit, child in enumerate(children):
            if child:
                cidr = trie._cidr[node]
                key, _ = trie.prefix(child)
                assert trie._cidr[child] > cidr
                assert key[cidr >> 3] >> (~cidr & 7) & 1 == bit
        waiting += children
    assert trie.used == len(nodes) - branches
    assert branches <= max(0, trie.used - 1)
    free, node = 0, trie._free
    while node:
        assert node not in nodes and not trie._owner[node]
        node = trie._follow(node << 1)
        free += 1
    assert len(nodes) + free == trie._untouched - 1


def prefixes(trie, peer):
    found, cursor = [], trie.first(peer)
    while cursor:
        found.append(ipaddress.ip_network(trie.prefix(cursor)))  # with bits after its length it is not valid
        cursor = trie.next(peer, cursor)
    return found


def apply(allowed, oracle, name, key, cidr, peer):
    if name == "insert":
        fits = oracle.insert(network(key, cidr), peer)
        try:
            allowed.insert(key, cidr, peer)
            assert fits
        except TableFull:
            assert not fits
    elif name == "remove":
        assert allowed.remove(key, cidr, peer) == oracle.remove(network(key, cidr), peer)
    else:
        allowed.remove_peer(peer)
        oracle.peers[peer] = []


@settings(max_examples=300, deadline=None)
@given(scripts())
def test_like_the_oracle(script):
    version, capacity, operations, addresses = script
    allowed, oracle = AllowedIPs(capacity, capacity, PEERS), Oracle(capacity)
    trie, lookup = (allowed.trie4, allowed.lookup4) if version == 4 else (allowed.trie6, allowed.lookup6)
    for name, (key, cidr, peer) in operations:
        apply(allowed, oracle, name, key, cidr, peer)
        structure(trie)
        for of in range(PEERS):
            assert prefixes(trie, of) == oracle.peers[of]
        for address in (key, *addresses):
            assert lookup(b"..." + address, 3) == oracle.lookup(ipaddress.ip_address(address))


@settings(max_examples=200, deadline=None)
@given(scripts())
def test_iteration_between_changes(script):
    """A reader that reads one prefix after each operation never gets a prefix of another peer, and comes to an end."""
    version, capacity, operations, _ = script
    allowed, oracle = AllowedIPs(capacity, capacity, PEERS), Oracle(capacity)
    trie = allowed.trie4 if version == 4 else allowed.trie6
    cursors = [0] * PEERS
    for name, (key, cidr, peer) in operations:
        apply(allowed, oracle, name, key, cidr, peer)
        for of in range(PEERS):
            cursors[of] = trie.next(of, cursors[of]) if cursors[of] else trie.first(of)
            if cursors[of]:
                assert network(*trie.prefix(cursors[of])) in oracle.peers[of]
    for of in range(PEERS):
        steps = 0
        while cursors[of]:
            cursors[of] = trie.next(of, cursors[of])
            steps += 1
        assert steps <= trie.used + 1


def worst_case(size, count):
    """Prefixes that each need a branch node."""
    return [(i << 5).to_bytes(3, "big") + bytes(size - 3) for i in range(count)]


def test_bytes_a_prefix():
    """32 bytes for IPv4 and 64 for IPv6 are enough, also if every prefix except the first needs a branch."""
    count = 2000
    for family, size, most in ((Trie4, 4, 32), (Trie6, 16, 64)):
        columns = []

        def alloc(typecode, length, columns=columns):
            columns.append(memoryview(bytearray(length * {"B": 1, "H": 2}[typecode])).cast(typecode))
            return columns[-1]

        trie = family(count, 1, alloc)
        for key in worst_case(size, count):
            trie.insert(key, 8 * size, 0)
        assert trie.used == count and trie._untouched == 2 * count
        of_the_peer = 4
        assert sum(column.nbytes for column in columns) - of_the_peer <= most * count
