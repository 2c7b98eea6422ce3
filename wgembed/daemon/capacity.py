"""The number of peers and allowed IPs that the daemon of one interface has room for. Its tables have a fixed size."""

from struct import calcsize

from ..errors import UserError
from ..protocol.allowedips import MAX_PREFIXES, NARROW
from ..protocol.constants import MAX_PEERS
from ..runtime import system

PREFIXES_PER_PEER = 16  # of each family, on average

# The heap of MicroPython that `up` needs, in KB on a 64-bit machine: measured, and a tenth more.
_UP_K = 530
_PEER_K = 5
_PREFIX_K = 0.45
_32_BITS = 0.75
# The heap and MicroPython's table of its blocks
_TABLE = 1.025
# Sizes in messages are multiples of this.
_STEP_K = 256

_PEERS = "WGEMBED_MAX_PEERS"
_PREFIXES = "WGEMBED_MAX_PREFIXES"


def peers():
    """Return the configured number of peers. UserError."""
    return _limit(_PEERS, system.files.USUAL_PEERS, MAX_PEERS)


def prefixes(peers):
    """Return the configured number of allowed IPs of each family, in a table of so many peers. UserError."""
    return _limit(_PREFIXES, min(PREFIXES_PER_PEER * peers, NARROW), MAX_PREFIXES)


def _limit(variable, usual, most):
    text = system.files.getenv(variable)
    if not text:
        return usual
    if not text.isdigit() or not 0 < int(text) <= most:
        raise UserError("%s: expected a number from 1 to %d, got '%s'" % (variable, most, text))
    return int(text)


def grown(needed_peers, needed_prefixes):
    """Return (peers, prefixes) with room for so many peers, and so many allowed IPs of a family. UserError for too many."""
    room = max(_checked(_PEERS, "peers", needed_peers, peers(), MAX_PEERS), needed_peers)
    more = _checked(_PREFIXES, "allowed IPs of one family", needed_prefixes, prefixes(room), MAX_PREFIXES)
    return room, max(more, needed_prefixes)


def _checked(variable, what, needed, limit, most):
    """Return the limit; UserError if it is exceeded and must not grow."""
    if needed > most:
        raise UserError("%d %s are too many, the maximum is %d" % (needed, what, most))
    if needed > limit and system.files.getenv(variable):
        raise UserError("%d %s are too many for %s=%d; set it to %d or more" % (needed, what, variable, limit, needed))
    return limit


def check_heap(peers, prefixes):
    """UserError if the heap is too small for `up` with so much room for peers, and so many allowed IPs in the file."""
    size = system.heap.size() // 1024
    needed = (_UP_K + peers * _PEER_K + prefixes * _PREFIX_K) * (1 if calcsize("P") == 8 else _32_BITS)
    if not size or size >= needed:
        return
    needed = (int(needed * _TABLE) // _STEP_K + 1) * _STEP_K
    text = "%dM" % (needed // 1024) if needed % 1024 == 0 else "%dK" % needed
    raise UserError(
        "MicroPython's heap is too small for `up` with room for %d peers and %d allowed IPs; start MicroPython with"
        " -X heapsize=%s or more" % (peers, prefixes, text)
    )


def variables(peers, prefixes):
    """Return the environment variables for a daemon with this room: pairs of a name and a value."""
    return (_PEERS, str(peers)), (_PREFIXES, str(prefixes))
