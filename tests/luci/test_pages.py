"""What can be said of the pages without a browser: their syntax, their menu, and who may call what."""

import io
import json
import re
import subprocess
import tarfile

import pytest

from ..lab.builders import build_ipk, build_pot
from ..lab.need import need, programs
from . import pages

MENU = json.loads((pages.PACKAGE / "root/usr/share/luci/menu.d/luci-app-wgembed.json").read_text())
GROUPS = json.loads((pages.PACKAGE / "root/usr/share/rpcd/acl.d/luci-app-wgembed.json").read_text())
METHODS = (pages.PACKAGE / "root/usr/share/rpcd/ucode/luci.wgembed").read_text()
STATUS, CONFIG, NETWORK = "luci-app-wgembed-status", "luci-app-wgembed", "luci-app-wgembed-network"
# Methods of ours that hand out, or take, what is secret.
SECRET = {"new_key", "keep_key", "public_key", "new_pair", "new_preshared_key"}


def name_of(path):
    return path.relative_to(pages.RESOURCES).as_posix()


@pytest.mark.parametrize("path", pages.SCRIPTS, ids=name_of)
def test_syntax(path):
    """As LuCI has it: the text is the inside of a function."""
    need(programs, "node")
    text = f"(function() {{{path.read_text()}\n}})"
    done = subprocess.run(["node", "--check", "-"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", pages.SCRIPTS, ids=name_of)
def test_what_is_required_is_there(path):
    theirs = {"baseclass", "dom", "form", "fs", "poll", "rpc", "ui", "uci", "uqr", "view"}
    for name in re.findall(r"^'require (\S+?)(?: as \w+)?';$", path.read_text(), re.MULTILINE):
        assert name in theirs or (pages.RESOURCES / f"{name.replace('.', '/')}.js").is_file(), name


@pytest.mark.parametrize("path", pages.SCRIPTS, ids=name_of)
def test_no_text_becomes_markup(path):
    """LuCI's E() takes a string alone for markup, and a list's strings for text."""
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    for children in re.findall(r"\bE\('\w+', (?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}), ([^)]{1,40})", text):
        assert re.match(r"\[|\w+\.map\(|children\b|found\.map|reasons\.map", children.strip()), children


def test_the_menu_leads_to_views():
    for path, node in MENU.items():
        assert path.startswith("admin/vpn/wgembed") and node["title"] and isinstance(node["order"], int)
        assert set(node["depends"]["acl"]) <= set(GROUPS)
        if node["action"]["type"] == "view":
            assert (pages.RESOURCES / "view" / f"{node['action']['path']}.js").is_file()


def granted(group, *kinds):
    """The "object method" that a group may call."""
    return {(name, method) for kind in kinds for name, methods in GROUPS[group].get(kind, {}).get("ubus", {}).items()
            for method in methods}  # fmt: skip


def declared():
    """{(object, method): parameters} of every call in the pages."""
    found = {}
    for path in pages.SCRIPTS:
        text = path.read_text()
        for kind, method, params in re.findall(
            r"rpc\.declare\(\{\s*object: '([\w.]+)',\s*method: '(\w+)'(?:,\s*params: \[(.*?)\])?", text
        ):
            found[kind, method] = re.findall(r"'(\w+)'", params)
        if "fs.exec(" in text:
            found["file", "exec"] = []
        for method, params in re.findall(r"\bdeclare\('(\w+)'(?:, \[(.*?)\])?\)", text):
            found["luci.wgembed", method] = re.findall(r"'(\w+)'", params)
    return found


def offered():
    """{method: arguments} of the plugin."""
    table = METHODS[METHODS.index("const methods = {") :]
    found = {}
    for part in re.split(r"^\t(?=\w+: \{)", table, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition(": {")
        arguments = re.search(r"args: \{(.*?)\}", body)
        found[name] = re.findall(r"(\w+): '", arguments[1]) if arguments else []
    return found


def test_every_call_exists_and_is_granted():
    calls, methods = declared(), offered()
    everything = granted(STATUS, "read") | granted(CONFIG, "read", "write")
    assert set(calls) == everything, "neither a call that is refused, nor a right without use"
    for (kind, method), parameters in calls.items():
        if kind == "luci.wgembed":
            assert methods[method] == parameters
    assert {method for kind, method in calls if kind == "luci.wgembed"} == set(methods)


def test_who_may_watch_sees_no_secret_and_changes_nothing():
    assert set(GROUPS[STATUS]) == {"description", "read"} and "uci" not in GROUPS[STATUS]["read"]
    assert granted(STATUS, "read") == {
        ("luci.wgembed", "status"), ("luci.wgembed", "names"), ("network.interface", "dump"), ("file", "exec")
    }  # fmt: skip
    assert GROUPS[NETWORK] == {
        "description": GROUPS[NETWORK]["description"],
        "read": {"uci": ["network"]},
        "write": {"uci": ["network"]},
    }, "keys of /etc/config/network need a right of their own"
    assert {method for _, method in granted(CONFIG, "write")} == SECRET
    names = METHODS[METHODS.index("function names") : METHODS.index("function output")]
    assert "get=1" not in METHODS and "private_key" not in names


def test_the_plugin_calls_nothing_on_null():
    """In ucode before July 2025, null?.name() is an exception."""
    assert not re.search(r"\?\.\w+\(|\?\.\(", METHODS)


def test_the_plugin_accepts_no_second_line():
    """In ucode since March 2026, ^ and $ match at each line: one function rejects the line feed before it matches."""
    (call,) = re.findall(r"^.*\bmatch\(.*$", METHODS, re.MULTILINE)
    assert r"index(text, '\n') < 0 && !!match(text, pattern)" in call


def test_programs_are_granted_with_their_arguments():
    granted = {place: rights for group in GROUPS.values() for place, rights in group["read"].get("file", {}).items()}
    assert granted == {"/usr/sbin/wgembed diagnose *": ["exec"], "/usr/sbin/wgembed history": ["exec"]}
    assert sum("fs.exec('/usr/sbin/wgembed', [ 'history' ]" in path.read_text() for path in pages.SCRIPTS) == 1
    assert sum("fs.exec('/usr/sbin/wgembed', [ 'diagnose'" in path.read_text() for path in pages.SCRIPTS) == 1
    assert sum(path.read_text().count("fs.exec") for path in pages.SCRIPTS) == 2


def test_the_translators_template_is_fresh():
    assert build_pot.TEMPLATE.read_text() == build_pot.template(), "run python package/build_pot.py"


# ---- the package


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build_ipk.build_luci(tmp_path_factory.mktemp("ipk"))


def test_what_is_in_the_package(package):
    data = members(members(package.read_bytes())["./data.tar.gz"])
    wanted = {f"./www/{path.relative_to(pages.PACKAGE / 'htdocs').as_posix()}" for path in pages.SCRIPTS}
    wanted |= {"./usr/share/luci/menu.d/luci-app-wgembed.json", "./usr/share/rpcd/acl.d/luci-app-wgembed.json",
               "./usr/share/rpcd/ucode/luci.wgembed"}  # fmt: skip
    assert set(data) == wanted
    assert package.stat().st_size < 32 << 10


def test_what_opkg_is_told_of_it(package):
    about = members(members(package.read_bytes())["./control.tar.gz"])
    told = dict(line.split(": ", 1) for line in about["./control"].decode().splitlines())
    assert (told["Package"], told["Architecture"]) == ("luci-app-wgembed", "all")
    assert told["Version"] == f"{build_ipk.version()}-1"
    # All of them are in OpenWrt 24.10, but for our own.
    assert told["Depends"].split(", ") == [
        "libc", "luci-base", "luci-lib-uqr", "rpcd-mod-file", "rpcd-mod-ucode", "ucode-mod-fs", "ucode-mod-socket",
        "ucode-mod-uci", "wgembed",
    ]  # fmt: skip
    assert b"rpcd reload" in about["./postinst-pkg"]


def test_the_makefile_says_the_same(package):
    need(programs, "make")
    said = subprocess.run(
        ["make", "-s", "-C", pages.PACKAGE, f"TOPDIR={pages.ROOT}/tests/openwrt/buildroot", "told"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    told = dict(line.split(": ", 1) for line in said.splitlines())
    about = members(members(package.read_bytes())["./control.tar.gz"])["./control"].decode()
    ours = dict(line.split(": ", 1) for line in about.splitlines())
    told["Depends"] = ", ".join(["libc", *(word.lstrip("+") for word in told["Depends"].split())])
    assert told == {name: ours[name] for name in told}


def test_the_same_again(package, tmp_path):
    build_ipk.main([str(tmp_path), "--variant", "luci"])
    (again,) = tmp_path.iterdir()
    assert again.read_bytes() == package.read_bytes() and again.name == package.name
