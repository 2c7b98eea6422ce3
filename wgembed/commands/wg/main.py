"""The commands of wg(8): what they are called, and what calls them."""

from ... import __version__
from ...runtime import system, tool
from ..output import Failure, complain, to_bytes

# Of wireguard-tools, whose wg this is like
LIKE = "1.0.20260223"
DESCRIPTIONS = (
    ("show", "Shows the current configuration and device information"),
    ("showconf", "Shows the current configuration of a given WireGuard interface, for use with `setconf'"),
    ("set", "Change the current configuration, add peers, remove peers, or change peers"),
    ("setconf", "Applies a configuration file to a WireGuard interface"),
    ("addconf", "Appends a configuration file to a WireGuard interface"),
    ("syncconf", "Synchronizes a configuration file to a WireGuard interface"),
    ("genkey", "Generates a new private key and writes it to stdout"),
    ("genpsk", "Generates a new preshared key and writes it to stdout"),
    ("pubkey", "Reads a private key from stdin and writes a public key to stdout"),
)
COMMANDS = tuple([verb for verb, _ in DESCRIPTIONS])


def main(program, arguments):
    """Be wg: `program` is what messages call it, `arguments` what follows it. Returns the exit status."""
    if arguments in (["-v"], ["--version"], ["version"]):
        return _guard(program, _version, arguments)
    if arguments in (["-h"], ["--help"], ["help"]):
        return _guard(program, _help, arguments)
    if arguments and arguments[0] not in COMMANDS:
        complain(b"Invalid subcommand: `%s'\n" % to_bytes(arguments[0]) + _usage(program).rstrip().encode())
        return 1
    return run(program, arguments or ["show"])


def run(program, arguments):
    """Run the command that the first argument names; returns the exit status."""
    return _guard(program, _function(arguments[0]), arguments)


def _guard(program, function, arguments):
    tool.prepare()
    try:
        return function(program, arguments)
    except Failure as e:
        if e.text:
            complain(e.text)
    except OSError as e:
        # Commands tell of their own; this one is of the output.
        complain("%s: %s" % (program, tool.strerror(e.errno)))
    return 1


def _function(verb):
    if verb == "show":
        from .show import show as function
    elif verb == "showconf":
        from .show import showconf as function
    elif verb == "set":
        from .set import set_ as function
    elif verb in ("genkey", "genpsk"):
        from .keys import make as function
    elif verb == "pubkey":
        from .keys import pubkey as function
    else:
        from .setconf import setconf as function
    return function


def _version(program, arguments):
    system.files.write(1, b"wgembed v%s - like wireguard-tools v%s\n" % (__version__.encode(), LIKE.encode()))
    return 0


def _help(program, arguments):
    system.files.write(1, _usage(program).encode())
    return 0


def _usage(program):
    lines = ["Usage: %s <cmd> [<args>]\n\nAvailable subcommands:\n" % program]
    lines += ["  %s: %s\n" % (verb, description) for verb, description in DESCRIPTIONS]
    return "".join(lines) + "You may pass `--help' to any of these subcommands to view usage.\n"
