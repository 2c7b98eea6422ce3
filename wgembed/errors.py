"""Errors shown to the user: the request cannot be carried out, for a reason that the user can understand or fix.

    UserError                   what was asked for cannot be had
    +-- UsageError              the arguments are wrong
    +-- ConfigError             a configuration is refused, with all its mistakes (config/options.py)
    +-- ParseError              libuci refuses a file (config/uci.py)
    +-- NotServed               no program serves the interface (commands/status_model.py)
    +-- WgError                 as wg(8) says it (commands/output.py)
    +-- TableFull               a table of fixed size has no room (protocol/memory.py)

They are caught by `guard`, around whatever a process does; earlier only where the caller can go on without, or says it
better: a reload, the control socket, one interface of several, a library that does not fit. A running daemon writes
them to its log (runtime/log.py).
"""

import sys

# Made in advance: there may be no room to put it together.
OUT_OF_MEMORY = "wgembed: out of memory; give MicroPython more with -X heapsize=512K"


class UserError(Exception):
    """What was asked for cannot be. The text says why: one sentence, or a line for each of several."""

    def message(self):
        """Return what is written for the user, without a line feed at its end; empty where all has been said."""
        return "\n".join(["wgembed: " + line for line in str(self).split("\n")])


class UsageError(UserError):
    """The arguments are wrong; the text says how. `usage` is how they are to be."""

    usage = ""

    def message(self):
        text = super().message() if str(self) else ""
        return "%s\nusage: %s" % (text, self.usage) if text else "usage: " + self.usage


def guard(function, *arguments):
    """Call function(*arguments) -> exit status; returns it, or 1 once the user has been told what went wrong."""
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
    """Write the line `text`, str or bytes, to the standard error, if that can be."""
    if not text:
        return
    # As the bytes that it came as: names of files and interfaces may hold any.
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    try:
        sys.stderr.buffer.write(data + b"\n")
        sys.stderr.flush()
    except OSError:
        return
