"""Calls the function of a command."""

import sys

from ..errors import TOOLS_PACKAGE, UsageError
from . import find


def run(program, arguments):
    """Run the command whose verb is the first argument, called by the name `program`; return the exit status. UserError."""
    verb = arguments[0]
    function, usage = find(verb)
    module, _, function = function.partition(":")
    name = "%s.%s" % (__name__.rpartition(".")[0], module)
    # A module that cannot be loaded has nothing to undo.
    _prepare(verb)
    try:
        __import__(name)
    except ImportError as e:
        # In the words of MicroPython, which cannot run the demo. The packages for CPython have all modules.
        if verb == "demo" or str(e) != "no module named '%s'" % name:
            raise
        from .output import WgError

        raise WgError("wgembed %s is in the package %s, which is not installed" % (verb, TOOLS_PACKAGE)) from None
    try:
        return call(program, arguments, getattr(sys.modules[name], function))
    except UsageError as e:
        e.usage = ("wgembed %s %s" % (verb, usage)).rstrip()
        raise


def call(program, arguments, function):
    """Return function(program, arguments). An OSError becomes a UserError with the words of the C library, as in wg."""
    try:
        return function(program, arguments)
    except OSError as e:
        from .output import WgError, reason

        raise WgError("%s: %s" % (program, reason(e))) from None


def _prepare(verb):
    """Set the effect of an interrupt: `run` handles signals itself, `up` and `down` undo their steps, others just end."""
    if verb == "run":
        return
    from ..runtime import tool

    if verb in ("up", "down"):
        tool.heed_interrupts()
    else:
        tool.prepare()
