"""The switches of the offloads, and which of them lose packets in this version of the kernel.

This is read once at the start. Then the module is unloaded.

gro   below 5.12: joined datagrams can arrive damaged (wireguard-go has the same limit)
uso   6.2 to 6.8.4: UDP packets that were joined for the tunnel device get lost behind VXLAN and Geneve
"""

from . import system

KERNEL = "/proc/sys/kernel/osrelease"
_GRO_SINCE = (5, 12, 0)
_USO_BAD = (6, 2, 0), (6, 8, 5)


def version_of(release):
    """Return the version in the kernel's release, such as b"6.1.0-18-amd64", as three numbers; 0 for a missing one."""
    numbers = [0, 0, 0]
    at = 0
    for c in release:
        if 48 <= c <= 57:  # a digit
            numbers[at] = numbers[at] * 10 + c - 48
        elif c == 46 and at < 2:  # a dot
            at += 1
        else:
            break
    return tuple(numbers)


def has_faults():
    """Return whether GRO and USO have a fault. If the version is not known, they have none."""
    try:
        version = version_of(system.files.read_file(KERNEL))
    except OSError:
        return False, False
    return (0, 0, 0) < version < _GRO_SINCE, _USO_BAD[0] <= version < _USO_BAD[1]


def tests_gso():
    """Return when segmented sends are tested: segmentation.IF_SUSPECTED, or ALWAYS if the environment asks for it."""
    return 2 if system.files.getenv("WGEMBED_GSO") == "test" else 1


def switches():
    """Return the switches of gso, gro and the tunnel device in the environment: True, False, or None if not set."""
    getenv = system.files.getenv
    values = getenv("WGEMBED_GSO"), getenv("WGEMBED_GRO"), getenv("WGEMBED_TUN_OFFLOAD")
    return tuple([{"0": False, "1": True}.get(value) for value in values])
