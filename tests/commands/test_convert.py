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


# From /etc/config/network and back

STOCK = f"""
config interface 'lan'
	option proto 'static'
	option ipaddr '192.168.1.1'

config interface 'wg0'
	option proto 'wireguard'
	option private_key '{PRIVATE}'
	option listen_port '51820'
	list addresses '10.0.0.1/24'
	list addresses 'fd00::1/64'
	option mtu '1400'
	option fwmark '0x1234'
	option metric '10'
	option ip4table '100'
	option ip6table 'main'
	option nohostroute '1'
	option tunlink 'wan'
	option defaultroute '0'
	option delegate '0'
	option force_link '1'
	option auto '1'
	list dns '10.0.0.53'
	list ip6prefix 'fd12::/48'
	option colour 'red'

config wireguard_wg0 'laptop'
	option description 'a laptop'
	option public_key '{public(PEERS_PRIVATE)}'
	option private_key '{PEERS_PRIVATE}'
	option preshared_key '{PRIVATE}'
	list allowed_ips '10.0.0.2/32'
	list allowed_ips '10.1.0.0/16'
	option route_allowed_ips '1'
	option endpoint_host 'vpn.example.org'
	option endpoint_port '51821'
	option persistent_keepalive '25'

config wireguard_wg0
	option public_key '{PRIVATE}'
	option disabled '1'

config interface 'wg1'
	option proto 'wireguard'
	option disabled '1'
"""


@pytest.fixture
def network(directory):
    (directory / "network").write_text(STOCK)
    return directory


def raw(text):
    """The sections of a text, without the order of interfaces and peers."""
    return sorted(
        (s.kind, s.name, [(o.name, o.value, o.values) for o in s.options]) for s in uci.parse(b"x", text.encode()).sections
    )


def test_sections_of_the_stock_wireguard(wgembed, network):
    """All options that wgembed has, word for word; the others are named, and go into the section that netifd keeps."""
    status, text, errors = wgembed("import", "--network", "wg0", "--config-dir", network)
    assert status == 0
    at = f"wgembed: {network}/network:"
    assert errors == (
        f"{at}23: interface 'wg0', option dns: no effect in wgembed, option ignored\n"
        f"{at}24: interface 'wg0', option ip6prefix: no effect in wgembed, option ignored\n"
        f"{at}25: interface 'wg0', option colour: unknown option ignored\n"
        f"wgembed: in {network}/network, put this in place of the moved sections, which would make the same interfaces; "
        "then zones, routes and rules still find them:\n"
        "config interface 'wg0'\n\toption proto 'static'\n\toption device 'wg0'\n"
        "\tlist dns '10.0.0.53'\n\tlist ip6prefix 'fd12::/48'\n"
    )
    start, end = STOCK.index("config interface 'wg0'"), STOCK.index("config interface 'wg1'")
    gone = ("\tlist dns '10.0.0.53'\n", "\tlist ip6prefix 'fd12::/48'\n", "\toption colour 'red'\n")
    wanted = STOCK[start:end]
    for line in gone:
        wanted = wanted.replace(line, "")
    assert [entry[0::2] for entry in raw(text)] == [entry[0::2] for entry in raw(wanted)]
    (read,) = config.read(uci.parse(b"wgembed", text.encode()), "wgembed").interfaces
    assert (read.listen_port, read.fwmark, read.metric, read.table4, read.defaultroute) == (51820, 0x1234, 10, 100, False)
    assert [peer.description for peer in read.peers] == ["a laptop"]


def test_there_and_back(wgembed, network, tmp_path):
    """What both sides know is the same again. All options of the table are in the text."""
    _, text, _ = wgembed("import", "--network", "wg0", "--config-dir", network)
    other = tmp_path / "other"
    other.mkdir()
    written(other / "wgembed", text)
    status, back, errors = wgembed("export", "--network", "wg0", "--config-dir", other)
    assert (status, errors) == (0, "") and raw(back) == raw(text)
    known = {"private_key_file", "max_peers", "log_level", "kill_switch", "disabled"}
    assert {name.decode() for _, _, given in raw(text)[:1] for name, _, _ in given} == set(
        config.known(b"interface")
    ) - known
    peers = {name.decode() for kind, _, given in raw(text) if kind != b"interface" for name, _, _ in given}
    assert peers == set(config.known(b"wireguard_wg0")) - {
        "failback_time", "backup_of", "endpoint_order", "ping_check", "ping_interval",
    }  # fmt: skip


def test_all_interfaces_and_a_mistake(wgembed, network):
    status, text, errors = wgembed("import", "--network", "--config-dir", network)
    assert status == 0 and [name for kind, name, _ in raw(text) if kind == b"interface"] == [b"wg0", b"wg1"]
    assert "config interface 'wg1'\n\toption proto 'none'\n\toption device 'wg1'\n" in errors
    status, text, errors = wgembed("import", "--network", "lan", "--config-dir", network)
    assert (status, text) == (1, "") and "no such interface with the protocol wireguard" in errors
    (network / "network").write_text(STOCK.replace("'51820'", "'x'"))
    status, text, errors = wgembed("import", "--network", "--config-dir", network)
    assert (status, text) == (1, "")
    assert f"{network}/network:9: interface 'wg0', option listen_port: expected a number" in errors
    (network / "network").write_text("nonsense")
    assert wgembed("import", "--network", "--config-dir", network)[0] == 1
    (network / "network").unlink()
    status, _, errors = wgembed("import", "--network", "--config-dir", network)
    assert status == 1 and "No such file" in errors


def test_moved_in_place_of_the_section_that_the_package_brings(wgembed, network):
    path = network / "wgembed"
    before = path.read_text()
    status, _, errors = wgembed("import", "--network", "wg0", "--write", "--config-dir", network)
    assert status == 1 and errors.endswith("section 'wg0' already exists\n") and path.read_text() == before
    written(path, "config globals 'globals'\n\nconfig interface 'wg0'\n\toption disabled '1'\n"
                  "\toption private_key_file '/etc/wgembed/wg0.key'\n")  # fmt: skip
    status, text, _ = wgembed("import", "--network", "--write", "--config-dir", network)
    assert (status, text) == (0, "")
    (read,) = config.load(str(network)).interfaces
    assert (read.name, read.key_file, len(read.peers)) == ("wg0", "", 1)
    assert b"wg1" in [name for _, name, _ in raw(path.read_text())] and os.stat(path).st_mode & 0o777 == 0o600


def test_back_to_the_stock_wireguard(wgembed, directory):
    """Values that only wgembed reads are in OpenWrt's form, and the key is there instead of its file."""
    key = written(directory / "wg0.key", PRIVATE + "\n")
    written(
        directory / "wgembed",
        f"""
config interface 'wg0'
	option private_key_file '{key}'
	option max_peers '7'
	option kill_switch '1'
	option log_level 'verbose'
	option listen_port '51820 '
	option nohostroute 'yes'
	option addresses '10.0.0.1/24,fd00::1/64'
config wireguard_wg0
	option public_key '{public(PEERS_PRIVATE)}'
	option route_allowed_ips 'true'
	option disabled 'no'
	option description ' a , b '
	option allowed_ips '0.0.0.0/0, ::/0'
	list endpoint_host '[2001:db8::1]:5'
	list endpoint_host 'spare.example'
	option failback_time '60'
config wireguard_wg1
	option public_key '{PRIVATE}'
""",
    )
    status, text, errors = wgembed("export", "--network", "wg0", "--config-dir", directory)
    assert status == 0
    left_out = "max_peers, kill_switch, log_level, endpoint_host (all but the first), failback_time"
    assert errors == f"wgembed: left out, because OpenWrt's WireGuard has no such option: {left_out}\n"
    assert (
        text.strip()
        == f"""
config interface 'wg0'
	option proto 'wireguard'
	option private_key '{PRIVATE}'
	option listen_port '51820'
	option nohostroute '1'
	list addresses '10.0.0.1/24'
	list addresses 'fd00::1/64'

config wireguard_wg0
	option public_key '{public(PEERS_PRIVATE)}'
	option route_allowed_ips '1'
	option disabled '0'
	option description ' a , b '
	list allowed_ips '0.0.0.0/0'
	list allowed_ips '::/0'
	option endpoint_host '2001:db8::1'
	option endpoint_port '5'
""".strip()
    )
    key.unlink()
    status, _, errors = wgembed("export", "--network", "wg0", "--config-dir", directory)
    assert status == 1 and f"{key}: No such file" in errors
    assert wgembed("export", "--network", "wg9", "--config-dir", directory)[2] == "wgembed: there is no interface 'wg9'\n"
    assert wgembed("export", "--network", "--config-dir", directory)[0] == 1
