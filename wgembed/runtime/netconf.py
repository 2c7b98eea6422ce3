"""Changes to addresses, links, routes and rules: one language of requests, and who carries them out.

Where the machine has pyroute2, a short-lived child process does it with that (importing it takes more than twice the
daemon's memory); elsewhere our own rtnetlink does, at once. A request is a verb, "add", "del" or "set", and an object:

    ("link", index, up, mtu)                                        set; up is 1, or 0: left as it is; mtu 0 likewise
    ("address", index, ip, length)                                  add, del
    ("route", ip, length, index, gateway or "-", metric, table)     add, del; "onlink" may follow,
                                                                    or "unreachable", with the index 0
    ("rule", family 4 or 6, table, fwmark, inverted, suppress, priority)  add, del; fwmark 0: none; suppress -1: none
    ("setting", name below /proc/sys, wanted, before)               add: write what is wanted, del: what was before

Each is answered with an errno, 0 for done. To add what is there already is EEXIST, but for addresses.
"""

from . import abi, rtnetlink, system
from .address import parse_ip
from .child import Child

# How long start and end of the process wait for a word from the child, in ms.
_CHILD_TIMEOUT_MS = 5000


def apply(requests):
    """Do it with rtnetlink, now; returns the list of answers."""
    try:
        ip = rtnetlink.RtNetlink()
    except OSError as e:
        return [e.errno or abi.EIO] * len(requests)
    try:
        return [answer(_by_rtnetlink, ip, verb, obj) for verb, obj in requests]
    finally:
        ip.close()


def answer(change, ip, verb, obj):
    """Return what came of one request: change(ip, verb, obj) does it unless it is a setting."""
    try:
        if obj[0] == "setting":
            _set(verb, obj)
        else:
            change(ip, verb, obj)
    except OSError as e:
        return e.errno or abi.EIO
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


def _by_rtnetlink(ip, verb, obj):
    kind = obj[0]
    if kind == "link":
        ip.set_link(obj[1], True if obj[2] else None, obj[3] or None)
    elif kind == "address":
        (ip.add_address if verb == "add" else ip.remove_address)(obj[1], parse_ip(obj[2]), obj[3])
    elif kind == "route":
        route = as_route(obj)
        if verb == "add":
            ip.add_route(route, True)
        else:
            ip.remove_route(route)
    else:
        _, family, table, fwmark, inverted, suppress, priority = obj
        change = ip.add_rule if verb == "add" else ip.remove_rule
        family = abi.AF_INET if family == 4 else abi.AF_INET6
        change(family, table, fwmark, bool(inverted), None if suppress < 0 else suppress, priority)


def as_route(obj):
    """Return the rtnetlink.Route that the object is."""
    _, where, length, index, gateway, metric, table, *flags = obj
    gateway = None if gateway == "-" else parse_ip(gateway)
    route = rtnetlink.Route(parse_ip(where), length, index, gateway, None, metric, table)
    route.onlink = "onlink" in flags
    route.unreachable = "unreachable" in flags
    return route


# As text, a line each: for the child process, and for the file that outlives us.


def format_request(verb, obj):
    return "%s %s" % (verb, " ".join([str(word) for word in obj]))


def parse_request(line):
    """Undo `format_request`; ValueError for a line that is none."""
    verb, *words = line.split()
    if verb not in ("add", "del", "set") or not words:
        raise ValueError("not a request")
    if words[0] == "setting":
        return verb, tuple(words)
    return verb, tuple([int(word) if word.isdigit() or word == "-1" else word for word in words])


class Job(Child):
    """A list of requests in the hands of a child process."""

    def __init__(self, command, environment, requests):
        self.requests = requests
        text = "".join([format_request(verb, obj) + "\n" for verb, obj in requests])
        super().__init__(*system.process.spawn_command(command, environment, text.encode()))

    def finish(self):
        """End it; returns the answers, fewer than there are requests if the child could not give them all."""
        return [int(number) for number in self.end().split()]


class NetConf:
    """Carries out requests in the order of their coming. After each list, done(answers) is called."""

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
        """Call function() when all that was submitted has been carried out."""
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
            self._log.error("cannot start pyroute2, using rtnetlink: %s" % e)
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
        """Wait until everything is carried out: at the start, and before the end."""
        while self._job is not None:
            poller = system.poll.Poller()
            poller.watch(self._job.fd, system.poll.IN)
            if any(True for _ in poller.wait(_CHILD_TIMEOUT_MS)):
                self._on_job(0)
            else:
                self._end()
