"""wgembed as a router from UCI on whole machines with router CPUs, against the kernel's WireGuard and wireguard-go there.

A machine of each kind boots once and goes through tests/machines/router.sh with each interpreter that it has, with the C
library and without. Each of its checks writes a line.
"""

import os
import re
from pathlib import Path

import pytest

from ..lab import fastpath, machines, wire
from ..lab.need import need
from ..lab.router import Keys, interface, peer, section

WITHIN = 300
# Bytes of each stream.
BYTES = 256 << 10
# Without the library, there is a library of this machine, which that CPU cannot load.
PROGRAMS = {
    "cpython-library": ("cpython", True),
    "cpython": ("cpython", False),
    "micropython-library": ("micropython", True),
    "micropython": ("micropython", False),
}
# The machine that is no router's: it is here for its byte order, which the library and each interpreter must have right.
SOME = {"s390x": ("cpython-library", "micropython")}
CHECKS = (
    "ready", "library", "kernel-router-begins", "go-router-begins", "kernel-begins", "go-begins", "stream-to-kernel",
    "stream-from-kernel", "stream-to-go", "stream-from-go", "reload", "flood", "status", "dropped", "diagnose", "wg-show",
    "memory", "clock-1970", "plain-cipher", "rekey", "stream-afterwards", "no-failure",
)  # fmt: skip


def is_counted(kind):
    """Return whether this machine counts instructions: then idle time passes at once. MIPS would take minutes to boot."""
    return kind.name != "mips-24k"


def checks(kind):
    """Return the names of the checks. Without counting, nothing waits two minutes until a handshake is due."""
    return [check for check in CHECKS if check != "rekey" or is_counted(kind)]


def programs(kind):
    """Return the names of the programs that run there."""
    return SOME.get(kind.name) or [
        label for label, (interpreter, _) in PROGRAMS.items() if interpreter == "cpython" or kind.micropython
    ]


def files():
    """Return the keys, the configurations and what strangers send."""
    near, far = Keys(), Keys()
    foreign_library = Path(fastpath.built()).read_bytes()
    found = [
        ("near.pub", near.public.encode()),
        ("far", far.private.encode()),
        ("other.so", foreign_library),
        ("initiations", b"".join(wire.anonymous_initiations(near.raw_public, 200))),
        ("junk", os.urandom(100 * 200)),
    ]
    for family in (4, 6):
        found.append((f"config/router-{family}", _config(near, far, family)))
        other = peer("wg0", public_key=Keys().public, allowed_ips=["10.7.0.0/24"])
        found.append((f"config/more-{family}", _config(near, far, family) + other.encode()))
    return found


def _config(near, far, family):
    sections = [section("globals", "globals", {})]
    for number, port, net in ((0, 51820, 9), (1, 51829, 8)):
        outside = "10.0.0.2" if (family == 4) == (number == 0) else "fd00::2"
        options = {"private_key": near.private, "listen_port": port, "addresses": [f"10.{net}.0.1/24"]}
        sections.append(interface(f"wg{number}", **options))
        options = {"public_key": far.public, "allowed_ips": [f"10.{net}.0.0/24"]}
        options |= {"endpoint_host": outside, "endpoint_port": 51821 + number}
        sections.append(peer(f"wg{number}", **options))
    return "\n".join(sections).encode()


def script(kind):
    rekey = "yes" if is_counted(kind) else "no"
    text = f"export HEAP=4M BYTES={BYTES} REKEY={rekey}\n. /job/router.sh\nsetup_far\n"
    for number, label in enumerate(programs(kind)):
        interpreter, with_library = PROGRAMS[label]
        command = machines.command(interpreter, "/job/fastpath.so" if with_library else "/job/other.so")
        expected = "using the C library /job/fastpath.so"
        if with_library and kind.emulator in ("qemu-system-arm", "qemu-system-aarch64"):
            expected += " and its ChaCha20"
        elif not with_library:
            expected = "cannot use the C library, running in pure Python: cannot load /job/other.so"
        text += f"routers {label} {(4, 6)[number % 2]} '{expected}' {command}\n"
    return text


@pytest.mark.parametrize("kind", machines.KINDS)
def test_router(kind):
    kind = machines.KINDS[kind]
    told = need(machines.run, kind, script(kind), files(), is_counted(kind), WITHIN)
    found = dict(re.findall(r"^check (\S+) (ok|FAILED.*)$", told, re.M))
    failed = {name: seen.replace("|", "\n    ") for name, seen in found.items() if seen != "ok"}
    assert not failed, "\n".join(f"{name}: {seen}" for name, seen in failed.items())
    assert list(found) == [f"{program}-{check}" for program in programs(kind) for check in checks(kind)], told[-3000:]
