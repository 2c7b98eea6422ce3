"""The cross-platform control protocol of WireGuard (https://www.wireguard.com/xplatform/), without sockets.

A session gets the bytes that a client sends, and returns the answers. `set` works line by line. If a line is bad, the lines
before it stay applied, as in wireguard-go, and the rest of the operation is ignored. The answer to a `get` is made for some
peers at a time, as fast as the client takes it. So an answer with ten thousand peers does not block the daemon.

Secrets are sent and received as hexadecimal digits. They are read in the receive buffer and written in the send buffer.
Both are overwritten immediately after that, and no other copy is made here.
"""

from binascii import hexlify, unhexlify

from .. import crypto
from ..protocol import backoff, noise
from ..protocol.memory import TableFull
from ..runtime import abi, address, system

# The longest line of a valid client is a key, which is much shorter. A longer line ends the connection.
LINE_MAX = 1024
# The most bytes of one receive.
READ_SIZE = 4096
# The most peers in one piece of an answer, which takes about a millisecond.
_PIECE = 32


class UapiError(Exception):
    """A line is refused: `errno` is for the client, `text` for the log."""

    def __init__(self, errno, text):
        super().__init__(text)
        self.errno = errno
        self.text = text


def _key(value):
    """Return the public key of 64 hexadecimal digits."""
    try:
        # MicroPython ignores spaces.
        key = unhexlify(value) if len(value) == 64 else b""
    except ValueError:
        key = b""
    if len(key) != 32:
        # The value can be a secret in the wrong place, so the message does not contain it.
        raise UapiError(abi.EINVAL, "public_key: expected 64 hexadecimal digits")
    return key


_SECRET_LINES = (b"private_key=", b"preshared_key=")
_DIGITS = b"0123456789abcdef"
_NO_DIGITS = b"0" * 64
_secret = memoryview(bytearray(32))
# What to do about a full table
_MORE_ROOM = "; restart with more WGEMBED_MAX_PEERS or WGEMBED_MAX_PREFIXES, or option max_peers in /etc/config/wgembed"
_spare = []  # buffers of sessions that ended, wiped


def _read_secret(buf, start, end):
    """Decode the 64 digits into `_secret`, and overwrite the digits, also if they are not valid."""
    is_right = end - start == 64
    for at in range(start, end):
        digit = buf[at]
        buf[at] = 0
        value = digit - 48 if 48 <= digit < 58 else (digit | 32) - 87
        if is_right and 0 <= value < 16 and digit != 0 and (digit < 58 or value > 9):
            half = at - start
            _secret[half >> 1] = value << 4 if not half & 1 else _secret[half >> 1] | value
        else:
            is_right = False
    if not is_right:
        raise UapiError(abi.EINVAL, "private_key, preshared_key: expected 64 hexadecimal digits")


def _write_secret(out, at, secret):
    """Write the digits of the secret to `out`, from the offset `at` on."""
    for byte in secret:
        out[at] = _DIGITS[byte >> 4]
        out[at + 1] = _DIGITS[byte & 15]
        at += 2


def _number(value, most, what):
    if not value or len(value) > 10 or not all(c in b"0123456789" for c in value) or int(value) > most:
        raise UapiError(abi.EINVAL, "%s: expected a decimal number from 0 to %d, got %s" % (what, most, _shown(value)))
    return int(value)


def _shown(value):
    """Return bytes of a client in a form that is safe for the log, at most 64 characters in quotes."""
    return "'%s'" % "".join(chr(c) if 32 <= c < 127 else "?" for c in value[:64])


def _want_true(value, key):
    if value != b"true":
        raise UapiError(abi.EINVAL, "%s: expected true, got %s" % (key, _shown(value)))


class _Reader:
    """A position in the device's list of peers. If its peer is removed, the device moves it to the next one."""

    __slots__ = ("peer",)

    def __init__(self, peer):
        self.peer = peer


class Session:
    """One connection to the control socket of the interface.

    In addition to the standard operations there is `status`, which reports only public keys: see status_lines.py.

    closed  True if the client broke the protocol. The connection must end after the output is sent.
    """

    def __init__(self, interface, log):
        self._interface = interface
        self._device = interface.device
        self._log = log
        # Bytes that were received and not yet handled
        self._buf = _spare.pop() if _spare else system.files.reserve(LINE_MAX + READ_SIZE)
        self._view = memoryview(self._buf)
        self._end = 0
        self._in_set = False
        self._get = None
        self._reader = None
        self.closed = False
        self._begin_set()

    # Input

    def feed(self, data, now):
        """Handle the bytes that the client sent, READ_SIZE at most. Returns an answer to send, or b"".

        If `is_answering` is true after that, the caller gets the answer with `piece`, before it calls `feed` again.
        """
        end = self._end + len(data)
        self._view[self._end : end] = data
        answer = b""
        start = 0
        while self._get is None and not self.closed:
            stop = self._buf.find(b"\n", start, end)
            if stop < 0:
                self.closed = end - start > LINE_MAX
                break
            answer += self._take_line(start, stop, now)
            start = stop + 1
        # Lines after a get are kept until the get is answered.
        self._end = end - start
        self._view[: self._end] = self._view[start:end]
        crypto.memzero(self._view[self._end : end])
        return answer

    def _take_line(self, start, stop, now):
        # Both secret lines begin with "pr". This test is fast for the other lines.
        if self._in_set and stop - start > 2 and self._buf[start + 1] == 114 and self._buf[start] == 112:
            for name in _SECRET_LINES:
                if self._buf.find(name, start, start + len(name)) == start:
                    return self._take_secret(name, start + len(name), stop, now)
        line = bytes(self._view[start:stop])
        if self._in_set:
            return self._take_set_line(line, now)
        if self._in_get:
            self._in_get = False
            if line:
                return b"errno=%d\n\n" % abi.EINVAL
            self._start_get(now)
        elif line == b"set=1":
            system.heap.reserve()
            self._begin_set()
            self._in_set = True
        elif line in (b"get=1", b"status=1"):
            self._in_get = True
            self._wants_status = line == b"status=1"
        else:
            self.closed = True
        return b""

    @property
    def is_idle(self):
        """Whether no request has begun."""
        return not self._end and not self._in_set and not self.is_answering

    @property
    def is_answering(self):
        return self._get is not None

    def piece(self):
        """Return the next part of the answer to a get, or b"" after the last part."""
        for part in self._get:
            return part
        self._end_get()
        return b""

    def finish(self, now):
        """The client has ended its input. Return the answer to an unfinished set, which ends here, or b"".

        An unfinished line is refused: the client can have been killed in the middle of it.
        """
        if not self._in_set:
            return b""
        if self._end and not self._failed:
            self._fail(abi.EPROTO, "the last line has no end")
        return self._end_set(now)

    def close(self):
        """End the session. An unfinished get is dropped. The lines of an unfinished set stay applied.

        `feed` must not be called after that.
        """
        if self._in_set:
            self._begin_set()
            system.heap.release()
        self._end_get()
        crypto.memzero(self._buf)
        _spare.append(self._buf)
        self._buf = self._view = None

    def _end_get(self):
        self._get = None
        if self._reader is not None:
            self._device.readers.remove(self._reader)
            self._reader = None

    # set

    def _begin_set(self):
        self._in_set = self._in_get = self._wants_status = False
        self._failed = 0
        self._peer = None  # the peer of the lines
        self._pending = None  # its key, while it is not decided whether the peer must be added
        self._created = False
        self._ignored = False
        self._in_peer = False

    def _take_set_line(self, line, now):
        if not line:
            return self._end_set(now)
        return self._try(self._take_setting, line, now)

    def _take_setting(self, line, now):
        key, equals, value = line.partition(b"=")
        if not equals:
            raise UapiError(abi.EPROTO, "expected KEY=VALUE, got %s" % _shown(line[:16]))
        self._apply(key.decode(), value, now)

    def _take_secret(self, name, start, stop, now):
        """Handle the line of a secret. Its digits are in the buffer, from `start` to `stop` - 1."""

        def take(name, now):
            _read_secret(self._buf, start, stop)
            self._apply(name[:-1].decode(), _secret, now)

        try:
            return self._try(take, name, now)
        finally:
            crypto.memzero(_secret)

    def _try(self, function, line, now):
        """Apply a line of a set with `function`, unless an earlier line was refused."""
        if self._failed:
            return b""
        try:
            function(line, now)
        except UnicodeError:
            self._fail(abi.EINVAL, "the line is not ASCII")
        except UapiError as e:
            self._fail(e.errno, e.text)
        except TableFull as e:
            self._fail(abi.ENOSPC, str(e) + _MORE_ROOM)
        except OSError as e:
            self._fail(e.errno or abi.EIO, str(e))
        return b""

    def _fail(self, errno, text):
        self._failed = errno
        self._log.error("control socket: %s" % text)

    def _end_set(self, now):
        if not self._failed:
            try:
                self._finish_peer(now)
            except TableFull as e:
                self._fail(abi.ENOSPC, str(e) + _MORE_ROOM)
        answer = b"errno=%d\n\n" % -self._failed if self._failed else b"errno=0\n\n"
        self._begin_set()
        system.heap.release()
        return answer

    def _apply(self, key, value, now):
        if key == "public_key":
            self._finish_peer(now)
            self._start_peer(_key(value))
            return
        table = _PEER_KEYS if self._in_peer else _DEVICE_KEYS
        action = table.get(key)
        if action is None:
            raise UapiError(abi.EINVAL, "unknown key %s" % _shown(key.encode()))
        action(self, value, now)

    def _set_private_key(self, value, now):
        self._device.set_private_key(value, now)

    def _set_listen_port(self, value, now):
        self._interface.set_listen_port(_number(value, 65535, "listen_port"))

    def _set_fwmark(self, value, now):
        self._interface.set_fwmark(_number(value, 0xFFFFFFFF, "fwmark"))

    def _set_replace_peers(self, value, now):
        _want_true(value, "replace_peers")
        self._device.remove_all_peers()

    # One peer of a set. It is added at the first line that needs it. So to remove an unknown peer needs no free place.

    def _start_peer(self, public_key):
        self._in_peer = True
        self._created = False
        self._pending = None
        self._peer = self._device.find(public_key)
        own = self._device.identity
        self._ignored = own.present and public_key == own.public
        if self._peer is None and not self._ignored:
            self._pending = public_key

    def _keep_peer(self):
        """Return the peer of the lines, which is added if it is new. None if the lines have no effect."""
        if self._pending is not None:
            self._peer = self._device.add_peer(self._pending)
            self._pending = None
            self._created = True
        return self._peer

    def _finish_peer(self, now):
        peer = self._keep_peer() if self._in_peer else None
        if peer is not None and self._device.is_up:
            self._device.send_staged(peer, now)

    def _leave_peer(self):
        """Ignore the next lines about this peer: they are checked, but have no effect."""
        self._peer = self._pending = None

    def _set_update_only(self, value, now):
        _want_true(value, "update_only")
        if self._created:
            self._device.remove_peer(self._peer)
            self._leave_peer()
        self._pending = None

    def _set_remove(self, value, now):
        _want_true(value, "remove")
        if self._peer is not None:
            self._device.remove_peer(self._peer)
        self._leave_peer()

    def _set_preshared_key(self, value, now):
        peer = self._keep_peer()
        if peer is not None:
            self._device.set_preshared_key(peer, value)

    def _set_endpoint(self, value, now):
        try:
            addr = address.parse_endpoint(value.decode())
        except ValueError as e:
            raise UapiError(abi.EINVAL, "endpoint %s: %s" % (_shown(value), e)) from None
        peer = self._keep_peer()
        if peer is not None:
            self._device.set_endpoint(peer, addr, now)
            backoff.call_soon(self._device, peer, now)

    def _set_persistent_keepalive(self, value, now):
        seconds = _number(value, 65535, "persistent_keepalive_interval")
        peer = self._keep_peer()
        if peer is not None:
            self._device.set_persistent_keepalive(peer, seconds, now)

    def _set_replace_allowed_ips(self, value, now):
        _want_true(value, "replace_allowed_ips")
        peer = self._keep_peer()
        if peer is not None:
            self._device.allowed.remove_peer(peer.number)

    def _set_allowed_ip(self, value, now):
        removing = value[:1] == b"-"
        host, _, cidr = (value[1:] if removing else value).decode().partition("/")
        try:
            packed = address.parse_ip(host)
        except ValueError as e:
            raise UapiError(abi.EINVAL, "allowed_ip %s: %s" % (_shown(value), e)) from None
        bits = _number(cidr.encode(), len(packed) * 8, "allowed_ip %s: prefix length" % _shown(value))
        peer = self._keep_peer()
        if peer is None:
            return
        if removing:
            self._device.allowed.remove(packed, bits, peer.number)
        else:
            self._device.allow(peer, packed, bits, now)

    def _set_protocol_version(self, value, now):
        if value != b"1":
            raise UapiError(abi.EINVAL, "protocol_version: expected 1, got %s" % _shown(value))

    # get, and status (see status_lines.py)

    def _start_get(self, now):
        self._reader = _Reader(self._device.first)
        self._device.readers.append(self._reader)
        if self._wants_status:
            system.heap.reserve()
            from . import status_lines  # without such a request, the module would waste memory

            system.heap.release()
            interface = self._interface
            about_device = status_lines.tell_device(interface, now).encode()
            self._get = self._tell(about_device, lambda peer: (status_lines.tell_peer(peer, interface, now), -1))
        else:
            self._get = self._tell(self._tell_device(), self._tell_peer)

    def _tell(self, about_device, tell_peer):
        """Yield the answer in parts. The caller overwrites each part after it is sent.

        about_device  the lines about the device, bytes
        tell_peer     returns the lines about a peer, and the offset in them of the digits of its preshared key, or -1
        """
        yield about_device
        reader = self._reader
        while reader.peer is not None:
            text = ""
            secrets = []
            for _ in range(_PIECE):
                peer = reader.peer
                if peer is None:
                    break
                reader.peer = peer.after
                lines, at = tell_peer(peer)
                if at >= 0:
                    secrets.append((len(text) + at, peer))
                text += lines
                for more in self._tell_allowed(peer):
                    text += more
                    if len(text) > 8192:
                        yield _with_secrets(text, secrets)
                        text = ""
                        secrets = []
            yield _with_secrets(text, secrets)
        yield b"errno=0\n\n"

    def _tell_device(self):
        device = self._device
        text = "listen_port=%d\n" % self._interface.listen_port
        if self._interface.fwmark:
            text += "fwmark=%d\n" % self._interface.fwmark
        if not device.identity.present:
            return text.encode()
        told = bytearray(_SECRET_LINES[0] + _NO_DIGITS + b"\n" + text.encode())
        _write_secret(told, len(_SECRET_LINES[0]), device.identity.private)
        return told

    def _tell_peer(self, peer):
        text = "public_key=%s\npreshared_key=" % hexlify(peer.public_key).decode()
        at = len(text) if any(peer.secret(noise.PRESHARED, 32)) else -1
        text += _NO_DIGITS.decode() + "\nprotocol_version=1\n"
        if peer.addr is not None:
            text += "endpoint=%s\n" % address.format_endpoint(peer.addr)
        return text + (
            "last_handshake_time_sec=%d\nlast_handshake_time_nsec=%d\ntx_bytes=%d\nrx_bytes=%d\n"
            "persistent_keepalive_interval=%d\n"
            % (peer.handshake_sec, peer.handshake_nsec, peer.tx_bytes, peer.rx_bytes, peer.persistent_keepalive)
        ), at

    def _tell_allowed(self, peer):
        """Yield a line for each allowed IP. The peer can change, or be removed, between two lines."""
        allowed, key, number = self._device.allowed, peer.public_key, peer.number
        for trie in (allowed.trie4, allowed.trie6):
            cursor = trie.first(number)
            while cursor and peer.public_key == key:
                packed, cidr = trie.prefix(cursor)
                yield "allowed_ip=%s/%d\n" % (address.format_ip(packed), cidr)
                cursor = trie.next(number, cursor)


def _with_secrets(text, secrets):
    """Return the text as bytes with the preshared keys of the peers. `secrets` are pairs of offset and peer."""
    if not secrets:
        return text.encode()
    told = bytearray(text.encode())
    for at, peer in secrets:
        _write_secret(told, at, peer.secret(noise.PRESHARED, 32))
    return told


_DEVICE_KEYS = {
    "private_key": Session._set_private_key,
    "listen_port": Session._set_listen_port,
    "fwmark": Session._set_fwmark,
    "replace_peers": Session._set_replace_peers,
}

_PEER_KEYS = {
    "update_only": Session._set_update_only,
    "remove": Session._set_remove,
    "preshared_key": Session._set_preshared_key,
    "endpoint": Session._set_endpoint,
    "persistent_keepalive_interval": Session._set_persistent_keepalive,
    "replace_allowed_ips": Session._set_replace_allowed_ips,
    "allowed_ip": Session._set_allowed_ip,
    "protocol_version": Session._set_protocol_version,
}
