"""The history on flash: when it is written, power cuts, full and read-only flash, and what `wgembed history` reads."""

import json
import os
import time

import pytest

from wgembed.commands import history as command
from wgembed.daemon.timestamps import CLOCK_UNSET
from wgembed.daemon.watch import explained as explained_module
from wgembed.daemon.watch import history as history_module
from wgembed.daemon.watch import history_write, record_files
from wgembed.daemon.watch.history import GAP_MS, History
from wgembed.daemon.watch.record_files import WAIT_MS
from wgembed.runtime import durable, system
from wgembed.runtime.alarms import Alarms
from wgembed.runtime.loop import Loop

from ..unit.support import Log

PEER = ("wg0", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "hub", "no_answer", "192.0.2.2:51820", 40)
UP = (*PEER[:3], "handshake", PEER[4], 125)
T = 1_800_000_000


class Machine:
    """Clocks and folders. Time passes by `pass_`, which runs the alarms; writes happen at once."""

    def __init__(self, folder, monkeypatch):
        self.flash, self.run = folder / "flash", folder / "run"
        self.flash.mkdir()
        self.run.mkdir()
        self.now, self.uptime, self.real, self.boot = 5_000, 5, T, b"1234-5678"
        self.writes = []
        self.log = Log()
        self.alarms = Alarms()
        read_file = system.files.read_file

        def fake(path):
            if path == "/proc/uptime":
                return b"%d.42 99.0\n" % self.uptime
            return self.boot if path.endswith("boot_id") else read_file(path)

        monkeypatch.setattr(system.files, "read_file", fake)
        monkeypatch.setattr(system.clock, "now", lambda: self.now)
        monkeypatch.setattr(system.clock, "realtime", lambda: (self.real, 0))

    def start(self, name="run"):
        return History(name, str(self.flash), str(self.run), self.alarms, self.save, self.log)

    def save(self, path, data, urgent, failed):
        self.writes.append(self.now)
        told = durable._told(path, data)
        if told != b"+":
            self.log.error(f"cannot write {path}: {durable._reason(told)}")
            failed()

    def pass_(self, seconds):
        end = self.now + seconds * 1000
        while self.now < end:
            due = self.alarms.next()
            step = min(end, due if due is not None and due > self.now else self.now + 1000 if due else end) - self.now
            self.now += step
            self.uptime = self.now // 1000
            self.real += step // 1000
            self.alarms.run(self.now)

    def reboot(self, boot):
        for path in self.run.iterdir():
            path.unlink()
        self.boot, self.now, self.uptime = boot, 5_000, 5
        self.alarms = Alarms()

    def read(self):
        return command.History(str(self.flash), str(self.run))

    def kinds(self):
        return [record.kind for record in self.read().records]

    def text(self, *words):
        history = self.read()
        shown = [record for record in history.records if command._is_wanted(record, list(words))]
        return command._as_text(history, shown)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def on_flash(machine):
    return sorted(path.name for path in machine.flash.iterdir())


def test_a_record_is_on_flash_after_ten_minutes(machine):
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    assert machine.kinds() == ["start"] and on_flash(machine) == []
    machine.pass_(WAIT_MS // 1000 - 1)
    assert on_flash(machine) == []
    machine.pass_(2)
    assert on_flash(machine) == ["history"] and machine.kinds() == ["start"]
    assert [path.name for path in machine.run.iterdir()] == ["history-lock"]
    assert machine.alarms.next() is None, "without news there are no wake-ups"


def test_something_new_all_the_time(machine):
    history = machine.start()
    for _ in range(24 * 720):
        history.note("down", *PEER)
        machine.pass_(5)
    gaps = [after - before for before, after in zip(machine.writes, machine.writes[1:], strict=False)]
    assert min(gaps) >= GAP_MS and len(machine.writes) <= 24 * 6
    total = sum(path.stat().st_size for path in machine.flash.iterdir())
    assert on_flash(machine) == ["history", "history.1"] and total <= 62 * 1024
    assert "lost" in machine.kinds(), "what had no room in ten minutes is counted"


def test_a_crash_loses_nothing(machine):
    machine.start().note("start", "0.2.0", "abc")
    machine.pass_(1)
    machine.alarms = Alarms()  # killed
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    assert machine.kinds() == ["start", "start"]
    assert machine.text()[2].endswith("The daemon before it had crashed, or was killed.")
    machine.pass_(WAIT_MS // 1000)
    assert machine.kinds() == ["start", "start"] and on_flash(machine) == ["history"]


def test_ends(machine):
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    machine.pass_(1000)
    history.close()
    assert on_flash(machine) == ["history"]
    machine.reboot(b"2222")
    machine.start().note("start", "0.2.0", "abc")
    machine.pass_(1000)
    machine.reboot(b"3333")
    machine.start().note("start", "0.2.0", "abc")
    assert [record.previous for record in machine.read().records if record.kind == "start"] == ["", "clean", "power"]
    assert machine.text()[-1].endswith("Before, the power failed, or the machine crashed.")


def test_restarts_again_and_again_do_not_write_each_time(machine):
    for _ in range(500):
        history = machine.start()
        history.note("start", "0.2.0", "abc")
        machine.pass_(20)
        history.close()
    count, _ = record_files.counted(str(machine.run))
    assert count <= 500 * 20 // 600 + 2
    assert machine.kinds().count("stop") > 60, "what is not on flash is below /var/run"


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_power_cuts(machine, cut):
    """The last line can be cut off anywhere: the lines before it and after it are read."""
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    machine.pass_(1000)
    file = machine.flash / "history"
    whole = file.read_bytes()
    history.note("down", *PEER)
    machine.pass_(1000)
    data = file.read_bytes()
    file.write_bytes(data[: len(whole) + min(cut, len(data) - len(whole))])
    machine.reboot(b"2222")
    machine.start().note("start", "0.2.0", "abc")
    machine.pass_(1000)
    assert [kind for kind in machine.kinds() if kind == "start"] == ["start", "start"]
    assert machine.read().damaged <= 1


def test_random_bytes_and_other_versions(machine):
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    history.close()
    with open(machine.flash / "history", "ab") as file:
        file.write(os.urandom(3000).replace(b"\n", b"x") + b"\n")
        for text in (b"2\t1\t2\t3\tnew", b"1\t%d\t9\t1234\trun\tunheard\tof" % T):
            file.write(text + b"\t" + record_files.check(text) + b"\n")
        text = b"1\tx\t9\t1234\trun\tstop"
        file.write(text + b"\t" + record_files.check(text) + b"\n")
    machine.start().note("config", "def")
    assert machine.kinds() == ["start", "stop", "config"]
    assert machine.text()[-2:] == [
        "2 damaged lines are left out.", "2 records of another version of wgembed are left out.",
    ]  # fmt: skip


def test_a_folder_in_place_of_the_file(machine):
    (machine.flash / "history").mkdir()
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    machine.pass_(86400)
    assert 1 <= len(machine.log.lines) <= 10 and "cannot write" in machine.log.lines[0]
    (machine.flash / "history").rmdir()
    machine.pass_(86400)
    assert machine.kinds() == ["start"] and on_flash(machine) == ["history"]
    assert not list(machine.run.glob("history-taken*"))


def test_records_stay_while_flash_cannot_be_written(machine):
    history = machine.start()
    for number in range(500):
        history.note("config", f"{number:08x}")
    (machine.flash / "history").mkdir()
    machine.pass_(7200)
    assert machine.kinds().count("config") > 150
    assert sum(path.stat().st_size for path in machine.run.iterdir()) < 30_000, "memory, so not more"


def test_no_place_for_records(machine):
    machine.run.joinpath("x").write_text("")
    history = machine.start()
    history._pending = str(machine.run / "x/none")
    for _ in range(5):
        history.note("down", *PEER)
    assert len(machine.log.lines) == 1 and "cannot add to the history" in machine.log.lines[0]


def test_clock_that_is_set_later(machine):
    machine.real = 30
    history = machine.start()
    history.check_clock()
    history.note("start", "0.2.0", "abc")
    machine.pass_(60)
    assert "5 s after a start of the machine, before the clock was set:" in machine.text()[1]
    machine.real = T
    history.check_clock()
    history.note("down", *PEER)
    [start, clock, down] = machine.read().records
    assert (start.time, clock.time, down.time) == (T - 60, T, T) and start.is_early and not clock.is_early
    assert machine.text()[1].startswith(f"{command.date(T - 60)} (before the clock was set)  wgembed 0.2.0 started")
    assert "The clock of this machine was set forward by" in machine.text()[2]
    assert CLOCK_UNSET < T


def test_clock_of_the_newest_file(machine):
    """OpenWrt's clock after a start: some days behind. It counts as not set; a small step does not, nor one back."""
    machine.real = T - 3 * 86400
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    machine.pass_(60)
    machine.real = T
    history.check_clock()
    machine.pass_(60)
    machine.real += 120
    history.check_clock()
    machine.real -= 7200
    history.check_clock()
    records = machine.read().records
    assert [record.time for record in records] == [T - 60, T, T + 180, T - 7020]
    assert [record.is_early for record in records] == [True, False, False, False]


def test_two_daemons(machine):
    """Those of netifd share the files, and none writes within ten minutes after another."""
    one, other = machine.start("wg0"), machine.start("wg1")
    one.note("start", "0.2.0", "abc")
    alarms, machine.alarms = machine.alarms, Alarms()
    other = machine.start("wg1")
    other._alarms = machine.alarms
    for history in (one, other):
        history.note("wan", "IPv4: eth0 via 192.0.2.1")
    machine.pass_(650)
    alarms.run(machine.now)
    assert len(machine.writes) == 1 and sorted(machine.kinds()) == ["start", "wan"], "what both have noted is there once"
    machine.pass_(650)
    alarms.run(machine.now)
    machine.alarms.run(machine.now)
    assert len(machine.writes) == 2 and not list(machine.run.glob("history*.*"))


def test_sentences(machine):
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    history.note("wan", "IPv4: wwan0")
    history.note("wan", "")
    history.note("rejected")
    history.note("config", "def")
    history.note("down", *PEER)
    history.note("up", *UP)
    history.note("up", "wg1", "abcd", "", "handshake", "192.0.2.9:1", 0)
    history.note("switched", *PEER)
    history.note("key_mismatch", *PEER)
    when = command.date(T) + "  "
    assert machine.text() == [
        "Times are UTC.",
        when + "wgembed 0.2.0 started, configuration abc.",
        when + "The default route changed: IPv4: wwan0.",
        when + "The default route changed: there is none.",
        when + "A configuration with mistakes was rejected.",
        when + "The configuration changed: def.",
        when + "wg0: hub (192.0.2.2:51820) does not answer, for 40 s by then.",
        when + "wg0: hub is up again after 2 min 5 s.",
        when + "wg1: abcd is up.",
        when + "wg0: hub (192.0.2.2:51820) is in use now: the one before did not answer.",
        when + "wg0: hub (192.0.2.2:51820): the keys differ, or our answers do not reach the peer.",
    ]
    assert [line[21:30] for line in machine.text("wg1")[-1:]] == ["wg1: abcd"]
    assert machine.text("wg0", "hub") == machine.text("wg0", "xTIB") and len(machine.text("wg0", "hub")) == 5
    assert machine.text("wg0", "xyz") == ["no records"]


def test_json(machine):
    history = machine.start()
    history.note("start", "0.2.0", "abc")
    history.note("down", *PEER)
    found = machine.read()
    told = json.loads(json.dumps(command._as_object(found, found.records)))
    assert told["version"] == 1 and told["records"][0]["previous_end"] is None
    assert told["records"][1] == {
        "time": T, "uptime": 5, "boot": "1234", "before_clock_set": False, "daemon": "run", "kind": "down",
        "interface": "wg0", "peer": PEER[1], "name": "hub", "reason": "no_answer", "endpoint": "192.0.2.2:51820",
        "seconds": 40,
    }  # fmt: skip


def test_no_name_breaks_a_line(machine):
    history = machine.start()
    history.note("down", *PEER[:2], "a\tb\nc" + "x" * 1000, *PEER[3:])
    [record] = machine.read().records
    assert record.values["name"].startswith("a b c") and len(record.values["name"]) < 200


def test_dates():
    assert command.date(0) == "1970-01-01 00:00:00" and command.date(951782400) == "2000-02-29 00:00:00"
    assert history_module.GAP_MS > WAIT_MS and 2 * history_write.SEGMENT <= 64 * 1024


def explained(explain, monkeypatch, keys):
    """Ask about the peers `keys`, with 300 ms for each. Return what was added within five seconds."""
    monkeypatch.setattr(explained_module, "_WITHIN_MS", 300)
    alarms, added = Alarms(), []
    loop = Loop(alarms.next)
    loop.after_turn.append(lambda: alarms.run(system.clock.now()))
    alarms.set("end", system.clock.now() + 5000, loop.stop)
    asked = explained_module.Explained(loop, alarms, explain, lambda *words: added.append(words))
    for key in keys:
        asked.ask("wg0", key, "hub")
    loop.run()
    asked.close()
    return added


def test_what_diagnose_says_is_asked_for_one_peer_after_the_other(monkeypatch):
    """One that takes too long, or fails, does not keep the others from being asked; of many, the first are."""

    def explain(interface, key):
        if key == "hangs":
            time.sleep(60)
        if key == "fails":
            raise ValueError
        return f"{interface} {key}".encode()

    added = explained(explain, monkeypatch, ["a", "hangs", "fails", "b", "too many"])
    assert added == [("wg0", "a", "hub", "wg0 a"), ("wg0", "b", "hub", "wg0 b")]
