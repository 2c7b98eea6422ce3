"""Keys in base64, as in `wg`."""

from binascii import a2b_base64, b2a_base64

from .. import crypto
from ..runtime import system
from ..runtime.modes import S_IFMT, S_IFREG

KEY_SIZE = 32
TEXT_SIZE = 44
SPACES = b" \t\n\v\f\r"
# The number of bytes that are read of a key file: more than a key and its line feed.
_KEY_FILE_SIZE = 128


def parse(text):
    """Return the key, a bytearray, for 44 bytes of canonical base64; ValueError, whose text does not contain the key."""
    try:
        key = bytearray(a2b_base64(text))
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE or encode(key) != bytes(text):
        raise ValueError("a key has 44 characters of base64, the last one is '='")
    return key


def encode(key):
    """Return the base64 of a key, as bytes."""
    return b2a_base64(bytes(key)).strip()


def public_key(private):
    """Return the 32 bytes of the public key that belongs to the private one, clamped or not."""
    public = bytearray(KEY_SIZE)
    # libsodium clamps a copy, as WireGuard does.
    crypto.x25519_base(public, private)
    return bytes(public)


def make(clamped):
    """Return a new random key, a bytearray of 32 bytes, clamped if it is a private key (RFC 7748, section 5)."""
    key = bytearray(KEY_SIZE)
    crypto.random_fill(key)
    if clamped:
        key[0] &= 248
        key[31] = key[31] & 127 | 64
    return key


def read_file(filename):
    """Return the key in the file, 32 bytes; OSError, or ValueError with a sentence."""
    if system.files.status(filename)[1] & S_IFMT != S_IFREG:
        raise ValueError("not a regular file")  # a pipe can block, and a device can have no end
    fd = system.files.open_to_read(filename)
    try:
        return parse(system.files.read(fd, _KEY_FILE_SIZE).decode().strip().encode())
    except UnicodeError:
        raise ValueError("the value is not UTF-8 text") from None
    finally:
        system.files.close(fd)
