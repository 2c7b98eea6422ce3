"""Keys as `wg genkey` and `wg pubkey` make them: base64, on the standard output."""

from .. import crypto
from ..runtime import system
from . import config

_READ_SIZE = 128


def genkey():
    """Print a new private key."""
    private = config.make_key()
    _print(private)
    crypto.memzero(private)
    return 0


def pubkey():
    """Read a private key, print the public one."""
    try:
        private = config.key(_read().decode().strip())
    except ValueError:
        system.process.write_line("wgembed: Key is not the correct length or format")
        return 1
    _print(config.public_key(private))
    crypto.memzero(private)
    return 0


def _read():
    text = b""
    while len(text) <= _READ_SIZE:
        part = system.files.read(0, _READ_SIZE)
        if not part:
            break
        text += part
    return text


def _print(raw):
    system.files.write(1, config.encode_key(raw) + b"\n")
