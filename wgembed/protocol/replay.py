"""The replay window: RFC 6479's ring of bitmap words, as the kernel has it (receive.c: counter_validate).

8192 bits of which 8128 are usable, whatever the width of a word here. A keypair carries `top`, one more than the
highest counter that it accepted, and `window`, where its 1024 bytes begin in the table of all windows.
"""

from .constants import COUNTER_BITS_TOTAL, COUNTER_WINDOW_SIZE, REJECT_AFTER_MESSAGES

WINDOW_BYTES = COUNTER_BITS_TOTAL // 8
_LAST = WINDOW_BYTES - 1
_ZEROS = bytes(WINDOW_BYTES)


def reset(windows, keypair):
    """Forget every counter: the keypair is new."""
    keypair.top = 0
    windows[keypair.window : keypair.window + WINDOW_BYTES] = _ZEROS


def accept(windows, keypair, counter):
    """Return whether the authenticated `counter` is fresh, and take note of it if so."""
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
    """Take note of `count` authenticated counters from `first` on; none of them is below the window's top.

    The same as `accept` for each in turn, for the usual case of packets that come as they were sent. Returns
    whether they were fresh; there must be no more of them than WINDOW_BYTES.
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
    """Make room for the words after `word` up to `last`."""
    if last - word > _LAST:
        windows[base : base + WINDOW_BYTES] = _ZEROS
        return
    while word < last:
        word += 1
        windows[base + (word & _LAST)] = 0
