"""The packages for apk: the same bytes as the real program's, read again by our reader, and what is refused.

tests/openwrt/apk.json has the answers of the real program; test_apk_tools.py asks it again.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ..lab import apk
from ..lab.builders import adb, build_apk, build_ipk, contents
from ..lab.need import need, programs
from .test_packages import ROOT, mpy_cross, parts

ANSWERS = json.loads(apk.ANSWERS.read_text())


@pytest.fixture
def date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", apk.DATE)


# ---- the format


@pytest.mark.parametrize("package", apk.samples(), ids=lambda package: package.name)
def test_the_bytes_of_apk_mkpkg(package, date, tmp_path):
    path = build_apk.write(tmp_path, package)
    assert apk.sum_of(path.read_bytes()) == ANSWERS["mkpkg"][path.name]


def test_the_bytes_of_apk_mkndx(date, tmp_path):
    paths = [build_apk.write(tmp_path, package, apk.KEY) for package in apk.samples()]
    index = build_apk.index([path.read_bytes() for path in paths])
    assert apk.sum_of(index) == ANSWERS["mkndx"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A signed package, as bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", apk.DATE)
        return build_apk.write(tmp_path_factory.mktemp("apk"), apk.samples()[0], apk.KEY).read_bytes()


@pytest.mark.parametrize("case", ANSWERS["altered"])
def test_altered_packages_are_refused_here_and_by_apk(case, sample):
    assert ANSWERS["altered"][case] != "OK"
    content = apk.damaged(sample)[case]
    assert content != sample
    with pytest.raises(adb.FormatError):
        if build_apk.Read(content).container.is_signed_by(apk.KEY.public):
            return
        raise adb.FormatError("the signature does not belong to the package")


def test_the_cases_are_those_of_the_real_program(sample):
    assert list(apk.damaged(sample)) == list(ANSWERS["altered"]) and set(ANSWERS["verify"].values()) == {"OK"}


def test_every_cut_and_many_altered_bytes_are_refused(sample):
    """Of a small package, everywhere: no error but FormatError."""
    small = adb.container(*_parts_of(sample), key=apk.KEY)
    for size in range(len(small)):
        with pytest.raises(adb.FormatError):
            build_apk.Read(small[:size])
    blocks = apk.unpacked(small)
    for place in range(len(blocks)):
        content = apk.packed(blocks[:place] + bytes([blocks[place] ^ 0x81]) + blocks[place + 1 :])
        try:
            read = build_apk.Read(content)
        except adb.FormatError:
            continue
        assert not read.container.is_signed_by(apk.KEY.public), place


def _parts_of(sample):
    """A package with two small files, whose contents have all been read."""
    package = contents.Package("small", {"a": (b"1", 0o644), "b/c": (b"22", 0o755)}, ["libc"], "net", "A", version="1")
    return adb.PACKAGE, *build_apk.database(package)


def test_large_numbers_and_strings():
    """Each size of a number and of a string, by the writer and the reader."""
    db = adb.Writer()
    numbers = [0, 1, (1 << 28) - 1, 1 << 28, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]
    texts = [b"", b"x", b"y" * 255, b"z" * 256, b"u" * 65535, b"v" * 65536]
    words = [db.number(number) for number in numbers] + [db.blob(text) for text in texts] + [db.number(1)]
    content = adb.container(adb.INDEX, db.finish(db.object(words)))
    root = adb.Container(content).root
    assert [value.number() for value in list(root)[: len(numbers)]] == numbers
    assert [value.blob() for value in list(root)[len(numbers) : -1]] == texts
    copied = adb.Writer()
    again = adb.container(adb.INDEX, copied.finish(copied.object([copied.copy(value) for value in root])))
    assert [value.blob() for value in adb.Container(again).root if value.kind > 3] == texts[1:]


def test_a_file_that_unpacks_to_too_much(monkeypatch):
    monkeypatch.setattr(adb, "LARGEST", 1000)
    with pytest.raises(adb.FormatError, match="too large"):
        adb.Container(apk.packed(bytes(1001)))


def test_a_package_without_compression(sample):
    assert build_apk.Read(apk.unpacked(sample)).files == build_apk.Read(sample).files


# ---- our packages


def all_packages(folder):
    library = folder / "fastpath.so"
    library.write_bytes(b"\x7fELF")
    need(mpy_cross)
    return [
        *map(contents.program, contents.VARIANTS),
        contents.tools(),
        contents.netifd(),
        contents.luci(),
        contents.fastpath(library, "mips_24kc"),
    ]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """{name: (Package, Read)} of all our packages."""
    folder = tmp_path_factory.mktemp("ours")
    made = {}
    for package in all_packages(folder):
        made[package.name] = package, build_apk.Read(build_apk.write(folder, package).read_bytes())
    return made


def test_the_files_are_those_of_opkg(packages, tmp_path):
    for package, read in packages.values():
        (_, about), (members, files) = parts(build_ipk.write(tmp_path, package))
        ours = {f"./{place}": data for place, (data, _) in read.files.items() if not place.startswith("lib/apk/")}
        assert ours == files, package.name
        modes = {f"./{place}": mode for place, (_, mode) in read.files.items() if not place.startswith("lib/apk/")}
        assert modes == {name: member.mode for name, member in members.items() if member.isfile()}
        assert read.dates == {0} and set(read.folders.values()) == {0o755}
        for script, name in (("post-install", "postinst"), ("pre-deinstall", "prerm")):
            own = about.get(f"./{name}-pkg", b"").decode()
            assert read.scripts[script].endswith(own.removeprefix("#!/bin/sh\n")), (package.name, script)


def test_small_enough_for_the_smallest(tmp_path):
    """As in test_packages.py: little more than 1 MB of flash is free. wgembed-micropython-tools is not needed there."""
    need(mpy_cross)
    for variant, most in (("micropython", 150 << 10), ("python3", 256 << 10)):
        assert build_apk.write(tmp_path, contents.program(variant)).stat().st_size < most


def test_the_lists_that_openwrt_keeps(packages):
    for package, read in packages.values():
        lists = {place.rpartition(".")[2]: data.decode() for place, (data, _) in read.files.items() if "lib/apk/" in place}
        assert all(place.startswith(f"lib/apk/packages/{package.name}.") for place in read.files if "lib/apk" in place)
        assert lists["list"].splitlines() == [f"/{place}" for place in sorted(package.files)]
        assert lists.get("conffiles", "").split() == package.conffiles
        assert [line.split()[0] for line in lists.get("conffiles_static", "").splitlines()] == package.conffiles
    static = packages["wgembed-python3"][1].files["lib/apk/packages/wgembed-python3.conffiles_static"][0].decode()
    data = packages["wgembed-python3"][0].files["etc/config/wgembed"][0]
    assert static == f"/etc/config/wgembed {hashlib.sha256(data).hexdigest()}\n"


def test_names_and_dependencies(packages):
    version = f"{contents.version()}-r1"
    told = {name: read.info for name, (_, read) in packages.items()}
    assert {info["version"] for info in told.values()} == {version} and {info["license"] for info in told.values()} == {
        "MIT"
    }
    micropython, python, netifd = (told[f"wgembed-{name}"] for name in ("micropython", "python3", "netifd"))
    assert micropython["depends"] == ["kmod-tun", "libc", "libsodium", "micropython", "!wgembed-python3"]
    assert python["depends"] == ["kmod-tun", "libc", "python3-light", "python3-pynacl", "!wgembed-micropython"]
    # With a version, the name can have one owner only, and apk may choose a package by it.
    assert micropython["provides"] == python["provides"] == [f"wgembed={version}"]
    assert micropython["provider-priority"] == 100 and "provider-priority" not in python
    tools = told["wgembed-micropython-tools"]
    assert tools["depends"] == ["libc", f"wgembed-micropython={version}"] and tools["arch"] == "noarch"
    assert "provides" not in tools and "provider-priority" not in tools
    assert netifd["depends"] == ["libc", "wgembed", "!wireguard-tools"]
    assert netifd["provides"] == [f"wireguard-tools={version}"]
    assert told["wgembed-fastpath"]["arch"] == "mips_24kc" and micropython["arch"] == netifd["arch"] == "noarch"
    assert set(told["luci-app-wgembed"]["depends"]) >= {"libc", "luci-base", "wgembed"}


def test_scripts(packages):
    """In the shell of BusyBox, without mistakes. An upgrade says so, and an installation does not."""
    need(programs, "busybox")
    for name, (_, read) in packages.items():
        assert set(read.scripts) == {"post-install", "pre-deinstall", "post-upgrade"}
        for script, text in read.scripts.items():
            assert text.startswith("#!/bin/sh\n") and text.count("#!") == 1 and f'pkgname="{name}"' in text
            assert ("export PKG_UPGRADE=1\n" in text) == (script == "post-upgrade")
            done = subprocess.run(["busybox", "sh", "-n"], input=text, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), (name, script)


RUN = """
default_postinst() {{ echo "postinst $pkgname [$root] up=$PKG_UPGRADE"; }}
default_prerm() {{ echo "prerm $pkgname [$root]"; }}
"""


@pytest.mark.parametrize(
    "script, expected",
    [
        ("post-install", "postinst sample [{root}] up=\nhello\n"),
        ("post-upgrade", "postinst sample [{root}] up=1\nhello\n"),
        ("pre-deinstall", "prerm sample [{root}]\nhello\n"),
    ],
)
def test_what_a_script_runs(script, expected, tmp_path):
    """OpenWrt's functions with the name of the package, then ours. Nothing on a system without these functions."""
    text = build_apk.scripts(apk.samples()[0])[script]
    environment = {"PATH": os.environ["PATH"], "IPKG_INSTROOT": str(tmp_path)}

    def run(**more):
        return subprocess.run(["sh", "-c", text], env=environment | more, capture_output=True, text=True, check=True).stdout

    assert run() == ""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/functions.sh").write_text(RUN.replace("{{", "{").replace("}}", "}"))
    assert run() == expected.format(root=tmp_path)
    assert script == "pre-deinstall" or run(IPKG_NO_SCRIPT="1") == ""


def test_the_same_to_the_byte_elsewhere_and_later(tmp_path):
    """Also with a key: the signature has no random number in it."""
    key = tmp_path / "key.pem"
    key.write_text(apk.KEY.pem())
    here = build_apk.write(tmp_path, contents.program("python3"), apk.KEY)
    copy = tmp_path / "another place"
    for name in ("wgembed", "package", "init.d"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*"):
        os.utime(path, (2e9, 2e9))
    command = [sys.executable, "package/build_apk.py", "--variant", "python3", "--key", str(key), str(tmp_path / "out")]
    environment = dict(os.environ, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).read_bytes() == here.read_bytes()
    assert build_apk.Read(here.read_bytes()).container.is_signed_by(apk.KEY.public)


def test_source_date_epoch(date, tmp_path):
    path = build_apk.write(tmp_path, contents.program("python3"))
    assert build_apk.Read(path.read_bytes()).dates == {int(apk.DATE)}


def test_the_options(tmp_path, capsys):
    need(mpy_cross)
    options = ["--variant", "micropython", "--native", "armv7m", "--architecture", "arm_cortex-a7", "--without-kmod-tun"]
    build_apk.main([str(tmp_path), *options])
    path = Path(capsys.readouterr().out.strip())
    info = build_apk.Read(path.read_bytes()).info
    assert info["arch"] == "arm_cortex-a7" and "kmod-tun" not in info["depends"]
    with pytest.raises(SystemExit):
        build_apk.main([str(tmp_path), "--variant", "fastpath"])
    with pytest.raises(SystemExit, match=r"cannot build: cannot read .*: No such file or directory"):
        build_apk.main([str(tmp_path), "--key", str(tmp_path / "none.pem")])


# ---- what is refused

GOOD = apk.samples()[0]
BAD_VERSIONS = ("1.0rc1", "1.0.dev3", "1.0-1", "v1.0", "1.0_final", "1.0_rc1a", "1.", "1.0~xyz", "1.0b.2")
GOOD_VERSIONS = ("1", "1.2.3", "0.1.0", "1.2a", "1.0_rc1", "1.0_alpha", "2_p1", "1.0_git20240101~0a1b2c")
A_FILE = (b"", 0o644)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"name": "Sample"}, "'Sample' is not the name of a package"),
        ({"name": "-sample"}, "'-sample' is not the name"),
        ({"name": ""}, "'' is not the name"),
        ({"name": "a" * 250, "conffiles": []}, "more than 255 letters"),
        ({"depends": ["libc", "two words"]}, "'two words' is not the name"),
        ({"conflicts": ["!other"]}, "'!other' is not the name"),
        ({"provides": ["any=1"]}, "'any=1' is not the name"),
        *(({"version": version}, f"has the version '{version}', which apk does not take") for version in BAD_VERSIONS),
        ({"version": "1.0\n"}, "has the version '1.0\\\\n'"),
        ({"release": -1}, "has the release -1"),
        ({"architecture": "all machines"}, "has the architecture 'all machines'"),
        ({"description": "two\nlines"}, "has the description 'two\\\\nlines'"),
        ({"description": "x" * 257}, "use one line of at most 256 bytes"),
        ({"section": ""}, "has the section ''"),
        ({"postinst": "echo hello\n"}, "the script postinst of the package sample does not begin with a line #!/bin/sh"),
        ({"postinst": "#!/usr/bin/python3\n"}, "does not begin with a line #!/bin/sh"),
        ({"prerm": "#!/bin/sh\necho hello\r\n"}, "the script prerm of the package sample has a carriage return"),
        ({"prerm": "#!/bin/sh\necho hello"}, "its last line has no end"),
        ({"files": {}}, "has no files"),
        ({"files": {"/etc/passwd": A_FILE}}, "use a path from the root"),
        ({"files": {"a/../../b": A_FILE}}, "use a path from the root"),
        ({"files": {"a//b": A_FILE}}, "use a path from the root"),
        ({"files": {"a b": A_FILE}}, "without spaces"),
        ({"files": {"a\nb": A_FILE}}, "without spaces"),
        ({"files": {"a": A_FILE, "a/b": A_FILE}}, "has a as a file and as a folder"),
        ({"files": {"a": (b"", 0o4755)}}, "has a with the mode 4755"),
        ({"conffiles": ["/etc/other"]}, "has no file /etc/other"),
        ({"conffiles": ["etc/config/sample"]}, "has no file etc/config/sample"),
    ],
)
def test_what_neither_would_take(change, sentence, tmp_path):
    package = replace(GOOD, **change)
    for builder in (build_ipk, build_apk):
        with pytest.raises(contents.PackageProblem, match=sentence) as problem:
            builder.write(tmp_path, package)
        assert "\n" not in str(problem.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", GOOD_VERSIONS)
def test_versions_that_apk_takes(version, tmp_path):
    build_apk.write(tmp_path, replace(GOOD, version=version))


def test_a_problem_is_one_sentence_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "version", lambda: "0.2.dev1")
    for builder in (build_ipk, build_apk):
        with pytest.raises(SystemExit, match=r"^cannot build: the package luci-app-wgembed has the version '0.2.dev1'"):
            builder.main([str(tmp_path), "--variant", "luci"])


def test_versions_are_sorted_as_apk_sorts_them():
    """From the lowest; apk's own order is in test_apk_tools.py."""
    keys = [build_apk.version_key(version) for version in VERSIONS]
    assert keys == sorted(keys)
    with pytest.raises(adb.FormatError):
        build_apk.version_key("1.x")


VERSIONS = (
    "0.1.0_alpha2-r1", "0.1.0_beta-r1", "0.1.0_rc1-r1", "0.1.0-r1", "0.1.0-r2", "0.1.0-r10", "0.1.0_p1-r0", "0.1.0a-r0",
    "0.1.1-r0", "0.2-r1", "0.10-r1", "1-r0", "1.0-r0",
)  # fmt: skip
