"""`wgembed help` and `wgembed version`."""

from .. import __version__
from ..runtime import system
from . import find, verbs

_ABOUT = """
wgembed INTERFACE makes a WireGuard interface and serves it in the background, wgembed -f in the foreground.
It is set up with wg(8) and ip(8). wgembed run serves all interfaces of /etc/config/wgembed, in the foreground;
wgembed check says what is wrong with that file and with this machine. The commands from show to pubkey are those of
wg(8), for interfaces that a program like this one serves; called by the name wg, this is wg. status tells the state of
tunnels, diagnose why one is down. up and down do what wg-quick(8) does; import and export turn its files into
/etc/config/wgembed and back. wgembed demo shows a tunnel between two namespaces of its own. See wgembed(8).
Environment: LOG_LEVEL (silent, error, verbose), WG_PROCESS_FOREGROUND=1, WGEMBED_MAX_PEERS.
"""


def usage():
    """Return what `wgembed help` prints."""
    lines = ["usage: wgembed [-f|--foreground] INTERFACE\n"]
    for verb in verbs():
        lines.append(("       wgembed %s %s" % (verb, find(verb)[1])).rstrip() + "\n")
    return "".join(lines) + _ABOUT


def print_usage(program, arguments):
    """Print how wgembed is called; returns the exit status."""
    system.files.write(1, usage().encode())
    return 0


def print_version(program, arguments):
    """Print the version; returns the exit status."""
    system.files.write(1, b"wgembed %s\n" % __version__.encode())
    return 0
