"""The commands that are done and over: no daemon needs to load this."""

import sys

from . import __version__

USAGE = """\
usage: wgembed [-f|--foreground] INTERFACE
       wgembed run|check [--config-dir DIR]
       wgembed show|showconf|set|setconf|addconf|syncconf|genkey|genpsk|pubkey ...
       wgembed demo
       wgembed --version

wgembed INTERFACE makes a WireGuard interface and serves it in the background, wgembed -f in the foreground.
It is set up with wg(8) and ip(8). wgembed run serves all interfaces of /etc/config/wgembed, in the foreground;
wgembed check says what is wrong with that file and with this machine. The commands from show to pubkey are those of
wg(8), for interfaces that a program like this one serves; called by the name wg, this is wg. wgembed demo shows a
tunnel between two namespaces of its own.
Environment: LOG_LEVEL (silent, error, verbose), WG_PROCESS_FOREGROUND=1, WGEMBED_MAX_PEERS.
"""


def run(program, arguments):
    """Do what the command line asks for, called by the name `program`; returns the exit status."""
    from .control import wg

    if program == "wg":
        return wg.main("wg", arguments)
    if arguments and arguments[0] in wg.COMMANDS:
        return wg.run("wgembed", arguments)
    if arguments in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(USAGE)
        return 0
    if arguments in (["-v"], ["--version"], ["version"]):
        print("wgembed", __version__)
        return 0
    if arguments == ["demo"]:
        from .demo import demo

        return demo()
    sys.stderr.write(USAGE)
    return 2
