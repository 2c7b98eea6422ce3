"""Timestamps."""

from wgembed.protocol.tai64n import Tai64n


def test_label_of_a_known_time():
    # 1992-06-02 08:07:09 UTC, with the ten seconds of the epoch, and without a table of leap seconds.
    assert bytes(Tai64n().make(707_472_429, 0)) == b"\x40\0\0\0\x2a\x2b\x2c\x37" + bytes(4)


def test_nanoseconds_are_coarse():
    stamp = bytes(Tai64n().make(1, 999_999_999))
    assert stamp[8:] == b"\x3b\0\0\0"


def test_grows_when_the_clock_stands():
    stamps = Tai64n()
    seen = [bytes(stamps.make(1_700_000_000, 5)) for _ in range(200)]
    assert seen == sorted(set(seen))
    assert all(int.from_bytes(s[8:], "big") < 1_000_000_000 for s in seen)


def test_grows_when_the_clock_is_set_back():
    stamps = Tai64n()
    before = bytes(stamps.make(1_700_000_000, 0))
    after = bytes(stamps.make(1_600_000_000, 0))
    assert after > before
    assert bytes(stamps.make(1_700_000_001, 0)) > after
