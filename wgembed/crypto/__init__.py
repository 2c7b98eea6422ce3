"""The cryptographic primitives of WireGuard, with libsodium. This room imports no other room.

The primitives have the parameters of WireGuard: its nonce, and KDF_n. They know no messages, no peers and no time.

There are two backends, _cpython.py and _micropython.py. This file and hashes.py choose between them. Other rooms use
`BACKEND` to choose theirs. contract.py says what each function takes and returns.
"""

import sys

from .hashes import blake2s, kdf, use_hashes  # noqa: F401

if sys.implementation.name == "micropython":
    from ._micropython import *  # noqa: F403
else:
    from ._cpython import *  # noqa: F403
