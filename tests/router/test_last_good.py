"""A start with a mistake in the configuration: the last one that was applied is served, or the part without the mistake."""

import json
import os
import random
import re

import pytest

from ..lab import net, traffic
from ..lab.patience import stretch
from ..lab.router import Keys, interface, peer, rest

MISTAKES = {
    "a word": "\nnonsense\n",
    "a value": "\n\toption persistent_keepalive 'often'\n",
    "a quote": "\n\toption description 'x\n",
    "a section": "\nconfig interface\n",
}


def kept(router):
    return router.state / "last-good"


def wait_until_kept(router, *texts):
    """Wait until the kept file has these texts."""
    net.poll(lambda: kept(router).exists() and all(t in kept(router).read_text() for t in texts), 5, what="the kept file")


def problems(harness, name):
    told = json.loads(harness.near.place.run(*harness.command, "status", "--json", name)[1])
    return told["interfaces"][0]["problems"]


@pytest.fixture
def pair(harness):
    """A pair whose router has run once, and kept its configuration."""
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer())
    traffic.reach(harness.near.place, "10.77.0.2")
    wait_until_kept(pair.router, pair.keys.private, pair.far.key)
    pair.router.stop()
    return pair


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_last_good_configuration_is_served(harness, pair, mistake):
    router, place = pair.router, harness.near.place
    assert kept(router).stat().st_mode & 0o777 == 0o600
    broken = router.config.read_text() + MISTAKES[mistake]
    router.config.write_text(broken)
    router.start()
    traffic.reach(place, "10.77.0.2")
    [line] = re.findall(r"ERROR: .*(configuration rejected, .*)", router.log())
    assert line == f"configuration rejected, starting with the last good one ({kept(router)})"
    [problem] = problems(harness, pair.name)
    assert problem.startswith(line + ": ") and str(router.config) in problem
    assert problem.split(": ", 1)[1] in router.log()
    code, text = place.run("env", f"WGEMBED_STATE_DIR={router.state}", *harness.command, "check", "--config-dir",
                           str(router.config.parent), check=False)[:2]  # fmt: skip
    assert code == 1 and f"note: with these mistakes, a start uses the last good one ({kept(router)})" in text
    before = kept(router).read_bytes()
    # A reload with the same mistake changes nothing, and a good file ends it.
    router.reload()
    assert "keeping the previous one" in problems(harness, pair.name)[0]
    assert kept(router).read_bytes() == before
    router.reload(pair.interface(), pair.peer(description="mended"))
    assert problems(harness, pair.name) == []
    wait_until_kept(router, "mended")
    router.stop()
    router.config.write_text(broken)
    router.start()
    traffic.reach(place, "10.77.0.2")


def test_without_one_the_sections_without_mistakes_are_served(harness):
    """A broken peer costs that peer, a broken interface that interface with its peers, broken globals only themselves."""
    pair = harness.pair()
    pair.start_far()
    other = net.unique("v")
    pair.router.write(
        "config globals 'globals'\n\toption log_level 'loud'\n", pair.interface(), pair.peer(),
        pair.other_peer(1, endpoint_port="x"),
        interface(other, listen_port="x"), peer(other, public_key=Keys().public),
    )  # fmt: skip
    pair.router.start()
    traffic.reach(harness.near.place, "10.77.0.2")
    assert len(pair.router.dump(pair.name)) == 2 and other not in harness.near.place.ip("link")
    [problem] = problems(harness, pair.name)
    assert "starting with its part without mistakes: " in problem and problem.endswith("; 2 more in the log")
    for option in ("log_level", "endpoint_port", "listen_port"):
        assert re.search(f"ERROR.*option {option}: ", pair.router.log())
    rest(1)
    assert not kept(pair.router).exists(), "a part is no good configuration"


def test_nothing_is_left(harness):
    pair = harness.pair()
    pair.router.write(pair.interface(mtu=1))
    code, text = harness.near.place.run(
        "env", f"WGEMBED_STATE_DIR={pair.router.state}", *harness.command, "run", "--config-dir",
        str(pair.router.config.parent), check=False,
    )  # fmt: skip
    assert code == 1 and "option mtu: expected a number" in text


def test_flash_is_written_only_for_a_change(harness, pair):
    router = pair.router
    before = os.stat(kept(router))
    router.start()
    router.reload()
    router.reload()
    rest(1)
    after = os.stat(kept(router))
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    router.config.write_text("# a comment\n" + router.config.read_text())
    router.reload()
    rest(1)
    assert os.stat(kept(router)).st_ino == before.st_ino, "the same configuration"


def test_power_fails_at_any_byte(harness, pair):
    """Whatever is left of the kept file and of the one that was being written, the next start serves what was good."""
    router, place = pair.router, harness.near.place
    whole, fresh = kept(router).read_bytes(), kept(router).with_name("last-good.new")
    good = router.config.read_text()
    dice = random.Random(7)
    places = sorted({0, 1, 2, 66, 67, 68, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(8))})

    def start(is_whole):
        router.start()
        assert ("starting with the last good one" in router.log()) == is_whole
        assert ("starting with its part without mistakes" in router.log()) == (not is_whole)
        traffic.reach(place, "10.77.0.2")
        router.stop()

    router.config.write_text(good + MISTAKES["a section"])
    for at in places[::3]:
        # The new file was being written, or had its blocks allocated: the old one still has its name.
        fresh.write_bytes(whole[:at] + bytes(len(whole) - at if at % 2 else 0))
        start(True)
        assert kept(router).read_bytes() == whole
    for at in places:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << dice.randrange(8)
        kept(router).write_bytes(whole[:at] if at % 2 else damaged)
        start(False)
    # The next good start keeps its configuration again.
    router.config.write_text(good)
    router.start()
    net.poll(lambda: kept(router).read_bytes() == whole, stretch(5), what="the kept file")
    assert not fresh.exists()


def test_a_full_or_read_only_flash(harness):
    """The tunnel works, and the log names the file."""
    prefix = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o ro none {harness.folder}/router/state && exec "$@"', "sh"]
    pair = harness.pair(prefix=prefix)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer())
    net.poll(lambda: f"cannot write {kept(pair.router)}: Read-only file system (30)" in pair.router.log(), 5)
    traffic.reach(harness.near.place, "10.77.0.2")


def test_a_long_file_is_kept_whole_while_packets_pass(harness):
    """Also while the child process that keeps it takes long enough for pauses."""
    pair = harness.pair()
    pair.start_far()
    others = [pair.other_peer(number) for number in range(300 if "micropython" not in str(harness.command) else 20)]
    pair.router.start(pair.interface(), pair.peer(), *others)
    traffic.reach(harness.near.place, "10.77.0.2")
    pings = harness.near.place.spawn("ping", "-n", "-i", "0.002", "-c", "2000", "-W", "2", "10.77.0.2")
    for number in range(4):
        pair.router.reload(pair.interface(), pair.peer(description=f"number {number}"), *others)
        wait_until_kept(pair.router, f"number {number}")
        assert kept(pair.router).read_text().count("config ") == len(others) + 2
    pings.finish(30)
    assert "ERROR" not in pair.router.log()
