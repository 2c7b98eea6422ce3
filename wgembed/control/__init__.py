"""How people and programs steer wgembed. Reaches the machine through `runtime` alone."""

from ..runtime import system

SOCKET_DIRECTORY = "/var/run/wireguard"


def socket_directory():
    """Return the directory of the control sockets; WGEMBED_SOCKET_DIR names another one, for tests."""
    return system.files.getenv("WGEMBED_SOCKET_DIR") or SOCKET_DIRECTORY


def socket_path(name):
    """Return where the interface's control socket is."""
    return "%s/%s.sock" % (socket_directory(), name)
