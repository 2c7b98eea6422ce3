"""The output of commands, their errors in the words of wg, and colours."""

from ..errors import UserError
from ..runtime import system, tool

_PIECE = 4096
_AT_ONCE = 16  # pieces


class WgError(UserError):
    """An error in the words of wg(8): `text`, str or bytes, without a program's name; empty if it was printed already."""

    def __init__(self, text=""):
        super().__init__()
        self.text = text

    def message(self):
        return self.text


class Colours:
    """The escape sequences for colours; empty if the output is not a terminal.

    WG_COLOR_MODE overrides this: `always`, `never`.
    """

    def __init__(self):
        mode = system.files.getenv("WG_COLOR_MODE")
        on = mode == "always" or mode != "never" and tool.is_terminal(1)
        self.reset, self.bold = _sequence(on, 0), _sequence(on, 1)
        self.red, self.green = _sequence(on, 31), _sequence(on, 32)
        self.yellow, self.cyan = _sequence(on, 33), _sequence(on, 36)


def _sequence(on, number):
    return "\x1b[%dm" % number if on else ""


class Output:
    """Text for the standard output, kept until it is complete."""

    def __init__(self):
        self._pieces = []
        self._last = []
        self._size = 0

    def put(self, text):
        self._last.append(text)
        self._size += len(text)
        if self._size > _PIECE:
            self._pack()

    def put_pieces(self, pieces):
        """Put pieces that are bytes already."""
        self._pack()
        self._pieces += pieces

    def _pack(self):
        self._pieces.append(tool.encode("".join(self._last)))
        self._last = []
        self._size = 0

    def taken(self):
        """Return the text as bytes instead of sending it."""
        self._pack()
        return b"".join(self._pieces)

    def send(self):
        """Write all of it; OSError."""
        self._pack()
        for first in range(0, len(self._pieces), _AT_ONCE):
            system.files.write(1, b"".join(self._pieces[first : first + _AT_ONCE]))
        self._pieces = []


def print_text(text):
    """Write the text to the standard output, at once; OSError."""
    system.files.write(1, to_bytes(text))


def to_bytes(text):
    """Return the text as the bytes of the command line that it was decoded from."""
    return text if isinstance(text, bytes) else tool.encode(text)


def reason(error):
    """Return the words of the C library for an OSError, without its number, as in wg."""
    return error.args[1] if error.errno < 0 else system.process.strerror(error.errno)


def because(what, error):
    """Return the WgError "`what`: reason of the OSError"."""
    return WgError("%s: %s" % (what, reason(error)))


def hundredths(count, size):
    """Return count / size with two decimals, half a hundredth to the even one. Floats differ between machines."""
    whole, rest = divmod(count * 100, size)
    if 2 * rest > size or 2 * rest == size and whole & 1:
        whole += 1
    return "%d.%02d" % divmod(whole, 100)
