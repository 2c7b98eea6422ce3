"""See the module for MicroPython: here frames have memory of their own."""


def reserve():
    """Do nothing."""


def release():
    """Do nothing."""
