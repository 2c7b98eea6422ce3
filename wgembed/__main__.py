"""The command `wgembed`."""

import sys

from .errors import complain, guard

# Options that have the meaning of a verb
_OPTIONS = {"-h": "help", "--help": "help", "-v": "version", "--version": "version"}


def main(arguments=None):
    """Run the command line; return the exit status."""
    program = "wgembed"
    if arguments is None:
        program, arguments = sys.argv[0].rpartition("/")[2], sys.argv[1:]
    return guard(_run, program, arguments)


def _run(program, arguments):
    if program == "wg":
        from .commands.wg.main import main

        return main(program, arguments)
    from .commands import find

    word = arguments[0] if arguments else ""
    verb = _OPTIONS.get(word, word) if len(arguments) == 1 else word
    foreground = word in ("-f", "--foreground")
    names = arguments[1:] if foreground else arguments
    if find(verb) is not None:
        from .commands.main import run

        return run("wgembed", [verb] + arguments[1:])
    if len(names) != 1 or names[0].startswith("-"):
        from .commands.usage import usage

        complain(usage().rstrip())
        return 2
    # The daemon does not need the table of commands.
    del sys.modules["wgembed.commands"], sys.modules["wgembed"].commands, find
    # Not at the top, so that guard reports a module that is missing.
    from .runtime import system

    foreground = foreground or system.files.getenv("WG_PROCESS_FOREGROUND") == "1"
    return system.start.daemon(names[0], foreground, _serve)


def _serve(name, ready):
    from .daemon.single import serve

    return serve(name, ready)


if __name__ == "__main__":
    sys.exit(main())
