"""`wg genkey`, `wg genpsk` and `wg pubkey`."""

from ... import crypto
from ...config import keys
from ...errors import complain
from ...runtime import system
from ...runtime.modes import OTHERS, S_IFMT, S_IFREG
from ..output import WgError


def make(program, arguments):
    """Print a new private or preshared key; return the exit status; WgError."""
    if len(arguments) != 1:
        raise WgError("Usage: %s %s" % (program, arguments[0]))
    _warn_of_readers()
    return _print(keys.make(clamped=arguments[0] == "genkey"))


def pubkey(program, arguments):
    """Read a private key, print the public one; return the exit status; WgError."""
    if len(arguments) != 1:
        raise WgError("Usage: %s pubkey" % program)
    text = _read(program)
    try:
        private = keys.parse(text)
    except ValueError:
        raise WgError("%s: Key is not the correct length or format" % program) from None
    public = bytearray(keys.public_key(private))
    crypto.memzero(private)
    return _print(public)


def _warn_of_readers():
    try:
        mode = system.files.status(1)[1]
    except OSError:
        return
    if mode & S_IFMT == S_IFREG and mode & OTHERS:
        complain("Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying again.")


def _read(program):
    """Return the text of a key from the standard input, 44 bytes at most; WgError if more than spaces follow."""
    text = b""
    while True:
        try:
            part = system.files.read(0, 4096)
        except OSError:
            part = b""
        if not part:
            return text
        text += part
        if text[keys.TEXT_SIZE :].strip(keys.SPACES + b"\0"):
            raise WgError("%s: Trailing characters found after key" % program)
        text = text[: keys.TEXT_SIZE]


def _print(key):
    system.files.write(1, keys.encode(key) + b"\n")
    crypto.memzero(key)
    return 0
