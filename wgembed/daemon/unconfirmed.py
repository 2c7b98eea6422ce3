"""A change of the configuration that waits for its confirmation: `wgembed apply --confirm`.

The change is never on flash: it is a file in /var/run/wgembed/change, which only root can read, and /etc/config/wgembed
keeps the configuration before it. So the next start serves that one, whatever ended the daemon or the machine. The change
is over when its time is, when the daemon starts, and when /etc/config/wgembed has changed: `wgembed confirm` writes the
change there.

    request  the command puts it there: a line with the time in seconds, a public key or "-", and the folder of the
             configuration; then the configuration
    config   the same file, while the daemon serves it
    answer   why the daemon does not serve it, in sentences; empty if it does

The router loads this module when there is a request.
"""

from binascii import unhexlify

from ..config import options, uci
from ..errors import cause
from ..protocol.constants import REKEY_TIMEOUT
from ..runtime import system
from .process import RETRY_MS

_ALARM, _CALL = "change", "change call"


class Unconfirmed:
    """The change, in the file `path`. `base` is the identity of the file in /etc/config at its begin."""

    def __init__(self, router, path, data):
        first = data.partition(b"\n")[0].decode()
        _, seconds, self.key, self.directory = first.split(" ", 3)
        self.seconds = int(seconds)
        self.base = router.identity()
        self.path = path
        self._router = router

    def load(self):
        """Return the Config. UserError or OSError."""
        return options.read(uci.parse(options.PACKAGE.encode(), system.files.read_file(self.path)), self.path)

    def begin(self, path):
        """The change is in use, and in the file `path`."""
        self.path = path
        router = self._router
        router.unconfirmed_at = system.clock.now() + 1000 * self.seconds
        router.alarms.set(_ALARM, router.unconfirmed_at, self._expire)
        router.log.note("a change of the configuration waits for `wgembed confirm`, for %d s" % self.seconds)
        self._since = system.clock.now()
        if self.key != "-":
            self._call_peer()

    def _call_peer(self):
        """Begin a handshake with the peer, which shows whether it can be reached now, until there was one."""
        router, now = self._router, system.clock.now()
        for router_interface in router.router_interfaces:
            device = router_interface.interface.device
            peer = device.find(unhexlify(self.key))
            if peer is None or peer.current is not None and peer.current.birth >= self._since:
                continue
            if not peer.retransmit_at:
                device.initiate(peer, now)
            router.alarms.set(_CALL, now + REKEY_TIMEOUT, self._call_peer)

    def end(self, why):
        """The change is over. The next reload applies the file in /etc/config."""
        router = self._router
        router.log.note("the change of the configuration is over: " + why)
        router.change = router.seen = None
        router.unconfirmed_at = 0
        router.alarms.cancel(_ALARM)
        router.alarms.cancel(_CALL)
        _remove(self.path)

    def _expire(self):
        self.end("it was not confirmed in time, so the configuration before it returns")
        _return(self._router)


def _return(router):
    """Apply the file in /etc/config, and again until nothing keeps it from being applied: a lock, or a port in use."""
    router.reload()
    if router.change is None and (router.problem or router.seen is None):
        router.alarms.set(_ALARM, system.clock.now() + RETRY_MS, lambda: _return(router))


def handle_request(router, folder):
    """Apply the configuration in the request, if there is one, and write the answer. An earlier change is replaced."""
    request, before = folder + "/request", router.change
    try:
        change = Unconfirmed(router, request, system.files.read_file(request))
    except (OSError, ValueError):
        return
    answer = _refusal(router, change)
    if not answer:
        router.change, router.seen = change, None
        router.reload()
        answer = router.problem
        if not answer:
            try:
                system.files.rename(request, folder + "/config")
                change.begin(folder + "/config")
            except OSError as e:
                answer = "cannot rename %s: %s" % (request, cause(e))
        if answer:
            # The reload kept the configuration before it, except if the file could not be renamed.
            router.change, router.seen = before, None
            router.reload()
    if answer:
        _remove(request)
    try:
        system.files.write_new(folder + "/answer.new", answer.encode())
        system.files.rename(folder + "/answer.new", folder + "/answer")
    except OSError as e:
        router.log.error("cannot write to %s: %s" % (folder, cause(e)))


def _refusal(router, change):
    if change.directory != router.directory:
        return "the running service has its configuration in %s, not in %s" % (router.directory, change.directory)
    if router.problem:
        return "there is no configuration to return to: " + router.problem
    return ""


def _remove(path):
    try:
        system.files.remove(path)
    except OSError:
        return
