"""The event loop: one poll, its handlers, and what follows every turn. Idle, it sleeps until something is due."""

from . import system


class Loop:
    """Calls a handler for each ready descriptor, then every `after_turn`.

    deadline  a function of no arguments: when to wake up at the latest, in ms of the clock, or None
    """

    def __init__(self, deadline):
        self._deadline = deadline
        self._poller = system.poll.Poller()
        self._handlers = {}
        self.after_turn = []
        self._running = True

    def watch(self, fd, handler, events=system.poll.IN):
        """Call handler(events) when the descriptor is ready."""
        self._handlers[fd] = handler
        self._poller.watch(fd, events)

    def forget(self, fd):
        del self._handlers[fd]
        self._poller.forget(fd)

    def stop(self):
        self._running = False

    def run(self):
        """Turn until stopped."""
        while self._running:
            for fd, events in self._poller.wait(self._timeout()):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
            for function in self.after_turn:
                function()

    def _timeout(self):
        deadline = self._deadline()
        now = system.clock.now()
        if deadline is None:
            return system.clock.LONGEST_SLEEP_MS
        return max(0, deadline - now)
