"""What the documentation says of the source and of tests is true: what it names exists."""

import ast
import re
from base64 import b64decode
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest

from wgembed.commands import diagnose, diagnosis, status_format, status_model
from wgembed.config import convert, options, uci, wg_quick
from wgembed.protocol import drops, events

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"(?<![\w./-])([\w./-]*\btest_\w+\.py|(?<=`)(?=::))(?:::(\w+))?")
PLACE = re.compile(r"(?<![\w./-])tests/[a-z0-9_./-]*[a-z0-9_]")
MODULE = re.compile(r"-m (tests\.[\w.]*\w)")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/*.8"),
    *ROOT.glob("tests/*/README.md"),
]
SOURCE = [
    path
    for folder in ("wgembed", "tests", "package", "fastpath")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".js", ".c")
]


def names_in(path):
    """The names of the tests in a file."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def files(name):
    """The files that a name means: a path from the root, or a file's name alone, or its tail."""
    return [path for path in (ROOT / "tests").rglob("test_*.py") if path.as_posix().endswith("/" + name)]


def missing(text):
    """The tests that are named in the text and do not exist."""
    wanted, lost = "", []
    for file, test in NAME.findall(text):
        # `::name` is in the file that was named before it.
        wanted = file or wanted
        found = files(wanted)
        if not found or (test and not any(test in names_in(path) for path in found)):
            lost.append(f"{wanted}::{test}" if test else wanted)
    return lost


def nowhere(text):
    """The folders, files and modules of tests that are named in the text and do not exist."""
    named = [(name, ROOT / name) for name in PLACE.findall(text)]
    named += [(name, ROOT / name.replace(".", "/")) for name in MODULE.findall(text)]
    return [name for name, path in named if not path.exists() and not path.with_suffix(".py").exists()]


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_named_tests_exist(page):
    assert missing(page.read_text()) == []
    assert nowhere(page.read_text()) == []


def test_places_that_the_source_names_exist():
    # These make up names, in files that are made for a test.
    own = {Path(__file__), ROOT / "tests/unit/test_under_micropython.py"}
    assert {path: lost for path in SOURCE if path not in own and (lost := nowhere(path.read_text()))} == {}


def test_the_check_finds_what_is_missing():
    text = "`tests/test_docs.py::test_named_tests_exist`, `::missing`, `::test_nowhere` and pytest test_no_such.py"
    assert missing(text) == ["tests/test_docs.py::test_nowhere", "test_no_such.py"]
    text = "`tests/unit`, `tests/units`, tests/fuzz/fuzz.py, python -m tests.fuzz.fuzz, python -m tests.fuzz, -m tests.none"
    assert nowhere(text) == ["tests/units", "tests.none"]
    assert NAME.search((ROOT / "docs/others-bugs.md").read_text())


ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
# `path:name` and `path`, from wgembed/ or from the root.
NAMED = sorted(set(re.findall(r"`([\w./-]+):([A-Za-z_][\w.]*)`", ARCHITECTURE)))
FILES = sorted(set(re.findall(r"`([\w./-]+\.(?:py|js|c))(?=[:`])", ARCHITECTURE)))


def source(path):
    """The file of this path, from wgembed/ or from the root."""
    return next((folder / path for folder in (ROOT / "wgembed", ROOT) if (folder / path).is_file()), None)


def bound(statements):
    """The names that statements bind: functions, classes, constants, and Class.method for what is in a class."""
    found = set()
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found.update(f"{node.name}.{name}" for name in bound(node.body))
        for target in node.targets if isinstance(node, ast.Assign) else ():
            found.update(part.id for part in ast.walk(target) if isinstance(part, ast.Name))
    return found


def defines(path, name):
    """Whether the file defines the name: read from the source, which need not be Python."""
    text = path.read_text()
    if path.suffix == ".py":
        return name in bound(ast.parse(text).body)
    return bool(re.search(rf"^\s*(function\s+)?{re.escape(name)}\s*\(.*\)\s*\{{", text, re.M))


@pytest.mark.parametrize("path", FILES)
def test_the_files_of_the_architecture_exist(path):
    assert source(path)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_the_names_of_the_architecture_are_in_the_source(path, name):
    assert defines(source(path), name)


def test_the_check_of_names_finds_what_is_missing():
    assert len(NAMED) > 100
    device, poll = source("protocol/device.py"), source("init.d/wgembed")
    assert defines(device, "Device.receive") and defines(poll, "reload_service")
    for path, name in ((device, "receive"), (device, "Device.nothing"), (device, "expire"), (poll, "nothing")):
        assert not defines(path, name)
    assert source("protocol/nothing.py") is None


README = (ROOT / "README.md").read_text()
README_LINES, README_WIDTH = 110, 120


def example(heading):
    """The first block of code below the heading of the README, without its indentation."""
    below = README.partition(f"\n## {heading}\n")[2]
    return dedent(re.search(r"(?:^    .*\n|^\n)+(?=\S)", below[below.index("\n    ") + 1 :], re.M)[0]).strip() + "\n"


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= README_LINES
    assert [line for line in lines if len(line) > README_WIDTH] == []


def test_the_readme_has_no_figures_of_its_own():
    rows = README.partition("## Which one do I want?")[2].partition("\n\nOn a")[0].splitlines()
    figures = {
        figure for row in rows for figure in re.findall(r"[\d,]*\d(?:\.\d+)?", row.partition("|")[2].partition("|")[2])
    }
    assert len(figures) > 10
    assert [figure for figure in figures if f" {figure} " not in (ROOT / "docs/performance.md").read_text()] == []


def test_the_first_tunnel_of_the_readme_is_a_good_configuration():
    found = options.read(uci.parse(b"wgembed", example("A first tunnel").encode()), "wgembed")
    (interface,) = found.interfaces
    assert not found.warnings and interface.peers[0].host == "vpn.example.org"


def test_the_readme_shows_what_diagnose_prints():
    text = example("Why is my tunnel down?")
    key = re.search(r"\S{43}=", text)[0]
    interface = status_model.parse(
        "wg0",
        [
            ("up", "1"), ("own_public_key", "aa" * 32), ("unroutable", "10.8.0.9,4000"),
            ("public_key", b64decode(key).hex()), ("endpoint_host", "vpn.example.org:51820"), ("allowed_ip", "10.0.0.0/24"),
        ],
    )  # fmt: skip
    [peer] = interface.peers
    host = SimpleNamespace(
        is_name=lambda endpoint: True, is_within=lambda ip, prefix: False, taken_by=lambda *arguments: None
    )
    told = diagnose._report("wg0: " + interface.state, diagnosis.about_interface(interface, host))
    about = f"wg0: {key}: {status_model.state(interface, peer, 0)}"
    told += diagnose._report(about, diagnosis.about_peer(interface, peer, host))
    assert text == "$ wgembed diagnose wg0\n" + told


def blocks(page):
    """The blocks of code of a page, without their indentation."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (ROOT / page).read_text(), re.M)
    return [dedent(block).strip("\n") + "\n" for block in found]


UCI = re.compile(r"uci (set|add_list) wgembed\.(.+?)\.(\w+)='?([^'\s]*)'?(?: +#.*)?")


def configured_by(commands):
    """The configuration after these commands of `uci`, which begin with that of the package."""
    package = uci.parse(b"wgembed", (ROOT / "package/files/wgembed.config").read_bytes())
    for line in commands.splitlines():
        verb, section, option, value = (found := UCI.fullmatch(line)) and found.groups() or (None,) * 4
        if line.startswith("uci add "):
            package.add(line.split()[3].encode())
        elif verb:
            is_last = section == "@wireguard_wg0[-1]"
            target = package.sections[-1] if is_last else package.find(section.encode())
            (target.append if verb == "add_list" else target.set)(option.encode(), value.encode())
        else:
            assert line in ("uci commit wgembed", "/etc/init.d/wgembed check", "/etc/init.d/wgembed reload"), line
    return options.read(package, "wgembed")


PEER_KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


@pytest.mark.parametrize(("page", "key"), [("docs/first-tunnel.md", "LAPTOP_PUBLIC_KEY"), ("docs/openwrt.md", "PUBLIC_KEY")])
def test_the_commands_that_configure_a_peer_do(page, key):
    [commands] = [block for block in blocks(page) if "uci add wgembed" in block]
    found = configured_by(commands.replace(key, PEER_KEY))
    (interface,) = found.interfaces
    (peer,) = interface.peers
    assert not found.warnings and interface.addresses and interface.key_file == "/etc/wgembed/wg0.key"
    assert peer.allowed_ips and bool(peer.host) == peer.route


def test_the_first_tunnel_shows_what_the_commands_print():
    private = bytearray(b64decode("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="))
    own = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
    page = [
        block.replace("ROUTER_PUBLIC_KEY", own).replace("LAPTOP_PUBLIC_KEY", PEER_KEY)
        for block in blocks("docs/first-tunnel.md")
    ]
    [commands] = [block for block in page if "uci add wgembed" in block]
    (interface,) = configured_by(commands).interfaces
    interface.private_key = private
    file = convert.export(interface, convert.find_peer(interface, "laptop"), "", "vpn.example.org:51820", (), ())
    [shown] = [block for block in page if block.startswith("[Interface]")]
    assert shown == file
    # The line that the reader puts in makes it a file for wg-quick.
    assert wg_quick.parse(re.sub("(?m)^# PrivateKey = .*", f"PrivateKey = {own}", shown)).peers

    about = [("up", "1"), ("listen_port", "51820"), ("mtu", "1420"), ("own_public_key", b64decode(own).hex())]
    peer = [("public_key", b64decode(PEER_KEY).hex()), ("allowed_ip", "10.0.0.2/32")]
    before = status_model.parse("wg0", [*about, *peer])
    after = status_model.parse(
        "wg0",
        [
            *about, *peer, ("endpoint", "198.51.100.7:38771"), ("source", "203.0.113.5"), ("session", "3000,responder"),
            ("last_handshake_time_sec", "7"), ("rx_bytes", "692"), ("tx_bytes", "604"),
        ],
    )  # fmt: skip
    told = [status_format.as_text([one], status_format.Rates([one], 1), 10) for one in (before, after)]
    assert [block for block in page if block.startswith("wg0:")] == told


TROUBLE = (ROOT / "docs/troubleshooting.md").read_text()


def test_the_symptoms_are_ones_that_the_program_shows():
    states = {value for name, value in vars(status_model).items() if name.isupper() and isinstance(value, str)}
    tables = re.findall(r"^\| state \|.*\n\|[-|]+\n((?:\|.*\n)+)", TROUBLE, re.M)
    told = [name for table in tables for row in table.splitlines() for name in re.findall("`([^`]+)`", row.split("|")[1])]
    assert len(tables) == 2 and set(told) == states
    reasons = set(re.findall(r"`((?:tx|rx|hs)_\w+)`", TROUBLE))
    assert len(reasons) > 10 and reasons <= set(drops.NAMES)
    noted = set(re.findall(r"[Ee]vent `(\w+)`", TROUBLE))
    assert len(noted) > 3 and noted <= set(events.NAMES)


def test_the_options_that_mend_a_tunnel_exist():
    known = {*options._GLOBAL_OPTIONS, *options._INTERFACE_OPTIONS, *options._PEER_OPTIONS}
    named = set(re.findall(r"`option (\w+)", TROUBLE))
    # One is an option of a zone of the firewall.
    assert len(named) > 5 and named - known == {"mtu_fix"}


LINK = re.compile(r"\]\(([^)\s]+)\)")
LINKING = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *ROOT.glob("docs/**/*.md"),
]


def anchors(text):
    """The anchors of a page: those of its headings, as GitHub makes them, and those that it has itself."""
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.+?)\s*$", text, re.M):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = 0
        while anchor in found:
            count += 1
            anchor = f"{name}-{count}"
        found.add(anchor)
    return found


def leads_somewhere(link, page, text):
    """Whether the link in the text of the page leads to a file of this repository, and to an anchor in it if it has one."""
    name, _, anchor = link.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(text if path == page else path.read_text())


def dead_links(page, text):
    """The relative links in the text of the page that lead nowhere."""
    links = [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]
    return [link for link in links if not leads_somewhere(link, page, text)]


@pytest.mark.parametrize("page", sorted(LINKING), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page):
    assert dead_links(page, page.read_text()) == []


def test_the_check_of_links_finds_what_is_dead():
    text = """# One `two`, [three](README.md)
## One
## One
[a](#one-two-three) [b](#one) [c](#one-1) [d](#one-2) [e](README.md#measured) [f](README.md#nothing)
[g](docs/nothing.md) [h](docs) [i](../elsewhere.md) [j](https://example.org/nothing.md)
![k](docs/luci/status.png) [l](docs/differences.md#from-openwrts-proto-wireguard)
"""
    dead = ["#one-2", "README.md#nothing", "docs/nothing.md", "../elsewhere.md"]
    assert dead_links(ROOT / "CONTRIBUTING.md", text) == dead
    assert sum(len(LINK.findall(page.read_text())) for page in LINKING) > 100


def test_every_environment_variable_is_described():
    read = {
        name
        for path in (ROOT / "wgembed").rglob("*.py")
        for name in re.findall(r'(?:getenv|environment\.get)\("(\w+)"', path.read_text())
    }
    described = set(re.findall(r"^\| `(\w+)", (ROOT / "docs/usage.md").read_text(), re.M))
    assert read and read <= described
