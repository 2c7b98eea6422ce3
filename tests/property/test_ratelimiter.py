"""The rate limiter, compared with the kernel's arithmetic: one bucket for each address, in a table that is not full."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol.ratelimiter import RateLimiter

PACKET_COST, TOKEN_MAX = 50, 250


class Kernel:
    """As ratelimiter.c: tokens and the time of the last packet. Its garbage collector only removes full buckets."""

    def __init__(self):
        self._entries = {}

    def allow(self, ip, now):
        ip = bytes(ip) if len(ip) == 4 else bytes(ip[:8])
        tokens, last = self._entries.get(ip, (TOKEN_MAX, now))
        tokens = min(TOKEN_MAX, tokens + now - last)
        allowed = tokens >= PACKET_COST
        self._entries[ip] = (tokens - PACKET_COST if allowed else tokens, now)
        return allowed


# Six addresses: no window of eight is ever full.
IPS = st.sampled_from(
    [b"\x0a\0\0\1", b"\x0a\0\0\2", bytes(4), bytes(16), bytes(15) + b"\1", bytes(7) + b"\1" + bytes(8), b"\xff" * 16]
)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 1 << 45),
    st.lists(st.tuples(IPS, st.one_of(st.just(0), st.integers(0, 60), st.integers(0, 2000))), max_size=100),
)
def test_like_the_kernel(now, messages):
    limiter, kernel = RateLimiter(64), Kernel()
    for ip, pause in messages:
        now += pause
        assert limiter.allow(ip, now) == kernel.allow(ip, now)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 20)), max_size=200))
def test_nobody_gets_more_out_of_a_table_that_is_too_small(messages):
    limiter, now, counts = RateLimiter(8), 0, {}
    for ip, pause in messages:
        now += pause
        counts[ip] = counts.get(ip, 0) + limiter.allow(ip, now)
    for count in counts.values():
        assert count <= 5 + now // PACKET_COST
