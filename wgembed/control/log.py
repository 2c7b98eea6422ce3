"""Log lines, with the levels of wireguard-go: silent, error, verbose (or debug)."""

from ..runtime import system

SILENT = 0
ERROR = 1
VERBOSE = 2
LEVELS = {"silent": SILENT, "error": ERROR, "verbose": VERBOSE, "debug": VERBOSE}


class Log:
    """Writes lines for the interface `name` at or below `level`."""

    def __init__(self, name, level):
        self._name = name
        self._level = level

    def set_level(self, level):
        self._level = level

    def error(self, text):
        if self._level >= ERROR:
            self._write("ERROR", text)

    def verbose(self, text):
        if self._level >= VERBOSE:
            self._write("DEBUG", text)

    def _write(self, word, text):
        system.process.write_line("%s: (%s) %s" % (word, self._name, text))


def level_from(text):
    """Return the level for the value of LOG_LEVEL; unset means errors only."""
    return LEVELS.get(text, ERROR)
