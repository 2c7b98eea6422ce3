"""What holds for all tests."""

import os
import signal
from pathlib import Path

import pytest

from .lab import leftovers

# What docs/trust.md and docs/threat-model.md rest on.
TRUST = (
    "sim/", "fuzz/", "faults/", "soak/", "daemon/test_confined.py", "daemon/test_flood.py", "daemon/test_secrets.py",
    "interop/test_interop_netem.py", "interop/test_interop_storm.py", "router/test_seccomp.py", "test_comparisons.py",
    "test_coverage.py", "unit/test_others_bugs.py",
)  # fmt: skip


def pytest_configure():
    # What is not said to have the C library serve the packet path is pure Python, whatever is installed here.
    os.environ.setdefault("WGEMBED_FASTPATH", "0")
    # A shell lets what it starts in the background ignore it, and all that this starts would: tests interrupt programs.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    for item in items:
        if str(item.path.relative_to(Path(__file__).parent)).startswith(TRUST):
            item.add_marker(pytest.mark.trust)


def pytest_sessionstart():
    leftovers.sweep()


def pytest_sessionfinish():
    leftovers.sweep()
