"""What `wgembed diagnose` says of a peer that is down, for the history: a child process finds it out."""

from ...runtime import pause, system
from ...runtime.child import Child

# Peers that wait for their turn. On a hub that loses its line, the first ones say why.
_MOST_WAITING = 4
# It sends pings, and looks up names.
_WITHIN_MS = 30_000


class Explained:
    """Asks for one peer after the other. Loaded at the first outage, because without one it would waste memory.

    explain  explain(interface, key) returns sentences as bytes, in the child process
    add      add(interface, key, name, sentences) is called with them
    """

    def __init__(self, loop, alarms, explain, add):
        self._loop, self._alarms = loop, alarms
        self._explain = explain
        self._add = add
        self._waiting = []
        self._child = None

    def ask(self, interface, key, name):
        """Ask about the peer. The child begins in a later turn of the loop, when the stack is not deep."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((interface, key, name))
            if self._child is None:
                self._alarms.set("explain", system.clock.now(), self._begin)

    def close(self):
        self._waiting.clear()
        self._end()

    def _begin(self):
        interface, key, _ = self._waiting[0]

        def sentences():
            pause.use(None)  # the descriptors of packets are closed
            return self._explain(interface, key)

        try:
            self._child = Child(*system.process.spawn(sentences))
        except OSError:
            self._waiting.clear()
            return
        self._loop.watch(self._child.fd, self._on_news)
        self._alarms.set("explain", system.clock.now() + _WITHIN_MS, self._end)

    def _on_news(self, events):
        if self._child.advance():
            self._end()

    def _end(self):
        self._alarms.cancel("explain")
        if self._child is None:
            return
        child, self._child = self._child, None
        self._loop.forget(child.fd)
        told = child.end().decode()
        if not self._waiting:
            return
        asked = self._waiting.pop(0)
        if told:
            self._add(*asked, told)
        if self._waiting:
            self._alarms.set("explain", system.clock.now(), self._begin)
