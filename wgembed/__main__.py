"""The command `wgembed`."""

import sys

CONFIG_DIRECTORY = "/etc/config"
# What commands.py does. It is apart, and this one string: a daemon keeps what it has loaded.
COMMANDS = (
    "help version demo show showconf set setconf addconf syncconf genkey genpsk pubkey status diagnose up down import export"
)
# Made in advance: there may be no room to put it together.
OUT_OF_MEMORY = "wgembed: out of memory; MicroPython is given more with -X heapsize=512K\n"


def main(arguments=None):
    """Run the command line; returns the exit status."""
    program = "wgembed"
    if arguments is None:
        program, arguments = sys.argv[0].rpartition("/")[2], sys.argv[1:]
    try:
        return _run(program, arguments)
    except ImportError as e:
        sys.stderr.write("wgembed: this Python lacks what it needs: %s\n" % e)
    except MemoryError:
        sys.stderr.write(OUT_OF_MEMORY)
    return 1


def _run(program, arguments):
    word = arguments[0] if arguments else ""
    directory = _config_directory(arguments[1:]) if word in ("run", "check") else None
    if directory is not None and program != "wg":
        return _run_router(directory) if word == "run" else _check(directory)
    foreground = word in ("-f", "--foreground")
    names = arguments[1:] if foreground else arguments
    if program == "wg" or word in COMMANDS.split() or len(names) != 1 or names[0].startswith("-"):
        from .commands.main import run

        return run(program, arguments)
    # Not before here: what the machine lacks is told by main().
    from .runtime import system

    foreground = foreground or system.files.getenv("WG_PROCESS_FOREGROUND") == "1"
    return system.start.daemon(names[0], foreground, _serve)


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
    from .daemon.router import serve

    return serve(directory, ready)


def _check(directory):
    from .commands.check import check

    return check(directory)


def _serve(name, ready):
    from .daemon.single import serve

    return serve(name, ready)


if __name__ == "__main__":
    sys.exit(main())
