"""Cases in which a backend once differed from the contract: the same script on both, with the same result."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]
LIMIT = 1000  # the size limit of a file, in bytes

SCRIPT = """
import os, sys
sys.path.insert(0, {root!r})
from wgembed.runtime import system

files, folder = system.files, {folder!r}

def attempt(function, *arguments):
    try:
        return function(*arguments)
    except OSError as e:
        return "errno %s" % e.errno

def open_descriptors():
    return len(os.listdir("/proc/self/fd"))

{body}
"""

BODIES = {
    "what is written in part is an error": (
        """
print(attempt(files.write_new, folder + "/short", bytes({limit} + 1)))
print(len(files.read_file(folder + "/short")))
""",
        ["errno 27", str(LIMIT)],
    ),
    "a setting is written where it exists, and made nowhere": (
        """
print(attempt(files.write_file, folder + "/none", "1"), files.exists(folder + "/none"))
files.write_new(folder + "/setting", b"abc")
files.write_file(folder + "/setting", "x")
print(files.read_file(folder + "/setting").decode())
""",
        ["errno 2 False", "xbc"],
    ),
    "only what is not there is no socket": (
        """
files.write_new(folder + "/file", b"")
listener = system.local.Listener(folder + "/socket")
print([attempt(files.is_socket, folder + "/" + name) for name in ("none", "file", "socket", "file/below")])
""",
        ["[False, False, True, 'errno 20']"],
    ),
    "no descriptor is left behind": (
        """
before = open_descriptors()
for _ in range(3):
    try:
        system.local.Listener(folder + "/" + "x" * 200)
        print("made")
    except OSError:
        pass
print(open_descriptors() - before)
""",
        ["0"],
    ),
    "an error has the same words and its number": (
        """
from wgembed.errors import cause
print(system.process.strerror(22))
for error in (OSError(22), OSError(13, "other words"), OSError(-2, "Name does not resolve"), OSError("no number")):
    print(cause(error))
""",
        [
            "Invalid argument",
            "Invalid argument (22)",
            "Permission denied (13)",
            "Name does not resolve",
            "no number",
        ],
    ),
}


@pytest.mark.parametrize("backend", ["cpython", "micropython"])
@pytest.mark.parametrize("what", BODIES)
def test_backends_do_as_the_contract_says(what, backend, tmp_path):
    command = [*need(debian.micropython), "-X", "heapsize=1M"] if backend == "micropython" else [sys.executable, "-B"]
    body, expected = BODIES[what]
    folder = tmp_path / "folder"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(ROOT), folder=str(folder), body=body.format(limit=LIMIT)))
    done = subprocess.run(
        [*command, str(script)],
        capture_output=True,
        text=True,
        timeout=20,
        # The child inherits the ignored SIGXFSZ, so that the write fails instead.
        restore_signals=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
