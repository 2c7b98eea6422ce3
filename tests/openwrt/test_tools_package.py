"""Commands on a router that are in a separate package for MicroPython, and in the program for Python."""

import pytest

from ..lab import net
from ..lab.builders import build_ipk, contents

COMMANDS = "import", "export", "up", "down", "reload", "report", "apply", "confirm", "syncconf"
FILE = """\
[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address = 10.6.0.1/24
ListenPort = 51999

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.6.0.2/32
"""
ONLY_MICROPYTHON = pytest.mark.parametrize("variant", ["micropython"], indirect=True)


@pytest.fixture
def home(installed):
    """A router with a file of wg-quick, without the package."""
    path = installed.root / "tmp/home.conf"
    path.write_text(FILE)
    path.chmod(0o600)
    return installed


@pytest.fixture
def equipped(home, variant, tmp_path):
    if variant == "micropython":
        home.opkg.install(build_ipk.build_tools(tmp_path))
    return home


@ONLY_MICROPYTHON
def test_without_the_package(home):
    for command in COMMANDS:
        sentence = f"wgembed {command} is in the package wgembed-micropython-tools, which is not installed\n"
        assert home.run("wgembed", command, "/tmp/home.conf", check=False) == (1, sentence)
        assert home.run("wgembed", command, check=False) == (1, sentence)
    sentence = "the firewall, mwan3 and pbr were not checked: install wgembed-micropython-tools to check them\n"
    assert sentence in home.run("wgembed", "check", check=False)[1]


@ONLY_MICROPYTHON
def test_another_missing_module_is_named(home):
    """Also if a command needs it: a file of the program is damaged."""
    (home.root / "usr/lib/wgembed/wgembed/uapi/client.mpy").unlink()
    sentence = "wgembed: a Python module is missing: no module named 'wgembed.uapi.client'\n"
    assert home.run("wgembed", "status", check=False) == (1, sentence)


def test_python_names_the_module_itself(home, variant):
    """Its package has all modules, so the file is damaged."""
    if variant == "python3":
        for path in (home.root / "usr/lib/wgembed/wgembed/commands").rglob("convert*.py*"):
            path.unlink()
        sentence = "wgembed: a Python module is missing: No module named 'wgembed.commands.convert'\n"
        assert home.run("wgembed", "import", "/tmp/home.conf", check=False) == (1, sentence)


def test_a_file_is_imported_and_exported(equipped):
    assert equipped.run("wgembed", "import", "/tmp/home.conf", "--write") == (0, "")
    config = (equipped.root / "etc/config/wgembed").read_text()
    assert "config interface 'home'" in config and "list addresses '10.6.0.1/24'" in config
    options = ["--endpoint", "vpn.example.org"]
    _, text = equipped.run("wgembed", "export", "home", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", *options)
    assert "Address = 10.6.0.2/32\n" in text and "Endpoint = vpn.example.org:51999\n" in text
    _, text = equipped.run("wgembed", "export", "--network", "home")
    assert "option proto 'wireguard'" in text
    (equipped.root / "etc/config/network").write_text(text.replace("home", "away"))
    assert "config interface 'away'" in equipped.run("wgembed", "import", "--network", "away")[1]


def test_a_file_is_brought_up_and_down(equipped):
    equipped.run("wgembed", "up", "/tmp/home.conf")
    assert "10.6.0.1/24" in equipped.namespace.ip("address", "show", "dev", "home")
    path = equipped.root / "tmp/home.conf"
    path.write_text(FILE.replace("10.6.0.2/32", "10.6.0.3/32"))
    equipped.run("wgembed", "reload", "/tmp/home.conf")
    assert "10.6.0.3/32" in equipped.run("wgembed", "show", "home", "allowed-ips")[1]
    equipped.run("wgembed", "down", "/tmp/home.conf")
    assert "home" not in equipped.namespace.ip("link", "show")


def test_report_and_the_whole_check(equipped):
    (equipped.root / "etc/config/network").write_text("config route\n\toption interface 'wg0'\n")
    (equipped.root / "etc/config/wgembed").write_text(
        "config interface 'wg0'\n\toption private_key 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='\n"
    )
    assert "== versions ==\n" in equipped.run("wgembed", "report")[1]
    text = equipped.run("wgembed", "check", check=False)[1]
    assert "not checked" not in text and "proto 'none'" in text


@ONLY_MICROPYTHON
def test_removal_leaves_nothing(home, tmp_path):
    package = build_ipk.build_tools(tmp_path)
    before = files(home)
    home.opkg.install(package)
    added = files(home) - before
    assert {f"usr/lib/wgembed/wgembed/{name}.mpy" for name in contents.TOOLS_MODULES} <= added
    home.opkg.remove("wgembed-micropython-tools")
    assert files(home) == before
    assert "which is not installed" in home.run("wgembed", "import", "/tmp/home.conf", check=False)[1]


def files(router):
    """The files that packages installed, and what opkg knows of them."""
    return {str(path.relative_to(router.root)) for path in (router.root / "usr").rglob("*") if path.is_file()}


def test_a_change_returns_unless_it_is_confirmed(tunnel, variant, tmp_path):
    """The daemon is in its jail, where it cannot write the configuration."""
    router = tunnel.router
    if variant == "micropython":
        router.opkg.install(build_ipk.build_tools(tmp_path))
    config, new = router.root / "etc/config/wgembed", router.root / "tmp/new"
    old = config.read_text()
    new.write_text(old.replace("option listen_port", "option mtu '1300'\n\toption listen_port"))
    assert new.read_text() != old
    new.chmod(0o600)
    router.run("wgembed", "apply", "/tmp/new", "--confirm", "0.05")
    assert "1300" in tunnel.near.run("cat", "/sys/class/net/wg0/mtu")[1] and config.read_text() == old
    net.poll(
        lambda: "1300" not in tunnel.near.run("cat", "/sys/class/net/wg0/mtu")[1], 10, what="the previous configuration"
    )
    router.run("wgembed", "apply", "/tmp/new", "--confirm", "5")
    assert router.run("wgembed", "confirm") == (0, "The configuration is confirmed.\n")
    assert config.read_text() == new.read_text() and config.stat().st_mode & 0o777 == 0o600
    router.reach("10.77.0.2")
