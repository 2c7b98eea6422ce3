"""Build the packages for Debian and its relatives: python package/build_deb.py FOLDER [options]

Writes wgembed for CPython as a .deb file: the program of wgembed-python3 (see contents.py), the manual, the completion and
two units for systemd: wgembed.service for /etc/config/wgembed, and wgembed@IF.service for /etc/wireguard/IF.conf. The
package depends on Debian's python3 and python3-nacl. Needs only Python. Two builds of the same source are identical;
SOURCE_DATE_EPOCH sets the date of the files, which is 1970 without it.

--library writes wgembed-fastpath instead, which makes wgembed faster, from a library that was compiled for the machine:
make -C fastpath CC=... fastpath.so. --architecture is then the machine, as Debian names it (amd64, arm64, armhf).
"""

import argparse
import gzip
import hashlib
import re
import sys
from pathlib import Path

import build_ipk
import contents

NAME = "wgembed"
DEBIAN = contents.ROOT / "package/debian"
UNITS = "usr/lib/systemd/system"
COPYRIGHT = "usr/share/doc/{}/copyright"
# Source, path, mode: the files beside the program.
FILES = [
    ("package/debian/wgembed.service", f"{UNITS}/wgembed.service", 0o644),
    ("package/debian/wgembed@.service", f"{UNITS}/wgembed@.service", 0o644),
    ("package/files/wgembed.defaults", f"{contents.HOME}/make-keys", 0o755),
    ("package/files/completions/wgembed", "usr/share/bash-completion/completions/wgembed", 0o644),
    ("LICENSE", COPYRIGHT.format(NAME), 0o644),
]
# What the packages for OpenWrt have for procd, rpcd and sysupgrade.
LEFT_OUT = ("etc/init.d/", "etc/uci-defaults/", "etc/capabilities/", "etc/seccomp/", "lib/upgrade/")
# The comments of the configuration name commands of OpenWrt.
WORDS = {
    b"/etc/init.d/wgembed reload": b"systemctl reload-or-restart wgembed",
    b"/etc/init.d/wgembed check": b"wgembed check",
    b"logread -e wgembed": b"journalctl -u wgembed",
}
# The newest function of the library is explicit_bzero, of glibc 2.25.
DEPENDS = {NAME: "python3 (>= 3.10), python3-nacl", contents.FASTPATH: "libc6 (>= 2.25), wgembed"}
SUGGESTS = {NAME: "python3-pyroute2, python3-segno, wgembed-fastpath"}
SCRIPTS = {NAME: ("postinst", "prerm", "postrm")}
LONG = {
    NAME: "It needs no module of the kernel but tun.",
    contents.FASTPATH: "The services use it from their next start.",
}


def debian_version(package):
    """Return the version as dpkg writes it: "~" sorts before the end of the text, "+" after it."""
    return re.sub("_(alpha|beta|pre|rc)", r"~\1", package.version).replace("_", "+") + f"-{package.release}"


def package():
    """Return the Package, with the files as they are on Debian."""
    made = contents.program("python3")
    files = {place: found for place, found in made.files.items() if not place.startswith(LEFT_OUT)}
    text, mode = files["etc/config/wgembed"]
    for old, new in WORDS.items():
        text = text.replace(old, new)
    files["etc/config/wgembed"] = text, mode
    for source, place, mode in FILES:
        files[place] = (contents.ROOT / source).read_bytes(), mode
    manual = gzip.compress((contents.ROOT / "docs/wgembed.8").read_bytes(), 9, mtime=0)
    files["usr/share/man/man8/wgembed.8.gz"] = manual, 0o644
    made.name, made.files, made.postinst, made.prerm = NAME, dict(sorted(files.items())), "", ""
    return made


def fastpath(library, architecture):
    """Return the Package of the compiled library."""
    made = contents.fastpath(library, architecture)
    made.files[COPYRIGHT.format(made.name)] = (contents.ROOT / "LICENSE").read_bytes(), 0o644
    return made


def control(package):
    """Return {name: (bytes, mode)} of the control files for dpkg."""
    fields = [
        ("Package", package.name),
        ("Version", debian_version(package)),
        ("Architecture", package.architecture),
        ("Maintainer", "The authors of wgembed <wgembed@localhost>"),
        ("Installed-Size", str(sum(-(-len(data) // 1024) for data, _ in package.files.values()))),
        ("Depends", DEPENDS[package.name]),
        ("Suggests", SUGGESTS.get(package.name)),
        ("Section", package.section),
        ("Priority", "optional"),
        ("Description", f"{package.description}\n {LONG[package.name]}"),
    ]
    sums = "".join(f"{hashlib.md5(data).hexdigest()}  {place}\n" for place, (data, _) in package.files.items())
    made = {
        "control": ("".join(f"{name}: {value}\n" for name, value in fields if value), 0o644),
        "conffiles": ("".join(f"{place}\n" for place in package.conffiles), 0o644),
        "md5sums": (sums, 0o644),
    }
    made |= {name: ((DEBIAN / name).read_text(), 0o755) for name in SCRIPTS.get(package.name, ())}
    return {name: (text.encode(), mode) for name, (text, mode) in made.items() if text}


def archive(members, date):
    """Return an `ar` archive of {name: bytes}."""
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(
            f"{name:<16}{date:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    return b"".join(parts)


def write(folder, package):
    """Write the package below `folder`; return its path. Raises PackageProblem if dpkg would not take it."""
    contents.check(package)
    date = contents.date()
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": build_ipk.tar_gz(control(package), date),
        "data.tar.gz": build_ipk.tar_gz(package.files, date),
    }
    name = f"{package.name}_{debian_version(package)}_{package.architecture}.deb"
    return contents.write(folder, name, archive(members, date))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for_library = "fastpath.so, compiled for the machine"
    parser.add_argument("--library", dest="compiled", type=Path, metavar="FILE", help=for_library)
    parser.add_argument("--architecture", help="the machine of the library, as Debian names it")
    options = parser.parse_args(arguments)
    if (options.compiled is None) != (options.architecture is None):
        parser.error("--library needs its --architecture, and nothing else takes one")
    made = fastpath(options.compiled, options.architecture) if options.compiled else package()
    contents.say(lambda each: write(options.folder, each), [made])


if __name__ == "__main__":
    main(sys.argv[1:])
