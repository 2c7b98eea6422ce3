"""What the daemon gives up for good before it reads a key: whoever should get hold of it finds little to do with it.

Each step stands by itself. A kernel that lacks one (before 3.5 there is no PR_SET_NO_NEW_PRIVS), or a jail that forbids
it, leaves one line in the log and a daemon that runs. Sources: capabilities(7), prctl(2), setrlimit(2).
"""

from struct import pack, unpack

from .. import crypto
from . import system

CAP_NET_BIND_SERVICE = 10
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
# Links, tunnel devices, addresses, routes, rules, marks, large queues; a port below 1024, which a reload or `wg` may ask for
# at any time; what sockets are bound to (SO_BINDTODEVICE, before Linux 5.7).
NEEDED = 1 << CAP_NET_ADMIN | 1 << CAP_NET_BIND_SERVICE | 1 << CAP_NET_RAW

_UMASK = 0o077
_RLIMIT_CORE = 4
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522  # the third, of 2.6.26: two words a set
_CAPABILITIES = 64


def drop_privileges(log):
    """Give up what is not needed, and tell the log what holds from here on and what cannot be had."""
    try:
        libc = _Libc()
    except OSError as e:
        log.error("cannot drop privileges: %s" % e)
        return
    holds = []
    for name, step in _STEPS:
        if step(libc):
            holds.append(name)
        else:
            log.error("cannot drop privileges (%s): error %d" % (name, system.clib.errno()))
    log.verbose("privileges dropped: " + ", ".join(holds))


class _Libc:
    """The calls; OSError where the C library lacks one."""

    def __init__(self):
        library = system.clib.Library(None)
        self.prctl = library.function("i", "prctl", "iLLLL")
        self.setrlimit = library.function("i", "setrlimit", "iP")
        self.capget = library.function("i", "capget", "PP")
        self.capset = library.function("i", "capset", "PP")


def _own_files(libc):
    system.files.set_umask(_UMASK)
    return True


def _no_core(libc):
    # Two limits of zero, however wide the C library has them.
    return libc.setrlimit(_RLIMIT_CORE, bytes(16)) == 0


def _not_dumpable(libc):
    # Nor read by other processes of the same user that lack CAP_SYS_PTRACE: ptrace(2).
    return libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0


def _no_new_privileges(libc):
    return libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def _small_bounding_set(libc):
    """Take from the bounding set, which limits the programs that are run from here, what is not needed."""
    for number in range(_CAPABILITIES):
        held = libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)
        if held < 0:
            break  # past the last one that this kernel knows
        if held and not NEEDED >> number & 1 and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            return False
    return True


def _few_capabilities(libc):
    """Take from all other sets what is not needed. The ambient set holds nothing that the inheritable one does not."""
    header = bytearray(pack("Ii", _CAPABILITY_VERSION, 0))
    sets = bytearray(24)
    if libc.capget(crypto.pointer_to(header), crypto.pointer_to(sets)) < 0:
        return False
    effective, permitted, inheritable = unpack("3I", sets[:12])
    sets[:] = pack("6I", effective & NEEDED, permitted & NEEDED, inheritable & NEEDED, 0, 0, 0)
    return libc.capset(crypto.pointer_to(header), crypto.pointer_to(sets)) == 0


# In this order: dropping from the bounding set takes a capability that is given up last.
_STEPS = (
    ("umask 077", _own_files),
    ("no core file", _no_core),
    ("not dumpable", _not_dumpable),
    ("no new privileges", _no_new_privileges),
    ("bounding set of net_admin, net_bind_service, net_raw", _small_bounding_set),
    ("no other capabilities", _few_capabilities),
)
