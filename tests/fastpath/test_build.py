"""How the library is built and packed: alone, into wheels, and for OpenWrt."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..lab import fastpath
from ..lab.builders import build_wheels, contents
from ..lab.need import NotInstalled, have, need, programs
from . import fastlib

ELF_MACHINE = {"x86_64": 62, "aarch64": 183, "armv7l": 40, "musl_x86_64": 62}
EXPORTED = {"wgembed_" + name for name in fastlib.FUNCTIONS}
COMPILERS = ["gcc", "aarch64-linux-gnu-gcc", "arm-linux-gnueabihf-gcc", "s390x-linux-gnu-gcc", "musl-gcc"]
COMPILERS += [name for name in ("clang",) if have(name)]

pytestmark = pytest.mark.skipif(fastlib.GIVEN in os.environ, reason="nothing is built here")


def machine_of(library):
    """The number of the machine that the library is for (ELF header)."""
    order = "little" if library[5] == 1 else "big"
    assert library[:4] == b"\x7fELF"
    return int.from_bytes(library[18:20], order)


def make(tmp_path, **variables):
    """Run the Makefile in a copy; returns the library's path."""
    shutil.copytree(fastlib.ROOT / "fastpath", tmp_path / "fastpath", ignore=shutil.ignore_patterns("fuzz_*", "*.so"))
    words = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(
        ["make", "-C", tmp_path / "fastpath", "fastpath.so", *words], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    return tmp_path / "fastpath/fastpath.so"


def test_make(tmp_path):
    need(programs, "make", "nm")
    library = make(tmp_path, CC=need(fastpath.compiler))
    symbols = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r" T (\w+)", symbols)) == EXPORTED
    assert not re.findall(r" [BDCG] (\w+)", symbols), "nothing is kept"
    needed = set(re.findall(r" U (\w+)", symbols))
    libc = {"explicit_bzero", "memcmp", "memcpy", "memset", "poll", "readv", "writev"}
    assert needed <= {"__errno_location", "__stack_chk_fail"} | libc
    assert library.stat().st_size < 32 << 10
    fast = fastlib.Fastpath(library)
    assert fast.self_test() == 0
    fast.close()


def test_nothing_is_kept(tmp_path):
    """There is no variable that outlives a call."""
    need(programs, "nm")
    compiler = need(fastpath.compiler)
    path = tmp_path / "fastpath.o"
    subprocess.run([compiler, "-std=c11", "-c", "-O0", "-o", path, fastpath.SOURCE], check=True)
    symbols = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    assert re.findall(r" [bBdDC] (\S+)", symbols) == []


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("level", ["-O0", "-O3", "-Os"])
def test_no_compiler_complains(compiler, level, tmp_path):
    need(programs, compiler)
    strict = [*fastpath.STRICT, "-Wcast-align=strict" if "gcc" in compiler else "-Wcast-align", "-Wstrict-prototypes"]
    command = [compiler, *strict, level, "-fPIC", "-shared", "-o", tmp_path / "fastpath.so", fastpath.SOURCE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["read", "write", "open", "seal"])
def test_with_the_c_library_of_openwrt(target, tmp_path):
    """musl: the fuzz targets find nothing wrong there either."""
    need(programs, "musl-gcc")
    program = tmp_path / target
    source = fastlib.ROOT / f"fastpath/fuzz_{target}.c"
    subprocess.run(["musl-gcc", *fastpath.STRICT, "-O2", "-static", "-DFUZZ_DRIVER", "-o", program, source], check=True)
    done = subprocess.run([program, "-runs=1000"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "1000 runs\n"), done.stderr


def packages_for_building():
    try:
        import setuptools  # noqa: F401
        import wheel  # noqa: F401
    except ImportError:
        raise NotInstalled("setuptools", "wheel") from None


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Make and keep the wheel for a machine."""
    need(packages_for_building)
    made = {}

    def wheel(platform):
        if platform and not build_wheels.compiler(platform):
            need(programs, build_wheels.PLATFORMS[platform][1])
        if platform not in made:
            made[platform] = build_wheels.build(tmp_path_factory.mktemp("wheels"), platform, isolated=False)
        return made[platform]

    return wheel


@pytest.mark.parametrize("platform", sorted(build_wheels.PLATFORMS))
def test_a_wheel_for_a_platform(wheels, platform):
    wheel = wheels(platform)
    assert wheel.name == f"wgembed-{contents.version()}-py3-none-{build_wheels.PLATFORMS[platform][0]}.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert machine_of(archive.read("wgembed/fastpath.so")) == ELF_MACHINE[platform]
        assert [name for name in archive.namelist() if name.endswith(".so")] == ["wgembed/fastpath.so"]


def auditwheel():
    if not importlib.util.find_spec("auditwheel"):
        raise NotInstalled("auditwheel")


@pytest.mark.parametrize("platform", [name for name in build_wheels.PLATFORMS if not name.startswith("musl")])
def test_the_tag_of_a_wheel_is_the_one_that_auditwheel_finds(wheels, platform):
    need(auditwheel)
    command = [sys.executable, "-m", "auditwheel", "show", wheels(platform)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = " ".join(done.stdout.split())
    assert f'following platform tag: "{build_wheels.PLATFORMS[platform][0]}"' in told, told + done.stderr


LOADER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **words) {
    void *library = dlopen(words[count - 1], RTLD_NOW);
    unsigned (*abi)(void) = library ? (unsigned (*)(void))dlsym(library, "wgembed_abi") : 0;
    return abi ? printf("%u\\n", abi() >> 16) < 0 : (puts(dlerror()), 1);
}
"""


def test_the_wheel_for_musl_loads_there(wheels, tmp_path):
    """auditwheel cannot judge it on a machine with glibc. It names musl's library, and no version of a function."""
    need(programs, "musl-gcc", "nm")
    with zipfile.ZipFile(wheels("musl_x86_64")) as archive:
        library = archive.extract("wgembed/fastpath.so", tmp_path)
    assert "GLIBC" not in subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True).stdout
    (tmp_path / "loader.c").write_text(LOADER)
    subprocess.run(["musl-gcc", "-o", tmp_path / "loader", tmp_path / "loader.c"], check=True)
    done = subprocess.run([tmp_path / "loader", library], capture_output=True, text=True, timeout=10)
    assert done.stdout.strip() == re.search(r"ABI_VERSION = (\d+)", fastpath.SOURCE.read_text())[1]


def test_a_wheel_for_any(wheels):
    wheel = wheels(None)
    assert wheel.name == f"wgembed-{contents.version()}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]


def install(tmp_path, **variables):
    """Install from a copy of the tree into a folder; returns what the package has there."""
    need(packages_for_building)
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(fastlib.ROOT, source, ignore=build_wheels.LEFT_OUT)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target, source]
    subprocess.run(command, env=dict(os.environ, **variables), check=True, timeout=100)
    return target / "wgembed"


def test_an_install_has_the_library(tmp_path):
    need(fastpath.compiler)
    package = install(tmp_path)
    fast = fastlib.Fastpath(package / "fastpath.so")
    assert fast.self_test() == 0
    fast.close()


def test_an_install_without_a_compiler(tmp_path):
    package = install(tmp_path, CC="/nonexistent/cc")
    assert (package / "__init__.py").exists() and not (package / "fastpath.so").exists()


def test_one_that_wants_the_library_fails_without(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        install(tmp_path, CC="/nonexistent/cc", WGEMBED_BUILD_FASTPATH="1")
    assert not Path(tmp_path, "target").exists()
