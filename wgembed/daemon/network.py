"""Sets up the network of an interface as planned (network_plan.py), and removes exactly the objects that it added.

The kernel removes the objects of the tunnel device together with the device. The others, host routes to endpoints and
policy rules, are recorded in /var/run/wgembed before they are added, so that the next start after a crash can remove them.
Those that `kill_switch` needs stay when the daemon ends, and so does their record: the next start continues with them.
"""

from ..errors import cause
from ..runtime import abi, netconf, rtnetlink, system
from ..runtime.address import parse_ip
from ..runtime.pause import through
from . import network_plan

_RECORD = ".added"


class Network:
    """The objects that were added for one interface.

    netconf       carries out the requests (netconf.NetConf)
    record        the file for the objects that outlive the link
    log           a runtime.log.Log
    follow_again  follow_again(raise_link) plans again and calls `follow`. If `follow` was called while the kernel had not
                  answered, follow_again is called after the answers. Not needed if `follow` is called only once.
    """

    def __init__(self, netconf, record, log, follow_again=None):
        self._netconf = netconf
        self._record = record
        self._log = log
        self._follow_again = follow_again
        self._keep([])
        self._lost = set()  # objects that the kernel reported as removed
        self._is_doubtful = self._is_doubtful_outside = False  # whether there can be others
        self._refused = {}
        self._holders = {}  # the ifindex of the link that already has a route, for routes that could not be added
        self._mtu = 0
        self._must_raise = False  # the kernel refused to set the link up
        self.is_waiting = False  # for answers: until then it is not known which objects are ours
        self._next = None  # raise_link of the `follow` that waits; None if none waits
        self._is_over = False  # `end` was called: errors are expected, because the link is removed

    @property
    def outside(self):
        """The added objects that outlive the link."""
        return [obj for obj in through(self._added) if self._outlives(obj)]

    @property
    def is_refused(self):
        """Whether the kernel refused something."""
        return bool(self._refused)

    def is_held(self, destination, length):
        """Whether a route to this prefix could not be added because there is another one."""
        return any(obj[2] == length and parse_ip(obj[1]) == destination for obj in self._holders)

    @property
    def is_anything_held(self):
        return bool(self._holders)

    def _outlives(self, obj):
        return obj[0] in ("rule", "setting") or obj[0] == "route" and obj[3] != self.index

    def begin(self, index):
        """Set the ifindex of the link."""
        self.index = index

    def adopt(self):
        """Continue with the objects that `kill_switch` left when the last daemon ended."""
        self._keep(_lasting(_recorded(self._record)))
        if self._added:
            self.doubt(only_outside=True)

    def lost(self, obj):
        """The kernel removed the object. Return whether it is one of those that were added."""
        if obj not in self._known:
            return False
        self._lost.add(obj)
        return True

    def _keep(self, objects):
        self._added = objects
        self._known = set(through(objects))

    def doubt(self, only_outside=False):
        """It is not known which of the objects still exist; `only_outside`: of those that do not belong to our link."""
        self._is_doubtful = self._is_doubtful or not only_outside
        self._is_doubtful_outside = True

    def went_down(self):
        """The link went down: the kernel removes its routes, and its IPv6 addresses."""
        self._keep(self.outside)
        self._mtu = 0

    def follow(self, wanted, raise_link, paths=None, is_up=True):
        """Set up the network as planned; `raise_link`: also set the link up.

        is_up  whether the link is up: a link that stays down cannot have routes
        paths  the Paths that show which of the objects outside our link still exist; None if that is not known
        """
        if self.is_waiting:
            # When the answers arrive, the plan of this caller can be out of date.
            self._next = raise_link or bool(self._next)
            return
        raise_link = raise_link or self._must_raise
        objects = wanted.objects
        if not is_up and not raise_link:
            objects = [obj for obj in through(objects) if obj[0] != "route" or obj[3] != self.index]
        kept = set(through(objects))
        for obj in [obj for obj in self._holders if obj not in kept]:
            del self._holders[obj]
        gone = [obj for obj in through(self._added) if obj not in kept]
        new = [obj for obj in through(objects) if obj not in self._known or self._is_missing(obj, paths)]
        behind = [obj for obj in through(objects) if obj in self._known and _is_behind(obj, paths)]
        # There must be no moment without a route to a prefix that stays.
        prefixes = {obj[1:3] for obj in through(new) if obj[0] == "route"}
        replaced = [obj for obj in through(gone) if obj[0] == "route" and obj[1:3] in prefixes]
        swaps = self._swaps(new, replaced, paths)
        swapped, later = set(swaps.values()), set(replaced + _lasting(self._added))
        self._lost.clear()
        self._is_doubtful = self._is_doubtful_outside = False
        requests = [("del", obj) for obj in through(reversed(gone)) if obj not in later]
        requests += [("del", obj) for obj in behind]
        new += [obj for obj in behind if obj not in new]
        requests += [("add", obj) for obj in new if obj[0] == "address"]
        if raise_link or wanted.mtu != self._mtu:
            requests.append(("set", ("link", self.index, 1 if raise_link else 0, wanted.mtu)))
        for obj in through(new):
            if obj[0] != "address":
                if obj in swaps and not _can_replace(obj, swaps[obj]):
                    requests.append(("del", swaps.pop(obj)))
                requests.append(("set" if obj in swaps else "add", obj))
        requests += [("del", obj) for obj in through(gone) if obj in later and obj not in swapped]
        if not requests:
            return
        self._mtu = wanted.mtu
        again = set(through(new))
        first_time = {obj for obj in through(again) if obj not in self._known}
        self._keep([obj for obj in through(self._added) if obj in kept and obj not in again] + new)
        if any(self._outlives(obj) for _, obj in through(requests)):
            self._write_record()
        self.is_waiting = True
        self._netconf.submit(requests, lambda answers: self._handle_answers(requests, answers, first_time, swaps))

    def _swaps(self, new, replaced, paths):
        """Return a dict: from a new route to ours that has its place, because it differs in the next hop alone."""
        there = [obj for obj in through(replaced) if not self._is_missing(obj, paths)]
        held = {network_plan.key_of(netconf.as_route(obj)): obj for obj in through(there)}
        if not held:
            return {}
        keys = [(obj, network_plan.key_of(netconf.as_route(obj))) for obj in through(new) if obj[0] == "route"]
        return {obj: held[key] for obj, key in through(keys) if key in held}

    def _is_missing(self, obj, paths):
        """Whether an object that was added must be added again. If it belongs to our link, that is harmless in any case."""
        if self._outlives(obj):
            is_suspect = self._is_doubtful_outside or obj in self._lost or obj[0] == "rule"
            if _is_of_kill_switch(obj):
                return is_suspect  # to add it again is harmless
            return is_suspect and paths is not None and not paths.has(obj)
        if obj[-1] == "first" and paths is not None and not paths.has(obj):
            return True  # "ip route replace" of another program puts its route in the place of ours, without a message
        return self._is_doubtful or obj in self._lost

    def _handle_answers(self, requests, answers, first_time, swaps):
        """Handle the answers. Objects that existed before are not ours to remove, unless they belong to our link.

        first_time  the objects of which it was not known that they exist
        swaps       see `_swaps`: a route whose place was refused to another one is still there
        """
        foreign, stay = set(), []
        self._find_holders(requests, answers, first_time)
        for (verb, obj), errno in through(zip(requests, answers)):  # noqa: B905 (MicroPython's zip has no strict)
            if verb == "del" or not errno:
                self._refused.pop(obj, None)
                self._holders.pop(obj, None)
                if obj[0] == "link":
                    self._must_raise = False
                continue
            if obj[0] == "link":
                self._mtu = 0  # the next plan tries it again
                self._must_raise = bool(obj[2])
            is_held = obj in self._holders
            if errno == abi.EEXIST and (_is_of_kill_switch(obj) or not self._outlives(obj)) and not is_held:
                continue
            foreign.add(obj)
            if verb == "set" and obj in swaps:
                stay.append(swaps[obj])
            if (errno != abi.EEXIST or is_held) and not self._is_over and self._refused.get(obj) != errno:
                self._refused[obj] = errno
                self._log.error(_sentence(obj, errno, self._holders.get(obj, 0)))
        if foreign:
            self._keep([obj for obj in through(self._added) if obj not in foreign] + stay)
            self._write_record()
        self.is_waiting = False
        raise_link, self._next = self._next, None
        if raise_link is not None:
            self._follow_again(raise_link)

    def _find_holders(self, requests, answers, first_time):
        """Note the links that have the routes that could not be added."""
        wanted = {}
        for (verb, obj), errno in through(zip(requests, answers)):  # noqa: B905 (MicroPython's zip has no strict)
            if (
                errno == abi.EEXIST
                and verb == "add"
                and obj[0] == "route"
                and obj in first_time
                and obj not in self._holders
            ):
                wanted[network_plan.key_of(netconf.as_route(obj))] = obj
        wanted = {key: obj for key, obj in through(wanted.items()) if not self._outlives(obj)}
        if not wanted:
            return
        try:
            ip = rtnetlink.RtNetlink()
        except OSError:
            return
        try:
            for size, family in abi.FAMILIES.items():
                prefixes = {key[:2] for key in through(wanted) if len(key[0]) == size}
                if prefixes:
                    for route in ip.routes(family, lambda *prefix, known=prefixes: prefix in known, None):
                        obj = wanted.get(network_plan.key_of(route))
                        if obj is not None and route.index != self.index:  # else it is ours, or the kernel's for an address
                            self._holders[obj] = route.index
        except OSError:
            return
        finally:
            ip.close()

    def leave(self):
        """The link was moved to another network namespace: remove the objects that did not go with it."""
        self._netconf.after(self._remove_outside)

    def end(self, for_good=True):
        """Remove the objects that outlive the link, without `for_good` except for those that `kill_switch` needs."""
        self._next = None
        self._is_over = True
        self._netconf.after(lambda: self._remove_outside(for_good))

    def _remove_outside(self, for_good=False):
        kept = [] if for_good else _lasting(self._added)
        requests = [("del", obj) for obj in reversed(self.outside) if obj not in kept]
        self._keep(kept)
        self._mtu = 0
        if requests:
            self._netconf.submit(requests, lambda answers: None)
        self._write_record()

    def _write_record(self):
        outside = self.outside
        if not outside:
            _forget(self._record)
            return
        text = "".join([netconf.format_request("add", obj) + "\n" for obj in outside])
        try:
            system.files.write_new(self._record, text.encode())
        except OSError as e:
            self._log.error("cannot write %s: %s" % (self._record, cause(e)))


def _is_behind(obj, paths):
    """Whether another program has put its default route before ours."""
    return obj[-1] == "first" and paths is not None and paths.has(obj) and not paths.is_first(obj)


def _can_replace(obj, before):
    """Whether the kernel puts the route in the place of the other one. IPv6 does not if only one of them has a gateway."""
    return ":" not in obj[1] or (obj[4] == "-") == (before[4] == "-")


def record_of(directory, name):
    """Return the path of the record for the interface of this name."""
    return "%s/%s%s" % (directory, name, _RECORD)


def recorded(directory):
    """Return the names of the interfaces that have a record."""
    try:
        files = system.files.names(directory)
    except OSError:
        return []  # there is no such directory
    return [file[: -len(_RECORD)] for file in files if file.endswith(_RECORD)]


def clear_up(directory, is_served, conf, is_over=lambda name: False):
    """Remove the objects in the records of daemons that ended. Records of interfaces that is_served(name) stay.

    is_over  is_over(name) is called for the other interfaces: whether to remove what `kill_switch` needs, too
    """
    for name in recorded(directory):
        if not is_served(name):
            _clear_up(record_of(directory, name), conf, is_over(name))


def _clear_up(record, conf, is_over):
    objects = _recorded(record)
    kept = [] if is_over else _lasting(objects)
    requests = [("del", obj) for obj in reversed(objects) if obj not in kept]
    if requests:
        conf.submit(requests, lambda answers: None)
    if not kept:
        _forget(record)


def _recorded(record):
    """Return the objects in the record, none if it cannot be read."""
    try:
        text = system.files.read_file(record).decode()
    except (OSError, UnicodeError):
        return []
    objects = []
    for line in text.split("\n"):
        try:
            objects.append(netconf.parse_request(line)[1])
        except ValueError:
            continue
    return objects


def _is_of_kill_switch(obj):
    return obj[-1] == netconf.KILL_SWITCH


def _lasting(objects):
    """Return those of the objects that `kill_switch` needs while there is no tunnel: its routes, and the rules to them."""
    if not any(_is_of_kill_switch(obj) for obj in through(objects)):
        return []
    return [obj for obj in through(objects) if _is_of_kill_switch(obj) or obj[0] in ("rule", "setting")]


def _sentence(obj, errno, holder):
    """Return the sentence for the log about an object that the kernel refused."""
    system.heap.reserve()
    from . import refusals  # without a refusal, the module would waste memory

    system.heap.release(are_few=True)
    return refusals.sentence(obj, errno, holder)


def _forget(path):
    try:
        system.files.remove(path)
    except OSError:
        return
