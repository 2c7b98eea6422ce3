"""The interpreters of newer Debian suites, for this machine, with the C library and the libsodium of the suite."""

import functools
import platform

from . import debian

SUITES = ["trixie", "sid"]
_LIBRARIES = ["libc6", "libffi8", "libgcc-s1", "zlib1g", "libexpat1"]
_OF_DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
_LIBSODIUM = {"trixie": "libsodium23", "sid": "libsodium26"}


@functools.cache
def python(suite):
    """The command of the suite's CPython with PyNaCl; arguments follow."""
    architecture = _OF_DEBIAN.get(platform.machine(), "amd64")
    name = debian.dependency_in(suite, architecture, "python3-minimal", r"python3\.\d+")
    packages = [f"{name}-minimal", f"lib{name}-minimal", f"lib{name}-stdlib", "python3-nacl", "python3-cffi-backend"]
    root = debian.unpack(f"{name}-{suite}", [*packages, *_LIBRARIES, _LIBSODIUM[suite]], suite)
    paths = [f"PYTHONHOME={root}/usr", f"PYTHONPATH={root}/usr/lib/python3/dist-packages"]
    return ["env", *paths, *debian.with_own_loader(root, name)]


@functools.cache
def micropython(suite):
    """The command of the suite's MicroPython with ffi."""
    packages = [name for name in debian.MICROPYTHON if not name.startswith("libsodium")]
    root = debian.unpack(f"micropython-{suite}", [*packages, _LIBSODIUM[suite]], suite)
    return debian.with_own_loader(root, "micropython")
