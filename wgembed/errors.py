"""Errors shown to the user: the request cannot be carried out, for a reason that the user can understand or fix.

    UserError                   the request cannot be carried out
    +-- UsageError              the arguments are wrong
    +-- ConfigError             a configuration is rejected, with all its mistakes (config/options.py)
    +-- ParseError              libuci would reject a file (config/uci.py)
    +-- NotServed               no program serves the interface (commands/status_model.py)
    +-- WgError                 in the words of wg(8) (commands/output.py)
    +-- TableFull               a table of fixed size has no room (protocol/memory.py)

`guard`, around the whole work of a process, catches them. Other code catches them only if it can continue, or knows more:
a reload, the control socket, one interface of several, a library that does not fit. A running daemon writes them to its
log (runtime/log.py).
"""

import sys

# The package with the modules that wgembed-micropython does not have. The packages for CPython have all modules.
TOOLS_PACKAGE = "wgembed-micropython-tools"
# A constant, because there may be no memory to build the text.
OUT_OF_MEMORY = "wgembed: out of memory; start MicroPython with a larger -X heapsize, for example 4M"


class UserError(Exception):
    """The request cannot be carried out. The text says why, in one line for each reason."""

    def message(self):
        """Return the text for the user, without a line feed at its end; empty if it was printed already."""
        return "\n".join(["wgembed: " + line for line in str(self).split("\n")])


class UsageError(UserError):
    """The arguments are wrong; the text says why. `usage` is the correct form."""

    usage = ""

    def message(self):
        text = super().message() if str(self) else ""
        return "%s\nusage: %s" % (text, self.usage) if text else "usage: " + self.usage


def guard(function, *arguments):
    """Call function(*arguments) -> exit status; return it, or 1 after the error was printed."""
    try:
        return function(*arguments)
    except UserError as e:
        text = e.message()
    except ImportError as e:
        text = "wgembed: a Python module is missing: %s" % e
    except MemoryError:
        text = OUT_OF_MEMORY
    except OSError as e:
        # CPython knows the name of the file.
        path = getattr(e, "filename", None)
        text = "wgembed: %s%s" % ("%s: " % path if path else "", cause(e))
    except KeyboardInterrupt:
        text = "wgembed: interrupted"
    complain(text)
    return 1


def cause(error):
    """Return the reason of an OSError with its number, for a message: "Invalid argument (22)".

    The words are those of the machine's C library, on both interpreters. The resolver's errors have its own words and no
    number. An OSError without a number has its text.
    """
    errno = error.args[0] if error.args else None
    if not isinstance(errno, int):
        return str(error)
    if errno < 0:
        return str(error.args[1])
    from .runtime import system

    return "%s (%d)" % (system.process.strerror(errno), errno)


def complain(text):
    """Write the line `text`, str or bytes, to the standard error. No errors."""
    if not text:
        return
    # The same bytes as in the command line: names of files and interfaces can contain any bytes.
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    try:
        sys.stderr.buffer.write(data + b"\n")
        sys.stderr.flush()
    except OSError:
        return
