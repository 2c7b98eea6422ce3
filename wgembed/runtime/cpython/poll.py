"""Waiting for descriptors."""

import select

IN = select.POLLIN
OUT = select.POLLOUT
ERROR = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Poller:
    """A set of descriptors, each with its events."""

    def __init__(self):
        self._poll = select.poll()

    def watch(self, fd, events):
        """Wait for `events` of this descriptor: IN, OUT or both. They replace the events from an earlier call."""
        self._poll.register(fd, events)

    def forget(self, fd):
        self._poll.unregister(fd)

    def wait(self, timeout):
        """Wait up to `timeout` ms, or for ever if None. Return a list of (fd, events) of the ready descriptors."""
        return self._poll.poll(timeout)
