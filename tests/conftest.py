"""What holds for all tests."""

import os
import signal

from lab import faketime


def pytest_configure():
    # What is not said to have the C library serve the packet path is pure Python, whatever is installed here.
    os.environ.setdefault("WGEMBED_FASTPATH", "0")
    # A shell lets what it starts in the background ignore it, and all that this starts would: tests interrupt programs.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish():
    faketime.sweep()
