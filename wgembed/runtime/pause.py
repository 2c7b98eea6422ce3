"""Pauses in long work, in which packets pass.

Work that grows with the configuration or with the routes of the machine calls `pause` again and again. In a daemon, packets
that wait are then handled, but nothing else: no timers, no signals, no control socket. In other programs it does nothing.
"""

# The items between two pauses of `through`: less than a millisecond of work on a desktop core.
_ITEMS = 64

_handle_packets = None


def use(function):
    """Let `pause` call function(), which returns at once if it was called a moment ago."""
    global _handle_packets
    _handle_packets = function


def pause():
    """Let packets pass. The caller must not be inside the work on a packet."""
    if _handle_packets is not None:
        _handle_packets()


def through(items):
    """Yield the items, and pause now and then."""
    for count, item in enumerate(items):
        if count % _ITEMS == _ITEMS - 1:
            pause()
        yield item
