"""Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, and the rotation of the keypairs that a handshake makes.

Handshake and transport are one state machine with a fixed amount of state: a peer's record (peers.py) holds one
handshake and three keypairs. They change as follows:

    event                          handshake becomes      keypairs
    we send an initiation          CREATED_INITIATION
    an initiation is accepted      CONSUMED_INITIATION
    we send the response           CREATED_RESPONSE,      next = new, previous freed
                                   then ZEROED
    a response is accepted         CONSUMED_RESPONSE,     previous = next if there is one (current freed),
                                   then ZEROED            else current; current = new
    first packet on next                                  previous = current, current = next
    540 s without a new key        ZEROED                 all freed

This is the pattern (Noise, 7.5 and 9, with the names of that document). The comments in the functions below follow it
token by token:

    IKpsk2:
      <- s
      ...
      -> e, es, s, ss, {t}
      <- e, ee, se, psk, {}

{t} and {} are the payloads of the two messages: the timestamp, and nothing. Both are encrypted. In a pattern with psk,
e is mixed into the chaining key as well as into the hash.

Every message is computed in scratch memory. The peer changes only when the message is authentic, so a forged message
changes nothing. The names are those of the WireGuard paper, 5.4.
"""

from .. import crypto
from . import replay
from .constants import CONSTRUCTION, IDENTIFIER, REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME
from .messages import (
    INITIATION_EPHEMERAL,
    INITIATION_MAC1,
    INITIATION_STATIC,
    INITIATION_TIMESTAMP,
    RESPONSE_EPHEMERAL,
    RESPONSE_MAC1,
    RESPONSE_NOTHING,
    RESPONSE_RECEIVER,
    SENDER,
    TYPE_INITIATION,
    TYPE_RESPONSE,
    TYPE_TRANSPORT,
)

# States of a handshake
ZEROED = 0
CREATED_INITIATION = 1
CONSUMED_INITIATION = 2
CREATED_RESPONSE = 3
CONSUMED_RESPONSE = 4

# Fields of a peer's record in the table of secrets: the offset of each, in bytes.
PRESHARED = 0
STATIC_STATIC = 32
HASH = 64
CHAIN = 96
EPHEMERAL = 128  # our private ephemeral key
REMOTE_EPHEMERAL = 160
COOKIE = 192
LAST_MAC1 = 208
TIMESTAMP = 224  # the latest timestamp that the peer has sent, 12 bytes
KEYPAIRS = 240  # three pairs of sending key and receiving key
RECORD_SIZE = 432

INITIAL_CHAIN = crypto.blake2s(32, b"", CONSTRUCTION)
INITIAL_HASH = crypto.blake2s(32, b"", INITIAL_CHAIN, IDENTIFIER)

# Scratch memory. These are views, because an assignment to a slice of a bytearray makes an extra copy first.
_chain = memoryview(bytearray(32))
_hash = memoryview(bytearray(32))
_key = memoryview(bytearray(32))
_shared = memoryview(bytearray(32))
_ephemeral = memoryview(bytearray(32))
_public = memoryview(bytearray(32))
_static = memoryview(bytearray(32))
_timestamp = bytearray(12)
_nothing = bytearray(0)
_three = memoryview(bytearray(96))
_two = _three[:64]
_first, _second, _third = _three[:32], _three[32:64], _three[64:]


class Identity:
    """This end's static key pair: `private` (clamped) and `public`, 32 bytes each. `present` is False without a key."""

    __slots__ = ("hash", "present", "private", "public")

    def __init__(self):
        self.private = memoryview(bytearray(32))
        self.clear()

    def set(self, private):
        """Use this private key of 32 bytes. All zero removes the identity."""
        if not any(private):
            self.clear()
            return
        clamp(self.private, private)
        public = bytearray(32)
        crypto.x25519_base(public, self.private)
        self.public = bytes(public)
        self.hash = crypto.blake2s(32, b"", INITIAL_HASH, self.public)
        self.present = True

    def clear(self):
        crypto.memzero(self.private)
        self.public = self.hash = bytes(32)
        self.present = False


def clamp(out, private):
    """Write the private key to `out`, with the bits set and cleared that X25519 prescribes (RFC 7748, 5)."""
    out[:] = private
    out[0] &= 248
    out[31] = out[31] & 127 | 64


def wipe_scratch():
    """Overwrite the secrets that the last message left in the scratch memory."""
    for buf in (_chain, _hash, _key, _shared, _ephemeral, _static, _three):
        crypto.memzero(buf)


def _mix_hash(data):
    _hash[:] = crypto.blake2s(32, b"", _hash, data)


def _mix_key(data):
    crypto.kdf(_two, _chain, data)
    _chain[:] = _first
    _key[:] = _second


def _mix_ephemeral(public):
    _mix_hash(public)
    crypto.kdf(_first, _chain, public)
    _chain[:] = _first


def _mix_dh(scalar, point):
    """Mix the shared secret of `scalar` and `point` into the chaining key. False if the secret is all zero."""
    if not crypto.x25519(_shared, scalar, point):
        return False
    crypto.kdf(_first, _chain, _shared)
    _chain[:] = _first
    return True


def _mix_dh_key(scalar, point):
    if not crypto.x25519(_shared, scalar, point):
        return False
    _mix_key(_shared)
    return True


def _mix_preshared(psk):
    crypto.kdf(_three, _chain, psk)
    _chain[:] = _first
    _mix_hash(_second)
    _key[:] = _third


def _seal_hash(out, plain):
    crypto.seal(out, _key, 0, plain, _hash)
    _mix_hash(out)


def _open_hash(out, sealed):
    if not crypto.open(out, _key, 0, sealed, _hash):
        return False
    _mix_hash(sealed)
    return True


def _make_ephemeral():
    crypto.random_fill(_ephemeral)
    clamp(_ephemeral, _ephemeral)
    crypto.x25519_base(_public, _ephemeral)


def create_initiation(identity, peer, out, timestamp):
    """Write an initiation, without its MACs, to `out`. The peer's handshake then waits for the response.

    out        INITIATION_SIZE bytes
    timestamp  12 bytes of TAI64N
    Returns False if this end has no private key, or if the shared secret with the peer's public key is all zero.
    """
    static_static = peer.secret(STATIC_STATIC, 32)
    if not identity.present or not any(static_static):
        return False
    _chain[:] = INITIAL_CHAIN
    _hash[:] = INITIAL_HASH  # the protocol name and the prologue
    _mix_hash(peer.public_key)  # <- s
    _make_ephemeral()
    _mix_ephemeral(_public)  # e
    if not _mix_dh_key(_ephemeral, peer.public_key):  # es
        return False
    out = memoryview(out)
    _seal_hash(out[INITIATION_STATIC:INITIATION_TIMESTAMP], identity.public)  # s
    _mix_key(static_static)  # ss
    _seal_hash(out[INITIATION_TIMESTAMP:INITIATION_MAC1], timestamp)  # {t}
    out[0:4] = TYPE_INITIATION
    out[SENDER : SENDER + 4] = peer.new_index()
    out[INITIATION_EPHEMERAL:INITIATION_STATIC] = _public
    peer.secret(EPHEMERAL, 32)[:] = _ephemeral
    _keep(peer, CREATED_INITIATION)
    return True


def _keep(peer, state):
    """Copy the chaining key and the hash into the peer's handshake, and wipe the scratch memory."""
    peer.secret(CHAIN, 32)[:] = _chain
    peer.secret(HASH, 32)[:] = _hash
    peer.handshake = state
    wipe_scratch()


def read_initiation(identity, message):
    """Decrypt the static key in the initiation. Returns the sender's public key, or None if the message is not for us.

    Call `read_timestamp` and `consume_initiation` next, before any other message: the scratch memory holds the state of
    the handshake between these calls.
    """
    message = memoryview(message)
    _chain[:] = INITIAL_CHAIN
    _hash[:] = identity.hash  # the protocol name, the prologue, and <- s
    ephemeral = message[INITIATION_EPHEMERAL:INITIATION_STATIC]
    _mix_ephemeral(ephemeral)  # e
    if not _mix_dh_key(identity.private, ephemeral):  # es
        return None
    if not _open_hash(_static, message[INITIATION_STATIC:INITIATION_TIMESTAMP]):  # s
        return None
    return bytes(_static)


def read_timestamp(peer, message):
    """Decrypt the timestamp of the initiation that `read_initiation` began to read. Returns 12 bytes of TAI64N, or None."""
    static_static = peer.secret(STATIC_STATIC, 32)
    if not any(static_static):
        return None
    _mix_key(static_static)  # ss
    if not _open_hash(_timestamp, memoryview(message)[INITIATION_TIMESTAMP:INITIATION_MAC1]):  # {t}
        return None
    return _timestamp


def consume_initiation(peer, message):
    """Accept the initiation that was just read. The caller has checked that it is the peer's and that its time is newer."""
    message = memoryview(message)
    peer.drop_handshake()
    peer.secret(TIMESTAMP, 12)[:] = _timestamp  # t
    peer.secret(REMOTE_EPHEMERAL, 32)[:] = message[INITIATION_EPHEMERAL:INITIATION_STATIC]  # e, for ee and se
    peer.remote_index = bytes(message[SENDER : SENDER + 4])
    _keep(peer, CONSUMED_INITIATION)


def create_response(peer, out):
    """Write the response to the accepted initiation, without its MACs, to `out` (RESPONSE_SIZE bytes).

    Returns False if a shared secret is all zero.
    """
    _chain[:] = peer.secret(CHAIN, 32)
    _hash[:] = peer.secret(HASH, 32)
    _make_ephemeral()
    _mix_ephemeral(_public)  # e
    if not _mix_dh(_ephemeral, peer.secret(REMOTE_EPHEMERAL, 32)):  # ee
        return False
    if not _mix_dh(_ephemeral, peer.public_key):  # se
        return False
    _mix_preshared(peer.secret(PRESHARED, 32))  # psk
    out = memoryview(out)
    crypto.seal(out[RESPONSE_NOTHING:RESPONSE_MAC1], _key, 0, _nothing, _hash)  # {}; nothing uses the hash after it
    out[0:4] = TYPE_RESPONSE
    out[SENDER : SENDER + 4] = peer.new_index()
    out[RESPONSE_RECEIVER:RESPONSE_EPHEMERAL] = peer.remote_index
    out[RESPONSE_EPHEMERAL:RESPONSE_NOTHING] = _public
    _keep(peer, CREATED_RESPONSE)
    return True


def consume_response(identity, peer, message):
    """Accept the response to our initiation. Returns False, and changes nothing, if the message is not valid."""
    if peer.handshake != CREATED_INITIATION or not identity.present:
        return False
    message = memoryview(message)
    _chain[:] = peer.secret(CHAIN, 32)
    _hash[:] = peer.secret(HASH, 32)
    ephemeral = message[RESPONSE_EPHEMERAL:RESPONSE_NOTHING]
    _mix_ephemeral(ephemeral)  # e
    if not _mix_dh(peer.secret(EPHEMERAL, 32), ephemeral) or not _mix_dh(identity.private, ephemeral):  # ee, se
        return False
    _mix_preshared(peer.secret(PRESHARED, 32))  # psk
    if not crypto.open(_nothing, _key, 0, message[RESPONSE_NOTHING:RESPONSE_MAC1], _hash):  # {}
        return False
    peer.remote_index = bytes(message[SENDER : SENDER + 4])
    _keep(peer, CONSUMED_RESPONSE)
    return True


def begin_session(peer, now):
    """Derive a keypair from the finished handshake, rotate the peer's keypairs, and wipe the handshake (paper, 5.4.5)."""
    initiator = peer.handshake == CONSUMED_RESPONSE
    crypto.kdf(_two, peer.secret(CHAIN, 32), b"")
    if initiator:
        if peer.next is not None:
            peer.drop_keypair(peer.current)
            kept, peer.next = peer.next, None
        else:
            kept = peer.current
        peer.drop_keypair(peer.previous)
        peer.previous = kept
        keypair = peer.current = peer.spare_keypair()
    else:
        peer.drop_keypair(peer.next)
        peer.drop_keypair(peer.previous)
        peer.previous = None
        keypair = peer.next = peer.spare_keypair()
    keys = peer.secret(KEYPAIRS + keypair.number * 64, 64)
    keys[:32], keys[32:] = (_first, _second) if initiator else (_second, _first)
    crypto.memzero(_two)
    keypair.header = TYPE_TRANSPORT + peer.remote_index
    keypair.initiator = initiator
    keypair.birth = now
    keypair.counter = 0
    keypair.usable = True
    replay.reset(peer.tables.windows, keypair)
    peer.give_index(keypair)
    peer.drop_handshake()


def received_on(peer, keypair):
    """Record an authentic packet under the keypair. True if it confirmed the keypair, which is then the current one."""
    if keypair is not peer.next:
        return False
    peer.drop_keypair(peer.previous)
    peer.previous = peer.current
    peer.current = keypair
    peer.next = None
    return True


def may_receive(keypair, now):
    """Whether the keypair is young enough to accept packets."""
    return now - keypair.birth < REJECT_AFTER_TIME


def may_send(keypair, count, now):
    """Whether `count` more packets can be sent under the keypair. The keypair can be None."""
    return (
        keypair is not None
        and keypair.usable
        and now - keypair.birth < REJECT_AFTER_TIME
        and keypair.counter + count <= REJECT_AFTER_MESSAGES
    )


def expire(peer):
    """Send nothing more in the peer's session, because the private key has changed. Packets of the session still arrive."""
    peer.drop_handshake()
    for keypair in (peer.current, peer.next):
        if keypair is not None:
            keypair.usable = False
