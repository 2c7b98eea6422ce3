"""See the module for MicroPython: here frames have memory of their own."""


def keep_room():
    """Do nothing."""


def give_room():
    """Do nothing."""
