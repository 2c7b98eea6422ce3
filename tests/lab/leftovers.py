"""What a test run leaves behind that was killed: namespaces with what runs in them, control sockets, folders, shared memory.

Everything that outlives a test has the id of its process in its name; what belongs to a process that is gone is removed, at
the beginning and at the end of every run.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import faketime

NAMESPACE = re.compile(r"wgl-(\d+)-\d+")
INTERFACE = re.compile(r"[a-z](\d+)n\d+\.(?:sock|added)")
FOLDER = re.compile(r"(?:wrt-|soak-|mutation-|wgembed-test-stamps-)(\d+)(?:-\w+)?")


def folder(kind):
    """Make a folder in /tmp that is removed by the next run if this one is killed. `kind`: wrt or soak."""
    return Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-"))


def _abandoned(parent, pattern):
    """What is in the folder `parent` by a name of the pattern, and belongs to no process any more."""
    with contextlib.suppress(OSError):
        for path in Path(parent).iterdir():
            owner = pattern.fullmatch(path.name)
            if owner and not os.path.exists(f"/proc/{owner[1]}"):
                yield path


def sweep_namespaces():
    for path in _abandoned("/run/netns", NAMESPACE):
        running = subprocess.run(["ip", "netns", "pids", path.name], capture_output=True, text=True, timeout=60).stdout
        for pid in running.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", path.name], capture_output=True, timeout=60)


def sweep():
    """Remove all of it that there is."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        sweep_namespaces()
    for parent in ("/var/run/wireguard", "/var/run/wgembed"):
        for path in _abandoned(parent, INTERFACE):
            path.unlink(missing_ok=True)
    for path in _abandoned(tempfile.gettempdir(), FOLDER):
        shutil.rmtree(path, ignore_errors=True)
    faketime.sweep()
