"""Lookups of host names in a child process, on CPython and on MicroPython."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from wgembed.runtime import resolver

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from wgembed.runtime import system
from wgembed.runtime.address import format_ip
from wgembed.runtime.resolver import Lookup

poller = system.poll.Poller()
for name in {names!r}:
    begin = system.clock.now()
    lookup = Lookup(name)
    started = system.clock.now() - begin
    poller.watch(lookup.fd, system.poll.IN)
    over = False
    while not over and system.clock.now() - begin < {patience}:
        for _ in poller.wait(100):
            over = lookup.advance()
    poller.forget(lookup.fd)
    found = sorted([format_ip(packed) for packed in lookup.finish()])
    print(name, "over" if over else "waiting", "at once" if started < 500 else "late", *found)
"""


@pytest.fixture(params=["cpython", "micropython"])
def look_up(request, namespace, tmp_path):
    """A function that looks names up with /etc/hosts and /etc/resolv.conf of the test, and returns lines."""
    command = [sys.executable] if request.param == "cpython" else [*need(debian.micropython), "-X", "heapsize=1M"]
    many = "".join(f"2001:db8:{n:x}::1 many.test\n" for n in range(2000))
    (tmp_path / "hosts").write_text("192.0.2.7 seven.test\n2001:db8::7 seven.test\n192.0.2.8 eight.test\n" + many)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30\n")

    def run(*names, patience=10_000):
        file = tmp_path / "script.py"
        file.write_text(SCRIPT.format(root=str(ROOT), names=names, patience=patience))
        mounts = " && ".join(f"mount --bind {tmp_path / name} /etc/{name}" for name in ("hosts", "resolv.conf"))
        told = namespace.run("unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command, str(file))[1]
        return told.splitlines()

    return run


def test_names_and_addresses(look_up):
    assert look_up("seven.test", "eight.test", "192.0.2.9", "2001:db8::9", "none.test") == [
        "seven.test over at once 192.0.2.7 2001:db8::7",
        "eight.test over at once 192.0.2.8",
        "192.0.2.9 over at once 192.0.2.9",
        "2001:db8::9 over at once 2001:db8::9",
        "none.test over at once",
    ]


def test_of_thousands_of_addresses_a_few_are_taken(look_up):
    """A name server is not trusted. Its answers must not fill the memory, and must not block the loop."""
    name, over, *_, last = look_up("many.test")[0].split()
    assert (name, over) == ("many.test", "over") and last.startswith("2001:db8:")
    assert look_up("many.test")[0].count("2001:db8:") == resolver.MOST


def test_a_silent_name_server_holds_up_nobody(look_up, namespace):
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        assert look_up("none.test", "eight.test", patience=1500) == [
            "none.test waiting at once",
            "eight.test over at once 192.0.2.8",
        ]
        assert silent.recv(512), "it was asked"


def test_a_look_up_loads_no_codecs():
    """A Python for a router possibly has no module for international names."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['encodings.idna'] = None\n"
        "from wgembed.runtime.cpython import inet; print(inet.look_up('127.0.0.1'))"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-s", "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout == f"{[bytes((127, 0, 0, 1))]}\n", done.stderr
