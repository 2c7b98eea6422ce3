"""Nothing to do on CPython, which has separate memory for frames. See the module for MicroPython."""


def reserve():
    """Do nothing."""


def release():
    """Do nothing."""
