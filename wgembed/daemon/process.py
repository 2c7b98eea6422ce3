"""The base of both daemons: single.py serves one interface, router.py serves all interfaces of a router."""

from ..errors import UserError, cause
from ..packets.arena import Arena, Inbox
from ..protocol.constants import DEFAULT_MTU
from ..protocol.peers import Tables
from ..protocol.timers import expire_timers
from ..runtime import abi, fastpath_library, pause, system
from ..runtime.alarms import Alarms
from ..runtime.loop import Loop
from ..runtime.offloads import Offloads
from ..runtime.rtsocket import RtSocket
from ..runtime.sources import Sources
from ..runtime.tun_device import knows_vnet_header

# The delay before a failed step is repeated, in ms.
RETRY_MS = 5000

# When packets for the tunnel device are joined again after the kernel refused them, in ms; doubled each time, up to a day.
_JOIN_RETRY_MS = 600 * 1000
_MOST_RETRY_MS = 86400 * 1000
_OF_ADDRESSES = (abi.RTM_NEWADDR, abi.RTM_DELADDR)


class Process:
    """One process, one thread, one loop, and the fixed state that all its interfaces share.

    peers    the size of the peer table
    signals  the signals that `on_signal` is called for, by number
    news     a runtime.link.News, made before privileges were dropped

    unconfirmed_at  when the configuration before the one in use returns, a `now` value; 0 if it does not (unconfirmed.py)
    """

    watch = None  # a watch.peer_watch.PeerWatch: only a router has one
    unconfirmed_at = 0

    def __init__(self, peers, signals, news):
        alloc = system.files.alloc
        self.tables = Tables(peers, alloc=alloc)
        self._events = self.tables.events
        self.fastpath_refused = None  # why an existing library is not used, or None
        self.fastpath = self._start_fastpath(alloc)
        if self.fastpath is None:
            self.arena, self.inbox = Arena(DEFAULT_MTU, alloc=alloc), Inbox(alloc=alloc)
        else:
            self.arena, self.inbox = self.fastpath.arena, self.fastpath.inbox
        self.offloads = Offloads()
        self._join_retry = _JOIN_RETRY_MS
        self.loop = Loop(self.deadline)
        pause.use(self.loop.handle_packets)
        self.loop.after_turn.append(self._after_turn)
        self.alarms = Alarms()
        self.interfaces = []
        self._signals = system.process.Signals(signals)
        self.loop.watch(self._signals.fd, self._on_signals)
        self.news = news
        self.rtsocket = RtSocket()
        self.sources = Sources(self.rtsocket)
        news.on_routes = self.on_routes
        self.loop.watch(news.fd, lambda events: news.deliver())
        if news.elsewhere_fd is not None:
            self.loop.watch(news.elsewhere_fd, lambda events: news.deliver_elsewhere())

    def _start_fastpath(self, alloc):
        path = fastpath_library()
        if path is None or not knows_vnet_header():
            return None
        from ..packets import fastpath  # without a library, the module would waste memory

        try:
            chooses_cipher = system.files.getenv("WGEMBED_CHACHA20") != "0"
            return fastpath.Fastpath(path, system.clib.Library, alloc, chooses_cipher)
        except UserError as e:
            self.fastpath_refused = str(e)
            return None

    def tell_of_fastpath(self, log):
        """Log whether the C library is used, if there is one."""
        if self.fastpath_refused:
            log.error("cannot use the C library, running in pure Python: %s" % self.fastpath_refused)
        elif self.fastpath:
            cipher = " and its ChaCha20" if self.fastpath.has_own_cipher else ""
            log.verbose("using the C library %s%s" % (self.fastpath.path, cipher))

    def join_refused(self, log):
        """The kernel refused packets that were joined for a tunnel device, and accepted them one by one."""
        system.heap.reserve()
        from . import offload_log

        system.heap.release(are_few=True)
        offload_log.join_refused(log, self._join_retry)
        fastpath = self.fastpath
        self.alarms.set("join", system.clock.now() + self._join_retry, lambda: fastpath.use_offload(fastpath.offload))
        self._join_retry = min(2 * self._join_retry, _MOST_RETRY_MS)

    def tell_of_handshakes(self, wanted):
        """Log the steps of handshakes in logs of the level verbose, or stop that."""
        events = self._events
        if wanted:
            from .handshake_log import HandshakeLog  # without such a log, the module would waste memory

            events = HandshakeLog(self.tables)
        if self.watch is not None:
            self.watch.events.inner = events
            events = self.watch.events
        self.tables.events = events

    def deadline(self):
        """Return the time of the next turn of the loop in ms, or None if no timer is set."""
        due = self.tables.timers.next()
        for interface in self.interfaces:
            if interface.device.backlog.count and (due is None or interface.handshakes_at < due):
                due = interface.handshakes_at
        alarm = self.alarms.next()
        if due is None or alarm is None:
            return alarm if due is None else due
        return min(due, alarm)

    def _after_turn(self):
        due, alarm = self.tables.timers.next(), self.alarms.next()
        if due is None and alarm is None:
            return
        now = system.clock.now()
        if due is not None and due <= now:
            expire_timers(self.tables, now)
        if alarm is not None and alarm <= now:
            self.alarms.run(now)

    def _open_ports(self):
        for interface in self.interfaces:
            interface.follow_link()

    def _on_signals(self, events):
        for number in self._signals.pending():
            self.on_signal(number)

    def on_routes(self, kind, message, start, end):
        """A link, an address, a route or a rule of the machine changed: see runtime.link.News."""
        if kind in _OF_ADDRESSES:
            return  # if a source address is gone, the kernel refuses the next packet
        # After any number of changes, the source of a peer is checked once, before the next packet to the peer.
        for interface in self.interfaces:
            interface.device.routes_changed()

    def on_signal(self, number):
        """Called when the signal of this number arrives."""

    def retry_ports(self):
        """Try again to open the ports that could not be used, after RETRY_MS."""
        self.alarms.hasten("ports", system.clock.now() + RETRY_MS, self._open_ports)

    def watch_directory(self, path, mask, function):
        """Call function() at each event of `mask` in the directory. Return False if the kernel has no inotify."""
        try:
            watch = system.notify.DirectoryWatch(path, mask)
        except OSError:
            return False

        def on_news(events):
            watch.drain()
            function()

        self.loop.watch(watch.fd, on_news)
        return True

    def fit_arena(self):
        """Divide the arena into slots for the largest MTU of the interfaces."""
        mtu = DEFAULT_MTU if not self.interfaces else max([interface.device.mtu for interface in self.interfaces])
        if mtu > self.arena.slot_size or mtu + 16 <= self.arena.slot_size:
            self.arena.carve(mtu)


def run_to_end(process, capacity, ready):
    """Run the process and close it; return the exit status.

    An error that no part of the process handles is logged and ends the process. The service manager starts it again.
    """
    is_ready = False
    try:
        ready(capacity)
        is_ready = True
        _notify(process.log)
        process.run()
    except (OSError, MemoryError) as e:
        if not is_ready:
            raise  # the start failed, perhaps because the heap is too small: guard prints that
        process.log.error("cannot continue: %s" % (cause(e) if isinstance(e, OSError) else "out of memory"))
        return 1
    finally:
        _take_away(process)
    return 0


def _notify(log):
    """Report the end of the start to systemd, or to another service manager that set NOTIFY_SOCKET."""
    path = system.files.getenv("NOTIFY_SOCKET")
    if path:
        try:
            system.local.notify(path, b"READY=1")
        except OSError as e:
            log.error("cannot report to the service manager at %s: %s" % (path, cause(e)))


def _take_away(process):
    try:
        process.close()
    except OSError as e:
        process.log.error("cannot remove everything that was added: %s" % cause(e))
