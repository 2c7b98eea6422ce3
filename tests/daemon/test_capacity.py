"""The room of the daemon for peers and allowed IPs: `up` makes it large enough for its file, or refuses the file."""

import base64
import os
import re
from pathlib import Path

import pytest

from ..lab import micropython
from ..lab.need import need, privileges, programs
from ..lab.net import poll
from .test_up import CPYTHON, INTERFACE, Host

PAGE = Path(__file__).parents[2] / "docs/micropython.md"
HEAPS = re.findall(r"^\| .*?(\d+) peers and ([\d,]+) allowed IPs \| (\d+[KM]) \|$", PAGE.read_text(), re.M)


def many(peers, prefixes):
    """A file with so many peers, and so many prefixes in all."""
    text, each = INTERFACE, prefixes // peers
    for i in range(peers):
        words = [f"10.{64 + (n >> 8)}.{n & 255}.0/24" for n in range(i * each, i * each + each)]
        key = base64.b64encode(os.urandom(32)).decode()
        text += f"[Peer]\nPublicKey = {key}\nEndpoint = 192.0.2.9:{i + 1}\nAllowedIPs = {', '.join(words)}\n"
    return text


@pytest.fixture
def hosts(tmp_path):
    need(privileges)
    need(programs, "wg", "ip")
    made = []

    def make(command):
        made.append(Host(tmp_path / str(len(made)), command))
        return made[-1]

    yield make
    for host in made:
        host.close()


COMMANDS = {
    "cpython": lambda heap: CPYTHON,
    "micropython": lambda heap: need(micropython.command, heap),
    "micropython32": lambda heap: need(micropython.command32, heap),
}


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("peers,prefixes,heap", [(1, 600, "1M"), (40, 40, "1M"), (4, 2000, "2M")])
def test_up_makes_room_for_its_file(hosts, kind, peers, prefixes, heap):
    host = hosts(COMMANDS[kind](heap))
    host.write(many(peers, prefixes))
    status, printed = host.run("up", str(host.file))
    assert status == 0, printed
    assert host.place.ip("route", "show", "dev", host.name).count("/24") == prefixes
    assert sum(len(line[3].split(",")) for line in host.dump()[1:]) == prefixes


@pytest.mark.parametrize("kind", ["micropython", "micropython32"])
@pytest.mark.parametrize("peers,prefixes,heap", HEAPS)
def test_the_heaps_of_the_page(hosts, kind, peers, prefixes, heap):
    assert len(HEAPS) == 2
    host = hosts(COMMANDS[kind](heap))
    host.write(many(int(peers), int(prefixes.replace(",", ""))))
    assert host.run("up", str(host.file))[0] == 0
    assert host.run("down", str(host.file))[0] == 0


@pytest.mark.parametrize("kind", ["micropython", "micropython32"])
@pytest.mark.parametrize("peers,prefixes,heap", [(1, 1, "440K"), (1, 600, "600K"), (80, 160, "640K"), (1, 2000, "1M")])
def test_a_heap_that_is_too_small(hosts, kind, peers, prefixes, heap):
    """The file is refused before the first hook. With the heap in the message, it works."""
    host = hosts(COMMANDS[kind](heap))
    host.write(many(peers, prefixes).replace("[Peer]", f"PreUp = echo x >{host.folder}/hook\n[Peer]", 1))
    before = host.seen()
    status, printed = host.run("up", str(host.file))
    [size] = re.findall(r"^wgembed: MicroPython's heap is too small .* heapsize=(\d+[KM]) or more\n$", printed)
    assert status == 1 and host.seen() == before and host.dump() is None and not (host.folder / "hook").exists()
    host.command = COMMANDS[kind](size)
    status, printed = host.run("up", str(host.file))
    assert status == 0, printed


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
@pytest.mark.parametrize(
    "variable,why",
    [
        ("WGEMBED_MAX_PEERS=2", "3 peers are too many for WGEMBED_MAX_PEERS=2; set it"),
        ("WGEMBED_MAX_PREFIXES=5", "6 allowed IPs of one family are too many for WGEMBED_MAX_PREFIXES=5; set it"),
        ("WGEMBED_MAX_PREFIXES=0", "WGEMBED_MAX_PREFIXES: expected a number from 1 to 65536, got '0'"),
    ],
)
def test_a_limit_that_is_set_is_kept(hosts, kind, variable, why):
    host = hosts(COMMANDS[kind]("1M"))
    host.write(many(3, 6))
    before = host.seen()
    more = f" to {variable[-1] == '2' and 3 or 6} or more" if why.endswith("set it") else ""
    assert host.run("up", str(host.file), environment=[variable]) == (1, f"wgembed: {why}{more}\n")
    assert host.seen() == before and host.dump() is None


@pytest.mark.parametrize("kind", ["cpython", "micropython"])
def test_the_log_names_what_to_raise(hosts, kind):
    host = hosts(COMMANDS[kind]("1M"))
    environment = ["env", "WGEMBED_MAX_PEERS=2", "WGEMBED_MAX_PREFIXES=1"]
    daemon = host.place.spawn(*environment, *host.command, "-f", host.name)
    poll(lambda: host.dump() is not None, 10)
    keys = [base64.b64encode(os.urandom(32)).decode() for _ in range(3)]
    assert host.place.run("wg", "set", host.name, "peer", keys[0], "allowed-ips", "10.0.0.1,10.0.0.2", check=False)[0]
    daemon.expect("the table of 1 prefixes of IPv4 is full; restart with more WGEMBED_MAX_PEERS or WGEMBED_MAX_PREFIXES", 5)
    assert host.place.run("wg", "set", host.name, *[w for key in keys for w in ("peer", key)], check=False)[0]
    daemon.expect(r"the peer table is full \(2 peers\); restart with more WGEMBED_MAX_PEERS", 5)
