"""When to return to the first of several paths to a network, and how often to test it meanwhile.

The paths are endpoints of a peer (endpoint_list.py). The first one is the preferred one. When another one is used, the first
one is tested: after 30 s, or half of the hold time if that is less; after a test without an answer, twice as late each
time, up to 10 minutes; after an answer, when half of the hold time is over. When the first one has answered all tests for
the hold time, it is used again.

The hold time is `base_ms` at first. It doubles each time that the first one is left again within four hold times after the
return, up to 16 times `base_ms`. So a path that comes and goes is used less and less.
"""

_FIRST_TEST_MS = 30_000
_LAST_TEST_MS = 600_000
# No test follows another handshake sooner.
_LEAST_MS = 6_000
_STABLE = 4
_LONGEST_HOLD = 16


class Failback:
    """The state of a peer with several paths.

    base_ms   the hold time at first; 0: the first path is not tested, and used again only if the others fail
    in_use    the number of the path in use, from 0; None until the first one works
    since     when it was first used, a `now` value
    switches  how often another path came into use
    reason    why, the last time: a word, "" before
    """

    def __init__(self, base_ms):
        self.base_ms = self.hold_ms = base_ms
        self.in_use = None
        self.since = self.switches = 0
        self.reason = ""
        self._returned = None
        self._well_since = None
        self._failed = 0

    def arrived(self, number, reason, now):
        """A handshake was completed by this path. Return whether another one was in use before."""
        before = self.in_use
        if number == before:
            return False
        self.in_use, self.since = number, now
        self._well_since, self._failed = None, 0
        if before is None:
            return False
        self.switches += 1
        self.reason = reason
        if number == 0:
            self._returned = now
        elif before == 0:
            is_again = self._returned is not None and now - self._returned < _STABLE * self.hold_ms
            self.hold_ms = min(2 * self.hold_ms, _LONGEST_HOLD * self.base_ms) if is_again else self.base_ms
        return True

    def delay_ms(self):
        """Return the time until the first path must be tested, or None if it must not."""
        if not self.in_use or not self.base_ms:
            return None
        if self._failed:
            return min(_FIRST_TEST_MS << min(self._failed, 5), _LAST_TEST_MS)
        half = max(self.hold_ms // 2, _LEAST_MS)
        return min(half, _FIRST_TEST_MS) if self._well_since is None else half

    def forget_failures(self):
        """Test the first path soon."""
        self._failed = 0

    def tested(self, is_well, now):
        """The first path was tested. Return whether it must be used again."""
        if not is_well:
            self._well_since = None
            self._failed += 1
            return False
        self._failed = 0
        if self._well_since is None:
            self._well_since = now
        return now - self._well_since >= self.hold_ms
