"""wg(8) itself: its arguments, version and usage."""

from ... import __version__
from ...errors import complain
from ...runtime import system, tool
from .. import verbs
from ..main import call, run
from ..output import to_bytes

# The version of wireguard-tools whose wg this program follows
LIKE = "1.0.20260223"
DESCRIPTIONS = {
    "show": "Shows the current configuration and device information",
    "showconf": "Shows the current configuration of a given WireGuard interface, for use with `setconf'",
    "set": "Change the current configuration, add peers, remove peers, or change peers",
    "setconf": "Applies a configuration file to a WireGuard interface",
    "addconf": "Appends a configuration file to a WireGuard interface",
    "syncconf": "Synchronizes a configuration file to a WireGuard interface",
    "genkey": "Generates a new private key and writes it to stdout",
    "genpsk": "Generates a new preshared key and writes it to stdout",
    "pubkey": "Reads a private key from stdin and writes a public key to stdout",
}


def main(program, arguments):
    """Run as wg; return the exit status. `program` is the name in messages, `arguments` follow it."""
    tool.prepare()
    if arguments in (["-v"], ["--version"], ["version"]):
        return call(program, arguments, _version)
    if arguments in (["-h"], ["--help"], ["help"]):
        return call(program, arguments, _help)
    if arguments and arguments[0] not in verbs("wg."):
        complain(b"Invalid subcommand: `%s'\n" % to_bytes(arguments[0]) + _usage(program).rstrip().encode())
        return 1
    return run(program, arguments or ["show"])


def _version(program, arguments):
    system.files.write(1, b"wgembed v%s - like wireguard-tools v%s\n" % (__version__.encode(), LIKE.encode()))
    return 0


def _help(program, arguments):
    system.files.write(1, _usage(program).encode())
    return 0


def _usage(program):
    lines = ["Usage: %s <cmd> [<args>]\n\nAvailable subcommands:\n" % program]
    lines += ["  %s: %s\n" % (verb, DESCRIPTIONS[verb]) for verb in verbs("wg.")]
    return "".join(lines) + "You may pass `--help' to any of these subcommands to view usage.\n"
