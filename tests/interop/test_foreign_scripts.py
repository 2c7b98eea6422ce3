"""The test scripts of wireguard-go and of the Linux kernel, run with wgembed: see lab/scripts.py and docs/testing.md."""

import sys
from pathlib import Path

import pytest

from ..lab import debian, fastpath, micropython, scripts
from ..lab.need import need, outside

# The scripts give one interface 40 peers, and one 65,280 prefixes of each family.
TABLES = {"WGEMBED_MAX_PEERS": "64", "WGEMBED_MAX_PREFIXES": "65536", "LOG_LEVEL": "error"}

LAST_STEP = "Objects that were created were also destroyed."
CANNOT = {
    scripts.WIREGUARD_GO: [],
    scripts.LINUX: [
        "the counters of the link count messages: those of a TUN device count packets",
        "padding fits the MTU of a route: the daemon does not see the route of a packet",
        "an ICMP error is translated back and leaves from the address of this machine: NAT is the kernel's",
        "a network namespace ends with its name: the daemon stays in it",
    ],
}


def command(runtime):
    if runtime.startswith("cpython"):
        return [str(Path(sys.executable).with_name("wgembed"))]
    return need(lambda: micropython.command("32M"))


@pytest.mark.parametrize("runtime", ["cpython", "micropython", "cpython-fastpath", "micropython-fastpath"])
@pytest.mark.parametrize("script", scripts.SCRIPTS)
def test_all_steps(script, runtime, tmp_path):
    path = outside(scripts.prepare, script)
    library = need(fastpath.built) if runtime.endswith("fastpath") else "0"
    environment = {**TABLES, "WGEMBED_FASTPATH": library}
    run = scripts.Run(path, command(runtime), tmp_path, environment, need(debian.wg_sid))
    assert (run.status, run.ended_at()) == (0, LAST_STEP), run.errors[-2000:]
    assert run.cannot == CANNOT[script]
