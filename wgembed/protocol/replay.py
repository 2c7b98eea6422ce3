"""The replay window: the ring of bitmap words of RFC 6479, as in Linux (receive.c: counter_validate).

The window has 8192 bits, and 8128 of them are usable, as in Linux, although a word here has 8 bits. A keypair has `top`,
one more than the highest counter that was accepted, and `window`, the offset of its 1024 bytes in the table of all windows.
"""

from .constants import COUNTER_BITS_TOTAL, COUNTER_WINDOW_SIZE, REJECT_AFTER_MESSAGES

WINDOW_BYTES = COUNTER_BITS_TOTAL // 8
_LAST = WINDOW_BYTES - 1
_ZEROS = bytes(WINDOW_BYTES)


def reset(windows, keypair):
    """Empty the window of a new keypair."""
    keypair.top = 0
    windows[keypair.window : keypair.window + WINDOW_BYTES] = _ZEROS


def accept(windows, keypair, counter):
    """Accept the counter of an authentic message if it is fresh. Returns whether it was accepted."""
    if counter >= REJECT_AFTER_MESSAGES:
        return False
    counter += 1
    top = keypair.top
    if counter + COUNTER_WINDOW_SIZE < top:
        return False
    base = keypair.window
    word = counter >> 3
    if counter > top:
        _clear(windows, base, top >> 3, word)
        keypair.top = counter
    word = base + (word & _LAST)
    bit = 1 << (counter & 7)
    if windows[word] & bit:
        return False
    windows[word] |= bit
    return True


def accept_run(windows, keypair, first, count):
    """Accept the counters `first` to `first + count` - 1 of authentic messages. `first` is not below `keypair.top`.

    This does the same as `accept` for each counter. It is for the usual case: the packets arrive in the order in which
    they were sent. `count` is at most WINDOW_BYTES. Returns False, and accepts none, if a counter is too high.
    """
    high = first + count
    if high > REJECT_AFTER_MESSAGES:
        return False
    base = keypair.window
    last = high >> 3
    _clear(windows, base, keypair.top >> 3, last)
    keypair.top = high
    word = first + 1 >> 3
    bits = 0xFF << (first + 1 & 7) & 0xFF
    while word < last:
        windows[base + (word & _LAST)] |= bits
        bits = 0xFF
        word += 1
    windows[base + (word & _LAST)] |= bits & 0xFF >> (7 - (high & 7))
    return True


def _clear(windows, base, word, last):
    """Clear the words after `word`, up to and with `last`."""
    if last - word > _LAST:
        windows[base : base + WINDOW_BYTES] = _ZEROS
        return
    while word < last:
        word += 1
        windows[base + (word & _LAST)] = 0
