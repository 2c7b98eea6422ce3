"""The real apk of OpenWrt 25.12, apk-tools 3, and packages for it that do not change with the tree.

The program is not in this tree. WGEMBED_APK names it.
Its answers to the samples are in tests/openwrt/apk.json: `python -m tests.lab.apk PROGRAM` writes that file.
"""

import functools
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from .builders import adb, build_apk, contents, signing
from .need import Missing, programs

ANSWERS = Path(__file__).parents[1] / "openwrt/apk.json"
DATE = "1700000000"
# Private keys for the samples, which everybody knows.
KEY = signing.PrivateKey(int.from_bytes(hashlib.sha256(b"a key for samples").digest(), "big") % signing.N)
OTHER_KEY = signing.PrivateKey(int.from_bytes(hashlib.sha256(b"another key").digest(), "big") % signing.N)
HELLO = "#!/bin/sh\necho hello\n"


def program():
    """Return the path of apk. Missing if WGEMBED_APK does not lead to it."""
    path = os.environ.get("WGEMBED_APK")
    if not path:
        raise Missing("WGEMBED_APK must name the program apk of apk-tools 3")
    if not os.access(path, os.X_OK):
        raise Missing(f"WGEMBED_APK: there is no program {path}")
    programs("busybox")
    if os.geteuid():
        raise Missing("root is needed to install packages into a folder")
    return path


def plain(name, version="1.0", text="", depends=(), **more):
    """Return a Package with one file."""
    files = {f"usr/share/{name}/text": (text.encode() or version.encode(), 0o644)}
    return contents.Package(name, files, list(depends), "net", f"The sample {name}", version=version, **more)


@functools.cache
def samples():
    """Return the sample Packages, which have every kind of value."""
    noise = b"".join(hashlib.sha256(bytes([n & 255, n >> 8])).digest() for n in range(3000))
    files = {
        "etc/config/sample": (b"config sample\n", 0o600),
        "etc/init.d/sample": (HELLO.encode(), 0o755),
        "usr/lib/sample/deep/er/empty": (b"", 0o644),
        "usr/lib/sample/deep/noise": (noise, 0o644),
        "usr/lib/sample/same": (b"the same", 0o644),
        "usr/lib/sample/same-too": (b"the same", 0o644),
        "usr/lib/sample.zz": (b"x" * 255, 0o644),
        "top": (b"y" * 256, 0o644),
    }
    return (
        contents.Package(
            "sample", files, ["libc", "sample-data", "a-library"], "net", "Every kind of file",
            conffiles=["/etc/config/sample"], conflicts=["sample-lite"], provides=["sample-any"], postinst=HELLO,
            prerm=HELLO, priority=100, version="1.0",
        ),
        contents.Package(
            "sample-lite", {"usr/share/sample-lite": (b"lite", 0o644)}, ["libc"], "net", "It conflicts",
            provides=["sample-any"], conflicts=["sample", "sample-data"], version="2.10.3a_rc2", release=12,
        ),
        plain("sample-data", "20231114", architecture="mips_24kc"),
        # A script of more than 64 KB.
        plain("a-library", depends=["libc"], postinst="#!/bin/sh\n" + "# a long comment\n" * 4000),
        plain("libc"),
    )  # fmt: skip


def unpacked(content):
    """Return the blocks of a file that apk or we wrote."""
    return adb.unpacked(content)


def packed(blocks):
    packer = adb.zlib.compressobj(9, adb.zlib.DEFLATED, -15)
    return b"ADBd" + packer.compress(blocks) + packer.flush()


def blocks_of(content):
    """Return the blocks of a file as (kind, bytes)."""
    data, position, found = unpacked(content), 8, []
    while position < len(data):
        kind, block, position = adb.next_block(data, position)
        found.append((kind, block))
    return found


def of_blocks(content, blocks):
    """Return the file with these blocks instead of its own."""
    made = [struct.pack("<I", kind << 30 | len(block) + 4) + block + bytes(-(len(block) + 4) % 8) for kind, block in blocks]
    return packed(unpacked(content)[:8] + b"".join(made))


def damaged(content):
    """Return {case: bytes} of altered copies of a signed package with at least two files that are not empty."""
    database, signature, *files = blocks_of(content)
    (first, second), rest = files[:2], files[2:]
    cases = {f"cut off after {size} bytes": content[:size] for size in (3, 4, 100, len(content) // 2, len(content) - 20)}
    for place in (0, 3, 5, len(content) // 3, len(content) // 2, len(content) - 20):
        cases[f"byte {place} altered"] = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]

    def blocks(*changed):
        return of_blocks(content, changed)

    other = database[1].replace(b"a", b"e", 1)
    cases |= {
        "a file altered": blocks(database, signature, (2, first[1][:-1] + b"?"), second, *rest),
        "a file longer": blocks(database, signature, (2, first[1] + b"?"), second, *rest),
        "a file left out": blocks(database, signature, second, *rest),
        "the last file left out": blocks(database, signature, *files[:-1]),
        "a file twice": blocks(database, signature, first, first, second, *rest),
        "files in another order": blocks(database, signature, second, first, *rest),
        "the database altered": blocks((0, other), signature, *files),
        "the database cut off": blocks((0, database[1][:40]), signature, *files),
        "no database": blocks(signature, *files),
        "two databases": blocks(database, database, signature, *files),
        "the signature after the files": blocks(database, *files, signature),
        "no signature": blocks(database, *files),
        "the signature altered": blocks(database, (1, signature[1][:-1] + bytes([signature[1][-1] ^ 1])), *files),
        "the signature of another key": blocks(database, (1, signature[1][:2] + OTHER_KEY.id + signature[1][18:]), *files),
        "an index": packed(unpacked(content)[:4] + struct.pack("<I", adb.INDEX) + unpacked(content)[8:]),
    }
    return cases


class Apk:
    """The program, with a folder of keys that it trusts, and a root into which it installs."""

    def __init__(self, path, folder, around=()):
        self.path, self.folder = path, Path(folder)
        self.root, self.keys = self.folder / "root", self.folder / "keys"
        self._around = list(around)
        for place in (self.root / "bin", self.keys):
            place.mkdir(parents=True, exist_ok=True)

    def trust(self, key):
        (self.keys / f"{key.id.hex()}.pem").write_text(key.public.pem())

    def run(self, *arguments, check=True, environment=()):
        """Run apk to its end; return its exit status and what it wrote."""
        command = [*self._around, self.path, "--keys-dir", str(self.keys), *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], **dict(environment)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        if check:
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.returncode, done.stdout + done.stderr

    def begin(self, feed=None, architecture="mips_24kc", key=None):
        """Make the root: with BusyBox for the scripts, and with a feed."""
        if not (self.root / "bin/busybox").exists():
            shutil.copy(shutil.which("busybox"), self.root / "bin/busybox")
            for name in ("sh", "cat", "rm"):
                (self.root / "bin" / name).symlink_to("busybox")
        self.run("--root", self.root, "add", "--initdb", "--arch", architecture)
        if feed:
            (self.root / "etc/apk/repositories").write_text(f"{feed}/packages.adb\n")
        if key:
            self.trust(key)

    def __call__(self, *arguments, **options):
        """Run apk on the root, without a cache of downloads."""
        return self.run("--root", self.root, "--no-cache", *arguments, **options)[1]

    def refused(self, *arguments):
        """Run apk, which must refuse; return what it wrote."""
        status, text = self.run("--root", self.root, "--no-cache", *arguments, check=False)
        assert status, text
        return text

    def installed(self):
        return [line for line in self("info").splitlines() if " " not in line]

    def make(self, package, folder):
        """Return what `apk mkpkg` makes of the contents of our .apk `package`, from the files below `folder`."""
        read = build_apk.Read(package)
        tree, output = Path(folder) / "tree", Path(folder) / "made.apk"
        arguments = ["mkpkg", "--files", tree, "--output", output]
        for place, mode in read.folders.items():
            (tree / place).mkdir(parents=True, exist_ok=True)
            (tree / place).chmod(mode)
        for place, (data, mode) in read.files.items():
            (tree / place).write_bytes(data)
            (tree / place).chmod(mode)
        for name, value in read.info.items():
            if name not in ("installed-size", "hashes"):
                value = " ".join(value) if isinstance(value, list) else value
                arguments += ["--info", f"{name}:{value}"]
        for name, text in read.scripts.items():
            (Path(folder) / name).write_text(text)
            arguments += ["--script", f"{name}:{folder}/{name}"]
        self.run(*arguments, environment={"SOURCE_DATE_EPOCH": str(read.dates.pop())})
        return output.read_bytes()

    def index(self, paths):
        """Return what `apk mkndx` makes of packages."""
        output = self.folder / "made.adb"
        self.run("mkndx", "--allow-untrusted", "--output", output, *paths)
        return output.read_bytes()


def sum_of(content):
    """The hash of the blocks of a file: zlib's versions compress differently."""
    return hashlib.sha256(unpacked(content)).hexdigest()


def answers(path, folder):
    """Return what the program answers to the samples."""
    apk = Apk(path, folder)
    apk.trust(KEY)
    paths = [build_apk.write(folder / "feed", package, KEY) for package in samples()]
    made = {}
    for each in paths:
        work = folder / each.name.replace(".apk", "")
        work.mkdir()
        made[each.name] = sum_of(apk.make(each.read_bytes(), work))
    whole = next(each for each in paths if each.name.startswith("sample-1")).read_bytes()
    altered = {}
    for number, (case, content) in enumerate(damaged(whole).items()):
        each = folder / f"{number}.apk"
        each.write_bytes(content)
        status, text = apk.run("verify", each, check=False)
        altered[case] = "OK" if status == 0 else text.strip().replace(f"{each}: ", "")
    return {
        "program": apk.run("--version")[1].split(",")[0],
        "mkpkg": made,
        "mkndx": sum_of(apk.index(paths)),
        "verify": {each.name: apk.run("verify", each)[1].strip().replace(f"{each}: ", "") for each in paths},
        "altered": altered,
    }


if __name__ == "__main__":
    os.environ["SOURCE_DATE_EPOCH"] = DATE
    with tempfile.TemporaryDirectory() as folder:
        ANSWERS.write_text(json.dumps(answers(sys.argv[1], Path(folder)), indent=1) + "\n")
