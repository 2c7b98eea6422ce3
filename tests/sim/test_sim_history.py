"""A year of a line that fails several times an hour: how often flash is written, for the history and the mark of the clock.

The history, its files, the timestamps and the conclusions about the peer are the real ones. The devices are left out: when
a handshake leaves, and when one is answered, is drawn at random.
"""

import random

import pytest

from wgembed.daemon import timestamps
from wgembed.daemon.watch import record_files
from wgembed.daemon.watch.history import History
from wgembed.daemon.watch.history_write import SEGMENT
from wgembed.runtime import durable, system
from wgembed.runtime.alarms import Alarms

from ..unit.support import Log

SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000
YEAR = 365 * DAY
PEER = "wg0", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "hub", "no_answer", "192.0.2.2:51820", 9
MOST = 60_000
# A handshake leaves every two minutes in truth. The mark is written as often with fewer of them.
REKEY_MS = 10 * MINUTE


class Flash:
    """Counts the writes of both files, by what `durable.Saver` is asked for; the files are in memory."""

    def __init__(self, folder, monkeypatch):
        self.now = 5 * SECOND
        self.writes = []
        self.log = Log()
        self.alarms = Alarms()
        self.flash, self.run = folder / "flash", folder / "run"
        self.flash.mkdir()
        self.run.mkdir()
        read_file = system.files.read_file

        def fake(path):
            if path == "/proc/uptime":
                return b"%d.%02d 1.0\n" % (self.now // 1000, self.now % 1000 // 10)
            return b"abcd" if path.endswith("boot_id") else read_file(path)

        monkeypatch.setattr(system.files, "read_file", fake)
        monkeypatch.setattr(system.files, "sync", lambda fd: None)
        monkeypatch.setattr(system.files, "sync_directory", lambda path: None)
        monkeypatch.setattr(system.clock, "now", lambda: self.now)
        monkeypatch.setattr(system.clock, "realtime", lambda: (1_800_000_000 + self.now // 1000, 0))
        self.history = History("run", str(self.flash), str(self.run), self.alarms, self.save, self.log)
        clock = str(self.flash / "clock"), str(self.run / "clock")
        self.timestamps = timestamps.Timestamps(*clock, self.save, self.log)

    def save(self, path, data, urgent, failed):
        self.writes.append(self.now)
        assert durable._told(path, data) == b"+"

    def run_to(self, time):
        """Let time pass, and handle what is due."""
        while True:
            due = self.alarms.next()
            if due is None or due > time:
                break
            self.now = max(self.now, due)
            self.alarms.run(self.now)
        self.now = max(self.now, time)

    def handshake(self):
        self.timestamps.make(*system.clock.realtime())


def year(flash, gap_ms, seed):
    """An outage after each gap, 10 s to 5 min long, and handshakes all the time."""
    draw = random.Random(seed)
    end = flash.now + YEAR
    rekey = flash.now
    while flash.now < end:
        quiet = int(draw.expovariate(1 / gap_ms))
        for delay, kind in ((quiet, "down"), (draw.randrange(10 * SECOND, 5 * MINUTE), "up")):
            until = flash.now + delay
            while rekey < until:
                flash.run_to(rekey)
                flash.handshake()
                rekey += REKEY_MS
            flash.run_to(until)
            flash.history.note(kind, *PEER)


@pytest.mark.parametrize("gap_ms", [10 * MINUTE, 30 * SECOND, DAY], ids=["several an hour", "all the time", "one a day"])
def test_a_year(tmp_path, monkeypatch, gap_ms):
    flash = Flash(tmp_path, monkeypatch)
    year(flash, gap_ms, 7)
    count = len(flash.writes)
    assert count <= MOST, "with the mark of the clock"
    of_history, _ = record_files.counted(str(flash.run))
    assert of_history <= YEAR // record_files.WAIT_MS, "one in ten minutes in the mean"
    assert count > of_history > 300
    if gap_ms == 10 * MINUTE:
        assert count <= YEAR // record_files.WAIT_MS
    assert sum(path.stat().st_size for path in flash.flash.glob("history*")) <= 2 * SEGMENT <= 64 << 10
    assert not flash.log.lines
