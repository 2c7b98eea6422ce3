"""The portable BLAKE2s runs its own tests, on both runtimes."""

from wgembed.crypto._blake2.test_blake2 import *  # noqa: F403
