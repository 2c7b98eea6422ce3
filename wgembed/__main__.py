"""The command `wgembed`."""

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
WG_COMMANDS = ("show", "showconf", "set", "setconf", "addconf", "syncconf", "genkey", "genpsk", "pubkey")
CONFIG_DIRECTORY = "/etc/config"
# Made in advance: there may be no room to put it together.
OUT_OF_MEMORY = "wgembed: out of memory; MicroPython is given more with -X heapsize=512K\n"


def main(arguments=None):
    """Run the command line; returns the exit status."""
    try:
        if arguments is None:
            if sys.argv[0].rpartition("/")[2] == "wg":
                return _wg(sys.argv[1:])
            arguments = sys.argv[1:]
        return _run(arguments)
    except ImportError as e:
        sys.stderr.write("wgembed: this Python lacks what it needs: %s\n" % e)
    except MemoryError:
        sys.stderr.write(OUT_OF_MEMORY)
    return 1


def _run(arguments):
    if arguments in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(USAGE)
        return 0
    if arguments in (["-v"], ["--version"], ["version"]):
        print("wgembed", __version__)
        return 0
    if arguments == ["demo"]:
        from .demo import demo

        return demo()
    if arguments[:1] in (["run"], ["check"]):
        directory = _config_directory(arguments[1:])
        if directory is not None:
            return _run_router(directory) if arguments[0] == "run" else _check(directory)
    if arguments and arguments[0] in WG_COMMANDS:
        from .control import wg

        return wg.run("wgembed", arguments)
    if arguments[:1] in (["status"], ["diagnose"]):
        return _ask(*arguments)
    if arguments[:1] in (["up"], ["down"]):
        return _quick(*arguments)
    if arguments[:1] in (["import"], ["export"]):
        return _transfer(*arguments)
    foreground = arguments[:1] in (["-f"], ["--foreground"])
    names = arguments[1:] if foreground else arguments
    if len(names) != 1 or names[0].startswith("-"):
        sys.stderr.write(USAGE)
        return 2
    # Not before here: what the machine lacks is told by main().
    from .runtime import system

    foreground = foreground or system.files.getenv("WG_PROCESS_FOREGROUND") == "1"
    return system.start.daemon(names[0], foreground, _serve)


def _wg(arguments):
    from .control import wg

    return wg.main("wg", arguments)


def _config_directory(arguments):
    """Return the directory that the arguments name, or None if they are wrong."""
    if not arguments:
        return CONFIG_DIRECTORY
    if len(arguments) == 2 and arguments[0] == "--config-dir":
        return arguments[1]
    if len(arguments) == 1 and arguments[0].startswith("--config-dir="):
        return arguments[0].partition("=")[2]
    return None


def _run_router(directory):
    from .runtime import system

    return system.start.router(directory, _route)


def _route(directory, ready):
    from .control.router import serve

    return serve(directory, ready)


def _check(directory):
    from .control.check import check

    return check(directory)


def _ask(verb, *arguments):
    from .control import status_command as command

    show, usage = command.show_status, command.STATUS_USAGE
    if verb == "diagnose":
        show, usage = command.show_diagnosis, command.DIAGNOSE_USAGE
    try:
        return show(arguments)
    except command.UsageError as e:
        sys.stderr.write("wgembed: %s\nusage: %s\n" % (e, usage))
    except command.AskError as e:
        sys.stderr.write("wgembed: %s\n" % e)
    return 1


def _quick(verb, *arguments):
    from .control import up
    from .control.terminal import Failure, complain, reason

    if len(arguments) != 1 or arguments[0][:1] == "-":
        sys.stderr.write("usage: wgembed %s FILE|INTERFACE\n" % verb)
        return 1
    try:
        return up.up(arguments[0]) if verb == "up" else up.down(arguments[0])
    except (up.UpError, up.QuickError, up.AskError) as e:
        complain("wgembed: %s" % e)
    except Failure as e:
        complain(e.text)
    except OSError as e:
        complain("wgembed: %s" % reason(e))
    return 1


def _transfer(verb, *arguments):
    from .control import transfer_command as command

    act, usage = command.import_file, command.IMPORT_USAGE
    if verb == "export":
        act, usage = command.export_file, command.EXPORT_USAGE
    try:
        return act(arguments)
    except command.UsageError as e:
        sys.stderr.write("wgembed: %s\nusage: %s\n" % (e, usage))
    except command.TransferError as e:
        sys.stderr.write("wgembed: %s\n" % e)
    return 1


def _serve(name, ready):
    from .control.daemon import serve

    return serve(name, ready)


if __name__ == "__main__":
    sys.exit(main())
