"""The command `wgembed`."""

import sys

from . import __version__
from .runtime import system

USAGE = """\
usage: wgembed [-f|--foreground] INTERFACE
       wgembed demo
       wgembed --version

wgembed INTERFACE makes a WireGuard interface and serves it in the background, wgembed -f in the foreground.
It is set up with wg(8) and ip(8). wgembed demo shows a tunnel between two namespaces of its own.
Environment: LOG_LEVEL (silent, error, verbose), WG_PROCESS_FOREGROUND=1, WGEMBED_MAX_PEERS.
"""


def main(arguments=None):
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    if arguments in (["-v"], ["--version"]):
        print("wgembed", __version__)
        return 0
    if arguments == ["demo"]:
        from .demo import demo

        return demo()
    foreground = arguments[:1] in (["-f"], ["--foreground"])
    names = arguments[1:] if foreground else arguments
    if len(names) != 1 or names[0].startswith("-"):
        sys.stderr.write(USAGE)
        return 2
    foreground = foreground or system.files.getenv("WG_PROCESS_FOREGROUND") == "1"
    return system.start.daemon(names[0], foreground, _serve)


def _serve(name, ready):
    from .control.daemon import serve

    return serve(name, ready)


if __name__ == "__main__":
    sys.exit(main())
