"""The folders for files on the machine, and the environment variables that replace them, for tests.

The folder, the variable or option, and the content:
    /var/run/wireguard   WGEMBED_SOCKET_DIR   control sockets, IFNAME.sock, where all WireGuard programs look for them
    /var/run/wgembed     WGEMBED_RUN_DIR      files that are lost at a reboot: the records of routes, a timestamp
    /etc/wgembed         WGEMBED_STATE_DIR    files that survive a reboot: the high-water mark of timestamps
    /etc/config          --config-dir         UCI
"""

from . import system

SOCKETS = "/var/run/wireguard"
RUN = "/var/run/wgembed"
STATE = "/etc/wgembed"
CONFIG = "/etc/config"
WG_QUICK = "/etc/wireguard"


def sockets():
    """Return the folder of the control sockets."""
    return system.files.getenv("WGEMBED_SOCKET_DIR") or SOCKETS


def socket_of(name):
    """Return the path of the control socket of the interface `name`."""
    return "%s/%s.sock" % (sockets(), name)


def run():
    """Return the folder for files that are lost at a reboot."""
    return system.files.getenv("WGEMBED_RUN_DIR") or RUN


def state():
    """Return the folder for files that survive a reboot."""
    return system.files.getenv("WGEMBED_STATE_DIR") or STATE
