"""The primitives that WireGuard is made of, by libsodium. A leaf: it imports no other room.

What it shares with the protocol are the primitives' parameters: WireGuard's nonce and KDF_n. It knows no message, no peer
and no time.

There are two backends, _cpython.py and _micropython.py; this file and hashes.py choose between them, and `BACKEND` is how
other rooms do. contract.py says what each function takes and returns.
"""

import sys

from .hashes import blake2s, hmac, kdf  # noqa: F401

if sys.implementation.name == "micropython":
    from ._micropython import *  # noqa: F403
else:
    from ._cpython import *  # noqa: F403
