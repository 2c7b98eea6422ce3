"""A configuration that is wrong never touches the tunnel that runs: every mistake, one after another, with traffic."""

import os
import re

import pytest

from ..config.config_cases import CASES, FILES, SECRET, WRONG
from ..lab import net, traffic
from ..lab.router import Keys, interface, peer

PEER = {"allowed_ips": ["10.77.0.2", "fd77::2", "10.91.0.0/16"], "route_allowed_ips": 1}
REFUSED = "configuration rejected, keeping the previous one"


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "bytes.key").write_bytes(b"\xff" * 44)
    os.mkfifo(folder / "pipe")
    return str(folder)


def write(router, text):
    fresh = router.config.with_name(".new")
    fresh.write_bytes(text)
    fresh.rename(router.config)


def state(pair, place):
    """What others see of the interface, but for counters and the time."""
    line, *peers = pair.router.dump(pair.name)
    told = [line, *[p[:5] + p[7:] for p in peers]]
    addresses = place.ip("-o", "addr", "show", "scope", "global")
    routes = [place.ip(*family, "route", "show", "table", "all", "dev", pair.name) for family in ([], ["-6"])]
    return told, addresses, routes, place.ip("rule", "show")


def running(harness, *extra):
    """A pair with a live session, and routes."""
    pair = harness.pair()
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(**PEER), *extra)
    traffic.reach(harness.near.place, "10.77.0.2")
    return pair


def test_every_mistake_is_told_and_changes_nothing(harness, keys):
    pair = running(harness)
    place, router = harness.near.place, pair.router
    before = state(pair, place)
    pings = place.spawn("ping", "-n", "-i", "0.1", "-c", str(len(WRONG)), "-W", "2", "10.77.0.2")
    for title, text, lines in WRONG:
        write(router, text.replace(b"@", keys.encode()))
        # Once for the signal, and maybe once for the file's change.
        told = dict.fromkeys(line.partition(") ")[2] for line in router.reload().splitlines() if line.startswith("ERROR"))
        expected = [line[2:].replace("@", keys).replace("FILE", str(router.config)) for line in lines]
        assert list(told) == [*expected, REFUSED], title
    assert traffic.parse_pings(pings.finish(len(WRONG) * 0.1 + 30)).lost == 0
    assert state(pair, place) == before
    assert router.running() and SECRET not in router.log()
    # And what comes then is applied.
    assert "applied" in router.reload(pair.interface(), pair.peer(), pair.other_peer(1))
    assert traffic.ping(place, "10.77.0.2").lost == 0 and pair.handshake() == int(before[0][1][4])


def test_warnings_come_once(harness):
    pair = harness.pair()
    odd = "config device\n\nconfig interface 'lan'\n\toption proto 'static'\n"
    text = [pair.interface(dns="1.1.1.1", colour="red"), pair.peer(), odd, peer("nobody", public_key=Keys().public)]
    pair.router.start(*text)
    sentences = ["dns: no effect in wgembed, option ignored", "colour: unknown option ignored",
                 "section of the unknown type 'device' ignored",
                 "only wireguard is supported", "there is no interface 'nobody'"]  # fmt: skip
    for _ in range(4):
        pair.router.reload()
    # Neither does a mistake in between make them come again, nor a change elsewhere.
    pair.router.reload(pair.interface(mtu="x"))
    pair.router.reload(*text, pair.other_peer(1))
    log = pair.router.log()
    assert [log.count(sentence) for sentence in sentences] == [1] * 5
    # What was put right and is wrong again is told again.
    pair.router.reload(pair.interface())
    pair.router.reload(*text)
    assert [pair.router.log().count(sentence) for sentence in sentences] == [2] * 5


@pytest.mark.parametrize("what", ["nothing", "directory", "unreadable", "empty"])
def test_no_file(harness, what):
    pair = running(harness)
    router, place = pair.router, harness.near.place
    before = state(pair, place)
    router.config.unlink()
    if what == "directory":
        router.config.mkdir()
    elif what == "unreadable":
        router.config.symlink_to(router.config.with_name("nowhere"))
    elif what == "empty":
        router.config.write_text("")
        assert "applied" in router.reload()
        assert place.run("ip", "link", "show", pair.name, check=False)[0]
        router.reload(pair.interface(), pair.peer())
        traffic.reach(place, "10.77.0.2")
        return
    assert f"cannot read {router.config}: No such file or directory (2)" in router.reload()
    assert state(pair, place) == before and traffic.ping(place, "10.77.0.2").lost == 0


def test_a_link_is_deleted_while_the_file_is_wrong(harness):
    """It comes back with the next good configuration; until then others go on, and the log does not fill up."""
    second = net.unique("r")
    other = interface(second, private_key=Keys().private, addresses="10.5.0.1")
    pair = running(harness, other)
    place = harness.near.place
    pair.router.reload(pair.interface(mtu="x"))
    place.ip("link", "del", second)
    pair.router.expect("the interface was deleted", 5)
    net.time.sleep(8)
    assert pair.router.running() and traffic.ping(place, "10.77.0.2").lost == 0
    assert pair.router.log().count("option mtu") <= 2
    pair.router.reload(pair.interface(), pair.peer(), other)
    net.poll(lambda: place.run("ip", "link", "show", second, check=False)[0] == 0, 5, what="the interface")


def test_more_peers_than_there_is_room_for(harness):
    pair = running(harness)
    place = harness.near.place
    before = state(pair, place)
    many = [peer(pair.name, public_key=Keys().public) for _ in range(1100)]
    told = pair.router.reload(pair.interface(), pair.peer(), *many, within=30)
    assert re.search(
        r"cannot apply the configuration, keeping the previous one: too many peers: the daemon started with places for \d+",
        told,
    ) or ("out of memory" in told)
    assert state(pair, place) == before and traffic.ping(place, "10.77.0.2").lost == 0


def test_more_prefixes_than_there_is_room_for(harness):
    pair = running(harness)
    place = harness.near.place
    before = state(pair, place)
    count = 20000 if "python" in pair.router._command[0] else 600
    many = pair.other_peer(1, allowed_ips=" ".join(f"10.{100 + (n >> 8)}.{n & 255}.0/24" for n in range(count)))
    told = pair.router.reload(pair.interface(), pair.peer(), many, within=30)
    assert re.search(
        rf"interface '{pair.name}': too many allowed IPs: the daemon started with places for \d+; restart it", told
    ), told
    assert state(pair, place) == before and traffic.ping(place, "10.77.0.2").lost == 0


def test_a_file_larger_than_the_memory(harness):
    """MicroPython's heap has an end; CPython reads it."""
    pair = running(harness)
    place = harness.near.place
    before = state(pair, place)
    told = pair.router.reload(pair.interface(), pair.peer(**PEER, description="x" * 3_000_000), within=30)
    if "applied" not in told:
        assert f"{pair.router.config}: out of memory" in told
    assert state(pair, place) == before and traffic.ping(place, "10.77.0.2").lost == 0
    assert "applied" in pair.router.reload(pair.interface(), pair.peer(), pair.other_peer(1))


def test_a_start_with_a_mistake(harness, keys):
    """Where no interface is without one: the same sentences on the standard error, and status 1; nothing is left behind."""
    router = harness.router()
    environment = [f"WGEMBED_STATE_DIR={router.state}", f"WGEMBED_RUN_DIR={router.run_directory}"]
    for title, text, lines in CASES[::11]:
        if lines[0][0] == "!" and all("interface 'wg0'" in line for line in lines):
            write(router, text.replace(b"@", keys.encode()))
            code, told = router.place.run("env", *environment, *router._command, check=False)
            expected = [line[2:].replace("@", keys).replace("FILE", str(router.config)) for line in lines]
            assert (code, told.splitlines()) == (1, ["wgembed: " + line for line in expected]), title
    assert not router.place.run("ls", "/sys/class/net")[1].replace("lo", "").replace("outer", "").split()
