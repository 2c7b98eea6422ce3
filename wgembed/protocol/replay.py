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
        clear = top >> 3
        if word != clear:
            if word - clear > _LAST:
                windows[base : base + WINDOW_BYTES] = _ZEROS
            else:
                while clear < word:
                    clear += 1
                    windows[base + (clear & _LAST)] = 0
        keypair.top = counter
    word = base + (word & _LAST)
    bit = 1 << (counter & 7)
    if windows[word] & bit:
        return False
    windows[word] |= bit
    return True
