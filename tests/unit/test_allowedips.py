"""Allowed IPs: longest prefix over all peers, moves, removals, capacity, iteration under change."""

from wgembed.protocol.allowedips import MAX_PEERS, MAX_PREFIXES, NARROW, AllowedIPs, Trie4, _leading_zeros
from wgembed.protocol.memory import TableFull, alloc

from .support import Random, Storage, allocated, raises

A, B, C, D = range(4)


def v4(text):
    return bytes([int(part) for part in text.split(".")])


def v6(text):
    """Return the address; "::" replaces the missing zeros."""
    head, _, tail = text.partition("::")
    groups = [[int(group, 16) for group in half.split(":") if group] for half in (head, tail)]
    groups = groups[0] + [0] * (8 - len(groups[0]) - len(groups[1])) + groups[1]
    return bytes([group >> shift & 255 for group in groups for shift in (8, 0)])


def table(capacity=64, peers=8):
    return AllowedIPs(capacity, capacity, peers)


def insert(allowed, prefix, peer):
    address, _, cidr = prefix.partition("/")
    allowed.insert(v6(address) if ":" in address else v4(address), int(cidr), peer)


def remove(allowed, prefix, peer):
    address, _, cidr = prefix.partition("/")
    return allowed.remove(v6(address) if ":" in address else v4(address), int(cidr), peer)


def find(allowed, address):
    if ":" in address:
        return allowed.lookup6(b"?" + v6(address) + b"?", 1)
    return allowed.lookup4(b"?" + v4(address) + b"?", 1)


def prefixes(trie, peer):
    found = []
    cursor = trie.first(peer)
    while cursor:
        found.append(trie.prefix(cursor))
        cursor = trie.next(peer, cursor)
    return found


def test_an_empty_table_finds_nothing():
    allowed = table()
    assert allowed.lookup4(bytes(4), 0) == -1
    assert allowed.lookup4(b"\xff" * 4, 0) == -1
    assert allowed.lookup6(bytes(16), 0) == -1
    assert allowed.lookup6(b"\xff" * 16, 0) == -1


def test_the_longest_prefix_wins():
    allowed = table()
    insert(allowed, "192.168.4.0/24", A)
    insert(allowed, "192.168.4.4/32", B)
    insert(allowed, "192.168.0.0/16", C)
    insert(allowed, "192.95.5.64/27", D)
    assert find(allowed, "192.168.4.20") == A
    assert find(allowed, "192.168.4.4") == B
    assert find(allowed, "192.168.200.182") == C
    assert find(allowed, "192.95.5.68") == D
    assert find(allowed, "192.95.5.96") == -1
    assert find(allowed, "192.169.0.0") == -1
    assert find(allowed, "10.0.0.1") == -1


def test_the_longest_prefix_wins_in_ipv6():
    allowed = table()
    insert(allowed, "2607:5300:6000:6b00::c05f:543/128", A)
    insert(allowed, "2607:5300:6000:6b00::/64", B)
    insert(allowed, "::/0", C)
    insert(allowed, "2404:6800::/32", D)
    assert find(allowed, "2607:5300:6000:6b00::c05f:543") == A
    assert find(allowed, "2607:5300:6000:6b00::c02e:1ee") == B
    assert find(allowed, "2607:5300:6000:6b01::") == C
    assert find(allowed, "2404:6800:4004:806::1006") == D
    assert find(allowed, "2404:67ff::1") == C


def test_a_default_route_catches_the_rest():
    allowed = table()
    insert(allowed, "0.0.0.0/0", A)
    assert find(allowed, "255.255.255.255") == A
    insert(allowed, "128.0.0.0/1", B)
    assert find(allowed, "255.255.255.255") == B
    assert find(allowed, "127.255.255.255") == A
    assert allowed.lookup6(bytes(16), 0) == -1


def test_every_length_of_prefix_on_one_path():
    for key, bits, lookup in ((v4("172.21.171.85"), 32, "lookup4"), (v6("fd00:1:22:333:4444:555:66:7"), 128, "lookup6")):
        allowed = AllowedIPs(129, 129, 129)
        for cidr in range(bits + 1):
            allowed.insert(key, cidr, cidr)
        find = getattr(allowed, lookup)
        assert find(key, 0) == bits
        for bit in range(bits):
            other = bytearray(key)
            other[bit >> 3] ^= 128 >> (bit & 7)
            assert find(other, 0) == bit


def test_many_on_long_paths():
    """Prefixes and addresses that differ only in few bits, compared with a search through all prefixes."""
    random = Random(3)
    for size in (4, 16):
        for _ in range(4):
            allowed = AllowedIPs(40, 40, 40)
            trie = allowed.trie4 if size == 4 else allowed.trie6
            base = random.bytes(size)
            known = {}
            for peer in range(40):
                key, cidr = near(base, random), random.below(8 * size + 1)
                trie.insert(key, cidr, peer)
                known[bits(key)[:cidr]] = peer
            for _ in range(60):
                address = near(base, random)
                found = [prefix for prefix in known if bits(address).startswith(prefix)]
                assert trie.lookup(address, 0) == (known[max(found, key=len)] if found else -1)
            for peer in range(40):
                for key, cidr in prefixes(trie, peer):
                    assert known[bits(key)[:cidr]] == peer and "1" not in bits(key)[cidr:]


def near(base, random):
    """Return the address with one to three bits inverted."""
    key = bytearray(base)
    for _ in range(1 + random.below(3)):
        bit = random.below(8 * len(key))
        key[bit >> 3] ^= 128 >> (bit & 7)
    return bytes(key)


def bits(key):
    return "".join([f"{byte:08b}" for byte in key])


def test_leading_zeros_of_every_half():
    for half in range(1, 1 << 16):
        assert _leading_zeros(half) == 18 - len(bin(half))


def test_host_bits_are_masked_off():
    allowed = table()
    insert(allowed, "10.1.2.3/9", A)
    insert(allowed, "2001:db8:ffff::1/33", B)
    assert prefixes(allowed.trie4, A) == [(v4("10.0.0.0"), 9)]
    assert prefixes(allowed.trie6, B) == [(v6("2001:db8:8000::"), 33)]
    assert find(allowed, "10.127.0.0") == A
    assert find(allowed, "10.128.0.0") == -1
    insert(allowed, "10.77.0.0/9", C)
    assert allowed.trie4.used == 1 and find(allowed, "10.1.2.3") == C


def test_a_prefix_moves_from_the_peer_that_had_it():
    allowed = table()
    insert(allowed, "10.0.0.0/8", A)
    insert(allowed, "10.0.0.0/16", A)
    insert(allowed, "10.0.0.0/8", B)
    assert find(allowed, "10.200.0.1") == B
    assert find(allowed, "10.0.200.1") == A
    assert prefixes(allowed.trie4, A) == [(v4("10.0.0.0"), 16)]
    assert prefixes(allowed.trie4, B) == [(v4("10.0.0.0"), 8)]
    assert allowed.trie4.used == 2


def test_who_had_the_prefix_is_told():
    trie = table().trie4
    assert trie.insert(v4("10.0.0.0"), 8, A) == -1
    assert trie.insert(v4("10.0.0.0"), 8, A) == A
    assert trie.insert(v4("10.0.0.0"), 8, D) == A
    assert trie.insert(v4("10.0.0.0"), 8, B) == D
    assert trie.insert(v4("10.0.0.0"), 9, C) == trie.insert(v4("10.0.0.0"), 7, C) == -1
    trie.insert(v4("192.0.2.1"), 32, A)
    trie.insert(v4("192.0.2.2"), 32, A)
    assert trie.insert(v4("192.0.2.0"), 30, B) == -1, "where two paths part it was nobody's"


def test_only_the_owner_of_exactly_this_prefix_removes_it():
    allowed = table()
    insert(allowed, "10.0.0.0/8", A)
    insert(allowed, "10.64.0.0/10", B)
    assert not remove(allowed, "10.0.0.0/8", B)
    assert not remove(allowed, "10.0.0.0/9", A)
    assert not remove(allowed, "10.0.0.0/7", A)
    assert not remove(allowed, "11.0.0.0/8", A)
    assert not remove(allowed, "10.64.0.0/11", B)
    assert not remove(allowed, "10.64.0.0/10", A)
    assert not remove(allowed, "::/8", A)
    assert allowed.trie4.used == 2
    assert remove(allowed, "10.99.0.0/8", A)
    assert find(allowed, "10.0.0.1") == -1
    assert find(allowed, "10.64.0.1") == B
    assert not remove(allowed, "10.0.0.0/8", A)


def test_a_branch_that_is_no_prefix_belongs_to_nobody():
    allowed = table()
    insert(allowed, "10.0.0.0/32", A)
    insert(allowed, "10.0.0.3/32", A)
    assert not remove(allowed, "10.0.0.0/30", A)
    assert find(allowed, "10.0.0.1") == -1
    insert(allowed, "10.0.0.0/30", B)
    assert find(allowed, "10.0.0.1") == B
    assert prefixes(allowed.trie4, B) == [(v4("10.0.0.0"), 30)]
    assert remove(allowed, "10.0.0.0/30", B)
    assert find(allowed, "10.0.0.1") == -1
    assert find(allowed, "10.0.0.3") == A


def test_removing_a_peer_leaves_the_others():
    allowed = table()
    for i in range(16):
        insert(allowed, f"10.0.{i}.0/24", i % 3)
        insert(allowed, f"fd00:{i:x}::/32", i % 3)
    allowed.remove_peer(1)
    for i in range(16):
        assert find(allowed, f"10.0.{i}.9") == find(allowed, f"fd00:{i:x}::9") == (-1 if i % 3 == 1 else i % 3)
    assert not allowed.trie4.first(1) and not allowed.trie6.first(1)
    assert allowed.trie4.used == allowed.trie6.used == 11
    allowed.remove_peer(1)


def test_full_refuses_and_changes_nothing():
    allowed = table(3)
    insert(allowed, "10.0.0.1/32", A)
    insert(allowed, "10.0.0.2/32", A)
    insert(allowed, "10.0.0.4/32", B)
    for prefix in ("10.0.0.8/32", "10.0.0.0/24", "10.0.0.0/30", "10.0.0.0/29", "0.0.0.0/0"):
        error = raises(TableFull, insert, allowed, prefix, C)
        assert "3" in str(error) and "IPv4" in str(error)
    assert [find(allowed, f"10.0.0.{i}") for i in range(9)] == [-1, A, A, -1, B, -1, -1, -1, -1]
    assert not allowed.trie4.first(C)
    insert(allowed, "10.0.0.2/32", C)  # a move needs no free place
    insert(allowed, "fd00::/8", C)  # the families have separate tables
    assert remove(allowed, "10.0.0.1/32", A)
    insert(allowed, "0.0.0.0/0", A)
    assert find(allowed, "10.0.0.1") == A


def test_room_is_used_again_and_again():
    random = Random(1)
    allowed = AllowedIPs(4, 0, 2)
    for _ in range(300):
        keys = [random.bytes(4) for _ in range(4)]
        for key in keys:
            allowed.insert(key, 32, A)
        assert allowed.trie4.used == 4
        for key in keys[1:]:
            assert allowed.remove(key, 32, A)
        allowed.remove_peer(A)
        assert allowed.trie4.used == 0 and allowed.lookup4(keys[0], 0) == -1


def test_in_whatever_order_prefixes_go_the_others_stay_and_nothing_is_left():
    """A node that is not freed would soon be missing, because there are only places for six prefixes."""
    random = Random(4)
    allowed = AllowedIPs(6, 6, 1)
    for size, trie in ((4, allowed.trie4), (16, allowed.trie6)):
        for _ in range(60):
            base = random.bytes(size)
            known = {}
            while len(known) < 6:
                key, cidr = near(base, random), random.below(8 * size + 1)
                trie.insert(key, cidr, A)
                known[bits(key)[:cidr]] = key, cidr
            while known:
                key, cidr = known.pop(sorted(known)[random.below(len(known))])
                assert trie.remove(key, cidr, A)
                for one, _ in known.values():
                    assert trie.lookup(one, 0) == A
                address = near(base, random)
                assert (trie.lookup(address, 0) == A) is any(bits(address).startswith(prefix) for prefix in known)
        assert trie.used == 0


def test_a_table_without_room_refuses_everything():
    allowed = AllowedIPs(0, 0, 1)
    raises(TableFull, allowed.insert, bytes(4), 0, A)
    raises(TableFull, allowed.insert, bytes(16), 128, A)
    assert allowed.lookup4(bytes(4), 0) == allowed.lookup6(bytes(16), 0) == -1


def test_prefixes_come_in_order_of_insertion():
    order = ["10.9.0.0/16", "10.1.0.0/16", "0.0.0.0/0", "10.1.5.0/24", "192.0.2.1/32"]
    for peer, other in ((A, B), (B, C), (D, A)):
        allowed = table()
        for prefix in order:
            insert(allowed, prefix, peer)
        insert(allowed, "10.1.0.0/16", peer)  # again: it keeps its position
        expected = [(v4(p.split("/")[0]), int(p.split("/")[1])) for p in order]
        assert prefixes(allowed.trie4, peer) == expected
        insert(allowed, "10.1.0.0/16", other)
        insert(allowed, "10.1.0.0/16", peer)  # back again: at the end
        assert prefixes(allowed.trie4, peer) == expected[:1] + expected[2:] + expected[1:2]
        assert prefixes(allowed.trie4, other) == []


def test_iteration_survives_changes_between_its_steps():
    for step in range(6):
        allowed = table()
        trie = allowed.trie4
        for i in range(5):
            insert(allowed, f"10.0.0.{i}/32", A)
        cursor = trie.first(A)
        for _ in range(step):
            cursor = trie.next(A, cursor) if cursor else 0
        if not cursor:
            continue
        gone = trie.prefix(cursor)
        insert(allowed, f"10.0.0.{step}/32", B)  # the one under the cursor
        assert trie.next(A, cursor) == 0
        allowed.remove_peer(B)
        assert trie.next(A, cursor) == 0
        insert(allowed, "10.0.1.0/24", B)  # takes the freed row
        assert trie.next(A, cursor) == 0
        assert gone not in prefixes(trie, A) and len(prefixes(trie, A)) == 4


def test_a_reader_does_not_go_on_among_the_prefixes_of_who_took_its_own():
    for reader, taker in ((A, D), (D, A)):
        allowed = table()
        insert(allowed, "10.0.0.1/32", reader)
        cursor = allowed.trie4.first(reader)
        insert(allowed, "10.0.0.1/32", taker)
        insert(allowed, "10.0.0.2/32", taker)
        assert allowed.trie4.next(reader, cursor) == 0


def test_iteration_goes_on_to_what_is_inserted_meanwhile():
    allowed = table()
    insert(allowed, "10.0.0.1/32", A)
    insert(allowed, "10.0.0.2/32", A)
    cursor = allowed.trie4.next(A, allowed.trie4.first(A))
    remove(allowed, "10.0.0.1/32", A)
    insert(allowed, "10.0.0.3/32", A)
    cursor = allowed.trie4.next(A, cursor)
    assert allowed.trie4.prefix(cursor) == (v4("10.0.0.3"), 32)
    assert allowed.trie4.next(A, cursor) == 0


def test_what_is_no_prefix_is_refused():
    allowed = table()
    for key, cidr, peer in (
        (bytes(4), 33, A), (bytes(4), -1, A), (bytes(16), 129, A), (bytes(5), 8, A), (b"", 0, A),
        (bytes(4), 8, 8), (bytes(4), 8, 9), (bytes(4), 8, -1),
    ):  # fmt: skip
        raises(ValueError, allowed.insert, key, cidr, peer)
    assert allowed.trie4.used == allowed.trie6.used == 0
    raises(ValueError, allowed.remove, bytes(4), 33, A)


def test_the_bounds_of_node_numbers():
    assert (NARROW, MAX_PREFIXES, MAX_PEERS) == (32768, 65536, 65535)
    raises(ValueError, Trie4, MAX_PREFIXES + 1, 1)
    raises(ValueError, Trie4, -1, 1)
    Trie4(MAX_PREFIXES, MAX_PEERS, lambda typecode, count: bytearray(1))
    raises(ValueError, Trie4, 1, MAX_PEERS + 1)


def test_a_wide_table_holds_its_last_prefixes():
    """Prefixes that differ in their last bits need two nodes each: node numbers above 65535."""
    trie = Trie4(NARROW + 8, 2)
    for n in range(NARROW + 8):
        trie.insert(bytes((10, 0, n >> 8, n & 255)), 32, A)
    raises(TableFull, trie.insert, v4("11.0.0.0"), 32, A)
    for n in (0, 255, NARROW - 1, NARROW, NARROW + 7):
        assert trie.lookup(bytes((10, 0, n >> 8, n & 255)), 0) == A
    assert trie.lookup(v4("10.0.128.8"), 0) == -1
    cursor, count = trie.first(A), 0
    while cursor:
        count += 1
        last, cursor = cursor, trie.next(A, cursor)
    assert count == NARROW + 8 and last > 65535 and trie.prefix(last) == (v4("10.0.128.7"), 32)
    trie.remove_peer(A)
    assert trie.used == 0 and trie.lookup(v4("10.0.128.7"), 0) == -1


def test_memory_of_a_prefix():
    storage = Storage()
    Trie4(1000, 0, storage.alloc)
    assert storage.bytes <= 32 * 1000
    storage = Storage()
    AllowedIPs(1, 1000, 0, storage.alloc)
    assert storage.bytes <= 64 * 1000 + 32
    storage = Storage()
    AllowedIPs(0, 0, 1000, storage.alloc)
    assert storage.bytes <= 8 * 1000 + 128


def test_the_worst_case_fits():
    # Prefixes that share no path: one branch for each but the first.
    count = 64
    allowed = AllowedIPs(count, count, 1)
    for i in range(count):
        allowed.insert(bytes((i << 2, 0, 0, 0)), 32, A)
        allowed.insert(bytes((i << 2,)) + bytes(15), 128, A)
    assert allowed.trie4.used == allowed.trie6.used == count
    raises(TableFull, allowed.insert, b"\xff\0\0\0", 32, A)


def test_lookups_do_not_allocate():
    random = Random(2)
    allowed = table()
    for i in range(20):
        allowed.insert(random.bytes(4), 8 + i, A)
        allowed.insert(random.bytes(16), 60 + i, A)
    allowed.insert(bytes(4), 0, B)
    buf = random.bytes(1016)

    def look(count):
        for i in range(count):
            allowed.lookup4(buf, i)
            allowed.lookup6(buf, i)

    assert allocated(look) == 0


def test_storage_is_zeroed_and_of_the_asked_size():
    for typecode in "BHIQ":
        column = alloc(typecode, 5)
        assert len(column) == 5 and not any(column)
    column = alloc("I", 2)
    column[1] = 0xFFFFFFFF
    assert column[1] == 0xFFFFFFFF and column[0] == 0
