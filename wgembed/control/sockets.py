"""Where the control sockets of interfaces are."""

from ..runtime import system

SOCKET_DIRECTORY = "/var/run/wireguard"
SUFFIX = ".sock"


def socket_directory():
    """Return the directory of the control sockets; WGEMBED_SOCKET_DIR names another one, for tests."""
    return system.files.getenv("WGEMBED_SOCKET_DIR") or SOCKET_DIRECTORY


def socket_path(name):
    """Return where the interface's control socket is."""
    return "%s/%s%s" % (socket_directory(), name, SUFFIX)
