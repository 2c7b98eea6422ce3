"""What a killed test run leaves is gone with the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .lab import leftovers, net
from .lab.need import need, privileges

RUN = """
import sys, time
sys.path.insert(0, {root!r})
from tests.lab import leftovers, net

namespace = net.Namespace()
child = namespace.spawn({python!r}, "-m", "wgembed", "-f", net.unique("l"))
child.expect("ready", 20)
print(namespace.name, child.pid, leftovers.folder("wrt"), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("alive", [True, False], ids=["while it runs", "once it is gone"])
def test_what_a_killed_run_leaves_is_swept(alive):
    need(privileges)
    script = RUN.format(root=str(Path(__file__).parents[1]), python=sys.executable)
    environment = dict(os.environ, LOG_LEVEL="verbose")
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        name, pid, folder = run.stdout.readline().split()
        if alive:
            leftovers.sweep()
            assert Path("/run/netns", name).exists() and Path("/proc", pid).exists() and Path(folder).exists(), (
                "it still runs"
            )
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
    leftovers.sweep()
    assert not Path("/run/netns", name).exists() and not Path(folder).exists()
    net.poll(lambda: not Path("/proc", pid).exists(), 10, what="the end of the daemon")
    left = [path.name for path in Path("/var/run/wireguard").iterdir() if f"{run.pid}n" in path.name]
    assert left == []
