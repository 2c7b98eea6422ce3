"""The library's ChaCha20 against libsodium's and RFC 8439, its BLAKE2s and HKDF against Python's."""

import ctypes
import hashlib
import hmac
import platform
import random

import pytest

from wgembed import crypto
from wgembed.crypto import hashes

# What has vectors of 16 bytes: see primitives.h.
HAS_VECTORS = platform.machine() in ("x86_64", "aarch64", "armv7l", "armv8l")

# RFC 8439, 2.4.2
SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
)
ENCRYPTED = bytes.fromhex(
    "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f"
    "0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab77937365af90bbf74a35be6b40b8eedf2785e42874d"
)


def theirs(data, nonce, counter, key):
    """Return the data with libsodium's key stream."""
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulonglong, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_char_p
    )
    out = ctypes.create_string_buffer(len(data))
    assert kind(crypto.aead_addresses()[2])(out, data, len(data), nonce, counter, key) == 0
    return out.raw


class TestChaCha20:
    def test_of_the_rfc(self, fast):
        nonce = bytes.fromhex("000000000000004a00000000")
        assert fast.chacha20(SUNSCREEN, nonce, 1, bytes(range(32))) == (ENCRYPTED if HAS_VECTORS else None)

    def test_every_size_up_to_three_groups(self, fast):
        rng = random.Random(1)
        key, nonce = rng.randbytes(32), rng.randbytes(12)
        data = rng.randbytes(3 * 256)
        for size in range(len(data) + 1):
            expected = theirs(data[:size], nonce, size, key) if HAS_VECTORS else None
            assert fast.chacha20(data[:size], nonce, size, key) == expected, size

    def test_a_carry_of_the_counter(self, fast):
        """In the middle of a group. libsodium goes on in the nonce, where this construction never gets."""
        rng = random.Random(2)
        key, nonce, data = rng.randbytes(32), rng.randbytes(12), rng.randbytes(64 * 4)
        blocks = [theirs(data[at : at + 64], nonce, (0xFFFFFFFE + at // 64) % 2**32, key) for at in range(0, 256, 64)]
        assert fast.chacha20(data, nonce, 0xFFFFFFFE, key) == (b"".join(blocks) if HAS_VECTORS else None)


def test_the_choice(fast):
    """Ours is taken where it can be, if it must; libsodium's is faster on x86. Without parts there is none."""
    before = fast.state.stream
    if platform.machine() in ("x86_64", "i686"):
        assert not fast.choose_cipher() and fast.state.stream == before
    assert fast.choose_cipher(always=True) == HAS_VECTORS
    assert (fast.state.stream != before) == HAS_VECTORS
    fast.state.stream = 0
    assert not fast.choose_cipher(always=True) and not fast.state.stream


def test_another_cipher_than_libsodiums_is_not_chosen(fast):
    """What gives other bytes than ours: the library cannot know which of the two is wrong, and changes nothing."""
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulonglong, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p
    )
    wrong = kind(lambda out, data, size, nonce, counter, key: 0)
    fast.state.stream = ctypes.cast(wrong, ctypes.c_void_p).value
    assert not fast.choose_cipher(always=True)


class TestBlake2s:
    def test_every_length_and_key(self, fast):
        rng = random.Random(3)
        data = rng.randbytes(300)
        for length in range(len(data) + 1):
            size, key = 1 + length % 32, rng.randbytes(length % 33)
            expected = hashlib.blake2s(data[:length], digest_size=size, key=key).digest()
            assert fast.blake2s(size, key, data[:length]) == expected, length

    def test_sizes_that_do_not_exist(self, fast):
        for size, key in ((0, b""), (33, b""), (32, bytes(33))):
            assert fast.blake2s(size, key, b"abc") is None


class TestHkdf:
    @pytest.mark.parametrize("size", [32, 64, 96])
    def test_against_hmac_of_python(self, fast, size):
        rng = random.Random(size)
        for length in (0, 1, 32, 64, 65, 200):
            key, data = rng.randbytes(rng.randrange(65)), rng.randbytes(length)
            secret, block, expected = hmac.digest(key, data, hashlib.blake2s), b"", b""
            for number in range(1, size // 32 + 1):
                block = hmac.digest(secret, block + bytes([number]), hashlib.blake2s)
                expected += block
            assert fast.hkdf(size, key, data) == expected

    def test_sizes_that_do_not_exist(self, fast):
        for size, key in ((0, b""), (31, b""), (128, b""), (32, bytes(65))):
            assert fast.hkdf(size, key, b"abc") is None


class TestInPythonsPlace:
    """The functions of hashes.py, by the library and without it."""

    @pytest.fixture
    def used(self, fast):
        """Functions with pointers of the backend, as the daemon's loader of libraries makes them."""
        from wgembed.runtime import system

        library = system.clib.Library(fast.path)
        functions = [library.function("i", "wgembed_" + name, "PIPIPI") for name in ("blake2s", "hkdf")]
        yield functions
        hashes._native = None

    def test_the_same_results(self, used):
        rng = random.Random(4)
        cases = [(rng.randbytes(rng.choice((0, 16, 32))), [rng.randbytes(rng.randrange(150)) for _ in range(n % 4)])
                 for n in range(40)]  # fmt: skip
        expected = [hashes.blake2s(32, key, *parts) for key, parts in cases]
        outs = [bytearray(size) for size in (32, 64, 96)]
        for out in outs:
            hashes.kdf(out, bytes(range(32)), b"data")
        assert hashes.use_hashes(*used)
        assert [hashes.blake2s(32, key, *map(memoryview, parts)) for key, parts in cases] == expected
        for out in outs:
            again = bytearray(len(out))
            hashes.kdf(again, bytearray(range(32)), b"data")
            assert again == out

    def test_nothing_secret_stays(self, used):
        assert hashes.use_hashes(*used)
        hashes.kdf(bytearray(96), b"k" * 32, b"d" * 32)
        hashes.blake2s(32, b"", b"h" * 32, b"d" * 64)
        assert not any(hashes._memory)

    @pytest.mark.parametrize("wrong", [0, 1], ids=["blake2s", "hkdf"])
    def test_wrong_ones_are_refused(self, used, wrong):
        used[wrong] = lambda *arguments: 0
        assert not hashes.use_hashes(*used)
        assert hashes.blake2s(32, b"", b"abc") == hashlib.blake2s(b"abc").digest()
