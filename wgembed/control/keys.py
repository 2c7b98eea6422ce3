"""Keys as `wg genkey` and `wg pubkey` make them: base64, on the standard output."""

from .. import crypto
from ..runtime import system
from . import config, uci

_KEY_LENGTH = 44
_READ_SIZE = 128
_OTHERS_MAY = 0o007


def genkey():
    """Print a new private key; returns the exit status."""
    private = config.make_key()
    _warn_of_readers()
    status = _print(private)
    crypto.memzero(private)
    return status


def pubkey():
    """Read a private key, print the public one; returns the exit status."""
    text = _read()
    if text[_KEY_LENGTH:].strip():
        return _refuse("Trailing characters found after key")
    try:
        private = config.key(text[:_KEY_LENGTH].decode())
    except ValueError:
        return _refuse("Key is not the correct length or format")
    status = _print(config.public_key(private))
    crypto.memzero(private)
    return status


def _refuse(text):
    system.process.write_line("wgembed: " + text)
    return 1


def _warn_of_readers():
    kind = system.files.status(1)[1]
    if kind & 0o170000 == uci.REGULAR_FILE and kind & _OTHERS_MAY:
        system.process.write_line(
            "Warning: writing to world accessible file.\nConsider setting the umask to 077 and trying again."
        )


def _read():
    text = b""
    while len(text) <= _READ_SIZE:
        try:
            part = system.files.read(0, _READ_SIZE)
        except OSError:
            break
        if not part:
            break
        text += part
    return text


def _print(raw):
    try:
        system.files.write(1, config.encode_key(raw) + b"\n")
    except OSError as e:
        return _refuse(str(e))
    return 0
