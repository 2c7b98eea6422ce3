"""`wgembed history`: what happened in the last weeks, from the records of the daemon (daemon/watch/history.py).

It reads the files on flash and those below /var/run, so it also works when no daemon runs. A time from before the clock of
the machine was set is computed from a later record, if there is one since the same start of the machine.
"""

from ..daemon.timestamps import CLOCK_UNSET
from ..daemon.watch import record_files
from ..errors import UsageError, cause
from ..runtime import folders, system
from .output import print_text

VERSION = 1
# The minimum number of characters of a public key that name a peer.
_LEAST_OF_KEY = 4
# All daemons of the machine add records of these kinds.
_SHARED = "wan", "clock"
_SAME_S = 5
# OpenWrt sets the clock to the time of its newest file at first. If it is set forward by more than this later, the times
# before are wrong.
_BEHIND_S = 600
_DAY = 86400
_PEER_KINDS = ("up", "down", "switched", "key_mismatch")
_OF_PEER = _PEER_KINDS + ("diagnosis",)
_PEER_FIELDS = ("interface", "peer", "name", "reason", "endpoint", "seconds")
_FIELDS = {
    "start": ("wgembed", "configuration"), "stop": (), "config": ("configuration",), "rejected": (), "clock": ("seconds",),
    "wan": ("routes",), "lost": ("count",), "diagnosis": ("interface", "peer", "name", "says"),
}  # fmt: skip
_NUMBERS = "seconds", "count"
_DOWN = {
    "no_answer": "does not answer",
    "key_mismatch": "does not answer: the keys differ, or our answers do not reach it",
    "peer_under_load": "does not answer: it is under load",
    "no_route": "does not answer: there was no route to its endpoint",
    "sending_fails": "does not answer: the kernel refused datagrams to its endpoint",
}
_SWITCHED = {
    "no_answer": "the one before did not answer",
    "answers_again": "the preferred one answers again",
    "peer_moved": "the peer sends from there",
    "no_ping": "no answer to ping through the one before",
    "answers_faster": "it answers faster",
}


class Record:
    """One line. `values` are the fields by name.

    time      seconds since 1970, corrected; None if it is not known
    is_early  whether the clock was not set yet, or was far behind
    previous  how the daemon had ended, of a start: clean, killed, power or "" if that is not known
    """

    __slots__ = ("boot", "daemon", "is_early", "kind", "order", "previous", "time", "uptime", "values")

    def __init__(self, words):
        whole, _, part = words[2].partition(".")
        self.time, self.uptime, self.order = int(words[1]), int(whole), (int(whole), int(part))
        self.boot, self.daemon, self.kind = words[3], words[4], words[5]
        names = _PEER_FIELDS if self.kind in _PEER_KINDS else _FIELDS[self.kind]
        if len(words) - 6 != len(names):
            raise ValueError
        self.values = {}
        for name, word in zip(names, words[6:]):  # noqa: B905 (MicroPython's zip has no strict)
            self.values[name] = int(word) if name in _NUMBERS else word
        self.is_early = self.time < CLOCK_UNSET
        self.previous = ""


class History:
    """All records, oldest first.

    damaged, foreign  the number of lines that are damaged, and of lines of another version
    problems          sentences about files that cannot be read
    """

    def __init__(self, flash, run):
        self.damaged = self.foreign = 0
        self.problems = []
        self._seen = set()
        self._boots = []
        self.records = []
        for path in _paths(flash, run):
            self._read(path)
        self.records = [record for boot in self._boots for record in self._of_boot(boot)]
        self._drop_repeated()
        self._find_ends()

    def _read(self, path):
        try:
            data = system.files.read_file(path)
        except OSError as e:
            if system.files.exists(path):
                self.problems.append("cannot read %s: %s" % (path, cause(e)))
            return
        for line in data.split(b"\n"):
            if line and line not in self._seen:
                self._seen.add(line)
                self._take(line)

    def _take(self, line):
        text, tab, check = line.rpartition(b"\t")
        if not tab or record_files.check(text) != check:
            self.damaged += 1
            return
        try:
            words = text.decode().split("\t")
            if words[0] != "1" or words[5] not in _PEER_KINDS and words[5] not in _FIELDS:
                self.foreign += 1
                return
            record = Record(words)
        except (ValueError, IndexError):
            self.damaged += 1
            return
        if record.boot not in self._boots:
            self._boots.append(record.boot)
        self.records.append(record)

    def _of_boot(self, boot):
        """Return the records since one start of the machine, by uptime, with corrected times."""
        found = [record for record in self.records if record.boot == boot]
        # MicroPython's sort is not stable.
        order = sorted([(record.order, number) for number, record in enumerate(found)])
        found = [found[number] for _, number in order]
        offset = None
        for record in reversed(found):
            own = record.time - record.uptime
            if record.is_early or offset is not None and own < offset - _BEHIND_S:
                record.is_early = True
                record.time = None if offset is None else record.uptime + offset
            else:
                offset = own
        return found

    def _drop_repeated(self):
        """Leave out what several daemons have noted."""
        kept, last = [], {}
        for record in self.records:
            if record.kind in _SHARED:
                before = last.get(record.kind)
                last[record.kind] = record
                if before and before.daemon != record.daemon and _is_same(before, record):
                    continue
            kept.append(record)
        self.records = kept

    def _find_ends(self):
        last = {}
        for record in self.records:
            before = last.get(record.daemon)
            if record.kind == "start" and before is not None:
                same = before.boot == record.boot
                record.previous = "clean" if before.kind == "stop" else "killed" if same else "power"
            last[record.daemon] = record


def _is_same(before, record):
    is_soon = before.boot == record.boot and record.uptime - before.uptime <= _SAME_S
    return is_soon and before.values == record.values


def _paths(flash, run):
    """Return the paths of the files, the oldest first."""
    try:
        names = sorted(system.files.names(run))
    except OSError:
        names = []
    found = [flash + "/history.1", flash + "/history"]
    for prefix in (record_files.TAKEN, record_files.PENDING):
        found += [run + "/" + name for name in names if ("/" + name).startswith(prefix)]
    return found


def show_history(program, arguments):
    """Print the history as the arguments say; return the exit status, 0. UsageError."""
    words = [word for word in arguments[1:] if word != "--json"]
    if len(words) > 2 or any(word[:1] == "-" for word in words):
        raise UsageError("expected an interface and a peer at most")
    history = History(folders.state(), folders.run())
    shown = [record for record in history.records if _is_wanted(record, words)]
    if "--json" in arguments[1:]:
        import json

        print_text(json.dumps(_as_object(history, shown)) + "\n")
    else:
        print_text("".join([line + "\n" for line in _as_text(history, shown)]))
    return 0


def _is_wanted(record, words):
    if record.kind not in _OF_PEER:
        return len(words) < 2 and (not words or record.daemon in ("run", words[0]) or record.kind in _SHARED)
    if words and record.values["interface"] != words[0]:
        return False
    if len(words) < 2:
        return True
    key, wanted = record.values["peer"], words[1]
    return wanted in (key, record.values["name"]) or len(wanted) >= _LEAST_OF_KEY and key.startswith(wanted)


def _as_object(history, shown):
    told = []
    for record in shown:
        one = {"time": record.time, "uptime": record.uptime, "boot": record.boot, "before_clock_set": record.is_early,
               "daemon": record.daemon, "kind": record.kind}  # fmt: skip
        one.update(record.values)
        if record.kind == "start":
            one["previous_end"] = record.previous or None
        told.append(one)
    return {"version": VERSION, "damaged": history.damaged, "other_version": history.foreign, "records": told}


def _as_text(history, shown):
    lines = []
    for record in shown:
        lines.append("%s  %s" % (_when(record), _sentence(record)))
    if not lines:
        lines.append("no records")
    else:
        lines[:0] = ["Times are UTC."]
    if history.damaged:
        lines.append("%d damaged lines are left out." % history.damaged)
    if history.foreign:
        lines.append("%d records of another version of wgembed are left out." % history.foreign)
    return lines + history.problems


def _when(record):
    if record.time is None:
        return "%s after a start of the machine, before the clock was set:" % span(record.uptime)
    return date(record.time) + (" (before the clock was set)" if record.is_early else "")


def _sentence(record):
    values = record.values
    if record.kind in _PEER_KINDS:
        return _about_peer(record.kind, values)
    if record.kind == "diagnosis":
        return "%s: %s" % (_who(values), values["says"])
    if record.kind == "start":
        ends = {
            "killed": " The daemon before it had crashed, or was killed.",
            "power": " Before, the power failed, or the machine crashed.",
        }
        return "wgembed %s started%s, configuration %s.%s" % (
            values["wgembed"], _for(record), values["configuration"], ends.get(record.previous, ""),
        )  # fmt: skip
    if record.kind == "stop":
        return "wgembed stopped%s." % _for(record)
    if record.kind == "config":
        return "The configuration changed%s: %s." % (_for(record), values["configuration"])
    if record.kind == "rejected":
        return "A configuration with mistakes was rejected%s." % _for(record)
    if record.kind == "clock":
        step = values["seconds"]
        return "The clock of this machine was set %s by %s." % ("forward" if step > 0 else "back", span(abs(step)))
    if record.kind == "wan":
        return "The default route changed: %s." % (values["routes"] or "there is none")
    return "%d more records had no room." % values["count"]


def _for(record):
    return "" if record.daemon == "run" else " for " + record.daemon


def _who(values):
    return "%s: %s" % (values["interface"], values["name"] or values["peer"])


def _about_peer(kind, values):
    who = _who(values)
    if kind == "up":
        return "%s is up%s." % (who, " again after " + span(values["seconds"]) if values["seconds"] else "")
    where = " (%s)" % values["endpoint"] if values["endpoint"] else ""
    if kind == "down":
        text = _DOWN.get(values["reason"], "does not answer")
        return "%s%s %s, for %s by then." % (who, where, text, span(values["seconds"]))
    if kind == "switched":
        reason = _SWITCHED.get(values["reason"], values["reason"])
        return "%s%s is in use now: %s." % (who, where, reason)
    return "%s%s: the keys differ, or our answers do not reach the peer." % (who, where)


def span(seconds):
    """Return a duration for people, in its two largest units."""
    units = ((_DAY, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for number, (size, unit) in enumerate(units):
        if seconds >= size:
            text = "%d %s" % (seconds // size, unit)
            rest = seconds % size
            if number + 1 < len(units) and rest >= units[number + 1][0]:
                text += " %d %s" % (rest // units[number + 1][0], units[number + 1][1])
            return text
    return "0 s"


def date(seconds):
    """Return a time in seconds since 1970 as text, in UTC."""
    days, rest = divmod(seconds, _DAY)
    # The year begins in March, so that the leap day is its last one.
    days += 719468
    era, days = divmod(days, 146097)
    year = (days - days // 1460 + days // 36524 - days // 146096) // 365
    days -= 365 * year + year // 4 - year // 100
    month = (5 * days + 2) // 153
    day = days - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    year += 400 * era + (1 if month <= 2 else 0)
    return "%04d-%02d-%02d %02d:%02d:%02d" % (year, month, day, rest // 3600, rest // 60 % 60, rest % 60)
