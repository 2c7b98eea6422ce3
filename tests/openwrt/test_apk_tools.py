"""The real apk of OpenWrt 25.12, with our packages and feeds: verified, installed, upgraded, removed, refused.

Skipped without the program, which WGEMBED_APK names. The feed here has packages of one file instead
of those of OpenWrt on which ours depend. The last tests install into a router with services.
"""

import dataclasses
import functools
import hashlib
import http.server
import json
import threading

import pytest

from ..lab import apk, net, openwrt
from ..lab.builders import build_apk, build_feed, contents
from ..lab.need import need, outside, privileges
from .test_apk import BAD_VERSIONS, GOOD_VERSIONS, VERSIONS, all_packages

OF_OPENWRT = (
    "libc", "kmod-tun", "libsodium", "micropython", "python3-light", "python3-pynacl", "wireguard-tools", "luci-base",
    "luci-lib-uqr", "rpcd-mod-file", "rpcd-mod-ucode", "ucode-mod-fs", "ucode-mod-socket", "ucode-mod-uci",
)  # fmt: skip
FUNCTIONS = """
default_postinst() { echo "postinst $pkgname upgrade=$PKG_UPGRADE"; }
default_prerm() { echo "prerm $pkgname"; }
"""


@pytest.fixture(scope="module")
def program():
    return outside(apk.program)


@pytest.fixture(scope="module")
def ours(program, tmp_path_factory):
    return all_packages(tmp_path_factory.mktemp("library"))


@pytest.fixture
def feed(ours, tmp_path):
    """A signed feed with our packages and those on which they depend. The packages are not signed themselves."""
    folder = tmp_path / "feed"
    for name in OF_OPENWRT:
        build_apk.write(folder, apk.plain(name))
    build_apk.write(folder, apk.plain("luci-proto-wireguard", depends=["wireguard-tools"]))
    for package in ours:
        build_apk.write(folder, package)
    build_feed.write_indexes(folder, apk.KEY)
    return folder


@pytest.fixture
def real(program, feed, tmp_path):
    """apk with a root that has a shell, which trusts the key of the feed."""
    real = apk.Apk(program, tmp_path)
    real.begin(feed, key=apk.KEY)
    (real.root / "lib/functions.sh").write_text(FUNCTIONS)
    real("add", "libc")
    return real


def everything(root):
    """{path: bytes} of all files and folders, without the database and the log of apk."""
    found = {}
    for path in root.rglob("*"):
        place = str(path.relative_to(root))
        if not place.startswith(("lib/apk/db", "etc/apk", "var")):
            found[place] = path.read_bytes() if path.is_file() else b""
    return found


# ---- single packages


def test_its_answers_are_those_in_the_tree(program, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", apk.DATE)
    known = json.loads(apk.ANSWERS.read_text())
    assert dict(apk.answers(program, tmp_path), program=None) == dict(known, program=None)


def test_our_packages_are_the_bytes_of_mkpkg(program, ours, tmp_path):
    real = apk.Apk(program, tmp_path)
    for package in ours:
        content = build_apk.write(tmp_path, package).read_bytes()
        work = tmp_path / package.name
        work.mkdir()
        assert apk.unpacked(real.make(content, work)) == apk.unpacked(content), package.name


def test_our_packages_are_verified(program, ours, tmp_path):
    real = apk.Apk(program, tmp_path)
    paths = [build_apk.write(tmp_path, package, apk.KEY) for package in ours]
    status, text = real.run("verify", *paths, check=False)
    assert status and text.count("UNTRUSTED") == len(paths)
    real.trust(apk.KEY)
    assert real.run("verify", *paths)[1].count("OK") == len(paths)


def test_a_signed_package_without_a_feed(real, ours, tmp_path):
    """A file is installed if its key is trusted, and otherwise with --allow-untrusted alone."""
    netifd = next(package for package in ours if package.name == "wgembed-netifd")
    real.refused("add", build_apk.write(tmp_path / "unsigned", netifd))
    real("add", build_apk.write(tmp_path / "signed", netifd, apk.KEY))
    assert "wgembed-netifd" in real.installed()
    real("del", "wgembed-netifd")
    real("add", "--allow-untrusted", build_apk.write(tmp_path / "unsigned", netifd))
    assert "wgembed-netifd" in real.installed()


def test_our_rule_for_versions_is_its_rule(program, tmp_path):
    real = apk.Apk(program, tmp_path)
    for version in GOOD_VERSIONS:
        assert real.run("version", "--check", f"{version}-r1")[1] == "", version
    for version in BAD_VERSIONS:
        assert real.run("version", "--check", f"{version}-r1", check=False)[0], version


@pytest.mark.parametrize("lower, higher", list(zip(VERSIONS, VERSIONS[1:], strict=False)))
def test_the_order_of_versions(program, lower, higher, tmp_path):
    real = apk.Apk(program, tmp_path)
    assert real.run("version", "-t", lower, higher)[1].strip() == "<"


# ---- a feed


def test_the_program_is_chosen_by_its_short_name(real):
    text = real("add", "wgembed")
    assert "postinst wgembed-micropython upgrade=\n" in text
    assert real.installed() == ["kmod-tun", "libc", "libsodium", "micropython", "wgembed-micropython"]
    assert "wgembed-micropython-" in real("list", "--installed") and "noarch" in real("list", "--installed")
    assert real.run("--root", real.root, "audit", "--system", check=False)[1].count("wgembed") == 0, "nothing differs"


def test_files_and_modes_are_those_of_the_package(real, ours):
    real("add", "wgembed-python3", "luci-app-wgembed", "wgembed-netifd", "wgembed-fastpath")
    for package in ours:
        if package.name in ("wgembed-micropython", contents.TOOLS):
            continue
        for place, (data, mode) in build_apk.files(package).items():
            path = real.root / place
            assert (path.read_bytes(), path.stat().st_mode & 0o777) == (data, mode), place


def test_a_feed_on_a_web_server(real, feed):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(feed)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        (real.root / "etc/apk/repositories").write_text("")
        lists = real.root / "etc/apk/repositories.d"
        lists.mkdir()
        (lists / "customfeeds.list").write_text(f"http://127.0.0.1:{server.server_port}/packages.adb\n")
        assert "WARNING" not in real("update")
        real("add", "wgembed-netifd")
        assert "wgembed-netifd" in real.installed()
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_the_two_programs_replace_each_other(real):
    real("add", "wgembed-micropython")
    assert "unable to select packages" in real.refused("add", "wgembed-python3")
    real("del", "wgembed-micropython")
    real("add", "wgembed")
    real("add", "wgembed-python3")
    assert [name for name in real.installed() if name.startswith("wgembed")] == ["wgembed-python3"]
    assert not list(real.root.rglob("*.mpy"))


def test_the_protocol_handler_replaces_wireguard_tools(real):
    """It has the same name for others, so that apk takes it instead, and goes back when it is removed."""
    real("add", "luci-proto-wireguard", "wireguard-tools")
    real("add", "wgembed-netifd")
    assert {"wgembed-netifd", "luci-proto-wireguard"} <= {*real.installed()} and "wireguard-tools" not in real.installed()
    real("add", "wireguard-tools")
    assert "wireguard-tools" not in real.installed()
    real("del", "wgembed-netifd")
    assert real.installed() == ["libc", "luci-proto-wireguard", "wireguard-tools"]


def test_a_package_of_another_architecture_is_not_installed(program, feed, tmp_path):
    real = apk.Apk(program, tmp_path)
    real.begin(feed, architecture="aarch64_generic", key=apk.KEY)
    assert "wgembed-fastpath" in real.refused("add", "wgembed-fastpath")
    real("add", "wgembed-netifd")


def upgraded(real, feed, package, **changes):
    """Put a newer version of the package into the feed; return what apk wrote at the upgrade."""
    files = dict(package.files, **{"etc/config/wgembed": (b"config globals 'globals'\n", 0o600)})
    del files["usr/lib/wgembed/wg"]
    build_apk.write(feed, dataclasses.replace(package, files=files, version="99.0", **changes))
    build_feed.write_indexes(feed, apk.KEY)
    return real("upgrade")


def test_the_tools_are_those_of_the_same_version(real, feed, ours):
    """If the feed has a newer program without its tools, apk upgrades neither; with them, both."""
    real("add", "wgembed-micropython-tools")
    assert {"wgembed-micropython", "wgembed-micropython-tools"} <= {*real.installed()}
    program, tools = [
        next(package for package in ours if package.name == name)
        for name in ("wgembed-micropython", "wgembed-micropython-tools")
    ]
    before = tools.version
    upgraded(real, feed, program)
    assert f"wgembed-micropython-{before}-" in real("list", "--installed")
    build_apk.write(feed, dataclasses.replace(tools, version="99.0"))
    build_feed.write_indexes(feed, apk.KEY)
    real("upgrade")
    installed = real("list", "--installed")
    assert "wgembed-micropython-99.0-" in installed and "wgembed-micropython-tools-99.0-" in installed


@pytest.mark.parametrize("variant", ["micropython", "python3"])
def test_upgrade_keeps_the_configuration(real, feed, ours, variant):
    name = f"wgembed-{variant}"
    real("add", name)
    config, defaults = real.root / "etc/config/wgembed", real.root / "etc/uci-defaults/wgembed"
    config.write_text("mine\n")
    defaults.unlink()  # as OpenWrt does when it was run
    text = upgraded(real, feed, next(package for package in ours if package.name == name))
    assert f"postinst {name} upgrade=1" in text and "prerm" not in text
    assert config.read_text() == "mine\n"
    assert config.with_name("wgembed.apk-new").read_text() == "config globals 'globals'\n"
    assert defaults.exists(), "it runs again, for what a new version may need"
    assert not (real.root / "usr/lib/wgembed/wg").exists() and f"{name}-99.0-r1" in real("list", "--installed")


def test_an_unchanged_configuration_is_replaced(real, feed, ours):
    real("add", "wgembed-micropython")
    upgraded(real, feed, next(package for package in ours if package.name == "wgembed-micropython"))
    config = real.root / "etc/config/wgembed"
    assert config.read_text() == "config globals 'globals'\n" and not config.with_name("wgembed.apk-new").exists()


def test_removal_leaves_nothing(real):
    before = everything(real.root)
    names = ["wgembed-python3", "luci-app-wgembed", "wgembed-netifd", "wgembed-fastpath"]
    text = real("add", *names)
    assert all(f"postinst {name} upgrade=\n" in text for name in names)
    text = real("del", *names)
    assert all(f"prerm {name}\n" in text for name in names)
    assert everything(real.root) == before


def test_the_further_commands(real, ours):
    """Their package comes and goes beside the program, which stays as it is, and is not for the program for Python."""
    (package,) = (package for package in ours if package.name == contents.TOOLS)
    assert "wgembed-python3" not in real("add", "wgembed-micropython")
    before = everything(real.root)
    real("add", contents.TOOLS)
    assert {place: (real.root / place).read_bytes() for place in package.files} == {
        place: data for place, (data, _) in package.files.items()
    }
    real("del", contents.TOOLS)
    assert everything(real.root) == before
    real("add", contents.TOOLS)
    assert "unable to select packages" in real.refused("add", "wgembed-python3")


def test_removal_keeps_a_changed_configuration(real):
    before = everything(real.root)
    real("add", "wgembed")
    (real.root / "etc/config/wgembed").write_text("mine\n")
    (real.root / "etc/wgembed").mkdir()
    (real.root / "etc/wgembed/wg0.key").write_text("secret\n")
    real("del", "wgembed")
    left = {place: data for place, data in everything(real.root).items() if place not in before}
    assert {place: data for place, data in left.items() if data} == {
        "etc/config/wgembed": b"mine\n", "etc/wgembed/wg0.key": b"secret\n",
    }  # fmt: skip
    real("add", "wgembed")
    assert (real.root / "etc/config/wgembed").read_text() == "mine\n", "also when it is installed again"


# ---- what it refuses


def test_an_index_without_a_known_signature(real, feed):
    for key in (None, apk.OTHER_KEY):
        build_feed.write_indexes(feed, key)
        assert "UNTRUSTED signature" in real("update")
        assert "unable to select packages" in real.refused("add", "wgembed")
    build_feed.write_indexes(feed, apk.KEY)
    assert "WARNING" not in real("update")


@pytest.mark.parametrize("case", ["cut off", "altered", "newer"])
def test_an_altered_index(real, feed, case):
    path = feed / "packages.adb"
    content = path.read_bytes()
    blocks = apk.blocks_of(content)
    changed = {
        "cut off": content[: len(content) // 2],
        "altered": content[:200] + bytes([content[200] ^ 1]) + content[201:],
        "newer": apk.of_blocks(content, [(0, blocks[0][1].replace(b"-r1", b"-r2")), *blocks[1:]]),
    }
    path.write_bytes(changed[case])
    assert f"{path}: " in real("update")
    assert "unable to select packages" in real.refused("add", "wgembed")
    assert real.installed() == ["libc"]


@pytest.mark.parametrize("case", ["cut off", "altered", "another", "unsigned, same name"])
def test_an_altered_package_of_a_signed_feed(real, feed, case):
    """The index knows the hash of each package. Nothing of it stays."""
    before = everything(real.root)
    path = feed / f"wgembed-netifd-{contents.version()}-r1.apk"
    content = path.read_bytes()
    database, *files = apk.blocks_of(content)
    other = contents.netifd()
    other.files["usr/bin/wg"] = b"#!/bin/sh\necho bad\n", 0o755
    changed = {
        "cut off": content[: len(content) // 2],
        "altered": content[:-30] + bytes([content[-30] ^ 1]) + content[-29:],
        "another": (feed / "libc-1.0-r1.apk").read_bytes(),
        "unsigned, same name": build_apk.write(feed / "other", other).read_bytes(),
    }
    path.write_bytes(changed[case])
    text = real.refused("add", "wgembed-netifd")
    assert "ERROR" in text and "wgembed-netifd" not in real.installed()
    real("fix", check=False)
    left = {place for place, data in everything(real.root).items() if data and place not in before}
    assert left & {*build_apk.files(other)} == set()


# ---- a router with services


@pytest.fixture(params=["micropython", "python3"])
def router(request, program, tmp_path):
    """A router with an interpreter, a tunnel device and apk, which runs in the router's namespaces."""
    need(privileges)
    need(openwrt.prepare)
    need(openwrt.interpreter, request.param)
    namespace = net.Namespace()
    router = openwrt.Router(namespace)
    router.fit(request.param)
    router.variant = request.param
    router.apk = apk.Apk(program, tmp_path, router.around())
    router.apk.root = router.root
    router.apk.begin(tmp_path / "feed", key=apk.KEY)
    router.feed = tmp_path / "feed"
    for name in OF_OPENWRT[:7]:
        build_apk.write(router.feed, apk.plain(name))
    yield router
    router.close()
    namespace.close()


def publish(router, **changes):
    package = dataclasses.replace(contents.program(router.variant), **changes)
    build_apk.write(router.feed, package)
    build_feed.write_indexes(router.feed, apk.KEY)
    return package.name


def test_the_service_from_installation_to_removal(router):
    name = publish(router)
    router.apk("add", name)
    key = router.root / "etc/wgembed/wg0.key"
    assert key.stat().st_size == 45 and not (router.root / "etc/uci-defaults/wgembed").exists()
    assert router.daemon() is None and (router.root / "etc/rc.d/S21wgembed").exists()
    router.configure("config interface 'wg0'\n\toption private_key_file '/etc/wgembed/wg0.key'\n")
    router.service("start")
    net.poll(lambda: (router.root / "tmp/run/wireguard/wg0.sock").exists(), 10, what="the interface")
    first, sum_before = router.daemon(), hashlib.sha256(key.read_bytes()).digest()
    publish(router, version="99.0")
    router.apk("upgrade")
    assert router.daemon() not in (None, first), "the new version runs"
    assert hashlib.sha256(key.read_bytes()).digest() == sum_before
    assert "key_file" in (router.root / "etc/config/wgembed").read_text()
    router.apk("del", name)
    assert router.daemon() is None and not list((router.root / "etc/rc.d").iterdir())
    left = [path for path in router.root.rglob("*wgembed*") if path.is_file() and path.suffix != ".lock"]
    left += [path for path in router.root.glob("*/wgembed/*") if path.is_file()]
    names = "wg0.key", "wg0.pub", "clock", "history", "last-good"
    kept = {"etc/config/wgembed", *(f"etc/wgembed/{name}" for name in names)}
    assert {str(path.relative_to(router.root)) for path in left} <= kept
    assert not (router.root / "usr/lib/wgembed").exists(), list((router.root / "usr/lib/wgembed").rglob("*"))
