"""`wg setconf`, `addconf` and `syncconf`: a change in a file."""

from ...errors import complain
from ...runtime import system
from ...runtime.modes import S_IFDIR, S_IFMT
from ...uapi import client
from ..output import WgError, because
from . import change as values

_EISDIR = 21
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
# A value of this length and only of these letters can be a key whose name has a typing error.
_LIKE_A_KEY = 40
_NO_KEY = bytes(32)


def setconf(program, arguments):
    """Apply a file to an interface, by setconf, addconf or syncconf; return the exit status; WgError."""
    if len(arguments) != 3:
        raise WgError("Usage: %s %s <interface> <configuration filename>" % (program, arguments[0]))
    verb, name, path = arguments
    change = _read(_lines(path), verb == "addconf")
    if verb == "syncconf":
        _leave_the_rest(change, values.short_name(name))
    values.apply(name, change)
    return 0


def set_text(name, text):
    """Replace the configuration of the interface by the text, bytes; WgError."""
    values.apply(name, _read(text.split(b"\n"), False))


def sync_text(name, text):
    """Limit the peers of the interface to those in the text, bytes; peers that stay keep their sessions; WgError.

    Key, port and mark stay if the text has none: `up` chose the mark, and a hook can have set the key.
    """
    change = _read(text.split(b"\n"), True)
    change.replace_peers = True
    _leave_the_rest(change, values.short_name(name))
    values.apply(name, change)


def _read(lines, append):
    """Return the Change for the lines of a file; WgError."""
    reader = _Reader(append)
    for line in lines:
        try:
            reader.take(line)
        except WgError as e:
            if e.text:
                complain(e.text)
                e.text = "Configuration parsing error"
            raise
    return reader.finish()


def _lines(path):
    """Yield the lines of the file; WgError if it cannot be read."""
    fd = values.open_file(path)
    try:
        if system.files.status(fd)[1] & S_IFMT == S_IFDIR:
            raise WgError("fopen: " + system.process.strerror(_EISDIR))
        rest = b""
        while True:
            data = system.files.read(fd, 4096)
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            yield from lines
            if not data:
                break
        yield rest
    finally:
        system.files.close(fd)


class _Reader:
    """Makes a Change from lines."""

    def __init__(self, append):
        self._change = values.Change()
        self._section = None
        if not append:
            self._change.private_key = _NO_KEY
            self._change.listen_port = self._change.fwmark = 0
            self._change.replace_peers = True

    def take(self, line):
        """Read one line; WgError."""
        # As in C, text ends at a NUL.
        line = b"".join(line.partition(b"\0")[0].partition(b"#")[0].split())
        if not line:
            return
        if line.lower() == b"[interface]":
            self._section = self._change
        elif line.lower() == b"[peer]":
            self._section = values.PeerChange()
            self._section.replace_allowed_ips = True
            self._change.peers.append(self._section)
        else:
            self._take_value(line)

    def _take_value(self, line):
        name, _, value = line.partition(b"=")
        known = () if self._section is None else _INTERFACE if self._section is self._change else _PEER
        name = name.lower()
        if not value or name not in known:
            raise WgError(b"Line unrecognized: `%s'" % _shown(line))
        if name == b"allowedips":
            self._section.take_allowed_ips(value)
            return
        attribute, convert = known[name]
        setattr(self._section, attribute, convert(value))

    def finish(self):
        """Return the Change; WgError."""
        if any(peer.public_key is None for peer in self._change.peers):
            complain("A peer is missing a public key")
            raise WgError("Invalid configuration")
        return self._change


def _shown(line):
    name, equals, value = line.partition(b"=")
    secret = len(value) >= _LIKE_A_KEY and all(c in _BASE64 for c in value) and name.lower() != b"publickey"
    return name + equals + b"(hidden)" if secret else line


_INTERFACE = {
    b"listenport": ("listen_port", values.port),
    b"fwmark": ("fwmark", values.fwmark),
    b"privatekey": ("private_key", values.secret_key),
}
_PEER = {
    b"endpoint": ("endpoint", values.endpoint),
    b"publickey": ("public_key", values.public_key),
    b"allowedips": None,
    b"persistentkeepalive": ("persistent_keepalive", values.persistent_keepalive),
    b"presharedkey": ("preshared_key", values.secret_key),
}


def _leave_the_rest(change, name):
    """Limit the change to differences, so that peers which stay keep their sessions."""
    if not change.peers:
        return
    try:
        parts = client.read(name)
        next(parts)
        running = sorted([(bytes(p.public_key), p.preshared_key is not None, p.persistent_keepalive) for p in parts])
    except OSError as e:
        raise because("Unable to retrieve current interface configuration", e) from None
    if not running:
        return
    change.replace_peers = False
    kept, gone = {}, []
    for peer in change.peers:
        kept.setdefault(bytes(peer.public_key), peer)
    for key, has_preshared_key, keepalive in running:
        if key in kept:
            _take_back(kept[key], has_preshared_key, keepalive)
        else:
            gone.append(values.PeerChange(key))
            gone[-1].remove = True
    # The order of wg.
    change.peers = list(reversed(gone)) + change.peers


def _take_back(peer, has_preshared_key, keepalive):
    """Remove settings of the peer that the interface has and the file does not."""
    if has_preshared_key and peer.preshared_key is None:
        peer.preshared_key = _NO_KEY
    if keepalive and peer.persistent_keepalive is None:
        peer.persistent_keepalive = 0
