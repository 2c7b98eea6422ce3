"""The commands that are done and over: no daemon needs to load this."""

import sys

from .. import __version__

USAGE = """\
usage: wgembed [-f|--foreground] INTERFACE
       wgembed run|check [--config-dir DIR]
       wgembed show|showconf|set|setconf|addconf|syncconf|genkey|genpsk|pubkey ...
       wgembed status [--json|--prometheus] [--watch] [--interval SECONDS] [INTERFACE...]
       wgembed diagnose [INTERFACE [PEER]]
       wgembed up|down FILE|INTERFACE
       wgembed import FILE ... | export INTERFACE PEER ...
       wgembed demo
       wgembed --version

wgembed INTERFACE makes a WireGuard interface and serves it in the background, wgembed -f in the foreground.
It is set up with wg(8) and ip(8). wgembed run serves all interfaces of /etc/config/wgembed, in the foreground;
wgembed check says what is wrong with that file and with this machine. The commands from show to pubkey are those of
wg(8), for interfaces that a program like this one serves; called by the name wg, this is wg. status tells the state of
tunnels, diagnose why one is down. up and down do what wg-quick(8) does; import and export turn its files into
/etc/config/wgembed and back. wgembed demo shows a tunnel between two namespaces of its own. See wgembed(8).
Environment: LOG_LEVEL (silent, error, verbose), WG_PROCESS_FOREGROUND=1, WGEMBED_MAX_PEERS.
"""
_ASKING = ("status", "diagnose")
_QUICK = ("up", "down")
_TRANSFER = ("import", "export")


def run(program, arguments):
    """Do what the command line asks for, called by the name `program`; returns the exit status."""
    from .wg import main

    if program == "wg":
        return main.main("wg", arguments)
    if arguments and arguments[0] in main.COMMANDS:
        return main.run("wgembed", arguments)
    if arguments in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(USAGE)
        return 0
    if arguments in (["-v"], ["--version"], ["version"]):
        print("wgembed", __version__)
        return 0
    if arguments == ["demo"]:
        from ..runtime import tool

        # As long as it loads there is nothing to undo.
        tool.prepare()
        from .demo import demo

        return demo()
    for verbs, function in ((_ASKING, _ask), (_QUICK, _quick), (_TRANSFER, _transfer)):
        if arguments and arguments[0] in verbs:
            return function(*arguments)
    sys.stderr.write(USAGE)
    return 2


def _ask(verb, *arguments):
    from ..runtime import tool
    from . import status as command

    tool.prepare()
    if verb == "status":
        return _act(command.show_status, command.STATUS_USAGE, arguments, command.AskError)
    return _act(command.show_diagnosis, command.DIAGNOSE_USAGE, arguments, command.AskError)


def _transfer(verb, *arguments):
    from . import convert as command

    if verb == "import":
        return _act(command.import_file, command.IMPORT_USAGE, arguments, command.TransferError)
    return _act(command.export_file, command.EXPORT_USAGE, arguments, command.TransferError)


def _act(function, usage, arguments, refusal):
    """Call the function with the arguments; returns the exit status. What it refuses is told."""
    from .output import UsageError

    try:
        return function(arguments)
    except UsageError as e:
        sys.stderr.write("wgembed: %s\nusage: %s\n" % (e, usage))
    except refusal as e:
        sys.stderr.write("wgembed: %s\n" % e)
    return 1


def _quick(verb, *arguments):
    from ..runtime import tool
    from . import quick
    from .output import Failure, complain, reason

    if len(arguments) != 1 or arguments[0][:1] == "-":
        sys.stderr.write("usage: wgembed %s FILE|INTERFACE\n" % verb)
        return 1
    tool.heed_interrupts()
    try:
        return quick.up(arguments[0]) if verb == "up" else quick.down(arguments[0])
    except (quick.UpError, quick.QuickError, quick.AskError) as e:
        complain("wgembed: %s" % e)
    except Failure as e:
        complain(e.text)
    except OSError as e:
        complain("wgembed: %s" % reason(e))
    except KeyboardInterrupt:
        complain("wgembed: interrupted")
    return 1
