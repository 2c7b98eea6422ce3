"""MACs and cookies: how a responder keeps working under a flood (WireGuard paper, 5.3, 5.4.4 and 5.4.7; Linux cookie.c).

Each device has one checker, for the messages that this end receives. For the messages that we send, the peer's record has
the last mac1 that we sent to the peer, and the last cookie that the peer sent to us.
"""

from .. import crypto
from .constants import (
    COOKIE_SECRET_LATENCY,
    COOKIE_SECRET_MAX_AGE,
    COOKIE_SIZE,
    LABEL_COOKIE,
    LABEL_MAC1,
    MAC_SIZE,
)
from .messages import COOKIE_NONCE, COOKIE_RECEIVER, COOKIE_SEALED, SENDER, TYPE_COOKIE_REPLY
from .noise import COOKIE, LAST_MAC1

# Results of `CookieChecker.check`
INVALID_MAC = 0
VALID_MAC = 1
VALID_MAC_AND_COOKIE = 2

_COOKIE_USABLE = COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY
_ZERO_MAC = bytes(MAC_SIZE)


def mac1_key(public_key):
    """Return the key of mac1 in messages to the owner of this public key."""
    return crypto.blake2s(32, b"", LABEL_MAC1, public_key)


def cookie_key(public_key):
    """Return the key that encrypts the cookie replies of the owner of this public key."""
    return crypto.blake2s(32, b"", LABEL_COOKIE, public_key)


class CookieChecker:
    """Checks the MACs of messages that arrive, and makes cookie replies."""

    __slots__ = ("_cookie_key", "_mac1_key", "_secret", "_secret_birth")

    def __init__(self):
        self._secret = bytearray(32)
        self._secret_birth = None
        self.set_identity(bytes(32))

    def set_identity(self, public_key):
        self._mac1_key = mac1_key(public_key)
        self._cookie_key = cookie_key(public_key)

    def check(self, message, address, now):
        """Check the MACs of an initiation or response. Returns INVALID_MAC, VALID_MAC or VALID_MAC_AND_COOKIE.

        address  the sender's IP address and port as bytes (host.address_bytes), or None: mac2 is not checked
        """
        message = memoryview(message)
        size = len(message) - 2 * MAC_SIZE
        mac1 = crypto.blake2s(MAC_SIZE, self._mac1_key, message[:size])
        if not crypto.equal(mac1, message[size : size + MAC_SIZE]):
            return INVALID_MAC
        if address is None:
            return VALID_MAC
        size += MAC_SIZE
        mac2 = crypto.blake2s(MAC_SIZE, self._cookie(address, now), message[:size])
        return VALID_MAC_AND_COOKIE if crypto.equal(mac2, message[size:]) else VALID_MAC

    def _cookie(self, address, now):
        if self._secret_birth is None or now - self._secret_birth >= COOKIE_SECRET_MAX_AGE:
            crypto.random_fill(self._secret)
            self._secret_birth = now
        return crypto.blake2s(COOKIE_SIZE, self._secret, address)

    def reply(self, out, message, address, now):
        """Write the cookie reply to `message`, an initiation or response from `address`, to `out` (64 bytes)."""
        message = memoryview(message)
        out = memoryview(out)
        out[0:4] = TYPE_COOKIE_REPLY
        out[COOKIE_RECEIVER : COOKIE_RECEIVER + 4] = message[SENDER : SENDER + 4]
        nonce = out[COOKIE_NONCE:COOKIE_SEALED]
        crypto.random_fill(nonce)
        mac1 = message[len(message) - 2 * MAC_SIZE : len(message) - MAC_SIZE]
        crypto.xseal(out[COOKIE_SEALED:], self._cookie_key, nonce, self._cookie(address, now), mac1)


def add_macs(peer, message, now):
    """Write mac1 and mac2 to the end of a handshake message to the peer. Without a fresh cookie, mac2 is zero."""
    message = memoryview(message)
    size = len(message) - 2 * MAC_SIZE
    mac1 = crypto.blake2s(MAC_SIZE, mac1_key(peer.public_key), message[:size])
    message[size : size + MAC_SIZE] = mac1
    peer.secret(LAST_MAC1, MAC_SIZE)[:] = mac1
    peer.has_sent_mac1 = True
    size += MAC_SIZE
    if peer.cookie_birth and now - peer.cookie_birth < _COOKIE_USABLE:
        message[size:] = crypto.blake2s(MAC_SIZE, peer.secret(COOKIE, COOKIE_SIZE), message[:size])
    else:
        peer.cookie_birth = 0
        message[size:] = _ZERO_MAC


def consume_reply(peer, message, now):
    """Keep the cookie of a valid reply to our last handshake message. Otherwise return False.

    Each handshake message of ours takes one reply.
    """
    if not peer.has_sent_mac1:
        return False
    message = memoryview(message)
    cookie = bytearray(COOKIE_SIZE)
    nonce = message[COOKIE_NONCE:COOKIE_SEALED]
    sealed = message[COOKIE_SEALED:]
    if not crypto.xopen(cookie, cookie_key(peer.public_key), nonce, sealed, peer.secret(LAST_MAC1, MAC_SIZE)):
        return False
    peer.secret(COOKIE, COOKIE_SIZE)[:] = cookie
    peer.cookie_birth = now
    peer.has_sent_mac1 = False
    return True
