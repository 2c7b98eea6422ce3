"""BLAKE2s against RFC 7693, with every compression function that runs here, whatever the machine would choose."""

import struct
import sys

from . import _halves, _words, blake2s, kdf
from ._tables import IV

try:
    from . import _viper

    VARIANTS = _words, _halves, _viper
except (ImportError, SyntaxError):
    VARIANTS = _words, _halves

_blake2 = sys.modules[__name__.rpartition(".")[0]]

# RFC 7693, appendix E: the hash of the hashes of sequences of many lengths, keyed and not
SELF_TEST = "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"
ABC = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"  # appendix B
EDGES = (
    "0129554c1b382b8a0beb1636b13235f0445d31317f724d48d31f97d601ca410a",
    "8d44b2d5ded3199db56388fb9c71c19a0db3a7c377af8e1c614c35e94f8788e3",
)  # by CPython
EMPTY = "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9"


def _with_each(test):
    chosen = _blake2.compress
    try:
        for variant in VARIANTS:
            _blake2.compress = variant.compress
            test()
    finally:
        _blake2.compress = chosen


def _sequence(size, seed):
    """Return the pseudo-random bytes of the self-test."""
    a = 0xDEAD4BAD * seed & 0xFFFFFFFF
    b = 1
    out = bytearray(size)
    for i in range(size):
        a, b = b, a + b & 0xFFFFFFFF
        out[i] = b >> 24
    return out


def _self_test():
    hashes = blake2s()
    for size in (16, 20, 28, 32):
        for length in (0, 3, 64, 65, 255, 1024):
            data = _sequence(length, length)
            hashes.update(blake2s(data, digest_size=size).digest())
            hashes.update(blake2s(data, digest_size=size, key=_sequence(size, size)).digest())
    assert hashes.digest() == bytes.fromhex(SELF_TEST)


def _known_answers():
    assert blake2s(b"abc").digest() == bytes.fromhex(ABC)
    assert blake2s().digest() == bytes.fromhex(EMPTY)


def _pieces():
    data = bytes(range(200))
    for size in (1, 7, 63, 64, 65, 128):
        pieces = blake2s(digest_size=20, key=b"k")
        for start in range(0, len(data), size):
            pieces.update(memoryview(data)[start : start + size])
        assert pieces.digest() == blake2s(data, digest_size=20, key=b"k").digest()


def test_self_test():
    _with_each(_self_test)


def test_known_answers():
    _with_each(_known_answers)


def _rotations_of_zero_and_of_ones():
    """The first word of the message makes d ^ a zero, or 2^32 - 1, in the first step (RFC 7693, 3.1)."""
    initial = struct.unpack("<8I", IV)
    for wanted in (0, 0xFFFFFFFF):
        first = (wanted ^ initial[4] ^ 64) - (initial[0] ^ 0x01010020) - initial[4] & 0xFFFFFFFF
        hashed = blake2s(struct.pack("<I", first) + bytes(60))
        assert hashed.digest() == bytes.fromhex(EDGES[wanted != 0])


def test_rotations_of_zero_and_of_ones():
    _with_each(_rotations_of_zero_and_of_ones)


def test_data_may_come_in_pieces():
    _with_each(_pieces)


def test_digest_may_be_asked_for_at_any_time():
    hashed = blake2s(b"a" * 64)
    assert hashed.digest() == hashed.digest()
    hashed.update(b"b")
    assert hashed.digest() == blake2s(b"a" * 64 + b"b").digest()


def test_a_copy_goes_its_own_way():
    for size in (0, 10, 64, 70):
        first = blake2s(b"x" * size, digest_size=16)
        second = first.copy()
        second.update(b"second")
        assert first.digest() == blake2s(b"x" * size, digest_size=16).digest()
        assert second.digest() == blake2s(b"x" * size + b"second", digest_size=16).digest()


def _hmac(key, data):
    inner = blake2s(bytes([byte ^ 0x36 for byte in key]) + b"\x36" * 32 + data).digest()
    return blake2s(bytes([byte ^ 0x5C for byte in key]) + b"\x5c" * 32 + inner).digest()


def _hkdf():
    key = bytes(range(32))
    for data in (b"", b"x", bytes(range(32)), bytes(range(64))):
        secret = _hmac(key, data)
        expected = one = b""
        for number in (1, 2, 3):
            one = _hmac(secret, one + bytes([number]))
            expected += one
        for size in (32, 64, 96):
            out = bytearray(size)
            kdf(memoryview(out), memoryview(key), memoryview(data))
            assert out == expected[:size]


def test_hkdf():
    _with_each(_hkdf)


def test_parameters_out_of_range():
    for parameters in ({"digest_size": 0}, {"digest_size": 33}, {"key": bytes(33)}):
        try:
            blake2s(b"", **parameters)
        except ValueError:
            continue
        raise AssertionError("accepted: " + str(parameters))
