"""Operations on runs of packets: the backend for this interpreter. contract.py describes each function."""

from ..crypto import BACKEND

if BACKEND == "micropython":
    from .runs_micropython import *  # noqa: F403
else:
    from .runs_cpython import *  # noqa: F403
