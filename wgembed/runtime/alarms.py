"""Functions that are called at a later time: a few of them, each with a name. The timers of the protocol are separate."""


class Alarms:
    """Functions without arguments, each with the time when it is due, in ms of the clock."""

    def __init__(self):
        self._due = {}

    def set(self, name, at, function):
        """Call function() at the time `at`. This replaces the function and the time that this name had."""
        self._due[name] = (at, function)

    def hasten(self, name, at, function):
        """Do the same as `set`, unless the function of this name is due earlier."""
        if name not in self._due or at < self._due[name][0]:
            self._due[name] = (at, function)

    def cancel(self, name):
        self._due.pop(name, None)

    def next(self):
        """Return the earliest time at which a function is due, or None."""
        return min([at for at, _ in self._due.values()]) if self._due else None

    def run(self, now):
        """Call the functions that are due at `now`. They can set new alarms, which wait for the next call."""
        for name in [name for name, (at, _) in self._due.items() if at <= now]:
            if name in self._due and self._due[name][0] <= now:
                self._due.pop(name)[1]()
