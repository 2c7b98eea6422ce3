"""Write a feed of packages: python package/build_feed.py FOLDER [--key FILE] [--opkg-key FILE] [options]

Builds the packages into FOLDER, as .ipk and .apk, and writes the indexes of all packages in FOLDER: `Packages` and
`Packages.gz` for opkg, `packages.adb` for apk. A web server or a USB stick needs nothing more; docs/openwrt.md says what to
type on a router. A feed has packages of one architecture, and those for all: use a folder for each architecture.

--key signs for apk, with a P-256 key in PEM; --opkg-key signs for opkg, with a key of usign. The public keys are written
beside the packages, as wgembed-feed.pem and wgembed-feed.pub. --make-keys makes the keys that do not exist yet. Keep the
private keys out of FOLDER, and copy the public ones to routers by a way that you trust.
"""

import gzip
import hashlib
import io
import sys
import tarfile
import zlib
from pathlib import Path

import adb
import build_apk
import build_ipk
import contents
import signing

NAME = "wgembed-feed"
FILES = ("Packages", "Packages.gz", "Packages.sig", "packages.adb", f"{NAME}.pub", f"{NAME}.pem")


def control(name, package):
    """Return the text of the control file of the .ipk `name`. Raises PackageProblem."""
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            inner = archive.extractfile("./control.tar.gz").read()
        with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as archive:
            return archive.extractfile("./control").read().decode()
    except (OSError, EOFError, KeyError, UnicodeDecodeError, tarfile.TarError, zlib.error) as error:
        raise contents.PackageProblem(f"{name} is not a package of opkg: {error}") from None


def opkg_index(packages):
    """Return the text of the index of {file name: bytes}: the control file of each, its size and its hash."""
    parts = []
    for name, data in sorted(packages.items()):
        found = f"Filename: {name}\nSize: {len(data)}\nSHA256sum: {hashlib.sha256(data).hexdigest()}\n"
        before, mark, description = control(name, data).partition("Description:")
        parts.append(before + found + mark + description)
    return "\n".join(parts)


def write_indexes(folder, key=None, opkg_key=None):
    """Write the indexes of all packages in `folder`, and the public keys; return their paths."""
    folder = Path(folder)
    made = {}
    if not folder.is_dir():
        raise contents.PackageProblem(f"there is no folder {folder}")
    ipk = {path.name: path.read_bytes() for path in folder.glob("*.ipk")}
    apk = {path.name: path.read_bytes() for path in folder.glob("*.apk")}
    if not ipk and not apk:
        raise contents.PackageProblem(f"{folder} has no packages")
    if ipk:
        text = opkg_index(ipk).encode()
        made["Packages"], made["Packages.gz"] = text, gzip.compress(text, 9, mtime=0)
        if opkg_key:
            made["Packages.sig"], made[f"{NAME}.pub"] = opkg_key.sign(text).encode(), opkg_key.public().encode()
    if apk:
        for name, data in apk.items():
            _check_name(name, data)
        made["packages.adb"] = build_apk.index([data for _, data in sorted(apk.items())], key)
        if key:
            made[f"{NAME}.pem"] = key.public.pem().encode()
    # Signatures of an earlier run would not fit the new indexes.
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    return [contents.write(folder, name, data) for name, data in made.items()]


def _check_name(name, data):
    """apk looks for a package by its name and version, not by the name in the index."""
    try:
        info = build_apk.Read(data).info
    except adb.FormatError as problem:
        raise contents.PackageProblem(f"{name} is not a package of apk 3: {problem}") from None
    expected = f"{info['name']}-{info['version']}.apk"
    if name != expected:
        raise contents.PackageProblem(f"{name} must be named {expected}, or apk does not find it")


def _key(kind, path, make, write):
    """Return the key of a file, or a new one, which `write` turns into the text of the file."""
    if path is None:
        return None
    if make and not path.exists():
        key = kind.new()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_text(write(key))
    return kind.read(path)


def main(arguments):
    parser = contents.parser(__doc__)
    parser.add_argument("--key", metavar="FILE", type=Path, help="sign for apk, with this P-256 key in PEM")
    parser.add_argument("--opkg-key", metavar="FILE", type=Path, help="sign for opkg, with this key of usign")
    parser.add_argument("--make-keys", action="store_true", help="make the keys that do not exist")
    parser.add_argument("--index-only", action="store_true", help="build no packages, and index those in FOLDER")
    options = parser.parse_args(arguments)
    contents.check_options(parser, options)
    try:
        key = _key(signing.PrivateKey, options.key, options.make_keys, signing.PrivateKey.pem)
        opkg_key = _key(signing.UsignKey, options.opkg_key, options.make_keys, signing.UsignKey.private)
        for package in [] if options.index_only else contents.chosen(options):
            print(build_ipk.write(options.folder, package))
            print(build_apk.write(options.folder, package, key))
        for path in write_indexes(options.folder, key, opkg_key):
            print(path)
    except (signing.KeyProblem, contents.PackageProblem, adb.FormatError) as problem:
        sys.exit(f"cannot build: {problem}")


if __name__ == "__main__":
    main(sys.argv[1:])
