"""What is to be done later, beside the timers of the protocol: a handful of functions by name, each with its time."""


class Alarms:
    """Functions of no arguments that are due at times of the clock, in ms."""

    def __init__(self):
        self._due = {}

    def set(self, name, at, function):
        """Call function() at `at`, in place of what was set under this name before."""
        self._due[name] = (at, function)

    def hasten(self, name, at, function):
        """As `set`, but what is due earlier under this name stays."""
        if name not in self._due or at < self._due[name][0]:
            self._due[name] = (at, function)

    def cancel(self, name):
        self._due.pop(name, None)

    def next(self):
        """Return the earliest time at which something is due, or None."""
        return min([at for at, _ in self._due.values()]) if self._due else None

    def run(self, now):
        """Do what is due by now. It may set alarms anew; those wait for the next call."""
        for name in [name for name, (at, _) in self._due.items() if at <= now]:
            if name in self._due and self._due[name][0] <= now:
                self._due.pop(name)[1]()
