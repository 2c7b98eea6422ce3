"""`wgembed status` on the command line."""

# First, and so less deep: MicroPython on 32-bit ARM has no stack for the whole chain of imports that ends there.
from .. import crypto  # noqa: F401
from ..errors import UsageError
from ..runtime import system, tool
from . import status_format
from .output import print_text
from .status_model import looker

# In ms: the time over which rates are measured, without and with --watch.
_INTERVAL_MS = 500
_WATCH_INTERVAL_MS = 2000
_MOST_S = 3600
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
                    raise UsageError("--json and --prometheus cannot be combined")
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
            raise UsageError("--watch and --prometheus cannot be combined")
        if self.interval is None:
            self.interval = _WATCH_INTERVAL_MS if self.watches else _INTERVAL_MS


def _milliseconds(text):
    whole, _, part = text.partition(".")
    is_number = whole + part and all(c in _DIGITS for c in whole + part)
    if not is_number or len(part) > 3 or len(whole) > 4 or int(whole or "0") > _MOST_S:
        raise UsageError("--interval: expected a number of seconds up to %d" % _MOST_S)
    return int(whole or "0") * 1000 + int((part + "000")[:3])


def show_status(program, arguments):
    """Print the status as the arguments say; return the exit status. UsageError, or UserError for an unknown interface."""
    options = _Options(arguments[1:])
    look = looker(options.names)
    before = look()
    if options.form == "prometheus":
        print_text(status_format.as_prometheus(before, _now()))
        return 0
    if options.watches:
        return _watch(options, look, before)
    rates = status_format.Rates((), 0)
    if options.interval:
        start = system.clock.now()
        tool.sleep_us(options.interval * 1000)
        after = look()
        rates = status_format.Rates(before, (system.clock.now() - start) / 1000)
        before = after
    print_text(_formed(options, before, rates))
    return 0


def _watch(options, look, before):
    """Repeat the output until a signal ends the program."""
    interval = max(options.interval, 100)
    clear = _CLEAR if options.form == "text" else ""
    rates, start = status_format.Rates((), 0), system.clock.now()
    while True:
        print_text(clear + _formed(options, before, rates))
        tool.sleep_us(interval * 1000)
        after, end = look(), system.clock.now()
        rates = status_format.Rates(before, (end - start) / 1000)
        before, start = after, end


def _formed(options, interfaces, rates):
    form = status_format.as_json if options.form == "json" else status_format.as_text
    return form(interfaces, rates, _now())


def _now():
    return system.clock.realtime()[0]
