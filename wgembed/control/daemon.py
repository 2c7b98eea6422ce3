"""The daemon for one interface: `wgembed [-f] IFNAME`, which stands in for `wireguard-go [-f] IFNAME`.

It ends on SIGINT or SIGTERM, when the tunnel device is lost, and when its control socket is deleted.
"""

from ..protocol.allowedips import MAX_PREFIXES
from ..protocol.arena import Arena, Inbox
from ..protocol.constants import DEFAULT_MTU
from ..protocol.device import handle_timers
from ..protocol.peers import Tables
from ..runtime import system
from ..runtime.link import LinkError, is_valid_name
from ..runtime.loop import Loop
from . import log as log_module
from .interface import Interface
from .uapi import Session

SOCKET_DIRECTORY = "/var/run/wireguard"
MAX_CLIENTS = 16
# What may be on its way to a client before nothing more is read from it.
_READ_SIZE = 4096

PREFIXES_PER_PEER = 16  # of each family, on average


class Refusal(Exception):
    """The daemon cannot start; the text says why, for people."""


def socket_path(name):
    """Return where the interface's control socket is; WGEMBED_SOCKET_DIR names another directory, for tests."""
    return "%s/%s.sock" % (system.files.getenv("WGEMBED_SOCKET_DIR") or SOCKET_DIRECTORY, name)


class ControlServer:
    """The control socket of an interface. A slow client is waited for by nobody."""

    def __init__(self, interface, loop, log):
        self.path = socket_path(interface.name)
        self._interface = interface
        self._loop = loop
        self._log = log
        self._clients = 0
        self._listener = _listen(self.path)
        loop.watch(self._listener.fd, self._on_connect)

    def exists(self):
        return system.files.is_socket(self.path)

    def close(self):
        """Stop listening and remove the socket, if it is still there."""
        self._loop.forget(self._listener.fd)
        self._listener.close()
        try:
            system.files.remove(self.path)
        except OSError:
            return

    def _on_connect(self, events):
        stream = self._listener.accept()
        if stream is None:
            return
        if self._clients >= MAX_CLIENTS:
            self._log.error("control socket: more than %d clients" % MAX_CLIENTS)
            stream.close()
            return
        self._clients += 1
        _Client(stream, Session(self._interface, self._log), self._loop, self._gone)

    def _gone(self):
        self._clients -= 1


class _Client:
    """A connection: bytes in, to its session; what the session answers, out as the other end takes it."""

    def __init__(self, stream, session, loop, gone):
        self._stream = stream
        self._session = session
        self._loop = loop
        self._gone = gone
        self._out = b""
        self._ended = False
        loop.watch(stream.fd, self._on_event)

    def _on_event(self, events):
        if not self._out and not self._session.is_answering:
            data = self._stream.receive(_READ_SIZE)
            if data is None and not events & system.poll.ERROR:
                return
            if not data:
                self._close()
                return
            self._out = self._session.feed(data, system.clock.now())
        self._push()

    def _push(self):
        """Send one piece, and say what is awaited next. One piece a turn: packets come first."""
        session = self._session
        if not self._out and session.is_answering:
            self._out = session.piece()
            if not session.is_answering:
                self._out += session.feed(b"", system.clock.now())
        if self._out:
            sent = self._stream.send(self._out)
            if sent < 0:
                self._close()
                return
            self._out = self._out[sent:]
        if self._out or session.is_answering:
            self._loop.watch(self._stream.fd, self._on_event, system.poll.OUT)
        elif session.closed:
            self._close()
        else:
            self._loop.watch(self._stream.fd, self._on_event)

    def _close(self):
        self._session.close()
        self._loop.forget(self._stream.fd)
        self._stream.close()
        self._gone()


def _listen(path):
    """Return a listener at the path, in place of a socket that nobody answers any more."""
    directory = path.rpartition("/")[0]
    try:
        system.files.make_directory(directory, 0o755)
        if system.files.is_socket(path):
            if system.local.is_answered(path):
                raise Refusal("another program already serves %s" % path)
            system.files.remove(path)
        return system.local.Listener(path)
    except OSError as e:
        raise Refusal("cannot make the control socket %s: %s" % (path, e)) from None


class Daemon:
    """Everything of a process that serves one interface."""

    def __init__(self, name, level):
        self._log = log_module.Log(name, level)
        if not is_valid_name(name):
            raise Refusal("'%s' is no name for an interface" % name)
        if system.files.is_socket(socket_path(name)) and system.local.is_answered(socket_path(name)):
            raise Refusal("the interface %s is already served by another program" % name)
        alloc = system.files.alloc
        peers = _max_peers()
        prefixes = min(PREFIXES_PER_PEER * peers, MAX_PREFIXES)
        self._tables = Tables(peers, alloc=alloc)
        self._loop = Loop(self._deadline)
        self._loop.after_turn.append(self._after_turn)
        self._signals = system.process.Signals(
            (system.process.SIGINT, system.process.SIGTERM, system.process.SIGIO)
        )
        self._loop.watch(self._signals.fd, self._on_signal)
        self._interface = None
        self._server = None
        try:
            self._interface = Interface(
                name, self._tables, prefixes, Arena(DEFAULT_MTU, alloc=alloc), Inbox(alloc=alloc), self._loop, self._log
            )
            self._server = ControlServer(self._interface, self._loop, self._log)
            if not system.process.watch_directory(self._server.path.rpartition("/")[0]):
                self._log.error("the kernel cannot tell when the control socket is deleted")
            self._interface.follow_link()
        except (OSError, LinkError) as e:
            self.close()
            raise Refusal(str(e)) from None
        except Refusal:
            self.close()
            raise

    def run(self):
        """Serve until it is time to end."""
        self._log.verbose("ready")
        self._loop.run()

    def close(self):
        if self._server is not None:
            self._server.close()
        if self._interface is not None:
            self._interface.close()
        self._log.verbose("ended")

    def _deadline(self):
        if self._interface is not None and self._interface.device.backlog.count:
            return 0
        return self._tables.timers.next()

    def _after_turn(self):
        due = self._tables.timers.next()
        if due is not None:
            now = system.clock.now()
            if due <= now:
                handle_timers(self._tables, now)

    def _on_signal(self, events):
        for number in self._signals.take():
            if number != system.process.SIGIO:
                self._log.verbose("signal %d" % number)
                self._loop.stop()
            elif not self._server.exists():
                self._log.verbose("the control socket was deleted")
                self._loop.stop()


def _max_peers():
    text = system.files.getenv("WGEMBED_MAX_PEERS")
    if not text:
        return system.files.USUAL_PEERS
    if not text.isdigit() or not 0 < int(text) < 16384:
        raise Refusal("WGEMBED_MAX_PEERS is a number from 1 to 16383, not '%s'" % text)
    return int(text)


def serve(name, ready):
    """Serve the interface until it is time to end; returns the exit status.

    ready  is called once the control socket is there
    """
    level = log_module.level_from(system.files.getenv("LOG_LEVEL"))
    try:
        daemon = Daemon(name, level)
    except Refusal as e:
        system.process.write_line("wgembed: %s" % e)
        return 1
    try:
        ready()
        daemon.run()
    finally:
        daemon.close()
    return 0
