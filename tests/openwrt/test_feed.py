"""Feeds: what build_feed.py writes for opkg and apk, with and without keys, and the real opkg that reads it.

The real apk reads feeds in test_apk_tools.py.
"""

import base64
import gzip
import hashlib
import stat
import subprocess
import sys

import pytest
from nacl.signing import VerifyKey

from ..lab import apk, opkg
from ..lab.builders import adb, build_apk, build_feed, build_ipk, contents, signing
from ..lab.need import need, outside
from .test_packages import ROOT, mpy_cross

USIGN = signing.UsignKey(bytes(range(8)), bytes(range(32)))


@pytest.fixture
def feed(tmp_path):
    """A folder with the samples, of both kinds."""
    folder = tmp_path / "feed"
    for package in apk.samples():
        build_ipk.write(folder, package)
        build_apk.write(folder, package)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".ipk", ".apk"))


def test_the_index_for_opkg(feed):
    build_feed.write_indexes(feed)
    text = (feed / "Packages").read_text()
    assert gzip.decompress((feed / "Packages.gz").read_bytes()).decode() == text
    entries = [dict(line.split(": ", 1) for line in entry.splitlines()) for entry in text.split("\n\n")]
    assert [entry["Package"] for entry in entries] == ["a-library", "libc", "sample-data", "sample-lite", "sample"]
    for entry in entries:
        data = (feed / entry["Filename"]).read_bytes()
        assert (int(entry["Size"]), entry["SHA256sum"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert entries[-1]["Depends"] == "libc, sample-data, a-library" and entries[-1]["Conflicts"] == "sample-lite"
    assert (entries[2]["Architecture"], entries[-1]["Version"]) == ("mips_24kc", "1.0-1")


def test_the_index_for_apk(feed):
    build_feed.write_indexes(feed)
    container, packages = build_apk.read_index((feed / "packages.adb").read_bytes())
    assert [info["name"] for info in packages] == ["a-library", "libc", "sample", "sample-data", "sample-lite"]
    for info in packages:
        data = (feed / f"{info['name']}-{info['version']}.apk").read_bytes()
        read = build_apk.Read(data)
        assert (info["file-size"], info["hashes"]) == (len(data), read.container.identity().hex())
        same = {"file-size", "hashes"}
        assert {k: v for k, v in info.items() if k not in same} == {k: v for k, v in read.info.items() if k not in same}
    assert container.signatures == []


def test_keys_and_signatures(feed):
    build_feed.write_indexes(feed, apk.KEY, USIGN)
    every = ["Packages", "Packages.gz", "Packages.sig", "packages.adb", "wgembed-feed.pem", "wgembed-feed.pub"]
    assert names(feed) == every
    public = signing.PublicKey.read(feed / "wgembed-feed.pem")
    container = adb.Container((feed / "packages.adb").read_bytes())
    assert container.is_signed_by(public) and not container.is_signed_by(apk.OTHER_KEY.public)
    key, signature = (
        base64.b64decode((feed / name).read_text().splitlines()[1]) for name in ("wgembed-feed.pub", "Packages.sig")
    )
    VerifyKey(key[10:]).verify((feed / "Packages").read_bytes(), signature[10:])
    before = {path.name: path.read_bytes() for path in feed.iterdir()}
    build_feed.write_indexes(feed, apk.KEY, USIGN)
    assert {path.name: path.read_bytes() for path in feed.iterdir()} == before, "the same to the byte"
    build_feed.write_indexes(feed)
    assert names(feed) == ["Packages", "Packages.gz", "packages.adb"], "signatures of another index would be refused"


def test_one_kind_of_package(feed):
    for path in feed.glob("*.ipk"):
        path.unlink()
    build_feed.write_indexes(feed, apk.KEY, USIGN)
    assert names(feed) == ["packages.adb", "wgembed-feed.pem"]


def test_versions_side_by_side(feed):
    package = apk.plain("libc", "1.1")
    build_apk.write(feed, package)
    build_feed.write_indexes(feed)
    _, packages = build_apk.read_index((feed / "packages.adb").read_bytes())
    assert [info["version"] for info in packages if info["name"] == "libc"] == ["1.0-r1", "1.1-r1"]


def build(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, ROOT / "package/build_feed.py", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_the_command(tmp_path):
    """With new keys, for one package: what it writes, and that the same keys are used again."""
    keys, folder = tmp_path / "keys", tmp_path / "feed"
    options = ["--key", keys / "apk.pem", "--opkg-key", keys / "opkg.key", "--variant", "netifd"]
    done = build(folder, *options)
    assert done.returncode == 1 and done.stderr == f"cannot build: cannot read {keys}/apk.pem: No such file or directory\n"
    done = build(folder, *options, "--make-keys")
    assert (done.returncode, done.stderr) == (0, "")
    version = contents.version()
    assert sorted(path.name for path in folder.iterdir()) == [
        "Packages", "Packages.gz", "Packages.sig", "packages.adb", "wgembed-feed.pem", "wgembed-feed.pub",
        f"wgembed-netifd-{version}-r1.apk", f"wgembed-netifd_{version}-1_all.ipk",
    ]  # fmt: skip
    assert done.stdout.split() == [
        str(path) for path in sorted(folder.iterdir(), key=lambda p: done.stdout.index(str(p) + "\n"))
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    public = signing.PublicKey.read(folder / "wgembed-feed.pem")
    package = build_apk.Read((folder / f"wgembed-netifd-{version}-r1.apk").read_bytes())
    assert package.container.is_signed_by(public) and package.container.is_signed_by(
        signing.PrivateKey.read(keys / "apk.pem").public
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert build(folder, *options, "--make-keys").returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert build(folder, *options, "--index-only").stdout.count("\n") == 6


def test_all_packages_without_a_variant(tmp_path):
    """The library is left out, which is compiled for one architecture."""
    need(mpy_cross)
    folder = tmp_path / "feed"
    build_feed.main([str(folder)])
    _, packages = build_apk.read_index((folder / "packages.adb").read_bytes())
    names = [
        "luci-app-wgembed", "wgembed-micropython", "wgembed-micropython-tools", "wgembed-netifd", "wgembed-python3",
    ]  # fmt: skip
    assert [info["name"] for info in packages] == names
    index = (folder / "Packages").read_text()
    assert sorted(line.split()[1] for line in index.splitlines() if line.startswith("Package: ")) == names


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("broken.ipk", b"x", "broken.ipk is not a package of opkg"),
        ("broken.apk", b"ADBd123", "broken.apk is not a package of apk 3"),
        ("old.apk", gzip.compress(b"old", mtime=0), "old.apk is not a package of apk 3: the file does not begin with ADB"),
        ("renamed.apk", None, "renamed.apk must be named libc-1.0-r1.apk, or apk does not find it"),
    ],
)
def test_files_that_are_not_packages(name, content, sentence, feed):
    (feed / name).write_bytes(content if content else (feed / "libc-1.0-r1.apk").read_bytes())
    done = build(feed, "--index-only")
    assert done.returncode == 1 and done.stderr.startswith(f"cannot build: {sentence}") and done.stderr.count("\n") == 1
    assert names(feed) == []


def test_a_folder_without_packages(tmp_path):
    assert build(tmp_path, "--index-only").stderr == f"cannot build: {tmp_path} has no packages\n"
    assert build(tmp_path / "none", "--index-only").stderr == f"cannot build: there is no folder {tmp_path}/none\n"


# ---- the real opkg


def test_opkg_installs_from_the_feed(feed, tmp_path):
    """With signature checking on: the key, a changed index, installation with what it depends on, and removal."""
    programs = outside(opkg.programs)
    build_feed.write_indexes(feed, opkg_key=USIGN)
    real = opkg.Opkg(programs, tmp_path / "opkg", feed)
    text = real.run("update")[1]
    assert "Signature check failed" in text and "sample-lite" not in real.run("list")[1], text
    number = subprocess.run([programs / "usign", "-F", "-p", feed / "wgembed-feed.pub"], capture_output=True, text=True)
    (real.keys / number.stdout.strip()).write_bytes((feed / "wgembed-feed.pub").read_bytes())
    status, text = real.run("update")
    assert status == 0 and "Signature check passed" in text, text
    status, text = real.run("install", "sample")
    assert status == 0, text
    assert sorted(line.split()[0] for line in real.run("list-installed")[1].splitlines()) == [
        "a-library", "libc", "sample", "sample-data",
    ]  # fmt: skip
    assert (real.root / "usr/lib/sample/deep/noise").read_bytes() == apk.samples()[0].files["usr/lib/sample/deep/noise"][0]
    status, text = real.run("install", "sample-lite")
    assert status and "conflict" in text, text
    status, text = real.run("remove", "sample")
    left = [path for path in (real.root / "usr/lib/sample").rglob("*") if path.is_file()]
    assert status == 0 and left == [], "opkg leaves empty folders"
    (feed / "Packages.gz").write_bytes(gzip.compress((feed / "Packages").read_bytes().replace(b"1.0", b"1.1")))
    text = real.run("update")[1]
    assert "Signature check failed" in text and "sample-lite" not in real.run("list")[1], text
