"""The router's side of the pages: an rpcd plugin, asked over OpenWrt's own bus."""

import base64
import os
import stat

import pytest

from ..lab.router import Keys

PRIVATE = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
SHELL = ("$(touch /tmp/pwned)", "`touch /tmp/pwned`", "a;touch /tmp/pwned", "../../tmp/a", "a b", "", "x" * 16, "a\n", "-x",
         "a\ntouch pwned #")  # fmt: skip


@pytest.fixture(params=["micropython", "python3"])
def variant(request):
    return request.param


@pytest.fixture
def ask(bus):
    def ask(method, **arguments):
        status, answer = bus.call("luci.wgembed", method, arguments)
        assert status == 0, (method, status)
        return answer

    return ask


def test_new_keys_are_files_for_root_alone(site, ask):
    folder = site.router.root / "etc/wgembed"
    first, second = ask("new_key", interface="vpn"), ask("new_key", interface="vpn")
    assert (first["path"], second["path"]) == ("/etc/wgembed/vpn.key", "/etc/wgembed/vpn-2.key"), "none is written over"
    for made in (first, second):
        path = site.router.root / made["path"][1:]
        assert set(made) == {"path", "public_key"}
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.with_suffix(".pub").stat().st_mode) == 0o600
        assert site.router.run("wgembed", "pubkey", input=path.read_text())[1].strip() == made["public_key"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_key_of_ones_own(site, ask):
    kept = ask("keep_key", interface="wg0", private_key=PRIVATE)
    assert kept == {"path": "/etc/wgembed/wg0-2.key", "public_key": PUBLIC}, "the package has made wg0.key"
    assert (site.router.root / "etc/wgembed/wg0-2.key").read_text() == PRIVATE + "\n"
    assert ask("public_key", private_key=PRIVATE) == {"public_key": PUBLIC}
    assert not list((site.router.root / "tmp").glob("*.key"))


def test_the_public_key_of_a_file(site, ask):
    folder = site.router.root / "etc/wgembed"
    (folder / "own.key").write_text(PRIVATE + "\n")
    assert ask("public_key_of_file", path="/etc/wgembed/own.key") == {"public_key": PUBLIC}
    # What is kept beside it counts while it is as young.
    (folder / "own.pub").write_text(Keys().public + "\n")
    assert ask("public_key_of_file", path="/etc/wgembed/own.key")["public_key"] != PUBLIC
    (folder / "own.key").write_text(PRIVATE + "\n")
    os.utime(folder / "own.pub", (1, 1))
    assert ask("public_key_of_file", path="/etc/wgembed/own.key") == {"public_key": PUBLIC}
    for path in ("/etc/shadow", "/etc/wgembed/../shadow", "/etc/wgembed/none.key", "/etc/wgembed/$(id).key", "own.key"):
        assert ask("public_key_of_file", path=path) == {"error": "file"}


@pytest.mark.parametrize("word", SHELL, ids=range(len(SHELL)))
def test_nothing_reaches_a_shell(site, ask, word):
    before = sorted(site.router.root.glob("etc/wgembed/*"))
    assert ask("new_key", interface=word) == ask("keep_key", interface=word, private_key=PRIVATE) == {"error": "name"}
    assert ask("keep_key", interface="wg0", private_key=word) == ask("public_key", private_key=word) == {"error": "key"}
    assert ask("keep_key", interface="wg0", private_key=PRIVATE + "\n" + word) == {"error": "key"}
    assert not list(site.router.root.rglob("pwned*")) and sorted(site.router.root.glob("etc/wgembed/*")) == before


def test_pairs_and_preshared_keys(site, ask):
    pair = ask("new_pair")
    assert site.router.run("wgembed", "pubkey", input=pair["private_key"])[1].strip() == pair["public_key"]
    assert ask("new_preshared_key") != ask("new_preshared_key")
    assert not list((site.router.root / "tmp").glob("*.key"))


def test_without_a_program(site, ask):
    (site.router.root / "usr/sbin/wgembed").unlink()
    for answer in (ask("new_pair"), ask("new_preshared_key")):
        assert answer == {"error": "program"}
    assert ask("new_key", interface="wg9") == {"error": "key"}
    assert ask("keep_key", interface="wg9", private_key=PRIVATE) == {"error": "program"}
    assert not (site.router.root / "etc/wgembed/wg9.key").exists()


def test_names_have_no_secrets(site, ask):
    preshared = Keys().private
    site.configure(
        f"\nconfig interface 'wg1'\n\toption private_key '{PRIVATE}'\n\toption disabled 'yes'\n"
        f"\nconfig wireguard_wg1\n\toption description 'a'\n\toption public_key '{PUBLIC}'\n"
        f"\toption preshared_key '{preshared}'\n"
    )
    told = ask("names")
    assert told["interfaces"]["wg1"] == {
        "disabled": True, "peers": [{"public_key": PUBLIC, "description": "a", "disabled": False}]
    }  # fmt: skip
    assert PRIVATE not in str(told) and preshared not in str(told)


def test_status_has_no_secrets(site, ask):
    site.configure()
    site.router.service("start")
    site.router.reach("10.77.0.2")
    told = ask("status")["interfaces"]["wg0"]
    secret = (site.router.root / "etc/wgembed/wg0.key").read_text().strip()
    assert "private_key" not in told and "preshared_key=0" in told and "own_public_key" in told
    assert base64.b64decode(secret).hex() not in told
