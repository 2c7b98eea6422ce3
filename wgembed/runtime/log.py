"""Log lines, with the levels of wireguard-go: silent, error, verbose (or debug)."""

from . import system

SILENT = 0
ERROR = 1
VERBOSE = 2
LEVELS = {"silent": SILENT, "error": ERROR, "verbose": VERBOSE, "debug": VERBOSE}


class Log:
    """Writes the lines of the interface `name` whose level is at most `level`."""

    def __init__(self, name, level):
        self._name = name
        self.level = level

    def error(self, text):
        if self.level >= ERROR:
            self._write("ERROR", text)

    def note(self, text):
        """Log a line that is not an error, at the same level as errors."""
        if self.level >= ERROR:
            self._write("NOTE", text)

    def verbose(self, text):
        if self.level >= VERBOSE:
            self._write("DEBUG", text)

    def _write(self, word, text):
        system.process.write_line("%s: (%s) %s" % (word, self._name, text))


def level_from(text):
    """Return the level for the value of LOG_LEVEL. Without a valid value, only errors and notes are logged."""
    return LEVELS.get(text, ERROR)
