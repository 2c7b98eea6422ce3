"""From the command line to the function that does it."""

import sys

from ..errors import UsageError
from . import find


def run(program, arguments):
    """Run the command that the first of the arguments names, called by the name `program`; returns the exit status.

    UserError says what the user has to be told.
    """
    verb = arguments[0]
    function, usage = find(verb)
    module, _, function = function.partition(":")
    name = "%s.%s" % (__name__.rpartition(".")[0], module)
    # What cannot be loaded has nothing to undo.
    _prepare(verb)
    __import__(name)
    try:
        return call(program, arguments, getattr(sys.modules[name], function))
    except UsageError as e:
        e.usage = ("wgembed %s %s" % (verb, usage)).rstrip()
        raise


def call(program, arguments, function):
    """Return function(program, arguments). An OSError becomes a UserError, in the C library's words."""
    try:
        return function(program, arguments)
    except OSError as e:
        from .output import WgError, reason

        raise WgError("%s: %s" % (program, reason(e))) from None


def _prepare(verb):
    """Say what an interrupt does: a daemon minds its own signals, some commands have something to undo, others just end."""
    if verb == "run":
        return
    from ..runtime import tool

    if verb in ("up", "down"):
        tool.heed_interrupts()
    else:
        tool.prepare()
