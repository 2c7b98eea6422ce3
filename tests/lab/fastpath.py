"""The C library of the packet path, compiled from this source, once for each version of the source."""

import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from . import debian
from .need import NotInstalled

SOURCE = Path(__file__).parents[2] / "fastpath" / "fastpath.c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def compiler():
    """Return the command of the C compiler. Missing if there is no compiler."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    raise NotInstalled("C compiler")


def compile_library(folder, *options):
    """Compile the library into the folder, with all warnings as errors. Returns its path."""
    path = Path(folder) / "fastpath.so"
    command = [compiler(), *STRICT, "-O2", "-fPIC", "-shared", *options, "-o", path, SOURCE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


@functools.cache
def built():
    """Return the path of the library. It is compiled if this source was not compiled before."""
    return str(once("fastpath", SOURCE, compile_library) / "fastpath.so")


def once(name, source, compile_into):
    """Return the folder that compile_into(folder) fills, once for each version of the source."""
    text = b"".join(file.read_bytes() for file in [source, *sorted(source.parent.glob("*.h"))])
    folder = debian.cache() / name / hashlib.sha256(text).hexdigest()[:16]
    with debian.locked(name):
        if not folder.is_dir():
            fresh = folder.with_name("new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            compile_into(fresh)
            fresh.rename(folder)
    return folder
