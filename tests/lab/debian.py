"""Debian packages that are unpacked into the cache, not installed: newer programs, and kernels to boot.

The mirror is that of this machine's apt. An unpacked package is used again until the cache is emptied.
"""

import contextlib
import fcntl
import functools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from .need import Missing, programs

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MICROPYTHON = ["micropython", "libc6", "libffi8", "libsodium23", "libmbedtls21", "libmbedx509-7", "libmbedcrypto16"]


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(base, "wgembed-tests")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name):
    """Lock a cache entry: one process builds it at a time, over all test runs of this machine."""
    with open(cache() / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _output(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise Missing(f"{' '.join(command[:2])}: {done.stderr.strip() or 'failed'}")
    return done.stdout


def _mirror():
    """The archive (not the security archive) of this machine's release."""
    targets = _output(
        "apt-get",
        "indextargets",
        "--format",
        "$(CODENAME) $(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
        "Component: main",
    )
    for line in targets.splitlines():
        codename, uri = line.split()
        if "-" not in codename:
            return uri
    raise Missing("apt has no lists of a Debian archive: run apt-get update")


def _apt_options(suite, architecture=None):
    """Options with which apt uses only `suite`, with separate lists."""
    state = cache() / "apt" / (f"{suite}-{architecture}" if architecture else suite)
    (state / "lists/partial").mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    of_machine = [f"-oAPT::Architecture={architecture}", f"-oAPT::Architectures={architecture}"] if architecture else []
    return [
        *of_machine,
        f"-oDir::State::lists={state}/lists",
        f"-oDir::Etc::sourcelist={sources}",
        "-oDir::Etc::sourceparts=-",
        "-oDir::Cache::pkgcache=",
        "-oDir::Cache::srcpkgcache=",
        "-oAPT::Sandbox::User=root",
    ]


def unpack(name, packages, suite=None, architecture=None):
    """Unpack packages, by default of this machine's release and architecture, and return the directory.

    Packages that belong together, such as a program and its C library, get one `name`.
    """
    programs("apt-get", "dpkg-deb")
    root = cache() / "debian" / name
    with locked(name):
        if root.is_dir():
            return root
        fresh = root.with_name(name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        options = _apt_options(suite, architecture) if suite else ["-oAPT::Sandbox::User=root"]
        if suite:
            _output("apt-get", "-q", *options, "update")
        for package in packages:
            _output("apt-get", "-q", *options, "download", package, cwd=fresh)
        for archive in list(fresh.glob("*.deb")):
            _output("dpkg-deb", "-x", archive.name, ".", cwd=fresh)
            archive.unlink()
        fresh.rename(root)
    return root


def unpack_with_all(folder, packages, suite, architecture):
    """Unpack packages of another architecture into the folder, with everything that they depend on."""
    programs("apt-get", "dpkg-deb")
    options = _apt_options(suite, architecture)
    folder.mkdir(parents=True)
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True)
    (archives / "status").touch()
    options += [f"-oDir::Cache::archives={archives}", f"-oDir::State::status={archives}/status", "-oDebug::NoLocking=1"]
    _output("apt-get", "-q", *options, "update")
    _output("apt-get", "-q", "-y", "--no-install-recommends", "--download-only", *options, "install", *packages)
    for archive in sorted(archives.glob("*.deb")):
        _output("dpkg-deb", "-x", str(archive), str(folder))
    shutil.rmtree(archives)


def dependency_in(suite, architecture, package, pattern):
    """The package on which a meta package of another suite or architecture depends."""
    options = _apt_options(suite, architecture)
    _output("apt-get", "-q", *options, "update")
    found = re.search(rf"Depends: ({pattern})", _output("apt-cache", *options, "depends", package))
    if not found:
        raise Missing(f"{suite} has no {package} for {architecture}")
    return found[1]


def dependency(package, pattern):
    """The package on which a meta package of this machine's release depends."""
    programs("apt-cache")
    found = re.search(rf"Depends: ({pattern})", _output("apt-cache", "depends", package))
    if not found:
        raise Missing(f"apt does not know {package}: run apt-get update")
    return found[1]


def with_own_loader(root, program):
    """The command that runs a program with the C library that is unpacked beside it."""
    loader = next(root.glob("usr/lib/*/ld-linux*.so.*"))
    return [str(loader), "--library-path", str(loader.parent), str(root / "usr/bin" / program)]


@functools.cache
def wireguard_go_sid():
    """The wireguard-go of Debian unstable, which is linked statically."""
    return [str(unpack("wireguard-go-sid", ["wireguard-go"], "sid") / "usr/bin/wireguard-go")]


@functools.cache
def wg_sid():
    """The `wg` of Debian unstable, with the C library for which it was built."""
    return with_own_loader(unpack("wireguard-tools-sid", ["wireguard-tools", "libc6"], "sid"), "wg")


@functools.cache
def wg_quick_sid():
    """The path of the `wg-quick` of Debian unstable, a script of bash. It would use the `wg` of its folder first."""
    return unpack("wireguard-tools-sid", ["wireguard-tools", "libc6"], "sid") / "usr/bin/wg-quick"


def micropython_of_trixie():
    """MicroPython with ffi, and the libsodium that it loads: the loader, its option, the libraries, the program."""
    return with_own_loader(unpack("micropython-trixie", MICROPYTHON, "trixie"), "micropython")


@functools.cache
def micropython():
    """The command of MicroPython with ffi: that of trixie, or the one in WGEMBED_MICROPYTHON."""
    return shlex.split(os.environ.get("WGEMBED_MICROPYTHON", "")) or micropython_of_trixie()


@functools.cache
def micropython32():
    """The same for 32-bit x86, with its heap between 0x40000000 and 0x7fffffff, as on MIPS."""
    programs("setarch")
    root = unpack("micropython-trixie-i386", MICROPYTHON, "trixie", "i386")
    return ["setarch", "-L", *with_own_loader(root, "micropython")]
