"""The portable BLAKE2s runs its own tests, on both runtimes."""

from wgembed import crypto
from wgembed.crypto._blake2 import blake2s
from wgembed.crypto._blake2.test_blake2 import *  # noqa: F403


def test_it_is_what_the_seam_offers():
    assert crypto.blake2s(20, b"key", b"data") == blake2s(b"data", digest_size=20, key=b"key").digest()
