"""WireGuard's messages on the wire: a watcher, and forged messages.

A test cannot get some initiations from a real peer in time: one from a clock that is ahead, or the many initiations of an
attacker who knows only a public key. These are forged.
"""

import hashlib
import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass

from nacl import bindings

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
LENGTHS = {INITIATION: 148, RESPONSE: 92, COOKIE: 64}
CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
TAI64_EPOCH = (1 << 62) + 10
NO_NONCE = bytes(12)
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33


# ---- keys


def generate_private_key():
    key = bytearray(os.urandom(32))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)


def public_key(private):
    return bindings.crypto_scalarmult_base(private)


# ---- forging


def tai64n(unix_seconds):
    return struct.pack(">QI", TAI64_EPOCH + int(unix_seconds), int(unix_seconds % 1 * 1e9))


def _hash(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def _hmac(key, *parts):
    inner = hashlib.blake2s(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + b"".join(parts)).digest()
    return hashlib.blake2s(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).digest()


def _kdf2(key, data):
    secret = _hmac(key, data)
    first = _hmac(secret, b"\1")
    return first, _hmac(secret, first, b"\2")


def _mac1(responder, message):
    key = hashlib.blake2s(b"mac1----" + responder).digest()
    return hashlib.blake2s(message, digest_size=16, key=key).digest()


def initiation(private, responder, timestamp):
    """A valid initiation from the owner of `private` (in the order of section 5.4.2 of the paper)."""
    ephemeral = generate_private_key()
    chain = _hash(CONSTRUCTION)
    digest = _hash(_hash(chain, IDENTIFIER), responder)
    ephemeral_public = public_key(ephemeral)
    chain, _ = _kdf2(chain, ephemeral_public)
    digest = _hash(digest, ephemeral_public)
    seal = bindings.crypto_aead_chacha20poly1305_ietf_encrypt
    chain, key = _kdf2(chain, bindings.crypto_scalarmult(ephemeral, responder))
    static = seal(public_key(private), digest, NO_NONCE, key)
    digest = _hash(digest, static)
    chain, key = _kdf2(chain, bindings.crypto_scalarmult(private, responder))
    stamp = seal(timestamp, digest, NO_NONCE, key)
    message = struct.pack("<I", INITIATION) + os.urandom(4) + ephemeral_public + static + stamp
    return message + _mac1(responder, message) + bytes(16)


def anonymous_initiation(responder):
    """Messages that everybody can send who knows the responder's public key. Only mac1 is right."""
    message = struct.pack("<I", INITIATION) + os.urandom(112)
    return message + _mac1(responder, message) + bytes(16)


def anonymous_initiations(responder, count=500):
    return [anonymous_initiation(responder) for _ in range(count)]


def anonymous_response(responder, receiver):
    """Messages to the owner of a public key, with its receiver index `receiver`. Only the index and mac1 are right."""
    message = struct.pack("<I", RESPONSE) + os.urandom(4) + receiver + os.urandom(48)
    return message + _mac1(responder, message) + bytes(16)


def anonymous_cookie(receiver):
    return struct.pack("<I", COOKIE) + receiver + os.urandom(56)


def anonymous_data(receiver, counter, size=128):
    return struct.pack("<I", DATA) + receiver + struct.pack("<Q", counter) + os.urandom(size)


def with_mac2(messages, responder, asked, reply):
    """Messages of a sender who got the cookie `reply` to his message `asked`, from the same address (5.4.4, 5.4.7)."""
    key = hashlib.blake2s(b"cookie--" + responder).digest()
    cookie = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(reply[32:], asked[-32:-16], reply[8:32], key)
    return [m[:-16] + hashlib.blake2s(m[:-16], digest_size=16, key=cookie).digest() for m in messages]


def from_others(messages, sources, target):
    """IPv4 packets with the messages, from forged sources: (address, port)."""
    packets = []
    for n, message in enumerate(messages):
        address, port = sources[n % len(sources)]
        way = socket.inet_aton(address) + socket.inet_aton(target[0])
        # the kernel fills in the identification and the checksum; the checksum of UDP is optional
        header = struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(message), 0, 0, 64, socket.IPPROTO_UDP, 0)
        packets.append(header + way + struct.pack(">HHHH", port, target[1], 8 + len(message), 0) + message)
    return packets


class Flood:
    """Messages from one namespace, mostly initiations, and the cookies that come back.

    rate   messages in a second
    pause  seconds between two bursts
    sock   the socket for the messages, if it is not a new UDP socket
    """

    def __init__(self, place, family, target, messages, rate=15_000, pause=0.2, sock=None):
        self.cookies = self.sent = 0
        self._rate, self._pause = rate, pause
        self._socket = sock or place.socket({4: socket.AF_INET, 6: socket.AF_INET6}[family], socket.SOCK_DGRAM)
        self._socket.connect(target)
        self._socket.setblocking(False)
        self._messages = messages
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self):
        begin, tried = time.monotonic(), 0
        while not self._stop.wait(self._pause):
            due = int((time.monotonic() - begin) * self._rate)
            for n in range(tried, due):
                try:
                    self._socket.send(self._messages[n % len(self._messages)])
                    self.sent += 1
                except OSError:  # a full queue, or an ICMP error: the flood continues
                    pass
            tried = due
            self._collect()

    def _collect(self):
        while True:
            try:
                reply = self._socket.recv(256)
            except OSError:
                return
            self.cookies += len(reply) == LENGTHS[COOKIE] and reply[0] == COOKIE


# ---- watching


@dataclass(frozen=True)
class Message:
    at: float
    source: str
    target: str
    source_port: int
    target_port: int
    kind: int
    mac2: bool
    index: bytes  # the first index in the message; in data, that of the receiver


def parse(packet, at):
    """Return the WireGuard message in an IP packet, or None."""
    if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP:
        start, family, addresses = (packet[0] & 15) * 4, socket.AF_INET, packet[12:20]
    elif packet[0] >> 4 == 6 and packet[6] == socket.IPPROTO_UDP:
        start, family, addresses = 40, socket.AF_INET6, packet[8:40]
    else:
        return None
    payload = packet[start + 8 :]
    if len(payload) < 32 or payload[0] not in (INITIATION, RESPONSE, COOKIE, DATA) or any(payload[1:4]):
        return None
    if len(payload) != LENGTHS.get(payload[0], len(payload)):
        return None
    half = len(addresses) // 2
    source, target = (socket.inet_ntop(family, a) for a in (addresses[:half], addresses[half:]))
    ports = struct.unpack_from(">HH", packet, start)
    mac2 = payload[0] in (INITIATION, RESPONSE) and any(payload[-16:])
    return Message(at, source, target, *ports, payload[0], mac2, payload[4:8])


class Watch:
    """Collects the WireGuard messages at one outer device, in both directions."""

    def __init__(self, site, ignore=()):
        self._messages = []
        self._ignore = set(ignore)
        self._stop = threading.Event()
        # IP packets without their link header; bound at once, so that no packets of other devices come
        self._socket = site.place.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        with site.place.entered():
            self._socket.bind((site.device, ETH_P_ALL))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self):
        while not self._stop.is_set():
            if select.select([self._socket], [], [], 0.1)[0]:
                packet = self._socket.recv(65535)
                message = parse(packet, time.monotonic()) if len(packet) >= 28 else None
                if message and message.source not in self._ignore:
                    self._messages.append(message)

    def seen(self, kind=None, source=None, since=0.0):
        return [m for m in list(self._messages) if m.at >= since and kind in (None, m.kind) and source in (None, m.source)]
