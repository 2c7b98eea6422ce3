"""The event loop: one poll, its handlers, and the functions that follow each turn. It sleeps until something is due."""

from . import system


class Loop:
    """In each turn, calls the handler of each ready descriptor, then all functions in `after_turn`.

    deadline  a function without arguments. It returns the latest time to wake up, in ms of the clock, or None
    """

    def __init__(self, deadline):
        self._deadline = deadline
        self._poller = system.poll.Poller()
        self._handlers = {}
        self.after_turn = []
        self._running = True

    def watch(self, fd, handler, events=system.poll.IN):
        """Call handler(events) when the descriptor is ready: `events` are bits of system.poll."""
        self._handlers[fd] = handler
        self._poller.watch(fd, events)

    def forget(self, fd):
        del self._handlers[fd]
        self._poller.forget(fd)

    def stop(self):
        self._running = False

    def run(self):
        """Run until `stop` is called."""
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
