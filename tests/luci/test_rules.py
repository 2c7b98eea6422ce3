"""What the browser decides, it decides as the programs on the router do."""

import itertools
import random
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from wgembed.commands import diagnosis, status_model
from wgembed.config import convert, uci, wg_quick
from wgembed.config import options as config
from wgembed.errors import UserError

from ..config.config_cases import CASES
from ..lab import luci
from ..lab.need import need, programs
from . import pages

KEYS = ["%064x" % (n << 200 | n) for n in range(1, 8)]
NOW = 1_790_000_000
ENDPOINT, ELSEWHERE = "192.0.2.9:51820", "[2001:db8::9]:7"


@pytest.fixture(scope="module", params=["source", "minified"])
def folder(request, tmp_path_factory):
    """The modules as they are, and as LuCI's build leaves them."""
    need(programs, "node")
    if request.param == "source":
        return pages.RESOURCES
    try:
        sources = luci.folder("WGEMBED_LUCI")
    except luci.Missing as missing:
        pytest.skip(str(missing))
    made = tmp_path_factory.mktemp("minified")
    subprocess.run(["cc", "-o", made / "jsmin", sources / "modules/luci-base/src/jsmin.c"], check=True, capture_output=True)
    shutil.copytree(pages.RESOURCES, made / "resources")
    for path in (made / "resources").rglob("*.js"):
        text = path.read_bytes()
        path.write_bytes(subprocess.run([made / "jsmin"], input=text, check=True, capture_output=True).stdout)
        subprocess.run(["node", "--check", "-"], input=b"(function(){" + path.read_bytes() + b"})", check=True)
    return made / "resources"


# ---- states and sentences

DEVICES = [
    "", "up=0\n", "own_public_key=\n", "send_error=101,4\n", "send_error=1,6\n", "send_error=999,4\n",
    "send_error=105,4\nsend_error=97,6\n", "clock_behind_s=4000\n",
    f"unmatched_handshake=unknown_peer,2,5000,192.0.2.9:4,{KEYS[5]}\n",
    f"unmatched_handshake=invalid_mac1,1,9000,192.0.2.9:4,{KEYS[5]}\n",
    f"unmatched_handshake=unknown_peer,2,5000,203.0.113.1:4,{KEYS[5]}\n",
    "unmatched_handshake=invalid_mac1,2,900000,203.0.113.1:4,\n",
    "unroutable=10.9.9.9,61000\n", "unroutable=10.9.9.9,181000\n", "unroutable=10.0.0.2,1000\n",
    f"source_not_allowed=10.0.0.2,2000,{KEYS[1]}\n", f"source_not_allowed=::2,2000,{KEYS[1]}\n",
    f"source_not_allowed=10.1.1.1,2000,{KEYS[1]}\n",
    f"source_not_allowed=10.1.1.1,2000,{KEYS[2]}\n", "drop=tx_no_peer,3\ndrop=hs_mac1,1\n",
    "away=1\n", "up=0\naway=1\n", "unconfirmed_s=250\n",
    "problem=option tunlink: link x does not exist\nproblem=another one\n",
]  # fmt: skip
EVENTS = [
    "", "initiation_sent,3,1", "initiation_sent,3,200", "initiation_sent,1,1",
    "response_received,1,9;initiation_sent,2,1", "response_invalid,1,3", "response_invalid,2,3;response_received,1,1",
    "initiation_received,2,4", "initiation_received,4,4;keypair_confirmed,1,2", "initiation_replayed,1,5",
    "cookie_received,1,5", "send_failed,2,3", "send_failed,2,3;keypair_confirmed,1,1", "handshake_timeout,1,3",
    "no_reply,1,20", "allowed_ip_moved,1,900", "allowed_ip_moved,1,9", "roamed,3,9;roamed,2,3",
    "roamed,3,9;roamed,2,300", "initiation_sent,20,9;handshake_timeout,1,2;send_failed,1,1",
    "initiation_replayed,3,5", "initiation_sent,20,900;handshake_timeout,1,800", "no_reply,1,20;no_reply,2,3",
    "response_invalid,3,300;initiation_sent,20,250;handshake_timeout,1,240",
    "cookie_received,1,9;keypair_confirmed,1,2", "send_failed,2,90",
    "initiation_sent,1,9;cookie_received,1,8;initiation_sent,1,4",
]  # fmt: skip
PEERS = [
    "", "endpoint_host=a.example:51820\n", "endpoint_host=a.example:51820\nendpoint_found=192.0.2.9\n",
    "endpoint_host=[2001:db8::9]:51820\n", f"endpoint={ENDPOINT}\n", f"endpoint={ELSEWHERE}\n",
    f"endpoint={ENDPOINT}\nendpoint_host=a.example:51820\n",
    f"endpoint={ENDPOINT}\nsession=20000,initiator\nlast_rx_ms=19500\nlast_data_tx_ms=2000\n",
    f"endpoint={ENDPOINT}\nsession=20000,initiator\nlast_rx_ms=100\nlast_data_tx_ms=2000\n",
    f"endpoint={ENDPOINT}\nsession=20000,responder\nlast_rx_ms=100\nlast_data_rx_ms=100\n",
    f"endpoint={ENDPOINT}\nsession=5,responder\nlast_handshake_time_sec={NOW}\n",
    f"endpoint={ENDPOINT}\nbackup=standby,{KEYS[0]}\nfailover=2,5000,no_answer,300\n",
    f"endpoint={ENDPOINT}\nattempt=3\nstaged=4\nhas_preshared_key=1\npersistent_keepalive_interval=25\n",
]  # fmt: skip


def answers():
    """Answers of a daemon: every event with every kind of peer, and devices with a few of both."""
    whole = list(itertools.product(DEVICES[:1], PEERS, EVENTS)) + list(itertools.product(DEVICES, PEERS[4:], EVENTS))
    for device, peer, events in whole:
        for allowed in ("allowed_ip=10.0.0.2/32\n", ""):
            text = f"listen_port=51820\nfwmark=0\nmtu=1420\nup=1\nown_public_key={KEYS[0]}\n{device}"
            text += f"public_key={KEYS[1]}\n{peer}tx_bytes=7\nrx_bytes=9\n"
            text += "".join(f"event={event}\n" for event in events.split(";") if event)
            yield text + allowed
    yield f"up=1\nown_public_key={KEYS[0]}\n"


class NoMachine(SimpleNamespace):
    """What the browser knows of the machine: names, errors and the time."""

    leads_into_tunnel = staticmethod(lambda *about: False)
    refusal = missing_link = staticmethod(lambda *about: "")
    best_mtu = largest_packet = staticmethod(lambda *about: 0)
    answers = staticmethod(lambda *about: True)
    port_error = staticmethod(lambda port: None)
    time = staticmethod(lambda: NOW)
    taken_by = staticmethod(lambda interface, peer: None)

    def __getattr__(self, name):
        from wgembed.commands.host_facts import HostFacts

        return getattr(HostFacts.__new__(HostFacts), name)


def test_states_and_sentences(folder):
    texts = list(answers())
    parsed = [one["value"] for one in pages.run([["wgembed.state", "parse", "wg0", text] for text in texts], folder)]
    calls, expected = [], []
    for text, iface in zip(texts, parsed, strict=True):
        ours = status_model.parse("wg0", [line.split("=", 1) for line in text.splitlines()])
        calls.append(["wgembed.state", "ofInterface", iface])
        expected.append(ours.state)
        calls.append(["wgembed.diagnosis", "ofInterface", iface])
        expected.append(_sentences(diagnosis.about_interface(ours, NoMachine())))
        for peer, mine in zip(iface["peers"], ours.peers, strict=True):
            calls.append(["wgembed.state", "ofPeer", iface, peer])
            expected.append(status_model.state(ours, mine, NOW))
            calls.append(["wgembed.diagnosis", "ofPeer", iface, peer, NOW])
            is_up = ours.state == status_model.UP
            expected.append(_sentences(diagnosis.about_peer(ours, mine, NoMachine())) if is_up else [])
    for call, found, wanted in zip(calls, pages.run(calls, folder), expected, strict=True):
        assert found.get("value") == wanted, (call, found)
    words = {wanted for wanted in expected if isinstance(wanted, str)}
    assert words == {value for name, value in vars(status_model).items() if name.isupper() and isinstance(value, str)}
    assert len({one["sentence"] for wanted in expected if isinstance(wanted, list) for one in wanted}) > 30


def _sentences(found):
    return [{"weight": weight, "sentence": sentence} for weight, sentence in found]


def test_a_clock_that_was_never_set(folder):
    peer = {"endpoint": ENDPOINT, "events": [{"name": "initiation_sent", "count": 4, "age_s": 1}], "allowed_ips": ["::/0"],
            "endpoint_host": "", "endpoint_found": [], "public_key": KEYS[1], "session_age_ms": None, "last_rx_ms": None,
            "last_data_rx_ms": None, "last_data_tx_ms": None}  # fmt: skip
    iface = {"name": "wg0", "is_up": True, "public_key": KEYS[0], "unmatched_handshakes": [], "send_errors": {},
             "source_not_allowed": None, "peers": []}  # fmt: skip
    (found,) = pages.run([["wgembed.diagnosis", "ofPeer", iface, peer, 1000]], folder)
    assert "was never set" in found["value"][0]["sentence"] and "does not answer" in found["value"][1]["sentence"]


def test_every_reason_of_a_drop_has_words(folder):
    from wgembed.protocol import drops

    found = pages.run([["wgembed.state", "dropInWords", reason] for reason in [*drops.NAMES, "of_tomorrow"]], folder)
    told = [one["value"] for one in found]
    assert told[-1] == "of_tomorrow" and not set(told[:-1]) & set(drops.NAMES) and len(set(told)) == len(told)


def test_every_reason_of_a_failover_has_words(folder):
    from wgembed.daemon import endpoint_list

    reasons = [*endpoint_list._WORDS, "of_tomorrow"]
    told = [one["value"] for one in pages.run([["wgembed.state", "failoverInWords", reason] for reason in reasons], folder)]
    assert told == [*endpoint_list._WORDS.values(), "of_tomorrow"]


def test_endpoints_of_a_list(folder):
    """LuCI accepts the lists that the daemon accepts."""
    good = ["a.example b.example", "a.example:1 b.example", "[2001:db8::1]:51820 2001:db8::2", "192.0.2.1:5 192.0.2.2:6"]
    bad = ["a.example:0 b.example", "a.example b-", "a.example:x b.example", "a b:70000", "[::1]:5 1.2.3"]

    def is_refused(text):
        try:
            return not [config.host_and_port(word) for word in text.split()]
        except ValueError:
            return True

    told = [one["value"] for one in pages.run([["wgembed.values", "hosts", text] for text in [*good, *bad]], folder)]
    assert [bool(why) for why in told] == [is_refused(text) for text in [*good, *bad]] == [False] * 4 + [True] * 5


# ---- values

CHECKS = {
    config.key: "key", config.port: "port", config.endpoint_port: "endpointPort", config.fwmark: "mark",
    config.keepalive: "keepalive", config.metric: "metric", config.peers: "peers", config.mtu: "mtu",
    config.network: "network", config.host: "host", config.failback: "failback", config.link: "link",
    config.path: "path", config.heapsize: "heapsize",
}  # fmt: skip
MORE = {
    config.network: ["1.2.3.4/0", "1.2.3.4/33", "::/0", "::1/128", "::1/129", "1::2::3", ":::", "1:2:3:4:5:6:7::",
                     "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1.2.3", "01.2.3.4", "1.2.3.4/", "/24",
                     "1.2.3.4/2/3", "::1.2.3.4/128", "1.2.3.4::", "fe80::1%eth0", "::g", "12345::",
                     "1:2:3:4:5:6:1.2.3.4", ":1::", "1::8:9:a:b:c:d:e:f"],
    config.host: ["a", "a.", "-a", "a-", "a_b.c", "1.2.3.4", "1.2.3", "::1", "[::1]", "[::1", "fe80::1%eth0", "fe80::1%",
                  "[a]", "a..b", "x" * 64, "x" * 63, ".".join(["x" * 60] * 5), "", "a b", "<b>", "$(reboot)", "fe80::1%a/b"],
    config.port: ["0", "65535", "65536", "0x10", "-1", "", "1e3", " 1", "00000000001", "0xFFFF", "0x", "１"],
    config.key: ["A" * 43 + "=", "A" * 42 + "B=", "A" * 44, "", "A" * 42 + "==", "A" * 42 + "E=\n"],
    config.fwmark: ["off", "0xffffffff", "0x100000000", "4294967295", "4294967296", "OFF"],
}  # fmt: skip


def values_of_cases():
    """(function, value) for every value in the cases of tests/config."""
    tables = (config._INTERFACE_OPTIONS, config._PEER_OPTIONS, config._GLOBAL_OPTIONS)
    for _, text, _ in CASES:
        try:
            package = uci.parse(b"wgembed", text if isinstance(text, bytes) else text.encode())
        except uci.ParseError:
            continue
        for option in [option for section in package.sections for option in section.options]:
            for table in tables:
                wanted = table.get(option.name.decode())
                for value in (option.values or [option.value]) if wanted else ():
                    yield wanted[1], value.decode(errors="replace")


def test_values(folder):
    cases = [(check, value) for check, value in values_of_cases() if check in CHECKS]
    cases += [(check, value) for check, values in MORE.items() for value in values]
    cases = [(check, value) for check, value in cases if "%s" not in value]
    found = pages.run([["wgembed.values", CHECKS[check], value] for check, value in cases], folder)
    assert len(cases) > 200
    for (check, value), answer in zip(cases, found, strict=True):
        assert "error" not in answer, (check, value, answer)
        assert (answer["value"] is None) == _is_good(check, value), (check.__name__, value, answer)
        assert answer["value"] is None or len(value) < 8 or value not in answer["value"], "what was typed may be a secret"


def _is_good(check, value):
    try:
        check(value)
    except ValueError:
        return False
    return True


def test_networks_are_written_as_the_programs_do(folder):
    import ipaddress

    dice = random.Random(5)
    texts = ["0.0.0.0/0", "::/0", "10.1.2.3/9", "fd00:0:0:1::5/64", "1:0:0:2:0:0:0:3/128", "1:0:2:0:3:0:4:0/127", "::1/128"]
    for _ in range(200):
        raw = bytes(dice.choice((0, 0, dice.randrange(256))) for _ in range(dice.choice((4, 16))))
        texts.append(f"{ipaddress.ip_address(raw)}/{dice.randint(0, len(raw) * 8)}")
    found = pages.run([["wgembed.values", "networkOf", text] for text in texts], folder)
    assert [one["value"] for one in found] == [str(ipaddress.ip_network(text, strict=False)) for text in texts]


FREE = [
    (["10.0.0.1/24"], [], ["10.0.0.2/32"]),
    (["10.0.0.1/24"], ["10.0.0.2/32", "10.0.0.4/32"], ["10.0.0.3/32"]),
    (["10.0.0.1/24"], ["0.0.0.0/0", "10.0.0.0/24"], ["10.0.0.2/32"]),
    (["10.0.0.1/24"], ["10.0.0.2/31", "10.0.0.4/30"], ["10.0.0.8/32"]),
    (["10.0.0.1/24", "fd00::1/64"], ["10.0.0.2/32"], ["10.0.0.3/32", "fd00::2/128"]),
    (["10.0.0.1/30"], ["10.0.0.2/32"], []),
    (["10.0.0.0/31"], [], ["10.0.0.1/32"]),
    (["10.0.0.1/32", "fd00::1/128"], [], []),
    (["10.0.0.254/24"], [f"10.0.0.{n}/32" for n in range(1, 254)], []),
    (["fd00::1/127"], [], ["fd00::/128"]),
]


@pytest.mark.parametrize("own,used,free", FREE)
def test_the_next_free_address(folder, own, used, free):
    assert pages.run([["wgembed.values", "freeAddresses", own, used]], folder) == [{"value": free}]


def test_duplicates_and_overlaps(folder):
    others = [{"name": "a", "networks": ["10.0.0.2/32", "10.1.0.0/16"]}, {"name": "b", "networks": ["::/0", "wrong"]}]
    texts = ["10.0.0.2", "10.1.2.0/24", "fd00::5/64", "192.0.2.1/32", "10.1.7.7/16"]
    same, partly = pages.run([["wgembed.values", name, texts, others] for name in ("duplicates", "overlaps")], folder)
    assert same["value"] == [{"network": "10.0.0.2/32", "name": "a"}, {"network": "10.1.0.0/16", "name": "a"}]
    assert partly["value"] == [{"network": "10.1.2.0/24", "name": "a"}, {"network": "fd00::/64", "name": "b"}]


# ---- wg-quick's files

PRIVATE, PUBLIC = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
PEER = f"""[Peer]
PublicKey = {PUBLIC}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = 25
"""
OWN = f"[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.2/24, fd00::2/64\n"
FILES = [
    OWN + PEER,
    OWN + "DNS = 1.1.1.1\nMTU = 1380\nListenPort = 51820\nFwMark = 0x10\nPostUp = reboot\n" + PEER,
    OWN + PEER + PEER.replace(PUBLIC, PRIVATE),
    OWN + "Table = off\n" + PEER,
    OWN + "Table = 200\n" + PEER + f"PresharedKey = {PRIVATE}\n",
    OWN.replace("\n", "\r\n") + PEER.replace("\n", "\r\n"),
    "# a comment\n\n" + OWN.upper().replace(PRIVATE.upper(), PRIVATE) + PEER.replace(" = ", "="),
    "\ufeff" + OWN + PEER, OWN, "", PEER,
    OWN + "[Peer]\nAllowedIPs = 10.0.0.0/8\n", "PrivateKey = " + PRIVATE, OWN + "nonsense\n",
    OWN + "[Else]\nA = b\n", OWN + "MTU = 12\n" + PEER, OWN + PEER.replace("51820", "99999"),
    OWN + PEER + "AllowedIPs = 1.2.3.4/99\n", OWN.replace(PRIVATE, "short") + PEER,
    OWN + PEER.replace("[2001:db8::1]:51820", "vpn.example.org:1"),
    OWN.replace("Address", "#") + PEER,
    OWN + PEER.replace("[2001:db8::1]:51820", "vpn.example.org"), OWN + "ListenPort = \n" + PEER.replace("25", "off"),
    OWN + "Adress = 10.0.0.3\n" + PEER, OWN + PEER + "AllowedIP = 10.0.0.3\n", OWN + "Jc = 4\n" + PEER,
    OWN + "H1 = 5\n" + PEER, OWN + PEER + "Address = 10.0.0.3\n", OWN + PRIVATE + " = x\n" + PEER,
    OWN + PEER.replace("[2001:db8::1]:51820", "[2001:db8::1]"), OWN + "SaveConfig = true\n" + PEER,
]  # fmt: skip


def _wanted(make):
    try:
        return {"value": make()}
    except UserError as e:
        return {"error": str(e)}


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_import_of_an_interface(folder, text):
    (found,) = pages.run([["wgembed.quick", "importInterface", text]], folder)

    def make():
        sections, left_out = convert.import_interface(wg_quick.parse(wg_quick.to_text(text.encode())), "wg0")
        options = [dict(options) for _, _, options in sections]
        return {"options": options[0], "peers": options[1:], "leftOut": left_out}

    wanted = _wanted(make)
    assert ("error" in found) == ("error" in wanted), (found, wanted)
    assert "error" in found or found == wanted
    assert PRIVATE not in found.get("error", "")


@pytest.mark.parametrize("own", [None, PUBLIC, "A" * 43 + "="])
@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_import_of_a_peer(folder, text, own):
    (found,) = pages.run([["wgembed.quick", "importPeer", text, own]], folder)

    def make():
        packed = bytes(config.key(own)) if own else None
        ((_, _, options),) = convert.import_peer(wg_quick.parse(wg_quick.to_text(text.encode())), "wg0", packed, "")
        wanted = dict(options)
        assert wanted.pop("public_key") == PUBLIC and not wanted.pop("description")
        return {"privateKey": PRIVATE, "options": wanted}

    wanted = _wanted(make)
    assert ("error" in found) == ("error" in wanted), (found, wanted)
    assert "error" in found or found == wanted


def test_the_addresses_of_a_peer(folder):
    wg0 = config.PeerConfig("", 0)
    texts = ["10.0.0.2/32", "10.0.0.3", "10.1.0.0/16", "::/0", "fd00::2/128", "0.0.0.0/0"]
    wg0.allowed_ips = [config.network(text) for text in texts]
    (found,) = pages.run([["wgembed.quick", "ownAddresses", texts]], folder)
    assert found["value"] == convert.own_addresses(wg0)


def test_export(folder):
    """The file for a phone is the one that `wgembed export` makes."""
    text = (
        f"config interface 'wg0'\n\toption private_key '{PRIVATE}'\n\toption mtu '1380'\n\tlist addresses '10.0.0.1/24'\n"
        f"config wireguard_wg0\n\toption public_key '{PRIVATE}'\n\tlist allowed_ips '10.0.0.2/32'\n"
    )
    (wg0,) = config.read(uci.parse(b"wgembed", text.encode()), "FILE").interfaces
    peer = {"private_key": PRIVATE, "public_key": PRIVATE, "preshared_key": None, "addresses": ["10.0.0.2/32"]}
    ours = {"public_key": PUBLIC, "mtu": "1380", "dns": ["10.0.0.1"], "endpoint": "[2001:db8::1]:51820",
            "allowed_ips": ["0.0.0.0/0"]}  # fmt: skip
    for private in (PRIVATE, ""):
        (found,) = pages.run([["wgembed.quick", "format", {**peer, "private_key": private}, ours]], folder)
        wanted = convert.export(wg0, wg0.peers[0], private, ours["endpoint"], ours["allowed_ips"], ours["dns"])
        assert found["value"] == wanted
