"""`wgembed status` and `wgembed diagnose` on the command line."""

from ..errors import UsageError, UserError, complain
from ..runtime import system, tool
from ..runtime.link import TUN_DEVICE
from ..uapi import client
from . import diagnose, status_format, status_model
from .host_facts import HostFacts
from .output import to_bytes
from .status_model import NotServed, key_text

# In ms: between two looks for the rates, and between those of --watch.
_INTERVAL_MS = 500
_WATCH_INTERVAL_MS = 2000
_MOST_S = 3600
# So much of a public key names a peer.
_LEAST_OF_KEY = 4
_DIGITS = "0123456789"
_CLEAR = "\033[H\033[2J"


class _Options:
    """The arguments of `status`."""

    def __init__(self, arguments):
        self.form = "text"
        self.watches = False
        self.interval = None
        self.names = []
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if word in ("--json", "--prometheus"):
                if self.form != "text":
                    raise UsageError("--json and --prometheus exclude each other")
                self.form = word[2:]
            elif word == "--watch":
                self.watches = True
            elif word == "--interval":
                self.interval = _milliseconds(rest.pop(0) if rest else "")
            elif word[:11] == "--interval=":
                self.interval = _milliseconds(word[11:])
            elif word[:1] == "-":
                raise UsageError("unknown option %s" % word)
            else:
                self.names.append(word)
        if self.watches and self.form == "prometheus":
            raise UsageError("--watch and --prometheus exclude each other")
        if self.interval is None:
            self.interval = _WATCH_INTERVAL_MS if self.watches else _INTERVAL_MS


def _milliseconds(text):
    whole, _, part = text.partition(".")
    is_number = whole + part and all(c in _DIGITS for c in whole + part)
    if not is_number or len(part) > 3 or len(whole) > 4 or int(whole or "0") > _MOST_S:
        raise UsageError("--interval: a number of seconds up to %d is wanted" % _MOST_S)
    return int(whole or "0") * 1000 + int((part + "000")[:3])


def show_status(program, arguments):
    """Print the status as the arguments say; returns the exit status. UsageError, or UserError for an unknown interface."""
    options = _Options(arguments[1:])
    look = _looker(options.names)
    before = look()
    if options.form == "prometheus":
        _print(status_format.as_prometheus(before, _now()))
        return 0
    if options.watches:
        return _watch(options, look, before)
    rates = status_format.Rates((), 0)
    if options.interval:
        start = system.clock.now()
        tool.rest(options.interval * 1000)
        after = look()
        rates = status_format.Rates(before, (system.clock.now() - start) / 1000)
        before = after
    _print(_formed(options, before, rates))
    return 0


def _watch(options, look, before):
    """Print again and again, until a signal ends it."""
    interval = max(options.interval, 100)
    clear = _CLEAR if options.form == "text" else ""
    rates, start = status_format.Rates((), 0), system.clock.now()
    while True:
        _print(clear + _formed(options, before, rates))
        tool.rest(interval * 1000)
        after, end = look(), system.clock.now()
        rates = status_format.Rates(before, (end - start) / 1000)
        before, start = after, end


def _formed(options, interfaces, rates):
    form = status_format.as_json if options.form == "json" else status_format.as_text
    return form(interfaces, rates, _now())


def _now():
    return system.clock.realtime()[0]


def _print(text):
    system.files.write(1, to_bytes(text))


def _looker(names):
    """Return a function that returns the status of these interfaces; of all, where none is named."""

    def look():
        if names:
            return [status_model.look(name) for name in names]
        found, refusals = [], []
        for name in sorted(client.list_interfaces()):
            try:
                found.append(status_model.look(name))
            except NotServed:
                continue  # it ended just now
            except UserError as e:
                refusals.append(e)
        if refusals and not found:
            raise refusals[0]
        for e in refusals:
            complain(e.message())
        return found

    return look


# diagnose


def show_diagnosis(program, arguments):
    """Print what is wrong, for all interfaces or the one, or the one peer, of the arguments.

    Returns the exit status: 0 if nothing is. UsageError, or UserError for an unknown interface.
    """
    arguments = arguments[1:]
    if len(arguments) > 2 or any(word[:1] == "-" for word in arguments):
        raise UsageError("an interface and a peer are wanted at most")
    interfaces = _looker(arguments[:1])()
    wanted = arguments[1] if len(arguments) > 1 else None
    if not interfaces:
        _print("no interface is served: start one with `wgembed INTERFACE`, or /etc/init.d/wgembed start\n")
        if not system.files.exists(TUN_DEVICE):
            _print("  there is no %s: the kernel needs its tun module (on OpenWrt: kmod-tun)\n" % TUN_DEVICE)
        return 1
    host = HostFacts()
    reports = []
    for interface in interfaces:
        is_up = interface.state == status_model.UP
        if wanted is None or not is_up:
            reports.append(("%s: %s" % (interface.name, interface.state), diagnose.about_interface(interface, host)))
        peers = [peer for peer in interface.peers if wanted is None or _is_called(peer, wanted)]
        if wanted is not None and not peers:
            raise UsageError("%s has no peer %s" % (interface.name, wanted))
        for peer in peers if is_up else ():
            about = "%s: %s: %s" % (interface.name, key_text(peer.public_key), status_model.state(interface, peer, _now()))
            reports.append((about, diagnose.about_peer(interface, peer, host)))
    _print("".join([_report(about, found) for about, found in reports]))
    if host.is_out_of_time:
        _print("not every peer was asked, for it took too long: name an interface and a peer\n")
    return 1 if any(weight > diagnose.NOTE for _, found in reports for weight, _ in found) else 0


def _is_called(peer, wanted):
    """Whether this is the peer's public key or the beginning of it."""
    key = key_text(peer.public_key)
    return key == wanted or len(wanted) >= _LEAST_OF_KEY and key.startswith(wanted)


def _report(about, found):
    sentences = [sentence for _, sentence in found] or ["nothing is wrong"]
    return "".join([line + "\n" for line in [about] + ["  " + sentence for sentence in sentences]])
