"""What a killed test run leaves: namespaces with their processes, control sockets, folders, shared memory.

Everything that can outlive a test has the id of its process in its name. If the process is gone, it is removed at the
beginning and at the end of every run.
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
    """Make a folder in /tmp. If this run is killed, the next run removes the folder. `kind`: wrt or soak."""
    return Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-"))


def _abandoned(parent, pattern):
    """The files in the folder `parent` whose name matches the pattern and whose process is gone."""
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
    """Remove everything that killed runs left."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        sweep_namespaces()
    for parent in ("/var/run/wireguard", "/var/run/wgembed"):
        for path in _abandoned(parent, INTERFACE):
            path.unlink(missing_ok=True)
    for path in _abandoned(tempfile.gettempdir(), FOLDER):
        shutil.rmtree(path, ignore_errors=True)
    faketime.sweep()
