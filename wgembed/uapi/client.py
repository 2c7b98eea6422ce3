"""The client of the control socket, for wgembed and all programs with WireGuard's cross-platform protocol.

Every error is an OSError. Its errno is ENODEV if no program serves an interface of this name, EPROTO if the answer is not
valid, the errno that the program returned, or the errno of the socket. Its text contains no part of an answer.
"""

from binascii import unhexlify

from ..runtime import abi, address, folders, system, tool

_U16 = 0xFFFF
_U32 = 0xFFFFFFFF
_S63 = 0x7FFFFFFFFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF
# The longest path of a socket, in bytes
_PATH_MAX = 107
_ZERO_KEY = bytes(32)


class InterfaceInfo:
    """An interface, from the answer of its program.

    name                     the name in the request
    private_key, public_key  32 bytes, or None
    listen_port, fwmark      0 if not set
    """

    __slots__ = ("fwmark", "listen_port", "name", "private_key", "public_key")

    def __init__(self, name):
        self.name = name
        self.private_key = self.public_key = None
        self.listen_port = self.fwmark = 0


class PeerInfo:
    """A peer of an interface.

    public_key            32 bytes
    preshared_key         32 bytes, or None
    endpoint              text: `192.0.2.1:51820`, `[2001:db8::1]:51820`, `[fe80::1%eth0]:51820`, or None
    allowed_ips           a list of texts, each like `192.0.2.0/24`
    handshake_sec, handshake_nsec  the time of the last handshake, since 1970; 0 if there was no handshake
    rx_bytes, tx_bytes    numbers
    persistent_keepalive  seconds, 0 for off
    """

    __slots__ = (
        "allowed_ips", "endpoint", "handshake_nsec", "handshake_sec", "persistent_keepalive", "preshared_key",
        "public_key", "rx_bytes", "tx_bytes",
    )  # fmt: skip

    def __init__(self, public_key):
        self.public_key = public_key
        self.preshared_key = self.endpoint = None
        self.allowed_ips = []
        self.handshake_sec = self.handshake_nsec = self.rx_bytes = self.tx_bytes = self.persistent_keepalive = 0


def list_interfaces():
    """Return the names of the interfaces that a program serves, in the order of the directory. OSError."""
    try:
        names = tool.list_names(folders.sockets())
    except OSError as e:
        if e.errno == abi.ENOENT:
            return []
        raise
    found = [name[:-5] for name in names if name.endswith(".sock") and name != ".sock"]
    return [name for name in found if _is_served(name)]


def read(name):
    """Yield the InterfaceInfo of this name, then the PeerInfo of each peer. OSError, also after some of them."""
    interface, peer = InterfaceInfo(name), None
    for key, value in ask(name, b"get=1\n\n"):
        if key == b"public_key":
            yield peer or _complete(interface)
            peer = PeerInfo(_key(value))
        elif peer is None:
            _take(_INTERFACE_KEYS, interface, key, value)
        elif key == b"allowed_ip":
            peer.allowed_ips.append(_prefix(value))
        else:
            _take(_PEER_KEYS, peer, key, value)
    yield peer or _complete(interface)


def _complete(interface):
    if interface.private_key is not None:
        from ..config import keys  # imported late, because it loads libsodium, which a list of names does not need

        interface.public_key = keys.public_key(interface.private_key)
    return interface


def send_set(name, lines):
    """Send a `set` to the interface. `lines` are bytes, each line a key=value with its line feed. OSError."""
    connection = connect(name)
    status = -abi.EPROTO
    try:
        connection.send(b"set=1\n" + lines + b"\n")
        for key, value in _lines(connection):
            if key == b"errno":
                status = _status(value)
    finally:
        connection.close()
    if status:
        raise _error(-status)


def connect(name):
    """Return a Connection to the program that serves the interface. OSError."""
    path = folders.socket_of(name)
    try:
        if "/" in name or len(path) > _PATH_MAX or not system.files.is_socket(path):
            raise _error(abi.ENODEV)
        return tool.Connection(path)
    except OSError as e:
        if e.errno != abi.ECONNREFUSED:
            raise
    # The program of the socket is gone, but the socket still exists.
    _remove(path)
    raise _error(abi.ENODEV)


def _is_served(name):
    try:
        connect(name).close()
    except OSError as e:
        # An interface without permission counts as served. A later request then reports the error.
        return e.errno != abi.ENODEV
    return True


def _remove(path):
    try:
        system.files.remove(path)
    except OSError:
        return


def _error(errno):
    return OSError(errno, system.process.strerror(errno))


# The answer, line by line


def ask(name, question):
    """Yield (key, value), bytes, for each line of the answer, except `errno`. OSError if its errno is not 0.

    question  bytes, with the empty line at the end: a `get`, or another operation with an answer of this form
    """
    connection = connect(name)
    status = abi.EPROTO
    try:
        connection.send(question)
        for key, value in _lines(connection):
            if key == b"errno":
                status = _number(value, 0x7FFFFFFF)
            else:
                yield key, value
    finally:
        connection.close()
    if status:
        raise _error(status)


def _lines(connection):
    """Yield (key, value) of each line, until the empty line."""
    rest = b""
    while True:
        data = connection.receive()
        if not data:
            raise _error(abi.EPROTO)
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        for line in lines:
            if not line:
                return
            key, equals, value = line.partition(b"=")
            if not equals or b"\0" in line:
                raise _error(abi.EPROTO)
            yield key, value


def _take(table, where, key, value):
    if key in table:
        attribute, convert = table[key]
        setattr(where, attribute, convert(value))


def _number(value, most):
    """Return the number. OSError EPROTO if it is not only digits, or larger than `most`. It is cut to 64 bits."""
    if not value.isdigit():
        raise _error(abi.EPROTO)
    digits = value.lstrip(b"0") or b"0"
    number = min(int(digits), _U64) if len(digits) <= 20 else _U64
    if number > most:
        raise _error(abi.EPROTO)
    return number


def _status(value):
    """Return the errno of the answer to a `set`. Programs send it as a negative number."""
    sign, digits = (-1, value[1:]) if value[:1] == b"-" else (1, value)
    return sign * _number(digits, 0x7FFFFFFF)


def _key(value):
    try:
        # MicroPython ignores spaces.
        key = unhexlify(value) if len(value) == 64 else b""
    except ValueError:
        key = b""
    if len(key) != 32:
        raise _error(abi.EPROTO)
    return key


def _preshared_key(value):
    key = _key(value)
    return key if key != _ZERO_KEY else None


def _prefix(value):
    host, _, length = value.partition(b"/")
    try:
        packed = address.parse_ip(host.decode())
    except ValueError:
        raise _error(abi.EPROTO) from None
    return "%s/%d" % (address.format_ip(packed), _number(length, 8 * len(packed)))


def _endpoint(value):
    """Return the endpoint in its usual form. It can contain names and scopes, which the C library resolves."""
    host, colon, port = value.rpartition(b":")
    if value[:1] == b"[":
        host, _, port = value[1:].partition(b"]")
        colon, port = port[:1], port[1:]
    if colon != b":" or not port:
        raise _error(abi.EPROTO)
    if port.isdigit() and len(port) < 5:  # the usual case, for many peers
        try:
            text = address.format_ip(address.parse_ip(host.decode()))
            return _joined(text, int(port))
        except ValueError:
            pass
    try:
        return format_endpoint(tool.resolve(host, port))
    except OSError:
        raise _error(abi.ENETUNREACH) from None


def format_endpoint(addr):
    """Return a socket address as text, in the form of `wg`. OSError."""
    return _joined(tool.name_address(addr), system.inet.split_address(addr)[1])


def _joined(host, port):
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


_INTERFACE_KEYS = {
    b"private_key": ("private_key", _key),
    b"listen_port": ("listen_port", lambda value: _number(value, _U16)),
    b"fwmark": ("fwmark", lambda value: _number(value, _U32)),
}
_PEER_KEYS = {
    b"preshared_key": ("preshared_key", _preshared_key),
    b"endpoint": ("endpoint", _endpoint),
    b"persistent_keepalive_interval": ("persistent_keepalive", lambda value: _number(value, _U16)),
    b"last_handshake_time_sec": ("handshake_sec", lambda value: _number(value, _S63)),
    b"last_handshake_time_nsec": ("handshake_nsec", lambda value: _number(value, _S63)),
    b"rx_bytes": ("rx_bytes", lambda value: _number(value, _U64)),
    b"tx_bytes": ("tx_bytes", lambda value: _number(value, _U64)),
}
