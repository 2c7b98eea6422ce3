"""`wgembed report`: complete, and without secrets, whatever is wrong with the configuration."""

import base64
import os
import sys

import pytest

from wgembed.commands import report

from ..lab import micropython, net
from ..lab.need import need
from ..lab.router import Keys, Router, interface, peer, with_folders

PASSWORD = "correct7horse"
SECTIONS = ["versions", "kernel", "wgembed check", "wgembed status", "wgembed status --json", "wgembed diagnose",
            "wgembed history", "links", "rules", "routes", "log"]  # fmt: skip


@pytest.fixture(params=["cpython", "micropython"])
def command(request):
    return [sys.executable, "-m", "wgembed"] if request.param == "cpython" else need(micropython.command, "2M")


@pytest.fixture
def place():
    place = net.Namespace()
    yield place
    place.close()


class Scene:
    """A router with secrets in three places: its own configuration, that of netifd, and a file of wg-quick."""

    def __init__(self, place, folder, command):
        self.sockets = {"WGEMBED_SOCKET_DIR": str(folder / "sockets")}  # otherwise the report has those of other tests
        self.router = Router(place, folder, command, **self.sockets)
        self.place, self.command, self.folder = place, command, folder
        self.name = net.unique("t")
        self.own, self.psk, self.other, self.quick = Keys(), Keys(), Keys(), Keys()
        self.public = Keys().public
        self.secrets = [keys.raw for keys in (self.own, self.psk, self.other, self.quick)]
        self.quick_folder = folder / "quick"
        self.quick_folder.mkdir()
        self.router.config.with_name("network").write_text(
            interface("lan", proto="static", ipaddr="192.168.1.1", device="br-lan")
            + interface("wan", proto="pppoe", username="7me@provider", password=PASSWORD)
            + interface("vpn", proto="wireguard", private_key=self.other.private, listen_port=7)
            + peer("vpn", public_key=self.public, preshared_key=self.psk.private)
        )
        (self.quick_folder / "office.conf").write_text(
            f"[Interface]\nPrivateKey = {self.quick.private}\nAddress = 10.5.0.1/24\n# {self.quick.private}\n"
            f"PostUp = wg set %i peer x preshared-key <(echo {self.psk.private}); curl -u me:{PASSWORD} http://x\n"
            f"[Peer]\nPublicKey = {self.public}\nEndpoint = vpn.example.net:51820\n"
        )
        self.router.write(*self.sections())

    def sections(self, **options):
        own = {"private_key": self.own.private, "listen_port": 51999, "addresses": ["10.6.0.1/24"], **options}
        return (interface(self.name, **own),
                peer(self.name, public_key=self.public, preshared_key=self.psk.private, allowed_ips=["10.6.0.2"],
                     endpoint_host="127.0.0.1", endpoint_port=9))  # fmt: skip

    def report(self, **environment):
        prefix = with_folders(self.folder / "scratch", {"/etc/wireguard": self.quick_folder})
        values = {
            "WGEMBED_STATE_DIR": self.router.state,
            "WGEMBED_RUN_DIR": self.router.run_directory,
            **self.sockets,
            **environment,
        }
        status, text = self.place.run("env", *[f"{name}={value}" for name, value in values.items()], *prefix, *self.command,
                                      "report", "--config-dir", str(self.router.config.parent), timeout=60)  # fmt: skip
        assert status == 0
        self.has_no_secret(text)
        return text

    def has_no_secret(self, text):
        flat = "".join(text.split())
        for raw in self.secrets:
            one = base64.b64encode(raw).decode()
            for form in (one, one.rstrip("="), base64.urlsafe_b64encode(raw).decode(), raw.hex(), raw.hex().upper(),
                         raw.hex(":"), one[:22], one[22:43], raw.hex()[:32], raw.hex()[32:]):  # fmt: skip
                assert form not in text and form not in flat
        assert PASSWORD not in text


@pytest.fixture
def scene(tmp_path, place, command):
    (tmp_path / "r").mkdir()
    return Scene(place, tmp_path / "r", command)


def titles(text):
    return [line[3:-3] for line in text.splitlines() if line.startswith("== ")]


def test_all_is_in_it_while_the_service_runs(scene):
    scene.router.start()
    text = scene.report()
    assert [title for title in titles(text) if "/" not in title] == SECTIONS
    for expected in ("wgembed 0.", "Linux version", "option listen_port '51999'", f"{scene.name}: up, port 51999",
                     "option ipaddr '192.168.1.1'", "option private_key (hidden)", "Address = 10.5.0.1/24",
                     "PostUp = (hidden)", "Endpoint = vpn.example.net:51820", f"option public_key '{scene.public[:6]}...",
                     '"offloads"', " started, configuration ",
                     "10.6.0.0/24 dev", "from all lookup main", "tunnel devices: yes"):  # fmt: skip
        assert expected in text, expected


def test_what_cannot_be_had_is_explained(scene):
    scene.router.config.unlink()
    text = scene.report()
    assert f"== {scene.router.config} ==\nnot available: No such file or directory (2)\n" in text
    assert "== log ==\nnot available: this machine has no program logread\n" in text
    assert "error: cannot read" in text and "no interface is served" in text
    assert titles(text)[-1] == "log"


def test_what_was_hidden_is_hidden_in_the_log_as_well(scene):
    logread = scene.folder / "logread"
    logread.write_text(f"#!/bin/sh\necho \"$*\"; echo 'wgembed: {PASSWORD}, {scene.own.private}, {scene.psk.raw.hex()}.'\n")
    logread.chmod(0o755)
    text = scene.report(PATH=f"{scene.folder}:{os.environ['PATH']}")
    assert f"== log ==\n-e wgembed\nwgembed: (hidden), (hidden), {scene.psk.raw.hex()[:6]}....\n" in text


BROKEN = {
    "in another option": "option listen_port '{key}'",
    "in another option, in two pieces": "option mtu '{first} {second}'",
    "in another option, in hexadecimal": "option fwmark '{hex}'",
    "in an option of globals": "config globals\n\toption heapsize '{key}'",
    "in an unknown option": "option privatekey '{key}'",
    "without an option": "{key}",
    "over two lines": "option private_key '{first}\n{second}'",
    "over two lines, the second like an option": "option private_key '{first}\noption {second}'",
    "after a semicolon": "option mtu '1400'; option private_key '{key}'",
    "as a public key": "config wireguard_{name}\n\toption public_key '{key}'",
    "in a description": "config wireguard_{name}\n\toption description 'the key is {key}'",
    "in allowed_ips": "list addresses '{key}'\n\tlist addresses '{first}'",
    "as the name of a section": "config interface '{key}'",
    "as the name of an option": "option {first} '{second}'",
    "as a type": "config {first}{second}",
    "as a host": "config wireguard_{name}\n\toption public_key '{public}'\n\toption endpoint_host '{first}'",
    "in a comment": "# private_key {key}\n\toption mtu 'x'",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_key_in_the_wrong_place(scene, case):
    key = scene.own.private
    line = BROKEN[case].format(key=key, first=key[:22], second=key[22:], hex=scene.own.raw.hex(), name=scene.name,
                               public=scene.public)  # fmt: skip
    own, other = scene.sections()
    scene.router.write(own.replace("\toption listen_port", f"\t{line}\n\toption listen_port"), other)
    assert "wgembed check" in scene.report()


def test_a_part_of_a_key_without_a_digit():
    """One of fifty pieces of 22 characters has none."""
    assert report._without_keys("option IKfnFGshTOBKepZpZNAkCr (hidden)") == "option IKfnFG... (hidden)"
    assert report._without_keys("NetworkManager, MemoryError, persistent_keepalive") == (
        "NetworkManager, MemoryError, persistent_keepalive"
    )
