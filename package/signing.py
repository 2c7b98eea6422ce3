"""The keys of packages and feeds, in Python alone: ECDSA with P-256 and SHA-512 for apk, Ed25519 as usign has it for opkg.

Signatures are deterministic (RFC 6979, RFC 8032): the same package and key give the same bytes. The arithmetic takes a
time that depends on the key. Sign on a machine where no stranger runs programs or measures times.
"""

import base64
import hashlib
import hmac
import os
import re
import struct

# P-256 (FIPS 186-4, D.1.2.3): y^2 = x^3 - 3x + B modulo P; the point G has the order N.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# Object identifiers, as DER has them.
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
_P256 = bytes.fromhex("06082a8648ce3d030107")
_INTEGER, _BIT_STRING, _OCTET_STRING, _SEQUENCE = 0x02, 0x03, 0x04, 0x30
_NOT_A_KEY = "%s is not a P-256 key in PEM without a password: openssl ecparam -name prime256v1 -genkey -noout makes one"


class KeyProblem(Exception):
    """A key file cannot be used. The text says why."""


def _add(a, b):
    """Return the sum of two points; None is the point at infinity."""
    if a is None or b is None:
        return b if a is None else a
    (x1, y1), (x2, y2) = a, b
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def _multiply(number, point):
    total = None
    for bit in bin(number)[2:]:
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total


def _nonces(secret, digest):
    """Yield the numbers that RFC 6979, 3.2, derives from the key and the digest (SHA-512)."""
    text = secret.to_bytes(32, "big") + (int.from_bytes(digest[:32], "big") % N).to_bytes(32, "big")
    key, value = bytes(64), b"\x01" * 64

    def mac(data):
        return hmac.new(key, data, hashlib.sha512).digest()

    for number in (b"\x00", b"\x01"):
        key = mac(value + number + text)
        value = mac(value)
    while True:
        value = mac(value)
        nonce = int.from_bytes(value[:32], "big")
        if 0 < nonce < N:
            yield nonce
        key = mac(value + b"\x00")
        value = mac(value)


def _der(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    return bytes([tag, size] if size < 128 else [tag, 0x81, size]) + content


def _der_number(number):
    return _der(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _elements(data):
    """Return (tag, content) of the elements that DER data consists of. Raises ValueError if the data is not DER."""
    found = []
    while data:
        if len(data) < 2 or data[1] > 0x81:
            raise ValueError
        start, size = (2, data[1]) if data[1] < 0x80 else (3, data[2] if len(data) > 2 else 0)
        if start + size > len(data):
            raise ValueError
        found.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return found


def _pem(text, *names):
    """Return (name, bytes) of the first section of `text` that has one of these names. Raises ValueError without one."""
    for name in names:
        found = re.search(f"-----BEGIN {name}-----([A-Za-z0-9+/=\\s]+)-----END {name}-----", text)
        if found:
            return name, base64.b64decode("".join(found[1].split()), validate=True)
    raise ValueError


class PublicKey:
    """A point of P-256. `id` is the name by which apk looks for the key."""

    def __init__(self, point):
        self.point = point
        raw = b"\x04" + b"".join(number.to_bytes(32, "big") for number in point)
        self.id = hashlib.sha512(raw).digest()[:16]
        self._der = _der(_SEQUENCE, _der(_SEQUENCE, _EC_PUBLIC_KEY, _P256), _der(_BIT_STRING, b"\x00", raw))

    @classmethod
    def read(cls, path):
        """Return the key of a PEM file. Raises KeyProblem."""
        try:
            raw = _pem(_text(path), "PUBLIC KEY")[1]
            x, y = int.from_bytes(raw[-64:-32], "big"), int.from_bytes(raw[-32:], "big")
            key = cls((x, y))
            if key._der != raw or (y * y - x**3 + 3 * x - B) % P or not max(x, y) < P:
                raise ValueError
        except (ValueError, OverflowError):
            raise KeyProblem(_NOT_A_KEY % path) from None
        return key

    def pem(self):
        lines = re.findall(".{1,64}", base64.b64encode(self._der).decode())
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----\n"])

    def verify(self, message, signature):
        """Return whether the signature (DER) of the message, by SHA-512, is of this key."""
        try:
            ((_, both),) = _elements(signature)
            r, s = (int.from_bytes(part, "big") for _, part in _elements(both))
        except ValueError:
            return False
        if not (0 < r < N and 0 < s < N) or signature != _der(_SEQUENCE, _der_number(r), _der_number(s)):
            return False
        digest = int.from_bytes(hashlib.sha512(message).digest()[:32], "big")
        inverse = pow(s, -1, N)
        point = _add(_multiply(digest * inverse % N, G), _multiply(r * inverse % N, self.point))
        return point is not None and point[0] % N == r


class PrivateKey:
    """A private key of P-256, with the methods that adb.container needs."""

    def __init__(self, secret):
        self.secret = secret
        self.public = PublicKey(_multiply(secret, G))
        self.id = self.public.id

    @classmethod
    def read(cls, path):
        """Return the key of a PEM file, as openssl writes it: SEC 1 or PKCS 8. Raises KeyProblem."""
        try:
            name, raw = _pem(_text(path), "EC PRIVATE KEY", "PRIVATE KEY")
            ((_, fields),) = _elements(raw)
            if name == "PRIVATE KEY":
                (_, kind), (_, inner) = _elements(fields)[1:3]
                if kind != _EC_PUBLIC_KEY + _P256:
                    raise ValueError
                ((_, fields),) = _elements(inner)
            elif _P256 not in raw:
                raise ValueError
            secret = int.from_bytes(_elements(fields)[1][1], "big")
            if not 0 < secret < N:
                raise ValueError
        except (ValueError, IndexError):
            raise KeyProblem(_NOT_A_KEY % path) from None
        return cls(secret)

    @classmethod
    def new(cls):
        return cls(int.from_bytes(os.urandom(48), "big") % (N - 1) + 1)

    def pem(self):
        """Return the key as openssl writes it (SEC 1)."""
        fields = _der_number(1), _der(_OCTET_STRING, self.secret.to_bytes(32, "big")), _der(0xA0, _P256)
        lines = re.findall(".{1,64}", base64.b64encode(_der(_SEQUENCE, *fields)).decode())
        return "\n".join(["-----BEGIN EC PRIVATE KEY-----", *lines, "-----END EC PRIVATE KEY-----\n"])

    def sign(self, message):
        """Return the signature of the message, by SHA-512, as DER."""
        digest = hashlib.sha512(message).digest()
        short = int.from_bytes(digest[:32], "big")
        for nonce in _nonces(self.secret, digest):
            r = _multiply(nonce, G)[0] % N
            s = pow(nonce, -1, N) * (short + r * self.secret) % N
            if r and s:
                break
        return _der(_SEQUENCE, _der_number(r), _der_number(s))


class UsignKey:
    """A key of usign, OpenWrt's program for the signatures of opkg's feeds: Ed25519, and a number as its name."""

    _FORM = struct.Struct(">2s2sI16s8s8s64s")

    def __init__(self, number, seed):
        try:
            from nacl.signing import SigningKey
        except ImportError:
            raise KeyProblem("PyNaCl is not installed, which signs for opkg: run python -m pip install pynacl") from None
        self.number, self._seed = number, seed
        self._key = SigningKey(seed)
        self._public = bytes(self._key.verify_key)

    @classmethod
    def read(cls, path):
        """Return the key of a file that `usign -G -s FILE` wrote. Raises KeyProblem."""
        try:
            raw = base64.b64decode(_text(path).splitlines()[1], validate=True)
            kind, _, rounds, _, checksum, number, both = cls._FORM.unpack(raw)
            if kind != b"Ed" or rounds or checksum != hashlib.sha512(both).digest()[:8]:
                raise ValueError
        except (ValueError, IndexError, struct.error):
            raise KeyProblem(f"{path} is not a private key of usign: usign -G -s FILE makes one") from None
        key = cls(number, both[:32])
        if key._public != both[32:]:
            raise KeyProblem(f"{path} is damaged: its public key does not belong to its private key")
        return key

    @classmethod
    def new(cls):
        return cls(os.urandom(8), os.urandom(32))

    def _file(self, comment, content):
        return f"untrusted comment: {comment} {self.number.hex()}\n{base64.b64encode(content).decode()}\n"

    def private(self):
        """Return the text of the private file."""
        both = self._seed + self._public
        checksum = hashlib.sha512(both).digest()[:8]
        return self._file("private key", self._FORM.pack(b"Ed", b"BK", 0, bytes(16), checksum, self.number, both))

    def public(self):
        """Return the text of the public file, which opkg-key takes."""
        return self._file("public key", b"Ed" + self.number + self._public)

    def sign(self, message):
        """Return the text of the signature file of the message."""
        return self._file("signed by key", b"Ed" + self.number + self._key.sign(message).signature)


def _text(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError as error:
        raise KeyProblem(f"cannot read {path}: {error.strerror}") from None
