"""`wgembed import` and `wgembed export`, as commands, on both runtimes."""

import os
import subprocess
import sys

import pytest

from wgembed.config import options as config
from wgembed.config import uci, wg_quick

from ..config.test_wg_quick import PEERS_PRIVATE, PRIVATE, THEIRS, WHOLE, public
from ..lab import micropython
from ..lab.need import need

CPYTHON = [sys.executable, "-m", "wgembed"]


@pytest.fixture(params=["cpython", "micropython"])
def wgembed(request, tmp_path):
    """Run a command line; returns exit status, output, errors."""
    command = CPYTHON if request.param == "cpython" else need(micropython.command, "1M")

    def run(*arguments):
        done = subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, errors="backslashreplace", timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    return run


def written(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def office(tmp_path):
    return written(tmp_path / "office.conf", WHOLE)


@pytest.fixture
def phone(tmp_path):
    return written(tmp_path / "phone.conf", THEIRS)


@pytest.fixture
def directory(tmp_path):
    """A configuration directory with our end of the tunnel in it."""
    directory = tmp_path / "config"
    directory.mkdir()
    (directory / "wgembed").write_text(
        f"config interface 'wg0'\n\toption private_key '{PRIVATE}'\n\tlist addresses '10.0.0.1/24'\n"
    )
    (directory / "wgembed").chmod(0o600)
    return directory


def test_an_interface_is_printed_and_can_be_loaded(wgembed, office, tmp_path):
    status, text, errors = wgembed("import", office)
    assert status == 0
    assert errors == "wgembed: not imported because UCI has no option for it: dns, preup, postup, postdown\n"
    assert text.startswith(f"\nconfig interface 'office'\n\toption private_key '{PRIVATE}'\n")
    read = config.read(uci.parse(b"wgembed", text.encode()), "wgembed")
    assert [len(interface.peers) for interface in read.interfaces] == [2] and read.warnings == []


def test_an_interface_is_stored(wgembed, office, directory):
    status, text, _ = wgembed("import", office, "--name", "wg1", "--write", "--config-dir", directory)
    assert (status, text) == (0, "")
    read = config.load(str(directory))
    assert [interface.name for interface in read.interfaces] == ["wg0", "wg1"]
    assert os.stat(directory / "wgembed").st_mode & 0o777 == 0o600
    before = (directory / "wgembed").read_bytes()
    status, _, errors = wgembed("import", office, "--name", "wg1", "--write", "--config-dir", directory)
    assert status == 1 and errors.endswith("wgembed: section 'wg1' already exists\n")
    # The same port as wg1's: the configuration would not hold together.
    status, _, errors = wgembed("import", office, "--name", "wg2", "--write", "--config-dir", directory)
    assert status == 1 and "listen_port: 51820 is already the port of interface 'wg1'" in errors
    assert (directory / "wgembed").read_bytes() == before


def test_into_a_directory_without_a_configuration(wgembed, office, tmp_path):
    (tmp_path / "new").mkdir()
    assert wgembed("import", office, "--write", "--config-dir", tmp_path / "new")[0] == 0
    assert [i.name for i in config.load(str(tmp_path / "new")).interfaces] == ["office"]
    assert os.stat(tmp_path / "new/wgembed").st_mode & 0o777 == 0o600


def test_a_file_that_gets_a_key_is_closed_to_others(wgembed, office, directory):
    (directory / "wgembed").chmod(0o644)
    assert wgembed("import", office, "--write", "--config-dir", directory)[0] == 0
    assert os.stat(directory / "wgembed").st_mode & 0o777 == 0o600


def test_what_is_refused_leaves_no_file_behind(wgembed, phone, office, tmp_path):
    (tmp_path / "new").mkdir()
    refused = (["import", phone, "--peer-of", "wg7", "--write"], ["import", office, "--write"])
    office.write_text(WHOLE + WHOLE[WHOLE.rindex("[Peer]") :])  # with the same key
    for arguments in refused:
        assert wgembed(*arguments, "--config-dir", tmp_path / "new")[0] == 1
        assert os.listdir(tmp_path / "new") == []


def test_names_of_files_that_are_no_text(wgembed, phone, directory, request):
    if "micropython" in request.node.name:
        pytest.skip("MicroPython ends on such an argument")
    odd = phone.with_name("b\udcff.conf")
    phone.rename(odd)
    for arguments in (["import", odd], ["import", odd, "--peer-of", "wg0", "--config-dir", directory]):
        status, text, errors = wgembed(*arguments)
        assert (status, text) == (1, "") and "Traceback" not in errors


def test_a_peer_is_stored_and_exported_again(wgembed, phone, directory):
    status, text, errors = wgembed("import", phone, "--peer-of", "wg0", "--config-dir", directory)
    assert (status, errors) == (0, "") and "option description 'phone'" in text and PEERS_PRIVATE not in text
    assert wgembed("import", phone, "--peer-of=wg0", "--description=Anna's", "--write", "--config-dir", directory)[0] == 0
    status, text, errors = wgembed("export", "wg0", "Anna's", "--endpoint", "vpn.example.org", "--config-dir", directory)
    assert (status, errors) == (0, "")
    parsed = wg_quick.parse(text)
    assert parsed.peers[0].last("publickey") == public(PRIVATE)
    assert parsed.peers[0].last("endpoint") == "vpn.example.org:51820"
    assert parsed.interface.words("address") == ["10.0.0.7/32", "fd00::7/128"]
    assert PRIVATE not in text
    again = wgembed("export", "wg0", public(PEERS_PRIVATE), "--endpoint", "[2001:db8::1]:7", "--config-dir", directory)[1]
    assert wg_quick.parse(again).peers[0].last("endpoint") == "[2001:db8::1]:7"
    twice = wgembed("import", phone, "--peer-of=wg0", "--write", "--config-dir", directory)
    assert twice[0] == 1 and twice[2].endswith("has the same key\n")


def test_a_private_key_that_luci_keeps_is_exported(wgembed, phone, directory):
    assert wgembed("import", phone, "--peer-of", "wg0", "--write", "--config-dir", directory)[0] == 0
    file = directory / "wgembed"
    file.write_text(file.read_text() + f"\toption private_key '{PEERS_PRIVATE}'\n")
    options = ["--config-dir", directory, "--endpoint=192.0.2.1:9", "--allowed-ips", "0.0.0.0/0,::/0", "--dns=10.0.0.1"]
    text = wgembed("export", "wg0", "phone", *options)[1]
    parsed = wg_quick.parse(text)
    assert parsed.interface.last("privatekey") == PEERS_PRIVATE and parsed.interface.words("dns") == ["10.0.0.1"]
    assert parsed.peers[0].words("allowedips") == ["0.0.0.0/0", "::/0"]


def test_a_picture(wgembed, phone, directory, request):
    options = ["--config-dir", directory, "--endpoint=192.0.2.1:9", "--qr"]
    assert wgembed("import", phone, "--peer-of", "wg0", "--write", "--config-dir", directory)[0] == 0
    status, _, errors = wgembed("export", "wg0", "phone", *options)
    assert status == 1 and errors == "wgembed: cannot draw a QR code: the peer's private key is not in the configuration\n"
    file = directory / "wgembed"
    file.write_text(file.read_text() + f"\toption private_key '{PEERS_PRIVATE}'\n")
    status, text, errors = wgembed("export", "wg0", "phone", *options)
    if "micropython" in request.node.name:
        assert status == 1 and errors == "wgembed: --qr needs the Python package segno\n"
        return
    import segno

    plain = wgembed("export", "wg0", "phone", *options[:-1])[1]
    assert status == 0
    rows = text.rstrip("\n").split("\n")
    # Two rows of the picture a line, and a border of four on all sides.
    assert len(rows) * 2 >= segno.make(plain, error="l", micro=False).symbol_size()[1]


def test_what_the_file_would_lack(wgembed, phone, directory):
    """Networks are no address of the peer's, and without any of ours nothing would lead here."""
    file = directory / "wgembed"
    file.write_text(
        f"config interface 'wg0'\n\toption private_key '{PRIVATE}'\n"
        f"config wireguard_wg0\n\toption description 'office'\n\toption public_key '{public(PEERS_PRIVATE)}'\n"
        "\tlist allowed_ips '10.9.0.0/24'\n"
    )
    options = ["--config-dir", directory, "--endpoint=192.0.2.1:9"]
    why = "wgembed: wg0 has no addresses: set the networks behind it with --allowed-ips\n"
    assert wgembed("export", "wg0", "office", *options) == (1, "", why)
    status, text, errors = wgembed("export", "wg0", "office", *options, "--allowed-ips=10.0.0.0/24")
    assert status == 0 and "Address" not in text and "AllowedIPs = 10.0.0.0/24\n" in text
    assert errors == "wgembed: the file has no Address because allowed_ips of the peer has only networks\n"


def test_no_endpoint_is_named(wgembed, phone, directory):
    assert wgembed("import", phone, "--peer-of", "wg0", "--write", "--config-dir", directory)[0] == 0
    status, text, errors = wgembed("export", "wg0", "phone", "--config-dir", directory)
    assert status == 0 and "--endpoint" in errors
    assert ("Endpoint = " in text) == ("the endpoint is the address of this machine" in errors)


@pytest.mark.parametrize(
    "arguments,why",
    [
        (["import"], "expected 1 words besides options, got 0\nusage: wgembed import FILE"),
        (["import", "a", "b"], "expected 1 words besides options, got 2\nusage:"),
        (["import", "x", "--force"], "unknown option --force\nusage:"),
        (["import", "x", "--name"], "--name needs a value\nusage:"),
        (["import", "x", "--name", "a", "--peer-of", "b"], "--name and --peer-of cannot be combined\nusage:"),
        (["import", "/nowhere/x.conf"], "cannot read /nowhere/x.conf: No such file or directory (2)"),
        (
            ["import", "OFFICE", "--name", "a b"],
            "'a b' is not a valid interface name in UCI: set another with --name\nusage:",
        ),
        (
            ["import", "OFFICE", "--name", "a-b"],
            "'a-b' is not a valid interface name in UCI: set another with --name\nusage:",
        ),
        (
            ["import", "OFFICE", "--peer-of", "wg7", "--write"],
            "no [Peer] in the file has the public key of this interface\n",
        ),
        (["import", "PHONE", "--peer-of", "wg7", "--write"], "there is no interface 'wg7'\n"),
        (["import", "PHONE", "--peer-of", "w'\n7"], "--peer-of: expected the name of an interface\nusage:"),
        (["export", "wg0"], "expected 2 words besides options, got 1\nusage: wgembed export INTERFACE PEER"),
        (["export", "wg7", "x"], "there is no interface 'wg7'\n"),
        (["export", "wg0", "x"], "no peer of wg0 has the public key or description x\n"),
    ],
)
def test_wrong_arguments(wgembed, office, phone, directory, arguments, why):
    before = (directory / "wgembed").read_bytes()
    places = {"OFFICE": office, "PHONE": phone}
    needs = ["--config-dir", directory] if len(arguments) > 2 or arguments[0] == "export" else []
    needs = needs if "a" not in arguments and "x" not in arguments[1:2] and len(arguments) > 1 else []
    status, text, errors = wgembed(*[places.get(word, word) for word in arguments], *needs)
    assert (status, text) == (1, "") and errors.startswith("wgembed: " + why)
    assert (directory / "wgembed").read_bytes() == before


def test_files_with_mistakes(wgembed, tmp_path, office):
    for text, why in (
        ("nonsense\n", "line 1: expected a section"),
        ("[Interface]\nPrivateKey = 1\n", "line 2: a key has 44"),
    ):
        office.write_text(text)
        status, out, errors = wgembed("import", office)
        assert (status, out) == (1, "") and why in errors
    office.write_bytes(b"\xff\n")
    assert wgembed("import", office)[2] == f"wgembed: {office}: not UTF-8 text\n"


def test_a_file_that_others_can_read(wgembed, office):
    office.chmod(0o644)
    assert f"wgembed: warning: other users can read {office}, which contains keys\n" in wgembed("import", office)[2]
