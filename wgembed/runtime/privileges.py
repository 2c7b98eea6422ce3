"""What the daemon asks of the kernel before it reads a key: to be spared, and fewer privileges.

It asks the out-of-memory killer to take others first, because many routers are reached through the tunnel. Then it drops
the privileges that it does not need. So an attacker who controls the daemon can do little.

Each step is independent. If the kernel does not have a step (before 3.5 there is no PR_SET_NO_NEW_PRIVS), or a jail forbids
the step, the log gets one line and the daemon runs. Sources: capabilities(7), prctl(2), setrlimit(2).
"""

from struct import pack, unpack

from .. import crypto
from ..errors import cause
from . import abi, system

CAP_NET_BIND_SERVICE = 10
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
# CAP_NET_ADMIN: links, tunnel devices, addresses, routes, rules, marks, large queues. CAP_NET_BIND_SERVICE: a port below
# 1024, which a reload or `wg` can set at any time. CAP_NET_RAW: SO_BINDTODEVICE before Linux 5.7.
NEEDED = 1 << CAP_NET_ADMIN | 1 << CAP_NET_BIND_SERVICE | 1 << CAP_NET_RAW

# Half of the memory of the machine: proc(5). Programs that the daemon starts are not spared.
_OOM_SCORE_ADJ = "-500"

_UMASK = 0o077
_RLIMIT_CORE = 4
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522  # version 3, since Linux 2.6.26: a set has two words
_CAPABILITIES = 64


def drop_privileges(log):
    """Drop the privileges that the daemon does not need, and log each step that fails, and the list of the others.

    Before that, ask to be spared when memory is short, for which it needs root.
    """
    try:
        system.files.write_file(abi.OOM_SCORE_ADJ, _OOM_SCORE_ADJ)
    except OSError:
        pass
    try:
        libc = _Libc()
    except OSError as e:
        log.error("cannot drop privileges: %s" % cause(e))
        return
    holds = []
    for name, step in _STEPS:
        if step(libc):
            holds.append(name)
        else:
            log.error("cannot drop privileges (%s): %s" % (name, cause(OSError(system.clib.errno()))))
    log.verbose("privileges dropped: " + ", ".join(holds))


class _Libc:
    """The system calls. OSError if the C library does not have one of them."""

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
    # struct rlimit with two zeros, for limits of 32 and of 64 bits.
    return libc.setrlimit(_RLIMIT_CORE, bytes(16)) == 0


def _not_dumpable(libc):
    # Then processes of the same user without CAP_SYS_PTRACE cannot read its memory, either: ptrace(2).
    return libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0


def _no_new_privileges(libc):
    return libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def _small_bounding_set(libc):
    """Remove unneeded capabilities from the bounding set, which limits the programs that the daemon executes."""
    for number in range(_CAPABILITIES):
        held = libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)
        if held < 0:
            break  # this kernel has no more capabilities
        if held and not NEEDED >> number & 1 and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            return False
    return True


def _few_capabilities(libc):
    """Remove unneeded capabilities from all other sets. The ambient set is always a part of the inheritable set."""
    header = bytearray(pack("Ii", _CAPABILITY_VERSION, 0))
    sets = bytearray(24)
    if libc.capget(crypto.pointer_to(header), crypto.pointer_to(sets)) < 0:
        return False
    effective, permitted, inheritable = unpack("3I", sets[:12])
    sets[:] = pack("6I", effective & NEEDED, permitted & NEEDED, inheritable & NEEDED, 0, 0, 0)
    return libc.capset(crypto.pointer_to(header), crypto.pointer_to(sets)) == 0


# The order matters: a change of the bounding set needs CAP_SETPCAP, which the last step drops.
_STEPS = (
    ("umask 077", _own_files),
    ("no core file", _no_core),
    ("not dumpable", _not_dumpable),
    ("no new privileges", _no_new_privileges),
    ("bounding set of net_admin, net_bind_service, net_raw", _small_bounding_set),
    ("no other capabilities", _few_capabilities),
)
