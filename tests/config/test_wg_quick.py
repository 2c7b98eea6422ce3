"""wg-quick's files: read as wg-quick reads them, and turned into UCI and back."""

import base64
import os
import re
import subprocess

import pytest

from wgembed.config import convert, keys, uci, wg_quick
from wgembed.config import options as config
from wgembed.errors import UserError

from ..lab import wire
from ..lab.need import need, programs

PRIVATE = base64.b64encode(bytes((8, *range(30), 64))).decode()
PEERS_PRIVATE = base64.b64encode(bytes((16, *range(30), 65))).decode()
PSK = base64.b64encode(b"p" * 32).decode()


def public(private):
    return base64.b64encode(wire.public_key(base64.b64decode(private))).decode()


WHOLE = f"""\
# of the office
[Interface]
PrivateKey = {PRIVATE}
ListenPort = 51820  # as everywhere
Address = 10.0.0.2/24, fd00::2/64
Address = 10.0.1.2
DNS = 10.0.0.1, example.org
MTU = 1380
Table = auto
PreUp = echo a=b
PostUp = echo %i, up
PostDown = echo down
SaveConfig = false
FwMark = 0x51

[Peer]
PublicKey = {public(PEERS_PRIVATE)}
PresharedKey = {PSK}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = vpn.example.org:51821
PersistentKeepalive = 25

[Peer]
PublicKey = {PSK}
AllowedIPs = 10.0.9.0/24
endpoint = [2001:db8::1]:7
"""


AMNEZIA = "it belongs to AmneziaWG, another protocol, which wgembed does not have"


# Reading

CORPUS = [
    WHOLE,
    "",
    "[Interface]\n",
    "[interface]\nADDRESS=10.0.0.1/24\nprivatekey = x\n[PEER]\nAddress = 1\n",
    "[Interface]\nAddress = 10.0.0.1\n[Peer]\nPublicKey = k\n[Interface]\nMTU=1300\nListenPort = 1\n",
    "[Interface]\nPostUp = a # comment\n# Address = 1\nDNS=\nTable = off\nUnknown = 1\n",
    "  [Interface]  \n\tAddress\t=\t10.0.0.1/8  \n\n\n[Peer]\n",
    "[Interface]\nSaveConfig = true\nPreDown = x",
]


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_what_is_for_wg_is_what_wg_quick_strips_to(number, tmp_path):
    need(programs, "wg-quick", "bash")
    if os.getuid():
        pytest.skip("wg-quick wants to be root")
    path = tmp_path / "wg0.conf"
    path.write_text(CORPUS[number])
    path.chmod(0o600)
    real = subprocess.run(["wg-quick", "strip", str(path)], capture_output=True, text=True, check=True).stdout
    ours = wg_quick.parse(CORPUS[number]).stripped
    assert [line.strip() for line in ours.strip().split("\n")] == real.strip().split("\n")


def test_sections_and_values():
    parsed = wg_quick.parse(WHOLE)
    interface = parsed.interface
    assert interface.words("address") == ["10.0.0.2/24", "fd00::2/64", "10.0.1.2"]
    assert interface.last("mtu") == "1380" and interface.last("nothing") == "" and interface.all("nothing") == []
    assert interface.all("preup") == ["echo a=b"] and interface.all("postup") == ["echo %i, up"]
    assert interface.last("listenport") == "51820" and not parsed.saves
    assert [peer.last("endpoint") for peer in parsed.peers] == ["vpn.example.org:51821", "[2001:db8::1]:7"]


@pytest.mark.parametrize(
    "text,why",
    [
        ("PrivateKey = x\n", "line 1: expected a section, or NAME = VALUE in a section"),
        ("[Interface]\nnonsense\n", "line 2: expected a section, or NAME = VALUE in a section"),
        ("\n[Peers]\n", "line 2: [Peers] is not a section"),
        (f"[Interface]\n{PRIVATE[:-1]}\n", "line 2: expected a section, or NAME = VALUE in a section"),
        # A key is repeated by no message, on whatever line it has got.
        (f"[Interface] PrivateKey = {PRIVATE}\n", "line 1: expected [Interface] or [Peer], with nothing after it"),
        (f"[Interface]\rPrivateKey = {PRIVATE}\r", "line 1: expected [Interface] or [Peer], with nothing after it"),
    ],
)
def test_what_is_no_file_of_wg_quick(text, why):
    with pytest.raises(UserError, match="^" + re.escape(why) + "$"):
        wg_quick.parse(text)


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf# B\xc3\xbcro\n%s", b"# B\xfcro\n%s # zu Hause \xfc\n", b"%s\n#\xff"])
def test_what_editors_add(data):
    """A mark of UTF-8 at the beginning, line ends of another system, comments in whatever encoding."""
    text = "[Interface]\nPrivateKey = x\n[Peer]\nPublicKey = y"
    parsed = wg_quick.parse(wg_quick.to_text(data % text.replace("\n", "\r\n").encode()))
    assert parsed.interface.entries[0][:2] == ("privatekey", "x") and parsed.peers[0].last("publickey") == "y"
    assert not parsed.stripped.startswith("\ufeff")


@pytest.mark.parametrize("hook", ["echo 'a # b'", 'x=a#b; echo "${x#a}" $# # end', "# nothing", "echo 'B\xfcro # 1'"])
@pytest.mark.parametrize("key", ["PreUp", "postup", "PREDOWN", "PostDown"])
def test_a_hook_keeps_its_number_signs(key, hook):
    """As with wg-quick 1.0.20260223: the shell finds the comments. Other lines can have comments in any encoding."""
    text = "[Interface]\n\t%s\t= %s \r\nMTU = 1400 # as there\n" % (key, hook)
    for data in (text.encode(), text.encode() + b"# zu Hause \xfc\n"):
        parsed = wg_quick.parse(wg_quick.to_text(data))
        assert parsed.interface.all(key.lower()) == [hook] and parsed.interface.last("mtu") == "1400"
        saved = wg_quick.parse("[Interface]\n" + wg_quick.format_own(parsed))
        assert saved.interface.all(key.lower()) == [hook]
    with pytest.raises(UserError, match="^line 2: expected a section, or NAME = VALUE in a section$"):
        wg_quick.parse("[Interface]\n%s # = %s\n" % (key, hook))


@pytest.mark.parametrize("hook", [b"\xff # x", b"echo '# \xff'"])
def test_what_is_no_text(hook):
    with pytest.raises(UnicodeError):
        wg_quick.to_text(b"[Interface]\nPostUp = %s\n" % hook)


def test_whether_it_saves():
    for text in ("true", "True", "TRUE"):
        assert wg_quick.parse("[Interface]\nSaveConfig = %s\n" % text).saves
    assert not wg_quick.parse("[Interface]\nSaveConfig = False\n").saves
    with pytest.raises(UserError, match="`yes' is neither true nor false"):
        wg_quick.parse("[Interface]\nSaveConfig = yes\n")


@pytest.mark.parametrize(
    "argument,path,name",
    [
        ("wg0", "/etc/wireguard/wg0.conf", "wg0"),
        ("a_=+.-9", "/etc/wireguard/a_=+.-9.conf", "a_=+.-9"),
        ("/tmp/x/wg1.conf", "/tmp/x/wg1.conf", "wg1"),
        ("./wg1.conf", "./wg1.conf", "wg1"),
        # Like wg-quick: a bare name is one of an interface.
        ("wg1.conf", "/etc/wireguard/wg1.conf.conf", "wg1.conf"),
        ("abcdefghijklmno", "/etc/wireguard/abcdefghijklmno.conf", "abcdefghijklmno"),
    ],
)
def test_files_by_path_and_by_name(argument, path, name):
    assert wg_quick.locate(argument) == (path, name)


@pytest.mark.parametrize("argument", ["", "/tmp/wg0", "/tmp/abcdefghijklmnop.conf", "/tmp/.conf", "/tmp/a b.conf", "a/../b"])
def test_names_that_no_interface_has(argument):
    with pytest.raises(UserError):
        wg_quick.locate(argument)


# To UCI


def loaded(sections):
    """What a daemon makes of the sections."""
    text = convert.format_sections(sections)
    return config.read(uci.parse(b"wgembed", text.encode()), "wgembed")


def test_a_file_becomes_an_interface():
    sections, left_out = convert.import_interface(wg_quick.parse(WHOLE), "wg0")
    assert left_out == ["dns", "preup", "postup", "postdown"]
    read = loaded(sections)
    assert read.warnings == []
    [interface] = read.interfaces
    assert keys.encode(interface.private_key).decode() == PRIVATE
    assert interface.name == "wg0" and interface.listen_port == 51820 and interface.mtu == 1380 and interface.fwmark == 0x51
    assert interface.addresses == [config.network(text) for text in ("10.0.0.2/24", "fd00::2/64", "10.0.1.2")]
    first, second = interface.peers
    assert first.host == "vpn.example.org" and first.port == 51821 and first.keepalive == 25 and first.route
    assert keys.encode(first.preshared_key).decode() == PSK
    assert first.allowed_ips == [(bytes(4), 0), (bytes(16), 0)]
    assert second.host == "2001:db8::1" and second.port == 7 and second.preshared_key is None


@pytest.mark.parametrize("table,route,tables", [("off", False, 0), ("auto", True, 0), ("1000", True, 1000), ("", True, 0)])
def test_tables(table, route, tables):
    text = f"[Interface]\nPrivateKey={PRIVATE}\nTable={table}\n[Peer]\nPublicKey={PSK}\nAllowedIPs=10.0.0.0/8\n"
    if not table:
        text = text.replace("Table=\n", "")
    [interface] = loaded(convert.import_interface(wg_quick.parse(text), "wg0")[0]).interfaces
    assert interface.peers[0].route == route and interface.table4 == interface.table6 == tables


@pytest.mark.parametrize(
    "text,why",
    [
        ("[Interface]\n", "[Interface] has no PrivateKey"),
        ("[Interface]\nPrivateKey = 1\n", "line 2: a key has 44 characters of base64, the last one is '='"),
        (f"[Interface]\nPrivateKey={PRIVATE}\nAddress=10.0.0.300\n", "line 3: '10.0.0.300' is not an IP address"),
        (f"[Interface]\nPrivateKey={PRIVATE}\n\n[Peer]\nAllowedIPs=10.0.0.0/8\n", "line 4: [Peer] has no PublicKey"),
        (f"[Interface]\nPrivateKey={PRIVATE}\nMTU=9\n", "line 3: expected a number from 576 to"),
        (f"[Interface]\nPrivateKey={PRIVATE}\n[Peer]\nPublicKey={PSK}\nEndpoint=a.example\n", "line 5:"),
        (
            f"[Interface]\nPrivateKey={PRIVATE}\n[Peer]\nPublicKey={PSK}\nEndpoint=a.example:x\n",
            "line 5: expected a number from 1",
        ),
    ],
)
def test_what_cannot_become_an_interface(text, why):
    with pytest.raises(UserError) as told:
        convert.import_interface(wg_quick.parse(text), "wg0")
    assert str(told.value).startswith(why) and PRIVATE not in str(told.value)


THEIRS = f"""\
[Interface]
PrivateKey = {PEERS_PRIVATE}
Address = 10.0.0.7/24, fd00::7/64
DNS = 10.0.0.1
[Peer]
PublicKey = {public(PRIVATE)}
PresharedKey = {PSK}
AllowedIPs = 0.0.0.0/0
Endpoint = vpn.example.org:51820
"""


@pytest.mark.parametrize("own", [wire.public_key(base64.b64decode(PRIVATE)), None])
def test_their_file_becomes_a_peer(own):
    sections = convert.import_peer(wg_quick.parse(THEIRS), "wg0", own, "phone")
    text = convert.format_sections(sections)
    assert PEERS_PRIVATE not in text, "their private key is theirs"
    mine = f"config interface 'wg0'\n\toption private_key '{PRIVATE}'\n\tlist addresses '10.0.0.1/24'\n"
    [interface] = config.read(uci.parse(b"wgembed", (mine + text).encode()), "wgembed").interfaces
    [peer] = interface.peers
    assert keys.encode(peer.public_key).decode() == public(PEERS_PRIVATE) and peer.description == "phone"
    assert keys.encode(peer.preshared_key).decode() == PSK and peer.route
    assert peer.allowed_ips == [config.network("10.0.0.7"), config.network("fd00::7")]


def test_whose_peer_we_are_not():
    nobodys = "[Interface]\nAddress=10.0.0.1\n"
    for text in (THEIRS.replace(public(PRIVATE), PSK), THEIRS.replace("Address", "# Address"), nobodys):
        with pytest.raises(UserError):
            convert.import_peer(wg_quick.parse(text), "wg0", wire.public_key(base64.b64decode(PRIVATE)), "x")


# And back


def router(**options):
    more = "".join(f"\toption {name} '{value}'\n" for name, value in options.items())
    text = (
        f"config interface 'wg0'\n\toption private_key '{PRIVATE}'\n\tlist addresses '10.0.0.1/24'\n{more}"
        + convert.format_sections(convert.import_peer(wg_quick.parse(THEIRS), "wg0", None, "phone"))
    )
    [interface] = config.read(uci.parse(b"wgembed", text.encode()), "wgembed").interfaces
    return interface


def test_the_file_for_the_other_side():
    interface = router(mtu=1400)
    peer = convert.find_peer(interface, "phone")
    assert peer is convert.find_peer(interface, public(PEERS_PRIVATE))
    text = convert.export(interface, peer, PEERS_PRIVATE, "192.0.2.1:51820", [], ["10.0.0.1"])
    parsed = wg_quick.parse(text)
    assert parsed.interface.words("address") == ["10.0.0.7/32", "fd00::7/128"]
    assert parsed.interface.last("privatekey") == PEERS_PRIVATE and parsed.interface.last("mtu") == "1400"
    assert parsed.interface.words("dns") == ["10.0.0.1"]
    [us] = parsed.peers
    assert us.last("publickey") == public(PRIVATE) and us.last("presharedkey") == PSK
    assert us.last("endpoint") == "192.0.2.1:51820" and us.words("allowedips") == ["10.0.0.0/24"]
    assert PRIVATE not in text
    again = convert.import_peer(parsed, "wg0", None, "phone")
    assert again == convert.import_peer(wg_quick.parse(THEIRS), "wg0", None, "phone")


def test_without_their_private_key():
    interface = router()
    text = convert.export(interface, interface.peers[0], "", "", ["0.0.0.0/0", "::/0"], [])
    assert f"# PrivateKey = (the private key of {public(PEERS_PRIVATE)})\n" in text
    assert "Endpoint" not in text and "AllowedIPs = 0.0.0.0/0, ::/0\n" in text


def test_nobody_of_that_name():
    with pytest.raises(UserError, match="no peer of wg0 has the public key or description tablet"):
        convert.find_peer(router(), "tablet")


# Keys that wg(8) does not know


@pytest.mark.parametrize(
    "section,line,sentence",
    [
        ("Interface", "Adress = 10.0.0.1", "line 3: unknown key 'adress'"),
        ("Interface", "Endpoint = 192.0.2.1:1", "line 3: unknown key 'endpoint'"),
        ("Interface", PRIVATE[:43] + " = x", "line 3: unknown key (hidden)"),
        ("Interface", "= x", "line 3: unknown key ''"),
        ("Peer", "AllowedIP = 10.0.0.1", "line 5: unknown key 'allowedip'"),
        ("Peer", "Address = 10.0.0.1", "line 5: unknown key 'address'"),
        *[
            ("Interface", key + " = 4", f"line 3: unknown key '{key.lower()}': {AMNEZIA}")
            for key in ("Jc", "Jmin", "Jmax", "S1", "S4", "H1", "H4", "I1", "I5", "J1", "J3", "Itime")
        ],
        ("Peer", "Endpoint = vpn.example.org", "line 5: Endpoint has no port: write Endpoint = HOST:PORT"),
        ("Peer", "Endpoint = vpn.example.org:", "line 5: Endpoint has no port: write Endpoint = HOST:PORT"),
        ("Peer", "Endpoint = [::1]", "line 5: Endpoint has no port: write Endpoint = HOST:PORT"),
    ],
)
def test_a_key_that_would_be_lost(section, line, sentence):
    """Import refuses what `wg` and `wgembed up` refuse, and names the key."""
    own, peer = (f"{line}\n" if section == name else "" for name in ("Interface", "Peer"))
    text = f"[Interface]\nPrivateKey = {PRIVATE}\n{own}[Peer]\nPublicKey = {public(PEERS_PRIVATE)}\n{peer}"
    with pytest.raises(UserError) as e:
        convert.import_interface(wg_quick.parse(text), "wg0")
    assert str(e.value) == sentence
    if "Endpoint" not in line:
        with pytest.raises(UserError, match="unknown key"):
            convert.import_peer(wg_quick.parse(text + "[Interface]\nAddress = 10.0.0.2\n"), "wg0", None, "")
