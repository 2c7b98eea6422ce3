"""Waiting for descriptors."""

import select

IN = select.POLLIN
OUT = select.POLLOUT
ERROR = select.POLLERR | select.POLLHUP | 0x20


class Poller:
    """A set of descriptors with what is awaited of each."""

    def __init__(self):
        self._poll = select.poll()

    def watch(self, fd, events):
        """Await `events`, IN or OUT or both, instead of what was awaited of this descriptor before."""
        self._poll.register(fd, events)

    def forget(self, fd):
        self._poll.unregister(fd)

    def wait(self, timeout):
        """Yield (fd, events) of what is ready within `timeout` ms; None waits forever. ERROR comes unasked."""
        return self._poll.ipoll(-1 if timeout is None else timeout)
