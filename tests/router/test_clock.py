"""Timestamps over restarts of the daemon and of the machine, with clocks that go wrong; real handshakes throughout."""

import os
import shutil
import subprocess
import time

import pytest

from wgembed.daemon import timestamps

from ..lab import faketime, net, traffic
from ..lab.need import need

YEAR = 365 * 24 * 3600


@pytest.fixture
def clock(command):
    """A function: the environment in which the machine's clock is so many seconds ahead. CLOCK_BOOTTIME is left alone."""
    need(faketime.preloaded)
    return lambda seconds: faketime.environment(f"{seconds:+d}")


def started(pair, environment):
    """The daemon anew, in this environment, and a handshake that the other end took."""
    router = pair.router
    router.environment = {**router.environment, **environment}
    begin = time.monotonic()
    router.start()
    traffic.reach(router.place, "10.77.0.2", within=4)
    took = time.monotonic() - begin
    shown = pair.handshake() - time.time()
    assert abs(shown - int(environment.get("FAKETIME", 0))) < 10, "this is the clock that the daemon had"
    router.kill()
    return took


def _output(pings):
    """What a ping said that has ended, without or with answers."""
    pings.wait(20)
    return pings.text()


def reboot(pair):
    """Of the machine only flash is left."""
    for path in pair.router.run_directory.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def mark(pair):
    return timestamps.seconds(timestamps.read(str(pair.router.state / "clock")))


@pytest.fixture
def pair(harness):
    pair = harness.pair()
    pair.start_far()
    pair.router.write(pair.interface(), pair.peer())
    return pair


def test_a_clock_set_back_a_year_handshakes_at_once(pair, clock):
    started(pair, clock(0))
    ahead = mark(pair) - time.time()
    assert 3600 < ahead < 2 * 3600
    for _ in range(2):
        reboot(pair)
        assert started(pair, clock(-YEAR)) < 4
        # The mark only moves by what was used, and what lies ahead of it.
        assert 3600 < mark(pair) - time.time() < 6 * 3600


def test_without_the_mark_such_a_clock_is_refused(pair, clock):
    """What the mark is for."""
    started(pair, clock(0))
    reboot(pair)
    (pair.router.state / "clock").unlink()
    router = pair.router
    router.environment = {**router.environment, **clock(-YEAR)}
    router.start()
    # Not for long, however slow the machine is: in the end the other one begins a handshake of its own.
    pings = router.place.spawn(*traffic.ping_command("10.77.0.2", count=4, interval=1))
    net.poll(lambda: router.log().count("sending initiation") > 0, 10, what="an initiation")
    assert traffic.parse_pings(_output(pings)).received == 0


def test_a_clock_never_set(pair, clock):
    """It is 1970 at each start, and NTP sets the clock later, maybe through the tunnel itself."""
    past = clock(-int(time.time()) + 60)
    for _ in range(3):
        assert started(pair, past) < 4
        reboot(pair)
    started(pair, clock(0))
    reboot(pair)
    assert started(pair, past) < 4


def test_a_clock_set_far_ahead_and_back(pair, clock):
    started(pair, clock(YEAR))
    assert started(pair, clock(0)) < 4
    reboot(pair)
    assert started(pair, clock(0)) < 4


def test_restarts_of_the_daemon_neither_use_up_the_mark_nor_write_it(pair, clock):
    started(pair, {})
    file = pair.router.state / "clock"
    before = file.stat()
    for _ in range(5):
        assert started(pair, {}) < 4
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_no_place_for_the_mark_is_told_and_costs_no_tunnel(harness):
    pair = harness.pair(WGEMBED_STATE_DIR="/proc/none/state")
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer())
    traffic.reach(pair.router.place, "10.77.0.2")
    assert "cannot create /proc/none/state" in pair.router.log()


def test_a_full_flash_is_told_and_costs_no_tunnel(pair):
    os.rmdir(pair.router.state)
    pair.router.state.write_text("a file where the directory belongs")
    pair.router.environment["WGEMBED_STATE_DIR"] = str(pair.router.state)
    pair.router.start()
    traffic.reach(pair.router.place, "10.77.0.2", within=4)
    net.poll(lambda: "cannot store the high-water mark" in pair.router.log(), 3)


# The laboratory


def test_what_a_killed_process_left_of_another_time(clock):
    """A process of the same id as one that was killed has its own time all the same."""
    left = f"""
        for kind in faketime_shm sem.faketime_sem; do head -c 32 /dev/zero >/dev/shm/"$kind"_$$; done
        exec env {" ".join(f"{name}={value}" for name, value in clock(-YEAR).items())} date +%s"""
    told = subprocess.run(["sh", "-c", left], capture_output=True, text=True, check=True)
    assert abs(int(told.stdout) - (time.time() - YEAR)) < 10
