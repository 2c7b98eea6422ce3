"""The rate limiter: the vectors of the kernel, one bucket for a /64, and a table that refuses when it is full."""

from wgembed.protocol.ratelimiter import RateLimiter

from .support import Storage

V4 = b"\x0a\x00\x00\x01"
V6 = b"\x20\x01\x0d\xb8\x00\x00\x00\x01" + b"\x00\x00\x00\x00\x00\x00\x00\x01"


def burst(limiter, ip, now, count):
    """Return how many of `count` messages at once are allowed."""
    return sum(limiter.allow(ip, now) for _ in range(count))


def test_five_at_once_then_twenty_a_second():
    for ip in (V4, V6):
        for start in (0, 1, 1_000_000, 1 << 31, 1 << 40):
            limiter = RateLimiter(64)
            assert [limiter.allow(ip, start) for _ in range(6)] == [True] * 5 + [False]
            assert burst(limiter, ip, start + 49, 3) == 0
            assert burst(limiter, ip, start + 50, 3) == 1
            assert burst(limiter, ip, start + 150, 3) == 2
            assert burst(limiter, ip, start + 150 + 249, 9) == 4
            assert burst(limiter, ip, start + 10_000, 9) == 5


def test_a_second_of_flood():
    limiter = RateLimiter(64)
    assert sum(limiter.allow(V4, 5_000 + ms) for ms in range(1_000)) == 5 + 19


def test_addresses_have_buckets_of_their_own():
    limiter = RateLimiter(64)
    assert burst(limiter, V4, 0, 9) == 5
    assert burst(limiter, V4[:3] + b"\2", 0, 9) == 5
    assert burst(limiter, V6, 0, 9) == 5


def test_a_64_shares_one_bucket():
    limiter = RateLimiter(64)
    assert burst(limiter, V6, 0, 9) == 5
    assert burst(limiter, V6[:8] + b"\xff" * 8, 0, 9) == 0
    assert burst(limiter, V6[:7] + b"\2" + V6[8:], 0, 9) == 5


def test_address_may_be_any_kind_of_bytes():
    limiter = RateLimiter(64)
    packet = bytearray(b"...." + V6)
    assert burst(limiter, memoryview(packet)[4:], 0, 4) == 4
    assert burst(limiter, packet[4:], 0, 4) == 1


def test_full_means_deny_until_something_is_idle():
    limiter = RateLimiter(8)
    ips = [bytes((10, 0, i, 1)) for i in range(9)]
    assert [burst(limiter, ip, 100, 1) for ip in ips] == [1] * 8 + [0]
    assert burst(limiter, ips[0], 100, 9) == 4
    # After 1 s without a message, another address can take the entry.
    assert burst(limiter, ips[8], 100 + 1001, 9) == 5


def test_a_place_that_is_free_again_starts_full():
    limiter = RateLimiter(8)
    for i in range(8):
        assert burst(limiter, bytes((10, 0, 0, i)), 0, 9) == 5
    for i in range(8):
        assert burst(limiter, bytes((10, 1, 0, i)), 5_000, 9) == 5


def test_a_flood_from_everywhere_keeps_to_the_table():
    storage = Storage()
    limiter = RateLimiter(64, storage.alloc)
    assert storage.bytes == 64 * 12 and limiter.capacity == 64
    passed = sum(limiter.allow(bytes((10, i >> 8, i & 255, 1)), 0) for i in range(2000))
    assert passed <= 64


def test_two_limiters_place_addresses_differently():
    ips = [bytes((10, 0, 0, i)) for i in range(40)]
    outcomes = []
    for _ in range(4):
        limiter = RateLimiter(16)
        outcomes.append([limiter.allow(ip, 0) for ip in ips])
    assert not all(outcome == outcomes[0] for outcome in outcomes)


def test_the_smallest_table():
    assert RateLimiter(1).capacity == 8
