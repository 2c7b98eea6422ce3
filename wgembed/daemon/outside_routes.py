"""The routes of the machine that matter to tunnels: default routes, and routes to addresses of endpoints.

A machine can have a hundred thousand other routes, and they can change all the time. They are passed over, one by one, when
the kernel reports them. The main table is read only if a route that matters has changed, or if there is a new endpoint.
"""

from struct import unpack_from

from ..runtime import abi, rtnetlink
from ..runtime.address import covers, masked
from ..runtime.rtnetlink_abi import RT_TABLE_LOCAL, RT_TABLE_MAIN

_SIZES = {family: size for size, family in abi.FAMILIES.items()}


class OutsideRoutes:
    """The routes in the main table that are default routes or lead to an address that is watched.

    ip  a RtNetlink
    """

    def __init__(self, ip):
        self._ip = ip
        self._watched = {4: [], 16: []}  # sorted
        self._routes = {}
        self._all = {}  # also those that are dead
        self._elsewhere = {}

    def watch(self, addresses):
        """Watch these packed addresses, in place of those from the last call."""
        for size, before in self._watched.items():
            wanted = sorted({packed for packed in addresses if len(packed) == size})
            if wanted != before:
                self._watched[size] = wanted
                if set(wanted) - set(before):
                    self._routes.pop(size, None)
                    self._elsewhere.pop(size, None)

    def is_watched(self, packed):
        """Whether the last call of `watch` had this address."""
        return self._has_watched(packed, 8 * len(packed))

    def family(self, size):
        """Return the routes for addresses of `size` bytes. OSError if the kernel does not answer."""
        if size not in self._routes:
            self._all[size] = self._ip.routes(abi.FAMILIES[size], self._matters, has_dead=True)
            self._routes[size] = [route for route in self._all[size] if not route.is_dead]
        return self._routes[size]

    def all(self, size):
        """Return the routes as `family`, and those on links without a carrier. OSError if the kernel does not answer."""
        self.family(size)
        return self._all[size]

    def elsewhere(self, size):
        """Return the routes of other tables, as `family` those of the main one; none if the kernel does not answer."""
        if size not in self._elsewhere:
            try:
                found = self._ip.routes(abi.FAMILIES[size], self._matters, None)
            except OSError:
                return []
            self._elsewhere[size] = [route for route in found if route.table not in (RT_TABLE_MAIN, RT_TABLE_LOCAL)]
        return self._elsewhere[size]

    def forget(self):
        """Read the routes again at the next use, because they can have changed without a message."""
        self._routes.clear()
        self._elsewhere.clear()

    def links(self):
        """Return the ifindex of each link that the routes use, or would use if it were up."""
        return {route.index for routes in self._all.values() for route in routes}

    @property
    def has_nexthops(self):
        """Whether one of the routes uses a nexthop object, which can change without a message about the route."""
        return any(route.nexthop for routes in self._all.values() for route in routes)

    def handle(self, message, start, end):
        """Handle a message about a route. Return its Routes if the route matters, otherwise nothing.

        Default routes of other tables matter: rules can lead datagrams to endpoints there.
        """
        body = message[start:end]
        if len(body) < abi.RTMSG_SIZE or body[0] not in _SIZES or unpack_from("I", body, 8)[0] & abi.RTM_F_CLONED:
            return ()
        size = _SIZES[body[0]]
        is_other = body[4] != RT_TABLE_MAIN and body[1] or body[3]  # not the main table, and no default route; or with a TOS
        if is_other or body[1] > 8 * size or not self._matters(rtnetlink.destination(body, size), body[1]):
            return ()
        (self._routes if body[4] == RT_TABLE_MAIN else self._elsewhere).pop(size, None)
        return rtnetlink.parse_routes(bytes(body))

    def _matters(self, destination, length):
        """Whether the prefix is a default route or has a watched address."""
        return not length or self._has_watched(destination, length)

    def _has_watched(self, destination, length):
        """Whether the prefix has a watched address."""
        watched = self._watched.get(len(destination), ())
        first = masked(destination, length)
        low, high = 0, len(watched)
        while low < high:
            middle = (low + high) // 2
            if watched[middle] < first:
                low = middle + 1
            else:
                high = middle
        return low < len(watched) and covers(destination, length, watched[low])
