"""What a router makes of the events of its peers (peer_events.py): hooks and records of the history."""

from binascii import b2a_base64

from ... import __version__
from ...runtime import system
from ...runtime.address import format_endpoint, format_ip
from .history import History, check
from .peer_events import PeerEvents

# With more peers, the history does not have the first handshake of each after a start.
_FEW_PEERS = 32
_OF_HISTORY = "down", "switched", "key_mismatch"
_FAULTS = "down", "key_mismatch"


class PeerWatch:
    """`hooks` is a hooks.Hooks or None. `configuration` is the path of the file, for its hash."""

    def __init__(self, router, config, hooks, configuration, flash, save):
        self._router = router
        self._hooks = hooks
        self._configuration = configuration
        self._hash = None
        self._is_started = False
        self._history = None
        if config.history:
            name = router.only or "run"
            self._history = History(name, flash, router.run_directory, router.alarms, save, router.log)
        if hooks is not None:
            hooks.watch(router.loop)
        self.events = PeerEvents(router.tables, router.alarms, config.outage_minutes * 60_000, self)
        self._is_without_hooks = False
        self._explained = None

    def close(self):
        """The daemon stops."""
        if self._explained is not None:
            self._explained.close()
        if self._hooks is not None:
            self._hooks.close()
        if self._history is not None and self._is_started:
            self._history.close()

    def started(self):
        """All interfaces exist."""
        self._is_started = True
        self._hash = self._read_hash()
        self._note("start", __version__, self._hash)

    def reloaded(self, config):
        """This configuration is applied."""
        self.events.outage_ms = config.outage_minutes * 60_000
        self._look_for_hooks(config)
        found = self._read_hash()
        if found != self._hash and self._is_started:
            self._hash = found
            self._note("config", found)

    def _look_for_hooks(self, config):
        lacks = bool(config.on_event) and (self._hooks is None or not self._hooks.is_running)
        if lacks and not self._is_without_hooks:
            self._router.log.note("option on_event has no effect before a restart of the service")
        self._is_without_hooks = lacks

    def rejected(self):
        """The configuration has a mistake."""
        self._note("rejected")

    def way_changed(self, way_out, ip):
        """The default routes are others: one for each family, (ifindex, gateway) or None."""
        words = []
        for family, way in zip((4, 6), way_out):  # noqa: B905 (MicroPython's zip has no strict)
            if way is not None:
                words.append("IPv%d: %s%s" % (family, ip.link_name(way[0]), " via " + format_ip(way[1]) if way[1] else ""))
        self._note("wan", ", ".join(words))

    def switched(self, peer, reason):
        """Another endpoint of the peer is in use, or the peer is in place of another one."""
        if peer is not None:
            self.events.switched(peer, reason)

    def on_handshake(self):
        """A handshake was completed. The clock of the machine can have been set meanwhile."""
        if self._history is not None:
            self._history.check_clock()

    def on_event(self, action, peer, reason, since):
        """A peer is up or down, or something else happened to it, for the `reason`; it began at `since`."""
        if action == "roamed" and self._is_own_endpoint(peer):
            return
        now, interface = system.clock.now(), peer.device.host
        key = b2a_base64(peer.public_key).decode().strip()
        name = self._name(interface, peer.public_key)
        endpoint = format_endpoint(peer.addr) if peer.addr is not None else ""
        duration_s = (now - since) // 1000
        if self._hooks is not None:
            values = (
                ("ACTION", action), ("INTERFACE", interface.name), ("PEER", key), ("PEER_NAME", name),
                ("ENDPOINT", endpoint), ("REASON", reason), ("SINCE", str(system.clock.realtime()[0] - duration_s)),
                ("DURATION", str(duration_s)),
            )  # fmt: skip
            self._hooks.send(values, now)
        is_again = since != now
        if action in _OF_HISTORY or action == "up" and (is_again or self._router.tables.used <= _FEW_PEERS):
            self._note(action, interface.name, key, name, reason, endpoint, duration_s)
        if action in _FAULTS and self._history is not None and self._router.explain is not None:
            self._ask_why(interface.name, key, name)

    def _ask_why(self, interface, key, name):
        """Add what `wgembed diagnose` says of the peer."""
        if self._explained is None:
            system.heap.reserve()
            try:
                from .explained import Explained
            except ImportError:  # the package was removed meanwhile
                system.heap.release()
                return
            router = self._router
            self._explained = Explained(router.loop, router.alarms, router.explain, self._history.note_text)
            system.heap.release(are_few=True)
        self._explained.ask(interface, key, name)

    def _note(self, kind, *fields):
        if self._history is not None:
            self._history.check_clock()
            self._history.note(kind, *fields)

    def _is_own_endpoint(self, peer):
        """Whether the peer sends from one of its configured endpoints: then it is a switch."""
        endpoint = peer.device.host.endpoints.get(peer.public_key)
        packed = system.inet.split_address(peer.addr)[0]
        return endpoint is not None and endpoint.failback is not None and packed in endpoint.addresses

    def _name(self, interface, public_key):
        for one in self._router.router_interfaces:
            if one.interface is interface:
                for peer in one.config.peers:
                    if peer.public_key == public_key:
                        return peer.description
        return ""

    def _read_hash(self):
        """Return a few characters that differ if the file differs."""
        try:
            return check(system.files.read_file(self._configuration)).decode()
        except OSError:
            return "-"
