"""The event loop: one poll, its handlers, and the functions that follow each turn. It sleeps until something is due."""

from . import system

# The time between two pauses, in ms: the longest that a packet waits.
_PAUSE_MS = 4


class Loop:
    """In each turn, calls the handler of each ready descriptor, then all functions in `after_turn`.

    deadline  a function without arguments. It returns the latest time to wake up, in ms of the clock, or None
    """

    def __init__(self, deadline):
        self._deadline = deadline
        self._poller = system.poll.Poller()
        self._handlers = {}
        self._packets = system.poll.Poller()
        self._paused_at = 0
        self._packet_fds = []
        self.after_turn = []
        self._running = True

    def watch(self, fd, handler, events=system.poll.IN, is_packets=False):
        """Call handler(events) when the descriptor is ready: `events` are bits of system.poll.

        is_packets  also in pauses of long work
        """
        self._handlers[fd] = handler
        self._poller.watch(fd, events)
        if is_packets:
            self._packets.watch(fd, events)
            self._packet_fds.append(fd)

    def forget(self, fd):
        """Stop watching the descriptor."""
        del self._handlers[fd]
        self._poller.forget(fd)
        if fd in self._packet_fds:
            self._packet_fds.remove(fd)
            self._packets.forget(fd)

    def handle_packets(self):
        """Call the handlers of packets, for a pause in long work. Does nothing if the last pause was a moment ago."""
        if system.clock.now() < self._paused_at + _PAUSE_MS:
            return
        for fd, events in self._packets.wait(0):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)
        self._paused_at = system.clock.now()

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
        now = self._paused_at = system.clock.now()
        if deadline is None:
            return system.clock.LONGEST_SLEEP_MS
        return max(0, deadline - now)
