"""Events of a directory, on CPython (with and without the backend of cffi) and on MicroPython."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
sys.path.insert(0, {root!r})
{before}
from wgembed.runtime import abi, system

poller = system.poll.Poller()
gone = system.notify.DirectoryWatch({folder!r}, abi.NAMES_GONE)
changed = system.notify.DirectoryWatch({folder!r}, abi.FILES_CHANGED)

def told():
    heard = []
    for watch in (gone, changed):
        poller.watch(watch.fd, system.poll.IN)
        for fd, events in poller.wait(0):
            heard.append("gone" if watch is gone else "changed")
            watch.drain()
        poller.forget(watch.fd)
    return heard

path = {folder!r} + "/x"
print(told())
system.files.write_new(path, b"1")
print(told())
system.files.rename(path, path + "y")
print(told())
system.files.remove(path + "y")
print(told())
print(told())
try:
    system.notify.DirectoryWatch({folder!r} + "/none", abi.NAMES_GONE)
except OSError as e:
    print(e.errno)
"""


@pytest.mark.parametrize("kind", ["cffi", "ctypes", "micropython"])
def test_names_that_come_and_go(kind, tmp_path):
    command = [*need(debian.micropython), "-X", "heapsize=1M"] if kind == "micropython" else [sys.executable]
    before = "sys.modules['_cffi_backend'] = None" if kind == "ctypes" else ""
    script = tmp_path / "script.py"
    folder = tmp_path / "folder"
    folder.mkdir()
    script.write_text(SCRIPT.format(root=str(ROOT), before=before, folder=str(folder)))
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[]", "['changed']", "['gone', 'changed']", "['gone', 'changed']", "[]", "2",
    ]  # fmt: skip
    assert os.listdir(folder) == []
