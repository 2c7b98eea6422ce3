"""From one configuration of the peers to the next, over real devices; compared with an oracle that is too simple to err."""

import random

import pytest

from wgembed.config import options
from wgembed.daemon import peer_diff
from wgembed.protocol import noise
from wgembed.protocol.constants import REKEY_AFTER_TIME
from wgembed.runtime.address import masked

from ..unit.harness import Harness, ipv4, key, pair

NOBODY = None


def peer(public, *networks, psk=None, keepalive=0):
    found = options.PeerConfig("a peer", 1)
    found.public_key = public
    found.preshared_key = bytearray(psk) if psk else None
    found.keepalive = keepalive
    found.allowed_ips = [options.network(text) for text in networks]
    return found


KEYS = [key()[1] for _ in range(8)]


def sync_peers(node, old, new):
    return peer_diff.sync_peers(node.device, old, new, node.harness.now)


def owner(node, text):
    """The public key of the peer that has the address, by the longest prefix."""
    packed, _ = options.network(text)
    allowed = node.device.allowed
    number = (allowed.lookup4 if len(packed) == 4 else allowed.lookup6)(packed, 0)
    return NOBODY if number < 0 else node.tables.peer(number).public_key


def present(node):
    found, one = [], node.device.first
    while one is not None:
        found.append(one.public_key)
        one = one.after
    return found


def prefixes(node, public):
    one, allowed, found = node.device.find(public), node.device.allowed, set()
    for trie in (allowed.trie4, allowed.trie6):
        cursor = trie.first(one.number)
        while cursor:
            found.add((bytes(trie.prefix(cursor)[0]), trie.prefix(cursor)[1]))
            cursor = trie.next(one.number, cursor)
    return found


@pytest.fixture
def node():
    return Harness().node("a")


def test_owners_are_the_last():
    first, second = peer(KEYS[0], "10.1.2.3/8", "fd00::/8"), peer(KEYS[1], "10.0.0.0/8")
    ten, fd = options.network("10.0.0.0/8"), options.network("fd00::/8")
    assert peer_diff.owners([first, second]) == {ten: KEYS[1], fd: KEYS[0]}
    assert peer_diff.owners([second, first]) == {ten: KEYS[0], fd: KEYS[0]}
    assert peer_diff.owners([]) == {}


def test_peers_come_and_go(node):
    a, b, c = peer(KEYS[0], "10.0.0.0/8"), peer(KEYS[1], "10.1.0.0/16"), peer(KEYS[2], "::/0")
    assert sync_peers(node, [], [a, b]) == [KEYS[0], KEYS[1]]
    assert present(node) == KEYS[:2] and owner(node, "10.1.1.1") == KEYS[1] and owner(node, "10.2.1.1") == KEYS[0]
    assert sync_peers(node, [a, b], [c, a]) == [KEYS[2]]
    assert sorted(present(node)) == sorted([KEYS[0], KEYS[2]])
    assert (owner(node, "10.1.1.1"), owner(node, "::1")) == (KEYS[0], KEYS[2])
    assert sync_peers(node, [c, a], []) == []
    assert present(node) == [] and node.tables.used == 0 and owner(node, "10.2.1.1") is NOBODY


def test_a_prefix_moves_and_comes_back(node):
    a, b, more = peer(KEYS[0], "10.1.0.0/16"), peer(KEYS[1], "10.2.0.0/16"), peer(KEYS[1], "10.2.0.0/16", "10.1.0.0/16")
    sync_peers(node, [], [a, b])
    sync_peers(node, [a, b], [a, more])
    assert owner(node, "10.1.1.1") == KEYS[1] and prefixes(node, KEYS[0]) == set()
    sync_peers(node, [a, more], [a, b])
    assert owner(node, "10.1.1.1") == KEYS[0]
    # In the other order as well: who had it goes, who gets it was there before.
    sync_peers(node, [a, b], [more])
    assert owner(node, "10.1.1.1") == KEYS[1]


def test_what_wg_changed_and_the_configuration_does_not_stays(node):
    a, b = peer(KEYS[0], "10.1.0.0/16", keepalive=25), peer(KEYS[1], "10.2.0.0/16")
    sync_peers(node, [], [a, b])
    device = node.device
    by_hand = device.add_peer(KEYS[2])
    device.allowed.insert(*options.network("10.3.0.0/16"), by_hand.number)
    device.allowed.insert(*options.network("10.2.0.0/16"), by_hand.number)
    device.set_persistent_keepalive(device.find(KEYS[0]), 7, node.harness.now)
    sync_peers(node, [a, b], [a, b])
    assert [owner(node, text) for text in ("10.3.0.1", "10.2.0.1")] == [KEYS[2], KEYS[2]]
    assert device.find(KEYS[0]).persistent_keepalive == 7
    # A peer that `wg` took away comes back with all it had, and one that it added may be taken over.
    device.remove_peer(device.find(KEYS[0]))
    taken = peer(KEYS[2], "10.4.0.0/16")
    assert sync_peers(node, [a, b], [a, b, taken]) == [KEYS[0]]
    assert owner(node, "10.1.0.1") == KEYS[0] and device.find(KEYS[0]).persistent_keepalive == 25
    assert device.find(KEYS[2]) is by_hand and owner(node, "10.3.0.1") == owner(node, "10.4.0.1") == KEYS[2]


def test_keepalive_changes_alone_are_made(node):
    first, second = peer(KEYS[0], keepalive=25), peer(KEYS[0], keepalive=0)
    sync_peers(node, [], [first])
    assert node.device.find(KEYS[0]).persistent_keepalive == 25
    sync_peers(node, [first], [second])
    assert node.device.find(KEYS[0]).persistent_keepalive == 0


def test_a_session_goes_on_while_others_change():
    harness, a, b, peer_b, _ = pair()
    mine = peer(b.public, "10.0.0.2", "fd00::2")
    a.transmit(ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", b"first"))
    assert len(b.got) == 1
    session = peer_b.current
    old = [mine]
    for number in range(5):
        new = [peer(b.public, "10.0.0.2", "fd00::2", f"10.9.{number}.0/24"), peer(KEYS[number], f"10.{number + 1}.0.0/16")]
        sync_peers(a, old, new)
        a.transmit(ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", b"more"))
        assert a.device.find(b.public) is peer_b and peer_b.current is session and len(b.got) == number + 2
        old = new
    assert owner(a, "10.9.4.1") == b.public and owner(a, "10.9.3.1") is NOBODY


def test_a_preshared_key_is_that_of_the_configuration():
    """It counts from the next handshake on, and that works on both ends."""
    harness, a, b, peer_b, peer_a = pair()
    psk = bytes(range(32))
    plain, secret = peer(b.public, "10.0.0.2"), peer(b.public, "10.0.0.2", psk=psk)
    sync_peers(a, [plain], [secret])
    assert bytes(peer_b.secret(noise.PRESHARED, 32)) == psk
    a.transmit(ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", b"lost"))
    assert not b.got
    b.device.set_preshared_key(peer_a, psk)
    harness.advance(2 * REKEY_AFTER_TIME // 10)
    a.transmit(ipv4(b"\x0a\0\0\1", b"\x0a\0\0\2", b"there"))
    assert b.got
    sync_peers(a, [secret], [plain])
    assert not any(peer_b.secret(noise.PRESHARED, 32))


class Oracle:
    """Peers and allowed IPs as a dictionary of each."""

    def __init__(self):
        self.peers = {}
        self.prefixes = {}

    def follow(self, new):
        """As if all had been set up anew."""
        self.peers = {one.public_key: (bytes(one.preshared_key or bytes(32)), one.keepalive) for one in new}
        self.prefixes = {}
        for one in new:
            for packed, length in one.allowed_ips:
                self.prefixes[masked(packed, length), length] = one.public_key

    def owner(self, packed):
        found = [
            (length, public)
            for (where, length), public in self.prefixes.items()
            if len(where) == len(packed) and masked(packed, length) == where
        ]
        return max(found)[1] if found else NOBODY


def some_peers(chance):
    """Some of few peers, with prefixes that lie in each other and are often the same."""
    found = []
    for public in chance.sample(KEYS[:6], chance.randrange(7)):
        networks = []
        for _ in range(chance.randrange(5)):
            if chance.random() < 0.5:
                networks.append(
                    "10.%d.%d.0/%d" % (chance.randrange(3), chance.randrange(3), chance.choice([0, 8, 15, 16, 23, 24, 32]))
                )
            else:
                networks.append(
                    "fd00:%x::%x/%d" % (chance.randrange(3), chance.randrange(3), chance.choice([0, 16, 31, 32, 127, 128]))
                )
        psk = bytes([chance.randrange(3)]) * 32
        found.append(peer(public, *networks, psk=psk if any(psk) else None, keepalive=chance.choice([0, 25])))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_from_configuration_to_configuration(node, seed):
    chance, oracle = random.Random(seed), Oracle()
    device = node.device
    old = []
    for _ in range(60):
        new = some_peers(chance)
        before = {public: device.find(public) for public in present(node)}
        fresh = sync_peers(node, old, new)
        oracle.follow(new)
        assert sorted(present(node)) == sorted(oracle.peers) and node.tables.used == len(oracle.peers)
        assert sorted(fresh) == sorted(set(oracle.peers) - set(before))
        for public, (psk, keepalive) in oracle.peers.items():
            one = device.find(public)
            assert before.get(public) in (None, one), "who stays is the same"
            assert (bytes(one.secret(noise.PRESHARED, 32)), one.persistent_keepalive) == (psk, keepalive)
            assert prefixes(node, public) == {prefix for prefix, whose in oracle.prefixes.items() if whose == public}
        for text in ["10.%d.%d.%d" % (n % 4, n // 4 % 4, n % 2) for n in range(16)] + [
            "fd00:%x::%x" % (n % 4, n // 4) for n in range(16)
        ]:
            assert owner(node, text) == oracle.owner(options.network(text)[0])
        old = new


def test_full_tables_take_another_configuration_of_the_same_size(node):
    """What goes makes room for what comes."""
    capacity = node.device.allowed.trie4.capacity

    def full(which):
        return [peer(KEYS[which], *["10.%d.%d.0/24" % (which, n) for n in range(capacity)])]

    old = full(0)
    sync_peers(node, [], old)
    for which in (1, 2):
        new = full(which)
        sync_peers(node, old, new)
        assert node.device.allowed.trie4.used == capacity and owner(node, "10.%d.0.1" % which) == KEYS[which]
        old = new
    moved = [peer(KEYS[3]), peer(KEYS[2], *["10.2.%d.0/24" % n for n in range(capacity)])]
    sync_peers(node, old, moved)
    sync_peers(node, moved, [peer(KEYS[3], *["10.2.%d.0/24" % n for n in range(capacity)]), peer(KEYS[2])])
    assert owner(node, "10.2.7.1") == KEYS[3]
