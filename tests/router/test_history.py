"""`wgembed history` of real daemons on both runtimes: outages, restarts, crashes, and flash that cannot be written."""

import json
import os
import re
import subprocess

import pytest

from ..lab import net, traffic

INSIDE = "10.77.0.2"
DOWN_S = 45


def shown(router, *arguments):
    """What the command prints."""
    # Not through `run`, because only the environment of the daemon names its folders.
    command = router.place.command(*router.command, "history", *arguments)
    done = subprocess.run(command, env=router.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def records(router, *arguments):
    return json.loads(shown(router, "--json", *arguments))["records"]


def kinds(router):
    return [record["kind"] for record in records(router)]


def started(harness, prefix=(), **environment):
    pair = harness.pair(prefix=prefix, **environment)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(description="hub"))
    traffic.reach(harness.near.place, INSIDE)
    return pair


def test_an_outage(harness):
    pair = started(harness)
    assert kinds(pair.router)[0] == "start" and kinds(pair.router)[-1] == "up"
    pair.far.stop()
    pings = harness.near.place.spawn(*traffic.ping_command(INSIDE, count=200, interval=1))
    net.poll(lambda: "down" in kinds(pair.router), DOWN_S, every=1, what="the outage")
    pair.start_far()
    net.poll(lambda: kinds(pair.router)[-1] == "up", 30, every=1, what="the end of the outage")
    pings.stop()
    told = shown(pair.router, pair.name, "hub").splitlines()
    says = [line for line in told if f"{pair.name}: hub: " in line]
    lines = [line for line in told if line not in says]
    assert len(says) == 1 and "192.0.2.2:%d cannot be reached: no program listens" % pair.far.port in says[0], told
    who = f"{pair.name}: hub"
    assert lines[0] == "Times are UTC." and lines[1].endswith(f"{who} is up.")
    assert re.search(rf"{who} \(192\.0\.2\.2:\d+\) does not answer, for \d+ s by then\.$", lines[2])
    assert re.search(rf"{who} is up again after (1 min )?\d+ s\.$", lines[3])
    # A change, a mistake, a stop: the history is there without a daemon.
    pair.router.reload(pair.interface(mtu=1300), pair.peer(description="hub"))
    pair.router.reload(pair.interface(mtu="x"))
    assert kinds(pair.router)[-2:] == ["config", "rejected"]
    pair.router.stop()
    assert kinds(pair.router)[-1] == "stop" and (pair.router.state / "history").exists()
    assert not list(pair.router.run_directory.glob("history*.run"))
    # Keys of the configuration are not in it, except public ones.
    text = shown(pair.router) + (pair.router.state / "history").read_text()
    assert pair.keys.private not in text and pair.far.key in text


def test_a_crash_and_a_cut_off_file(harness):
    pair = started(harness)
    before = kinds(pair.router)
    pair.router.kill()
    assert kinds(pair.router) == before, "a crash loses nothing"
    pair.router.start()
    assert "had crashed, or was killed" in shown(pair.router)
    pair.router.stop()
    file = pair.router.state / "history"
    file.write_bytes(file.read_bytes()[:-20] + os.urandom(3000))
    pair.router.start()
    traffic.reach(harness.near.place, INSIDE)
    pair.router.stop()
    assert kinds(pair.router).count("start") == 3 and "damaged lines are left out" in shown(pair.router)


def mounted(folder, options):
    """A prefix that mounts a small tmpfs on the folder."""
    folder.mkdir()
    return ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o {options} none {folder} && exec "$@"', "sh"]


@pytest.mark.parametrize("options", ["size=4k", "ro"], ids=["full", "read-only"])
def test_flash_that_cannot_be_written(harness, tmp_path, options):
    flash = tmp_path / "flash"
    prefix = mounted(flash, options)
    if options != "ro":
        prefix[4] = prefix[4].replace(" && exec", f"; head -c 8000 /dev/zero >{flash}/fill; exec")
    pair = started(harness, prefix, WGEMBED_STATE_DIR=str(flash))
    os.kill(pair.router.pid, 15)
    net.poll(lambda: not pair.router.running(), 10)
    assert re.search(r"cannot write \S+/history: (No space left|Read-only)", pair.router.log())
    # The records are where the next daemon finds them.
    pair.router.environment["WGEMBED_STATE_DIR"] = str(pair.router.state)
    assert "start" in kinds(pair.router) and kinds(pair.router)[-1] == "stop"


def test_no_history(harness):
    pair = harness.pair()
    pair.start_far()
    pair.router.start("config globals\n\toption history '0'\n", pair.interface(), pair.peer())
    traffic.reach(harness.near.place, INSIDE)
    pair.router.stop()
    assert shown(pair.router) == "no records\n" and not list(pair.router.state.glob("history*"))


def test_a_change_of_the_default_route(harness):
    near = harness.near.place
    near.ip("route", "add", "default", "via", "192.0.2.2")
    pair = started(harness)
    near.ip("route", "change", "default", "via", "192.0.2.3")
    net.poll(lambda: "wan" in kinds(pair.router), 5, what="the record")
    assert "The default route changed: IPv4: outer via 192.0.2.3" in shown(pair.router)


def test_what_is_not_understood_is_refused(harness):
    router = harness.router()
    for arguments in (["--yaml"], ["a", "b", "c"]):
        command = router.place.command(*router.command, "history", *arguments)
        done = subprocess.run(command, env=router.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "usage: wgembed history" in (done.stdout + done.stderr).lower()
