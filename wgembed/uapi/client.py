"""The client of the control socket: of ours and of any that speaks WireGuard's cross-platform protocol.

Everything that goes wrong is an OSError. Its errno is ENODEV where no program serves an interface of that name, EPROTO
where its answer is none, what the program said, or what the socket gave. No text of it holds anything of an answer.
"""

from binascii import unhexlify

from ..runtime import abi, address, folders, system, tool

_U16 = 0xFFFF
_U32 = 0xFFFFFFFF
_S63 = 0x7FFFFFFFFFFFFFFF
_U64 = 0xFFFFFFFFFFFFFFFF
# Of a socket, in the kernel
_PATH_MAX = 107
_ZERO_KEY = bytes(32)


class InterfaceInfo:
    """An interface as its program describes it.

    name                     as asked for
    private_key, public_key  32 bytes, or None
    listen_port, fwmark      0 for none
    """

    __slots__ = ("fwmark", "listen_port", "name", "private_key", "public_key")

    def __init__(self, name):
        self.name = name
        self.private_key = self.public_key = None
        self.listen_port = self.fwmark = 0


class PeerInfo:
    """One of its peers.

    public_key            32 bytes
    preshared_key         32 bytes, or None
    endpoint              `192.0.2.1:51820`, `[2001:db8::1]:51820`, `[fe80::1%eth0]:51820`, or None
    allowed_ips           `192.0.2.0/24` each
    handshake_sec, handshake_nsec  of the last handshake, since 1970; 0 for none
    rx_bytes, tx_bytes, persistent_keepalive  numbers
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
    """Return the names of the interfaces that some program serves, in the directory's order; OSError."""
    try:
        names = tool.list_names(folders.sockets())
    except OSError as e:
        if e.errno == abi.ENOENT:
            return []
        raise
    found = [name[:-5] for name in names if name.endswith(".sock") and name != ".sock"]
    return [name for name in found if _is_served(name)]


def read(name):
    """Yield the InterfaceInfo of this name, without its peers, then each PeerInfo; OSError, also when some were yielded."""
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
        from ..config import keys  # and with it a cryptographic library, which a list of names does not need

        interface.public_key = keys.public_key(interface.private_key)
    return interface


def send_set(name, lines):
    """Have the interface changed by `lines`, bytes, each a key=value with its line feed; OSError."""
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
    """Return a Connection to the program that serves the interface; OSError."""
    path = folders.socket_of(name)
    try:
        if "/" in name or len(path) > _PATH_MAX or not system.files.is_socket(path):
            raise _error(abi.ENODEV)
        return tool.Connection(path)
    except OSError as e:
        if e.errno != abi.ECONNREFUSED:
            raise
    # Its program is gone and has left it behind.
    _remove(path)
    raise _error(abi.ENODEV)


def _is_served(name):
    try:
        connect(name).close()
    except OSError as e:
        # Of what may not be touched, whoever asks for more is told why.
        return e.errno != abi.ENODEV
    return True


def _remove(path):
    try:
        system.files.remove(path)
    except OSError:
        return


def _error(errno):
    return OSError(errno, tool.strerror(errno))


# The answer, line by line


def ask(name, question):
    """Yield (key, value), bytes, for each line of the answer but its last; OSError if that tells of an error.

    question  bytes, with the empty line that ends it: `get`, or another operation that is answered like that
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
    """Yield (key, value) of each line up to the empty one."""
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
    """Return a number of digits only; what is beyond 64 bits counts as the largest that they hold."""
    if not value.isdigit():
        raise _error(abi.EPROTO)
    digits = value.lstrip(b"0") or b"0"
    number = min(int(digits), _U64) if len(digits) <= 20 else _U64
    if number > most:
        raise _error(abi.EPROTO)
    return number


def _status(value):
    """Return the number of the answer to a set, which programs make negative."""
    sign, digits = (-1, value[1:]) if value[:1] == b"-" else (1, value)
    return sign * _number(digits, 0x7FFFFFFF)


def _key(value):
    try:
        # MicroPython overlooks spaces.
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
    """Return the endpoint in its usual form. Programs may write names and scopes in it: the C library knows those."""
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
    """Return a socket address as `wg` writes it; OSError."""
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
