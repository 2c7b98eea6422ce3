"""`wgembed help`."""

from ..runtime import system
from . import find, verbs

_ABOUT = """
wgembed INTERFACE creates a WireGuard interface and serves it in the background, wgembed -f in the foreground.
wg(8) and ip(8) configure the interface. wgembed run serves all interfaces of /etc/config/wgembed in the foreground.
wgembed check looks for errors in this file and on this machine. apply replaces the file, with --confirm for some minutes
only, until confirm keeps the new one. The commands from show to pubkey are those of wg(8),
for interfaces of programs like this one. A link to this program with the name wg behaves like wg. status shows the
state of tunnels, diagnose shows why a tunnel is down. up and down do the same as wg-quick(8), and reload applies a
changed file. import and export convert its files to /etc/config/wgembed and back. demo makes a tunnel between two
private namespaces. See wgembed(8).
Environment: LOG_LEVEL (silent, error, verbose), WG_PROCESS_FOREGROUND=1, WGEMBED_MAX_PEERS.
"""


def usage():
    """Return the text of `wgembed help`."""
    lines = ["usage: wgembed [-f|--foreground] INTERFACE\n"]
    for verb in verbs():
        lines.append(("       wgembed %s %s" % (verb, find(verb)[1])).rstrip() + "\n")
    return "".join(lines) + _ABOUT


def print_usage(program, arguments):
    """Print the commands and their arguments; return the exit status."""
    system.files.write(1, usage().encode())
    return 0
