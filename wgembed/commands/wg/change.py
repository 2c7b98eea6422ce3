"""A change to an interface: read from the command line or a file, as `wg` does, and sent to a control socket.

Values are bytes, as typed. A wrong value is a WgError in the words of wg(8), except that private and preshared keys are not
repeated.
"""

from binascii import hexlify

from ...config import keys
from ...errors import complain
from ...runtime import address, system, tool
from ...runtime.modes import S_IFIFO, S_IFMT, S_IFSOCK
from ...uapi import client
from ..output import WgError, because, hundredths, reason

_NO_KEY = bytes(keys.KEY_SIZE)
_U32 = 0xFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF
_DIGITS_MAX = 1000
_INT_MAX = 0x7FFFFFFF
_NO_LENGTH = "Invalid length key in key file"

# The delay before a lookup is repeated, in microseconds: a fifth longer each time, up to the last.
_FIRST_WAIT_US = 1_000_000
_LAST_WAIT_US = 20_000_000
_RETRIES = 15
# Errors of the resolver that are permanent: EAI_NONAME, EAI_FAIL, EAI_NODATA
_PERMANENT = (-2, -4, -5)


class Change:
    """A change to an interface. None means no change.

    private_key    32 bytes, zeros to remove the key
    listen_port, fwmark  numbers
    replace_peers  whether peers that are not in `peers` are removed
    peers          PeerChange each
    """

    __slots__ = ("fwmark", "listen_port", "peers", "private_key", "replace_peers")

    def __init__(self):
        self.private_key = self.listen_port = self.fwmark = None
        self.replace_peers = False
        self.peers = []

    def lines(self):
        """Return the change as lines for client.send_set."""
        lines = []
        if self.private_key is not None:
            lines.append(b"private_key=%s\n" % hexlify(self.private_key))
        if self.listen_port is not None:
            lines.append(b"listen_port=%d\n" % self.listen_port)
        if self.fwmark is not None:
            lines.append(b"fwmark=%d\n" % self.fwmark)
        if self.replace_peers:
            lines.append(b"replace_peers=true\n")
        for peer in self.peers:
            lines += peer.lines()
        return b"".join(lines)


class PeerChange:
    """A change to one peer. None means no change.

    public_key, preshared_key  32 bytes each; zeros remove the preshared key
    endpoint             bytes, in the form of the UAPI
    persistent_keepalive  in seconds, 0 for off
    replace_allowed_ips  whether prefixes that are not in `allowed_ips` are removed
    allowed_ips          prefixes as bytes; `-192.0.2.0/24` removes one
    remove               whether the peer is removed
    """

    __slots__ = (
        "allowed_ips", "endpoint", "persistent_keepalive", "preshared_key", "public_key", "remove", "replace_allowed_ips",
    )  # fmt: skip

    def __init__(self, public_key=None):
        self.public_key = public_key
        self.preshared_key = self.endpoint = self.persistent_keepalive = None
        self.replace_allowed_ips = self.remove = False
        self.allowed_ips = []

    def lines(self):
        lines = [b"public_key=%s\n" % hexlify(self.public_key)]
        if self.remove:
            return lines + [b"remove=true\n"]
        if self.preshared_key is not None:
            lines.append(b"preshared_key=%s\n" % hexlify(self.preshared_key))
        if self.endpoint is not None:
            lines.append(b"endpoint=%s\n" % self.endpoint)
        if self.persistent_keepalive is not None:
            lines.append(b"persistent_keepalive_interval=%d\n" % self.persistent_keepalive)
        if self.replace_allowed_ips:
            lines.append(b"replace_allowed_ips=true\n")
        return lines + [b"allowed_ip=%s\n" % prefix for prefix in self.allowed_ips]

    def take_allowed_ips(self, value):
        """Add the prefixes of a list without spaces; WgError."""
        self.replace_allowed_ips = True
        for entry in value.split(b",") if value else ():
            sign = entry[:1] if entry[:1] in (b"+", b"-") else b""
            if sign:
                self.replace_allowed_ips = False
            self.allowed_ips.append((b"-" if sign == b"-" else b"") + _prefix(entry[len(sign) :]))


def apply(name, change):
    """Apply the change to the interface; WgError."""
    try:
        client.send_set(short_name(name), change.lines())
    except OSError as e:
        raise because("Unable to modify interface", e) from None


def short_name(name):
    """Return the first 15 bytes of a name, the maximum of an interface, as wg does."""
    encoded = tool.encode(name)
    return name if len(encoded) < 16 else tool.decode(encoded[:15])


# Values


def _number(digits, base=10):
    """Return the number in the bytes; 2**64-1, which is too large for all uses, if they are not a number."""
    digits = digits.lower()
    if not digits or len(digits) > _DIGITS_MAX or not all(c in b"0123456789abcdef"[:base] for c in digits):
        return _U64
    return int(digits.decode(), base)


def port(value):
    """Return the number of a port, from a number or the name of a service; WgError."""
    if not value:
        raise WgError("Unable to parse empty port")
    try:
        return system.inet.split_address(tool.resolve(None, value))[1]
    except OSError as e:
        raise WgError(b"%s: `%s'" % (reason(e).encode(), value)) from None


def fwmark(value):
    """Return a firewall mark; WgError."""
    if value.lower() == b"off":
        return 0
    if len(value) > 2 and value[:2] == b"0x":
        number = _number(value[2:], 16)
    else:
        number = _number(value)
    if number > _U32:
        raise WgError(b"Fwmark is neither 0/off nor 0-0xffffffff: `%s'" % value)
    return number


def persistent_keepalive(value):
    """Return an interval in seconds; WgError."""
    if value.lower() == b"off":
        return 0
    number = _number(value)
    if number > 65535:
        raise WgError(b"Persistent keepalive interval is neither 0/off nor 1-65535: `%s'" % value)
    return number


def public_key(value):
    """Return the 32 bytes of a public key; WgError."""
    try:
        return keys.parse(value)
    except ValueError:
        raise WgError(b"Key is not the correct length or format: `%s'" % value) from None


def secret_key(value):
    """Return the 32 bytes of a private or preshared key; WgError."""
    try:
        return keys.parse(value)
    except ValueError:
        raise WgError("Key is not the correct length or format: `(hidden)'") from None


def open_file(path):
    """Return a descriptor to read the file; WgError."""
    try:
        return system.files.open_to_read(path)
    except OSError as e:
        raise because("fopen", e) from None


def secret_key_in(path):
    """Return the key in the file, zeros if the file is empty or /dev/null; WgError."""
    fd = open_file(path)
    try:
        text = _read_key(fd)
    except OSError:
        raise WgError(_NO_LENGTH) from None
    finally:
        system.files.close(fd)
    return secret_key(text) if text is not None else _NO_KEY


def _read_key(fd):
    """Return the text of a key, None for an empty file; WgError; OSError."""
    text = b""
    while True:
        part = system.files.read(fd, 4096)
        if not part:
            break
        text += part
        surplus = text[keys.TEXT_SIZE :].lstrip(keys.SPACES)
        if surplus:
            raise WgError(b"Found trailing character in key file: `%s'" % surplus[:1])
        text = text[: keys.TEXT_SIZE]
    if not text and system.files.status(fd)[1] & S_IFMT not in (S_IFIFO, S_IFSOCK):
        return None
    if len(text) < keys.TEXT_SIZE:
        raise WgError(_NO_LENGTH)
    return text


def endpoint(value):
    """Return the endpoint for `host:port`, in the form of the UAPI; WgError.

    If a name cannot be resolved now, the lookup is repeated up to WG_ENDPOINT_RESOLUTION_RETRIES times.
    """
    retries = _retries()
    if not value:
        raise WgError("Unable to parse empty endpoint")
    host, service = _split(value)
    wait = _FIRST_WAIT_US
    while True:
        try:
            return client.format_endpoint(tool.resolve(host, service)).encode()
        except OSError as e:
            told = b"%s: `%s'" % (reason(e).encode(), value)
            if e.errno in _PERMANENT or retries == 0:
                raise WgError(told) from None
        complain(b"%s. Trying again in %s seconds..." % (told, hundredths(wait, 1_000_000).encode()))
        tool.sleep_us(wait)
        retries -= 1
        wait = min(_LAST_WAIT_US, wait * 6 // 5)


def _split(value):
    """Return host and service of an endpoint; WgError."""
    if value[:1] == b"[":
        host, brace, rest = value[1:].partition(b"]")
        if not brace:
            raise WgError(b"Unable to find matching brace of endpoint: `%s'" % value)
        colon, service = rest[:1], rest[1:]
    else:
        host, colon, service = value.rpartition(b":")
    if colon != b":" or not service:
        raise WgError(b"Unable to find port of endpoint: `%s'" % value)
    return host, service


def _retries():
    """Return how often a lookup is repeated; a negative number for no limit."""
    text = system.files.getenv("WG_ENDPOINT_RESOLUTION_RETRIES")
    if not text:
        return _RETRIES
    if text == "infinity":
        return -1
    digits = text.lstrip()
    number = _number((digits[1:] if digits[:1] in ("+", "-") else digits).encode())
    if number > _INT_MAX or digits[0] == "-" and number:
        complain("Unable to parse WG_ENDPOINT_RESOLUTION_RETRIES: `%s'" % text)
        raise WgError
    return number


def _prefix(entry):
    """Return an allowed IP in the form of the UAPI; WgError."""
    host, slash, length = entry.partition(b"/")
    try:
        packed = address.parse_ip(host.decode())
    except ValueError:
        raise WgError(b"Unable to parse IP address: `%s'" % host) from None
    most = 8 * len(packed)
    bits = _number(length) if slash else most
    if bits > most:
        raise WgError(b"AllowedIP is not in the correct format: `%s'" % entry)
    if _has_host_part(packed, bits):
        complain(b"Warning: AllowedIP has nonzero host part: %s/%s" % (host, length))
    return b"%s/%d" % (address.format_ip(packed).encode(), bits)


def _has_host_part(packed, bits):
    whole, part = bits >> 3, bits & 7
    return any(packed[whole + 1 :]) or whole < len(packed) and packed[whole] & (0xFF >> part) != 0
