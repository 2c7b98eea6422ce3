"""What is done to runs of packets: the backend that fits the interpreter. contract.py says what each function does."""

from ..crypto import BACKEND

if BACKEND == "micropython":
    from .runs_micropython import *  # noqa: F403
else:
    from .runs_cpython import *  # noqa: F403
