"""Nothing to do on CPython, which has separate memory for frames. See the module for MicroPython."""


def reserve():
    """Do nothing."""


def release(are_few=False):
    """Do nothing."""


def size():
    """Return 0: the heap has no limit."""
    return 0
