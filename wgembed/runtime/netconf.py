"""Changes to addresses, links, routes and rules: the format of requests, and the code that applies them.

If the machine has pyroute2, a short-lived child process applies the requests with pyroute2, because its import takes more
than twice the memory of the daemon. Otherwise rtnetlink.py applies them, in the daemon. A request is a verb, "add", "del"
or "set", and an object:

    ("link", index, up, mtu)                                        set; up: 1, or 0 for no change; mtu: 0 for no change
    ("address", index, ip, length)                                  add, del; "noprefixroute" can follow
    ("route", ip, length, index, gateway or "-", metric, table)     add, del; set: in the place of one that differs in the
                                                                    next hop; "onlink" can follow, or "first",
                                                                    or "unreachable", with the index 0, and
                                                                    "kill_switch" if it is for that option
    ("rule", family 4 or 6, table, fwmark, inverted, suppress, priority)  add, del; fwmark 0 or suppress -1: not used;
                                                                    "from" or "to" and a prefix, or "iif" and a name
                                                                    can follow
    ("setting", name below /proc/sys, new, old)                     add: write the new value, del: write the old value

The answer to a request is an errno, 0 for success. To add an object that exists is EEXIST, except for addresses. A route
exists if another one has its prefix, metric and table, unless it is "first": then it goes before those (only IPv4).
"""

from ..errors import cause
from . import abi, pause, rtnetlink, system
from .address import parse_ip
from .child import Child
from .rtnetlink_abi import RTPROT_KILL_SWITCH

# How long the daemon waits for the child at its start and its end, in ms.
_CHILD_TIMEOUT_MS = 5000
KILL_SWITCH = "kill_switch"


def apply(requests):
    """Apply the requests with rtnetlink, at once. Returns the list of answers."""
    try:
        ip = rtnetlink.RtNetlink()
    except OSError as e:
        return [e.errno or abi.EIO] * len(requests)
    try:
        answers = []
        for verb, obj in requests:
            answers.append(answer(by_rtnetlink, ip, verb, obj))
            pause.pause()
        return answers
    finally:
        ip.close()


def answer(change, ip, verb, obj):
    """Apply one request and return the answer. change(ip, verb, obj) applies it, unless it is a setting."""
    try:
        if obj[0] == "setting":
            _set(verb, obj)
        else:
            change(ip, verb, obj)
    except OSError as e:
        return e.errno or abi.EIO
    except (ValueError, IndexError, TypeError):
        return abi.EINVAL  # from a record that was cut off
    return 0


def _set(verb, obj):
    _, name, wanted, before = obj
    path = "/proc/sys/" + name
    if verb == "del":
        system.files.write_file(path, before)
    elif system.files.read_file(path).strip().decode() == wanted:
        raise OSError(abi.EEXIST, "already set")
    else:
        system.files.write_file(path, wanted)


def by_rtnetlink(ip, verb, obj):
    """Apply the request, unless it is a setting, with `ip`, a RtNetlink. OSError if the kernel refuses it."""
    kind = obj[0]
    if kind == "link":
        ip.set_link(obj[1], True if obj[2] else None, obj[3] or None)
    elif kind == "address":
        if verb == "add":
            ip.add_address(obj[1], parse_ip(obj[2]), obj[3], not obj[4:])
        else:
            ip.remove_address(obj[1], parse_ip(obj[2]), obj[3])
    elif kind == "route":
        route = as_route(obj)
        if verb == "del":
            ip.remove_route(route)
        elif verb == "set":
            ip.add_route(route, rtnetlink.REPLACE)
        else:
            ip.add_route(route, rtnetlink.FIRST if "first" in obj else rtnetlink.ONLY)
    else:
        _, family, table, fwmark, inverted, suppress, priority, *selector = obj
        change = ip.add_rule if verb == "add" else ip.remove_rule
        family = abi.AF_INET if family == 4 else abi.AF_INET6
        change(family, table, fwmark, bool(inverted), None if suppress < 0 else suppress, priority, selector)


def as_route(obj):
    """Return the rtnetlink.Route for an object "route"."""
    _, where, length, index, gateway, metric, table, *flags = obj
    gateway = None if gateway == "-" else parse_ip(gateway)
    route = rtnetlink.Route(parse_ip(where), length, index, gateway, None, metric, table)
    route.onlink = "onlink" in flags
    route.unreachable = "unreachable" in flags
    if KILL_SWITCH in flags:
        route.protocol = RTPROT_KILL_SWITCH
    return route


# Requests as text, one for each line: for the child process, and for the file that stays when the daemon is gone.


def format_request(verb, obj):
    return "%s %s" % (verb, " ".join([str(word) for word in obj]))


def parse_request(line):
    """Undo `format_request`: return (verb, object). ValueError if the line is not a request."""
    verb, *words = line.split()
    if verb not in ("add", "del", "set") or not words:
        raise ValueError("not a request")
    if words[0] == "setting":
        return verb, tuple(words)
    return verb, tuple([int(word) if word.isdigit() or word == "-1" else word for word in words])


class Job(Child):
    """A list of requests that a child process applies."""

    def __init__(self, command, environment, requests):
        self.requests = requests
        lines = []
        for verb, obj in requests:
            lines.append(format_request(verb, obj) + "\n")
            pause.pause()
        super().__init__(*system.process.spawn_command(command, environment, "".join(lines).encode()))

    def finish(self):
        """End the child process. Returns its answers. If the child failed, there are fewer answers than requests."""
        return [int(number) for number in self.end().split()]


class NetConf:
    """Applies lists of requests in the order of `submit`. After each list, done(answers) is called."""

    def __init__(self, loop, log):
        self._loop = loop
        self._log = log
        self._helper = system.start.pyroute2_command()
        self._waiting = []
        self._job = None
        self._done = None

    def submit(self, requests, done):
        if self._helper is None:
            done(apply(requests))
            return
        self._waiting.append((requests, done))
        if self._job is None:
            self._begin()

    def after(self, function):
        """Call function() when all requests that were submitted before are applied."""
        self.submit((), lambda answers: function())

    def _begin(self):
        requests, self._done = self._waiting.pop(0)
        if not requests:
            self._done(())
            self._go_on()
            return
        try:
            self._job = Job(*self._helper, requests)
        except OSError as e:
            self._log.error("cannot start pyroute2, using rtnetlink: %s" % cause(e))
            self._done(apply(requests))
            self._go_on()
            return
        self._loop.watch(self._job.fd, self._on_job)

    def _on_job(self, events):
        if self._job.advance():
            self._end()

    def _end(self):
        job, done = self._job, self._done
        self._loop.forget(job.fd)
        self._job = None
        answers = job.finish()
        if len(answers) != len(job.requests):
            self._log.error("pyroute2 does not work here, using rtnetlink")
            self._helper = None
            answers += apply(job.requests[len(answers) :])
        done(answers)
        self._go_on()

    def _go_on(self):
        if not self._waiting or self._job is not None:
            return
        if self._helper is not None:
            self._begin()
            return
        while self._waiting:
            requests, done = self._waiting.pop(0)
            done(apply(requests))

    def finish(self):
        """Wait until all requests are applied, at the start and the end of the daemon."""
        while self._job is not None:
            poller = system.poll.Poller()
            poller.watch(self._job.fd, system.poll.IN)
            if any(True for _ in poller.wait(_CHILD_TIMEOUT_MS)):
                self._on_job(0)
            else:
                self._end()
