"""The control socket of an interface, and its clients. A slow client does not delay the daemon."""

from .. import crypto
from ..errors import UserError, cause
from ..runtime import abi, folders, system
from .session import READ_SIZE, Session

MAX_CLIENTS = 16
# The receive buffer for all clients. It is overwritten as soon as the session has the data.
_received = memoryview(system.files.reserve(READ_SIZE))
# If there is no free descriptor for a client, the listener pauses for this time, in ms.
_RESPITE_MS = 1000


def is_served(name):
    """Whether a program answers at the control socket of the interface. UserError if its folder cannot be read."""
    path = folders.socket_of(name)
    try:
        return system.files.is_socket(path) and system.local.is_answered(path)
    except OSError as e:
        raise UserError("cannot look for the control socket %s: %s" % (path, cause(e))) from None


class ControlServer:
    """The control socket of a running interface."""

    def __init__(self, interface, loop, alarms, log):
        self.path = folders.socket_of(interface.name)
        self._interface = interface
        self._loop = loop
        self._alarms = alarms
        self._log = log
        self._clients = []
        self._listener = _listen(self.path)
        self._listen()

    def _listen(self):
        self._loop.watch(self._listener.fd, self._on_connect)

    def rename(self, name):
        """The interface has another name: the control socket is found under that, unless another program's is there."""
        path = folders.socket_of(name)
        try:
            if system.files.is_socket(path) and system.local.is_answered(path):
                raise OSError(abi.EADDRINUSE)
            system.files.rename(self.path, path)
        except OSError as e:
            self._log.error("the control socket stays %s: %s" % (self.path, cause(e)))
            return
        self.path = path

    def exists(self):
        return system.files.is_socket(self.path)

    def close(self):
        """Stop listening, and remove the socket if it still exists."""
        self._alarms.cancel(self.path)
        self._loop.forget(self._listener.fd)
        self._listener.close()
        try:
            system.files.remove(self.path)
        except OSError:
            return

    def _on_connect(self, events):
        try:
            stream = self._listener.accept()
        except OSError as e:
            # The client still waits. Without a pause, the loop would turn for ever.
            self._log.error("control socket: cannot accept a client: %s" % cause(e))
            self._loop.watch(self._listener.fd, self._on_connect, 0)
            self._alarms.set(self.path, system.clock.now() + _RESPITE_MS, self._listen)
            return
        if stream is None:
            return
        if len(self._clients) >= MAX_CLIENTS and not self._close_idle():
            self._log.error("control socket: refused a client, because %d are connected" % MAX_CLIENTS)
            stream.close()
            return
        self._clients.append(_Client(stream, Session(self._interface, self._log), self._loop, self._clients.remove))

    def _close_idle(self):
        """Close the client that has been idle for longest; return whether there was one. Monitors forget connections."""
        idle = [client for client in self._clients if client.is_idle]
        if not idle:
            return False
        min(idle, key=lambda client: client.heard_at).close()
        return True


class _Client:
    """A connection. It gives the received bytes to its session, and sends the answers as fast as the client takes them."""

    def __init__(self, stream, session, loop, gone):
        self._stream = stream
        self._session = session
        self._loop = loop
        self._gone = gone
        self._part = self._out = b""  # a part of an answer, and the rest of it that is not yet sent
        self.heard_at = system.clock.now()
        loop.watch(stream.fd, self._on_event)

    @property
    def is_idle(self):
        """Whether the client has no request that is not answered."""
        return not self._out and self._session.is_idle

    def _on_event(self, events):
        self.heard_at = system.clock.now()
        if not self._out and not self._session.is_answering:
            size = self._stream.receive_into(_received)
            if size is None and not events & system.poll.ERROR:
                return
            if not size:
                self._end(b"" if size is None else self._session.finish(system.clock.now()))
                return
            self._put(self._session.feed(_received[:size], system.clock.now()))
            crypto.memzero(_received[:size])
        self._push()

    def _end(self, answer):
        """The client has ended its input: send the answer to its last request, and close."""
        if not answer:
            self.close()
            return
        self._session.closed = True
        self._put(answer)
        self._push()

    def _put(self, part):
        self._part = part
        self._out = memoryview(part)

    def _wipe(self):
        """Overwrite the part, because it can contain keys. It was sent, or will not be sent."""
        if isinstance(self._part, bytearray):
            crypto.memzero(self._part)
        self._part = self._out = b""

    def _push(self):
        """Send one piece, and wait for the next event. One piece in each turn, because packets come first."""
        session = self._session
        if not self._out and session.is_answering:
            self._put(session.piece())
            if not session.is_answering:
                self._put(session.feed(b"", system.clock.now()))
        if self._out:
            sent = self._stream.send(self._out)
            if sent < 0:
                self.close()
                return
            self._out = self._out[sent:]
            if not self._out:
                self._wipe()
        if self._out or session.is_answering:
            self._loop.watch(self._stream.fd, self._on_event, system.poll.OUT)
        elif session.closed:
            self.close()
        else:
            self._loop.watch(self._stream.fd, self._on_event)

    def close(self):
        self._wipe()
        self._session.close()
        self._loop.forget(self._stream.fd)
        self._stream.close()
        self._gone(self)


def _listen(path):
    """Return a listener at the path. It replaces a socket whose program is gone. UserError if that is not possible."""
    directory = path.rpartition("/")[0]
    try:
        system.files.make_directory(directory, 0o755)
        if system.files.is_socket(path):
            if system.local.is_answered(path):
                raise UserError("another program already serves %s" % path)
            system.files.remove(path)
        return system.local.Listener(path)
    except OSError as e:
        raise UserError("cannot make the control socket %s: %s" % (path, cause(e))) from None
