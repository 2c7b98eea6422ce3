"""Host names of endpoints. They are looked up in child processes, and again when a peer does not answer.

A name has at most one lookup at a time. At most _MOST names are looked up at once, the others wait; names that failed go to
the end of the queue. A lookup that takes too long is ended. IPv6 and IPv4 addresses of a name alternate, in the resolver's
order, because the resolver knows which family has a route.
"""

from ..errors import cause
from ..runtime import system
from ..runtime.resolver import Lookup

# Lookups at once. Each is a separate process, which shares the memory of the daemon.
_MOST = 6
# In ms. Two attempts of the C library at a silent server take 10 s.
_LOOKUP_TIMEOUT_MS = 12_000
# The delay before a failed lookup is repeated, in ms. It doubles each time.
_FIRST_DELAY_MS = 1_000
_LAST_DELAY_MS = 30_000
# A name is not looked up again earlier than this after an answer, in ms.
_FRESH_MS = 4_000


class _Name:
    """A name with at least one user. `found` are its packed addresses, in the order to try them."""

    def __init__(self, text):
        self.text = text
        self.users = []
        self.found = []
        self.lookup = None
        self.asked_at = None
        self.delay_ms = _FIRST_DELAY_MS


class Names:
    """All names that have users. `user.on_addresses(found)` is called with each answer that has addresses."""

    def __init__(self, loop, alarms, log):
        self._loop = loop
        self._alarms = alarms
        self._log = log
        self._names = {}
        self._queue = []
        self._running = 0

    def want(self, text, user):
        """Add the user of the name, and look the name up. If its addresses are known, call the user at once."""
        name = self._names.get(text)
        if name is None:
            name = self._names[text] = _Name(text)
        name.users.append(user)
        if name.found:
            user.on_addresses(name.found)
        else:
            self._ask(name)

    def forget(self, text, user):
        """Remove the user of the name."""
        name = self._names[text]
        name.users.remove(user)
        if name.users:
            return
        del self._names[text]
        self._alarms.cancel("name " + text)
        if name in self._queue:
            self._queue.remove(name)
        if name.lookup is not None:
            self._end(name)

    def again(self, text):
        """Look the name up again, because a peer does not answer. Not if that was done less than _FRESH_MS ago."""
        name = self._names[text]
        if name.asked_at is None or system.clock.now() - name.asked_at >= _FRESH_MS:
            self._ask(name)

    def all_again(self):
        """Look all names up again, because the machine is in another network."""
        for name in self._names.values():
            name.delay_ms = _FIRST_DELAY_MS
            self._ask(name)

    def close(self):
        for name in list(self._names.values()):
            for user in list(name.users):
                self.forget(name.text, user)

    def _ask(self, name):
        # During a lookup, the alarm of the name is the timeout of the lookup.
        if name.lookup is None and name not in self._queue:
            self._alarms.cancel("name " + name.text)
            self._queue.append(name)
            self._begin()

    def _begin(self):
        while self._queue and self._running < _MOST:
            name = self._queue.pop(0)
            now = system.clock.now()
            name.asked_at = now
            try:
                name.lookup = Lookup(name.text)
            except OSError as e:
                self._log.error("cannot look up endpoint_host %s: %s" % (name.text, cause(e)))
                self._retry(name)
                continue
            self._running += 1
            self._watch(name, now)

    def _watch(self, name, now):
        self._loop.watch(name.lookup.fd, lambda events: self._on_news(name))
        self._alarms.set("name " + name.text, now + _LOOKUP_TIMEOUT_MS, lambda: self._on_end(name))

    def _on_news(self, name):
        if name.lookup is not None and name.lookup.advance():
            self._on_end(name)

    def _end(self, name):
        """End the lookup, finished or not; return the addresses found."""
        self._loop.forget(name.lookup.fd)
        found = name.lookup.finish()
        name.lookup = None
        self._running -= 1
        return found

    def _on_end(self, name):
        self._alarms.cancel("name " + name.text)
        found = in_turn(self._end(name))
        name.asked_at = system.clock.now()
        if found:
            name.delay_ms = _FIRST_DELAY_MS
            name.found = found
            for user in list(name.users):
                user.on_addresses(found)
        elif not name.found:
            if name.delay_ms == _FIRST_DELAY_MS:
                self._log.note("cannot resolve endpoint_host %s yet, trying again" % name.text)
            self._retry(name)
        self._begin()

    def _retry(self, name):
        self._alarms.set("name " + name.text, system.clock.now() + name.delay_ms, lambda: self._ask(name))
        name.delay_ms = min(2 * name.delay_ms, _LAST_DELAY_MS)


def in_turn(found):
    """Return the packed addresses with the families alternating, that of the first one first."""
    if not found:
        return []
    first = [packed for packed in found if len(packed) == len(found[0])]
    second = [packed for packed in found if len(packed) != len(found[0])]
    turns = []
    while first or second:
        turns += first[:1] + second[:1]
        first, second = first[1:], second[1:]
    return turns


class Endpoint:
    """The configured endpoint of a peer: a name, or an address.

    public_key  of the peer. The peer is known here by its key only, because it can be removed and added again.
    owner       owner.on_endpoint(self) is called when `address` (packed) or `scope` becomes known or changes
    is_name     whether it is a name, which is looked up
    found       all packed addresses that are known, in the order to try them
    link        the name of the link after %, "" if there is none. `scope` is its ifindex, None while it does not exist
    last_scope  the ifindex of the link in the last call of on_endpoint, None before the first
    """

    def __init__(self, public_key, host, port, owner, names):
        self.public_key = public_key
        self.host = host
        self.port = port
        self.address = None
        self.link = ""
        self.scope = 0
        self.last_scope = None
        self._owner = owner
        self._names = names
        self.found = []
        self.is_name = False

    failback = None  # of a peer with several endpoints: see endpoint_list.py

    @property
    def text(self):
        """HOST:PORT as in the configuration."""
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)

    @property
    def addresses(self):
        """The packed addresses that packets go to."""
        return [] if self.address is None else [self.address]

    def is_configured(self, config):
        """Whether the PeerConfig has the same endpoint."""
        return (config.host, config.port) == (self.host, self.port) and not config.hosts

    def on_source(self, peer):
        """A handshake with the peer was completed."""

    def network_changed(self):
        """The machine is in another network. The router looks all names up again."""

    def start(self):
        literal, _, scope = self.host.partition("%")
        try:
            self.found = [system.inet.parse_ip(literal)]
        except ValueError:
            self.is_name = True
            self._names.want(self.host, self)
            return
        if scope.isdigit():
            self.scope = int(scope)
        elif scope:
            self.link = scope
            self.address = self.found[0]
            self.follow_link(True)
            return
        self._use(self.found[0])

    def follow_link(self, is_new=False):
        """Look for the link of the endpoint again, which can be made, removed, or made anew with another ifindex."""
        scope = system.inet.ifindex(self.link) if self.link else self.scope
        if scope == self.scope and not is_new:
            return
        self.scope = scope
        if scope is None:
            self._owner.on_no_link(self)
        else:
            self._owner.on_endpoint(self)
            self.last_scope = scope

    def close(self):
        if self.is_name:
            self._names.forget(self.host, self)
            self.is_name = False

    def unanswered(self, attempts):
        """Look the name up again, and use its next address after a failed attempt. Without a name, do nothing."""
        if not self.is_name:
            return
        if attempts and self.found:
            place = self.found.index(self.address) if self.address in self.found else -1
            self.address = self.found[(place + 1) % len(self.found)]
            self._owner.on_endpoint(self)
        self._names.again(self.host)

    def on_addresses(self, found):
        self.found = found
        if self.address not in found:
            self._use(found[0])

    def _use(self, packed):
        if packed != self.address:
            self.address = packed
            self._owner.on_endpoint(self)
