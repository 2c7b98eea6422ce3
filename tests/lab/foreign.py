"""Other architectures: their Debian programs, in QEMU's user-mode emulation.

s390x   64 bit, big-endian
armhf   32 bit, little-endian
"""

import functools

from . import debian
from .need import NotInstalled, have

EMULATORS = {"s390x": "qemu-s390x-static", "armhf": "qemu-arm-static"}
PYTHON = ["python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "python3-nacl",
          "python3-cffi-backend", "libc6", "libffi8", "libgcc-s1", "libsodium23", "zlib1g", "libexpat1"]  # fmt: skip
MICROPYTHON = ["micropython", "libc6", "libffi8", "libgcc-s1", "libsodium26", "libmbedtls21", "libmbedx509-7",
               "libmbedcrypto16"]  # fmt: skip


def _emulated(architecture, name, packages, suite, program):
    """Return the folder of the unpacked packages, and the command that runs their program."""
    emulator = EMULATORS[architecture]
    if not have(emulator):
        raise NotInstalled(emulator)
    root = debian.unpack(f"{name}-{architecture}", packages, suite, architecture)
    # The folder of the C library is that of its loader. The other libraries can be below /usr.
    loader = next(path for path in root.glob("**/ld*.so.*") if path.name.startswith(("ld64.", "ld-linux")))
    folders = ":".join({str(file.parent): None for file in sorted(root.glob("**/lib*.so.*"))})
    return root, [emulator, str(loader.resolve()), "--library-path", folders, str(root / "usr/bin" / program)]


@functools.cache
def python(architecture):
    """CPython of bookworm with PyNaCl; arguments follow."""
    root, command = _emulated(architecture, "python", PYTHON, "bookworm", "python3.11")
    return ["env", f"PYTHONHOME={root}/usr", f"PYTHONPATH={root}/usr/lib/python3/dist-packages", *command]


@functools.cache
def micropython(architecture):
    """MicroPython of Debian unstable with ffi, newer than what runs natively; arguments follow."""
    return _emulated(architecture, "micropython-sid", MICROPYTHON, "sid", "micropython")[1]
