"""Log lines, with the levels of wireguard-go: silent, error, verbose (or debug)."""

from . import system

SILENT = 0
ERROR = 1
VERBOSE = 2
LEVELS = {"silent": SILENT, "error": ERROR, "verbose": VERBOSE, "debug": VERBOSE}


class Log:
    """Writes lines for the interface `name` at or below `level`."""

    def __init__(self, name, level):
        self._name = name
        self.level = level

    def error(self, text):
        if self.level >= ERROR:
            self._write("ERROR", text)

    def note(self, text):
        """Tell what is no fault, but to be known wherever errors are."""
        if self.level >= ERROR:
            self._write("NOTE", text)

    def verbose(self, text):
        if self.level >= VERBOSE:
            self._write("DEBUG", text)

    def _write(self, word, text):
        system.process.write_line("%s: (%s) %s" % (word, self._name, text))


def level_from(text):
    """Return the level for the value of LOG_LEVEL; unset means errors only."""
    return LEVELS.get(text, ERROR)
