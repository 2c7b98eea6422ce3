"""Router CPUs as whole machines: Debian's kernels and programs of other architectures in QEMU.

A machine boots, runs one shell script from its second disk, writes to its console, and switches itself off. Nothing waits
for an answer of ours. So with `is_counted` the guest's clock can count the instructions of the guest, a nanosecond each:
the figures are the same whatever else this machine does.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import debian, fastpath, qemu
from .need import Missing, NotInstalled, have, programs
from .patience import stretch

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "tests/machines"
MODULES = ["crc32c_generic", "virtio_mmio", "virtio_pci", "virtio_blk", "virtio_rng", "ext4", "tun", "veth", "wireguard"]
PYTHON = "python3.11"  # of bookworm
PROGRAMS = ["busybox-static", "dash", "python3-minimal", "libpython3-stdlib", "python3-nacl", "iproute2", "wireguard-tools",
            "wireguard-go"]  # fmt: skip
# The suite decides which libsodium MicroPython gets.
MICROPYTHON = {
    suite: ["micropython", "libc6", "libffi8", "libgcc-s1", sodium, "libmbedtls21", "libmbedx509-7", "libmbedcrypto16"]
    for suite, sodium in (("trixie", "libsodium23"), ("sid", "libsodium26"))
}
_BUILD_WITHIN = 300
# A second of a counted guest takes up to ten of ours.
_RUN_WITHIN = 900


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of machine.

    architecture, kernel  of Debian: the name of the architecture, and of the package of the kernel
    emulator, options     QEMU's program, and its options for the board, the CPU and the memory
    disk                  QEMU's device for a disk; `random` the one for random numbers
    compiler              the cross compiler
    micropython           the suite of Debian whose MicroPython runs there; "" if there is none
    march                 the machine code for mpy-cross; "" for bytecode only
    """

    name: str
    architecture: str
    kernel: str
    emulator: str
    options: tuple
    console: str
    disk: str
    random: str
    compiler: str
    micropython: str = ""
    march: str = ""
    append: str = ""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("cortex-a7", "armhf", "linux-image-armmp", "qemu-system-arm",
             ("-M", "virt", "-cpu", "cortex-a7", "-m", "64M"), "ttyAMA0", "virtio-blk-device", "virtio-rng-device",
             "arm-linux-gnueabihf-gcc", "trixie", "armv7m", "cma=0"),
        Kind("cortex-a53", "arm64", "linux-image-arm64", "qemu-system-aarch64",
             ("-M", "virt", "-cpu", "cortex-a53", "-m", "128M"), "ttyAMA0", "virtio-blk-device", "virtio-rng-device",
             "aarch64-linux-gnu-gcc", "trixie", "", "cma=0"),
        Kind("mips-24k", "mipsel", "linux-image-4kc-malta", "qemu-system-mipsel",
             ("-M", "malta", "-cpu", "24Kf", "-m", "64M"), "ttyS0", "virtio-blk-pci", "virtio-rng-pci",
             "mipsel-linux-gnu-gcc"),
        Kind("s390x", "s390x", "linux-image-s390x", "qemu-system-s390x",
             ("-M", "s390-ccw-virtio", "-m", "256M"), "ttysclp0", "virtio-blk-ccw", "virtio-rng-ccw",
             "s390x-linux-gnu-gcc", "sid"),
    )
}  # fmt: skip

# What runs wgembed in a job; HEAP is the size of MicroPython's heap.
CPYTHON = """#!/bin/dash
PYTHONPATH=/job exec python3 -m wgembed "$@"
"""
MICROPYTHON_PROGRAM = """#!/bin/dash
cd /job/mpy
for loader in /opt/micropython/lib/*/ld*.so.* /opt/micropython/lib/ld*.so.*; do [ ! -e $loader ] || break; done
exec $loader --library-path $(echo /opt/micropython/lib/*-linux-gnu*) \\
    /opt/micropython/bin/micropython -X heapsize=${HEAP:-512K} -m wgembed "$@"
"""

# The first program of the guest: it loads the modules, and goes on from the first disk.
FIRST = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /new
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module || echo "no $module"; done
tries=0
until [ -b /dev/vdb ]; do
    tries=$((tries + 1)); [ $tries -lt 100 ] || { echo "no disk"; break; }
    /bin/busybox sleep 0.1
done
/bin/busybox mount -t ext4 -o noatime /dev/vda /new
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /init
"""
# dash, because busybox prefers its own ip and ping.
SECOND = """#!/bin/dash
export PATH=/job:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t ext4 -o noatime /dev/vdb /job
ip link set lo up
cd /job
dash ./run 2>&1
echo "status $?"
sync
echo o > /proc/sysrq-trigger
reboot -f
"""
_FOLDERS = ("proc", "sys", "dev", "tmp", "run", "job", "root", "etc", "var")


def _prepare(kind):
    """Return the kernel, the initramfs and the first disk of this kind. They are made at first use. Raises Missing."""
    programs("mke2fs", "setpriv")
    for name in (kind.emulator, kind.compiler):
        if not have(name):
            raise NotInstalled(name)
    folder = debian.cache() / "machines" / kind.name
    files = [folder / name for name in ("kernel", "initramfs", "disk")]
    with debian.locked(f"machine-{kind.name}"):
        if not folder.is_dir():
            fresh = folder.with_name(kind.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            _fill(kind, fresh)
            fresh.rename(folder)
    return files


def _fill(kind, folder):
    suite = "bookworm"
    image = debian.dependency_in(suite, kind.architecture, kind.kernel, r"linux-image-\d\S+")
    kernel = debian.unpack(f"{image}-{kind.architecture}", [image], suite, kind.architecture)
    shutil.copy(next(kernel.glob("boot/vmlinu[xz]-*")), folder / "kernel")
    system = folder / "system"
    debian.unpack_with_all(system, PROGRAMS, suite, kind.architecture)
    if kind.micropython:
        other = debian.unpack(
            f"machine-micropython-{kind.architecture}", MICROPYTHON[kind.micropython], kind.micropython, kind.architecture
        )
        shutil.copytree(other / "usr", system / "opt/micropython", symlinks=True)
    for name in _FOLDERS:
        (system / name).mkdir(exist_ok=True)
    if not (system / "var/run").exists():
        (system / "var/run").symlink_to("/run")
    for name in ("usr/share", "boot", "usr/lib/udev"):
        shutil.rmtree(system / name, ignore_errors=True)
    _compile_python(system / "usr/lib")
    busybox = system / "bin/busybox"
    names = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if not any((system / place / name).exists() for place in ("bin", "sbin", "usr/bin", "usr/sbin")):
            (system / "bin" / name).symlink_to("busybox")
    (system / "init").write_text(SECOND)
    (system / "init").chmod(0o755)
    modules = qemu.modules(kernel, MODULES, "wireguard")
    files = {"init": FIRST.encode(), "bin/busybox": busybox.read_bytes()}
    files |= {f"modules/{name}.ko": code for name, code in modules.items()}
    files["modules/order"] = " ".join(f"{name}.ko" for name in modules).encode()
    (folder / "initramfs").write_bytes(qemu.cpio(files))
    _disk(folder / "disk", system, 64)
    shutil.rmtree(system)


def _disk(path, folder, spare_mib):
    """Write a file system with the content of the folder."""
    used = sum(file.lstat().st_size + 4096 for file in folder.rglob("*")) >> 20
    size = f"{used * 5 // 4 + spare_mib}M"
    command = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", folder, path, size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_WITHIN)
    if done.returncode:
        raise Missing(f"mke2fs: {done.stderr.strip()}")


def _compile_python(folder):
    """Compile the modules below the folder, as the installation of a package does it, for the CPython of the machine."""
    python = next(
        (path for path in (shutil.which(PYTHON), sys.executable) if path and PYTHON in os.path.realpath(path)), None
    )
    if python is None:
        raise NotInstalled(PYTHON)
    command = [python, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash", folder]
    subprocess.run(command, capture_output=True, timeout=_BUILD_WITHIN)


def _compile(kind, source, path, *options):
    command = [kind.compiler, "-O2", *options, "-o", path, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def fill_job(kind, folder):
    """Write what every job needs into the folder: wgembed in all its forms, and the programs of tests/machines.

    wgembed/           the source, for CPython
    mpy/wgembed/       compiled for MicroPython, if there is one
    fastpath.so        the C library
    stream, hostile    see the files of these names in tests/machines
    network.sh, router.sh  the same
    wgembed-cpython, wgembed-micropython  what runs them
    """
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "wgembed", folder / "wgembed", ignore=ignore)
    _compile_python(folder / "wgembed")
    _compile(kind, fastpath.SOURCE, folder / "fastpath.so", "-fPIC", "-shared", "-s")
    for source in SOURCES.glob("*.c"):
        _compile(kind, source, folder / source.stem, "-static", "-s")
    for shell in SOURCES.glob("*.sh"):
        shutil.copy(shell, folder)
    for name, text in (("cpython", CPYTHON), ("micropython", MICROPYTHON_PROGRAM)):
        program = folder / f"wgembed-{name}"
        program.write_text(text)
        program.chmod(0o755)
    if kind.micropython:
        build = [sys.executable, ROOT / "package/build_mpy.py", folder / "mpy"]
        subprocess.run(build + [kind.march] * bool(kind.march), check=True, capture_output=True)


@contextlib.contextmanager
def job(kind, script, files=()):
    """Yield the path of a second disk: it has what `fill_job` writes, the `files` (name, bytes), and the script."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "job")
        folder.mkdir()
        fill_job(kind, folder)
        for name, content in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "run").write_text(script)
        disk = Path(place, "disk")
        _disk(disk, folder, 16)
        yield disk


def run(kind, script, files=(), is_counted=False, within=_RUN_WITHIN, memory=None):
    """Boot a machine of this kind, run the script, and return what it wrote to the console.

    is_counted  the guest's clock goes on by a nanosecond an instruction; idle time passes at once
    memory      the memory of the machine in MiB, if not as usual
    """
    kernel, initramfs, disk = _prepare(kind)
    options = list(kind.options)
    if memory:
        options[options.index("-m") + 1] = f"{memory}M"
    if is_counted:
        options += ["-icount", "shift=0,sleep=off", "-rtc", "clock=vm"]
    with job(kind, script, files) as second:
        # A test run that is killed must not leave a machine behind.
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            kind.emulator,
            *options,
            "-accel",
            "tcg",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
        ]
        command += ["-display", "none", "-monitor", "none", "-nic", "none"]
        command += ["-kernel", kernel, "-initrd", initramfs]
        command += ["-append", f"console={kind.console} quiet panic=-1 mitigations=off random.trust_cpu=on {kind.append}"]
        command += ["-chardev", "stdio,id=console,signal=off"]
        if kind.architecture == "s390x":
            command += ["-device", "sclpconsole,chardev=console"]
        else:
            command += ["-serial", "chardev:console"]
        for number, file in enumerate((disk, second)):
            command += ["-drive", f"if=none,id=disk{number},format=raw,snapshot=on,file={file}"]
        # The boards of ARM name their slots backwards.
        for number in (1, 0) if kind.disk == "virtio-blk-device" else (0, 1):
            command += ["-device", f"{kind.disk},drive=disk{number}"]
        command += ["-device", kind.random]
        try:
            done = subprocess.run(
                [str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=stretch(within)
            )
        except subprocess.TimeoutExpired as e:
            told = (e.stdout or b"").decode(errors="replace")
            raise AssertionError(f"the machine is not done within {within} s: {told[-3000:]}") from None
    told = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    if not re.search(r"^status \d+$", told, re.M):
        raise AssertionError(f"the machine did not finish: {told[-3000:]}{done.stderr.decode(errors='replace')[-1000:]}")
    return told


def command(interpreter, library=True):
    """Return the shell words that run `wgembed` on "cpython" or "micropython" in a job.

    library  whether it has the C library, or the path of another one
    """
    path = library if isinstance(library, str) else "/job/fastpath.so" if library else "0"
    return f"env WGEMBED_FASTPATH={path} /job/wgembed-{interpreter}"
