"""What is done to runs of packets: the backend that fits the interpreter. contract.py says what each function does.

Pointers are those of wgembed.crypto. Nothing here may allocate in proportion to what it is given.
"""

from ..crypto import BACKEND

if BACKEND == "micropython":
    from .runs_micropython import *  # noqa: F403
else:
    from .runs_cpython import *  # noqa: F403
