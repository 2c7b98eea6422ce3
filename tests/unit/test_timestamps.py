"""The high-water mark, which no sent timestamp is above: when it is written, and the effect of a power cut."""

import os

from wgembed.daemon import timestamps
from wgembed.daemon.timestamps import AGAIN_S, AHEAD_S, SPARE_S, Timestamps
from wgembed.protocol.constants import TAI64_EPOCH
from wgembed.runtime import durable, system
from wgembed.runtime.loop import Loop

from .support import Log, raises

FOLDER = "/tmp/wgembed-test-stamps-%d" % system.process.pid()
FLASH = FOLDER + "/flash"
RUN = FOLDER + "/run"
NOW = 1_800_000_000


class Saver:
    """A saver that writes at once, and counts."""

    def __init__(self):
        self.urgent = self.later = 0
        self.broken = False

    def __call__(self, path, data, urgent, failed):
        if self.broken and not urgent:
            self.later += 1
            failed()
            return
        if self.broken:
            raise OSError(28)
        if urgent:
            self.urgent += 1
        else:
            self.later += 1
        durable.atomic_write(path, data)


def fresh():
    """Empty the folder. Returns a saver."""
    system.files.make_directory(FOLDER, 0o700)
    for name in os.listdir(FOLDER):
        system.files.remove(FOLDER + "/" + name)
    return Saver()


def opened(save, log=None):
    return Timestamps(FLASH, RUN, save, log or Log())


def reboot():
    system.files.remove(RUN)


def made(stamp):
    return bytes(stamp)


def test_the_first_timestamp_waits_for_the_mark():
    save = fresh()
    stamp = made(opened(save).make(NOW, 5))
    assert save.urgent == 1 and save.later == 0
    mark = timestamps.read(FLASH)
    assert mark > stamp
    assert timestamps.seconds(mark) == NOW + AHEAD_S
    assert timestamps.read(RUN) == stamp


def test_flash_is_written_once_an_hour_at_most():
    save = fresh()
    clock = opened(save)
    writes = []
    for second in range(0, 5 * 3600, 5):
        before = save.urgent + save.later
        stamp = made(clock.make(NOW + second, 0))
        assert stamp < timestamps.read(FLASH)
        if save.urgent + save.later > before:
            writes.append(second)
    assert save.urgent == 1
    assert len(writes) == 5
    assert min([writes[i + 1] - writes[i] for i in range(4)]) >= 3600
    assert AHEAD_S - SPARE_S == 3600


def test_after_a_reboot_all_up_to_the_mark_counts_as_used():
    save = fresh()
    opened(save).make(NOW, 0)
    mark = timestamps.read(FLASH)
    reboot()
    for clock_says in (0, NOW - 3600, NOW, NOW + AHEAD_S - 1):
        clock = opened(save)
        assert made(clock.make(clock_says, 0)) > mark
        mark = timestamps.read(FLASH)
        reboot()
    assert made(opened(save).make(NOW + 10**8, 0))[:8] == (TAI64_EPOCH + NOW + 10**8).to_bytes(8, "big")


def test_a_restart_goes_on_from_the_last_timestamp_and_writes_nothing():
    save = fresh()
    last = made(opened(save).make(NOW, 0))
    for _ in range(100):
        stamp = made(opened(save).make(NOW - 1000, 0))
        assert stamp > last
        last = stamp
    assert save.urgent + save.later == 1
    assert timestamps.seconds(last) <= NOW + 2


def test_a_clock_that_is_behind_moves_the_mark_by_what_it_uses():
    save = fresh()
    opened(save).make(NOW, 0)
    reboot()
    clock = opened(save)
    for _ in range(10000):
        clock.make(100, 0)
    # 16.8 ms for each timestamp: ten thousand are less than three minutes.
    assert timestamps.seconds(timestamps.read(FLASH)) < NOW + 2 * AHEAD_S + 1
    assert save.urgent + save.later == 2


def test_a_mark_that_is_not_whole_is_none():
    save = fresh()
    opened(save).make(NOW, 0)
    whole = system.files.read_file(FLASH)
    assert len(whole) == 41
    for length in range(len(whole) - 1):  # the last is a line feed
        system.files.write_new(FLASH, whole[:length])
        assert timestamps.read(FLASH) is None
    for place in range(len(whole) - 1):
        other = b"0" if whole[place : place + 1] != b"0" else b"1"
        system.files.write_new(FLASH, whole[:place] + other + whole[place + 1 :])
        assert timestamps.read(FLASH) is None
    system.files.write_new(FLASH, b"\xff" * 41)
    assert timestamps.read(FLASH) is None


class PowerCut(Exception):
    pass


class Cut:
    """Replaces system.files in durable.py. The power fails at step `count`; each written byte is a step."""

    def __init__(self, count):
        self._left = count

    def _step(self):
        self._left -= 1
        if self._left < 0:
            raise PowerCut

    def write(self, fd, data):
        for i in range(len(data)):
            self._step()
            system.files.write(fd, data[i : i + 1])

    def __getattr__(self, name):
        function = getattr(system.files, name)

        def call(*arguments):
            if name != "close":
                self._step()
            return function(*arguments)

        return call


class System:
    def __init__(self, files):
        self.files = files


def test_power_may_fail_at_any_byte():
    fresh()
    old, new = b"old", b"a longer one that is new"
    real = durable.system
    seen = []
    for count in range(1000):
        durable.atomic_write(FLASH, old)
        durable.system = System(Cut(count))
        try:
            durable.atomic_write(FLASH, new)
            break
        except PowerCut:
            seen.append(system.files.read_file(FLASH))
        finally:
            durable.system = real
    assert len(seen) >= len(new) + 4
    assert all(content in (old, new) for content in seen)
    assert seen[0] == old and seen[-1] == new
    # The files that a power cut left have no effect.
    durable.atomic_write(FLASH, new)
    assert sorted(os.listdir(FOLDER)) == ["flash"]


class Noted:
    """Replaces system.files in durable.py, and records the calls."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            return getattr(system.files, name)(*arguments)

        return call


def test_the_content_is_on_the_disk_before_the_name_is_and_then_the_name():
    fresh()
    real, files = durable.system, Noted()
    durable.system = System(files)
    try:
        durable.atomic_write(FLASH, b"content")
    finally:
        durable.system = real
    calls = [name for name in files.calls if name in ("write", "sync", "rename", "sync_directory")]
    assert calls == ["write", "sync", "rename", "sync_directory"]


def test_what_cannot_be_kept_is_told_and_goes_on():
    save, log = fresh(), Log()
    clock = opened(save, log)
    save.broken = True
    first = made(clock.make(NOW, 0))
    assert "cannot store the high-water mark" in log.lines[0]
    assert made(clock.make(NOW, 0)) > first
    assert len(log.lines) == 1, "not for each timestamp"
    save.broken = False
    clock.make(NOW + AHEAD_S, 0)
    assert timestamps.read(FLASH) is not None
    assert raises(OSError, durable.atomic_write, FOLDER + "/none/flash", b"").errno


def test_without_hurry_a_child_writes():
    fresh()
    log = Log()
    end = system.clock.now() + 5000
    loop = Loop(lambda: end)
    save = durable.Saver(loop, log)
    begin = system.clock.now()
    failed = []
    save(FLASH, b"data", False, lambda: failed.append("the good one"))
    save(FOLDER + "/none/flash", b"data", False, lambda: failed.append("the bad one"))
    assert system.clock.now() - begin < 500
    loop.after_turn.append(lambda: loop.stop() if log.lines and system.files.exists(FLASH) else None)
    loop.run()
    assert system.files.read_file(FLASH) == b"data"
    assert "none/flash" in log.lines[0] and len(log.lines) == 1
    assert failed == ["the bad one"]


def test_a_mark_that_could_not_be_written_is_tried_again():
    """Otherwise timestamps would be above the mark for an hour after a full flash or one failed fork."""
    save = fresh()
    clock = opened(save)
    save.broken = True
    clock.make(NOW, 0)
    save.broken = False
    clock.make(NOW + AGAIN_S, 0)
    begin = NOW + AGAIN_S + AHEAD_S - SPARE_S
    assert timestamps.seconds(timestamps.read(FLASH)) == begin + SPARE_S
    save.broken = True
    clock.make(begin, 0)
    assert save.later == 1
    save.broken = False
    stamp = made(clock.make(begin + AGAIN_S, 0))
    assert save.later == 2 and timestamps.read(FLASH) > stamp


def test_flash_that_cannot_be_written_is_tried_once_a_minute():
    """Each try starts a process or blocks the daemon, and fifty peers can need many timestamps."""
    save = fresh()
    clock = opened(save)
    clock.make(NOW, 0)
    save.broken = True
    for second in range(SPARE_S):
        clock.make(NOW + AHEAD_S - SPARE_S + second, 0)
    assert save.later == SPARE_S // AGAIN_S
    tried = []
    clock._save = lambda path, data, urgent, failed: tried.append(urgent) or save(path, data, urgent, failed)
    for second in range(SPARE_S):
        clock.make(NOW + AHEAD_S + second, 0)
    assert tried == [True] * (SPARE_S // AGAIN_S)
