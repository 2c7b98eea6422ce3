"""What is fuzzed: each target takes bytes, and raises if something does not hold that must hold for all of them.

Inputs are bytes as they would come, or a script (`Script`) of what is to be done.
"""

import contextlib
import io

from wgembed.commands.output import WgError
from wgembed.commands.wg import setconf
from wgembed.config import convert, options, uci, uci_write, wg_quick
from wgembed.daemon.network import Network
from wgembed.daemon.outside_routes import OutsideRoutes
from wgembed.daemon.router import Router
from wgembed.daemon.router_interface import RouterInterface
from wgembed.errors import UserError
from wgembed.runtime import abi, address, alarms, link, rtnetlink, sources

from ..property.test_datagrams import Scene, perform
from ..uapi.test_session import Client
from ..unit.harness import A4, A6, B4, B6, connected

HATS = 40
PEERS = 3


class Script:
    """Numbers and pieces of bytes, taken from the beginning of an input; zeros, and nothing, behind its end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def __bool__(self):
        return self.at < len(self.data)

    def number(self, below):
        """A number from 0 on: a byte of the input, or two where that is not enough."""
        width = 1 if below <= 256 else 2
        part = self.data[self.at : self.at + width]
        self.at += width
        return int.from_bytes(part, "big") % below

    def bytes(self, most):
        """A length, and so many bytes."""
        size = self.number(most + 1)
        part = self.data[self.at : self.at + size]
        self.at += size
        return part


def _kind(script):
    """How a datagram is made of the messages out of the hat: see tests/property/test_datagrams.py."""
    name = ("whole", "whole", "flip", "cut", "longer", "splice", "write", "raw", "typed")[script.number(9)]
    if name == "raw":
        return name, script.bytes(2000)
    if name == "typed":
        return name, script.number(6), script.bytes(2000)
    place = script.number(HATS)
    if name == "flip":
        return name, place, [script.number(8 * 160) for _ in range(1 + script.number(3))]
    if name == "cut":
        return name, place, script.number(160)
    if name == "longer":
        return name, place, script.bytes(40)
    if name == "splice":
        return name, place, script.number(HATS), script.number(160)
    if name == "write":
        return name, place, script.number(160), script.bytes(16)
    return name, place


def _step(script):
    name = ("one", "one", "one", "run", "joined", "handshakes", "load", "wait")[script.number(8)]
    if name in ("one", "run", "joined"):
        origin = (("a", 51820), ("mallory", 1), ("a", 2))[script.number(3)]
        mark = (0, 1, 2, 3, 0x88)[script.number(5)]
        if name == "one":
            return name, _kind(script), origin, mark
        count = 1 + script.number(8)
        if name == "run":
            return name, [_kind(script) for _ in range(count)], 1 + script.number(200), origin, mark
        return name, [script.number(HATS) for _ in range(count)], origin, mark
    if name == "handshakes":
        return name, 1 + script.number(40)
    if name == "wait":
        return name, (1, 20, 999, 1_000, 5_333, 10_000, 50_000, 180_000, 540_000)[script.number(9)]
    return (name,)


def datagrams(data):
    """Whatever a device in mid-life is sent: nothing raises, what is delivered was sent, once, and the peer is found again.

    Script: steps of tests/property/test_datagrams.py.
    """
    script, scene = Script(data), Scene()
    steps = 0
    while script and steps < 60:
        perform(scene, _step(script))
        scene.check()
        steps += 1
    scene.heals()


class Carried:
    """Two devices with a session."""

    def __init__(self):
        self.harness, self.a, self.b, self.peer, _ = connected()


def packets(data):
    """Whatever the machine sends into the tunnel: only packets with a peer leave, and they arrive as they were.

    Script: for each packet a choice of what it begins with, and bytes.
    """
    script, ends = Script(data), Carried()
    a, b = ends.a, ends.b
    put = []
    while script and len(put) < min(32, a.device.arena.slots):
        begin = (b"", b"\x45" + bytes(15) + B4, b"\x60" + bytes(23) + B6, b"\x45" + bytes(8) + b"\x11\0\0" + A4 + B4)
        put.append(((begin[script.number(4)]) + script.bytes(1400))[:1420] or b"\0")
    a.transmit(*put)
    for packet in b.got:
        # One that says it is longer than it is may come with some of its padding.
        assert any(packet == whole.ljust(len(packet), b"\0")[: len(packet)] for whole in put), "arrived, and never sent"
        assert packet[12:16] == A4 if packet[0] >> 4 == 4 else packet[8:24] == A6
    for reply in a.got:
        assert reply[0] >> 4 in (4, 6) and len(reply) <= 1280, "an ICMP message, to the machine itself"


def uapi(data):
    """Whatever a client says: answers are well formed, and the same in pieces of any size.

    Script: the size of the pieces, then what is said.
    """
    step, text = 1 + (data[0] if data else 0), data[1:]
    whole, parts = Client(peers=PEERS), Client(peers=PEERS)
    answer = whole.say(text)
    other = ""
    for at in range(0, len(text), step):
        if parts.session.closed:
            break
        other += parts.say(text[at : at + step])
    # One line that is too long ends the connection, sooner in small pieces.
    if not whole.session.closed and not parts.session.closed:
        assert answer == other, "what is said in pieces is something else"
    for said in answer.split("\n\n")[:-1]:
        assert said.split("\n")[-1].startswith("errno="), "an answer without an end"
    for client in (whole, parts):
        device = client.device
        assert client.node.tables.used == len(device._by_key) <= PEERS
        assert device.allowed.lookup4(bytearray(B4), 0) < PEERS
    assert len(whole.log.lines) <= text.count(b"\n") + 1


def uci_file(data):
    """Whatever stands in a configuration file: it is refused with its line, or it reads the same once written again.

    Bytes of the file.
    """
    uci.parse("wgembed", data, strict=False)
    try:
        package = uci.parse("wgembed", data)
    except uci.ParseError as e:
        assert 0 <= e.line <= data.count(b"\n") + 1 and str(e)
        return
    # libuci does not quote types: with such a character in one, neither it nor we read what was written.
    if not any(c in section.kind for section in package.sections for c in b"\\'\"#;"):
        again = uci_write.export(package)
        assert uci_write.export(uci.parse("wgembed", again)) == again
    try:
        options.read(package, "FILE")
    except options.ConfigError as e:
        assert e.problems and all(problem.startswith("FILE:") for problem in e.problems), e.problems


def uci_changes(data):
    """Whatever stands in a file of uncommitted changes: lines that do not fit are passed over.

    Bytes of the file.
    """
    package = uci.parse("wgembed", b"config interface 'wg0'\n\tlist addresses '10.0.0.1/24'\n\nconfig wireguard_wg0\n")
    uci.apply_changes(package, data)
    uci_write.export(package)


def quick_file(data):
    """Whatever stands in a file of wg-quick: it is refused, or taken over into the configuration and given out again.

    Bytes of the file.
    """
    try:
        text = wg_quick.to_text(data)
        parsed = wg_quick.parse(text)
    except (UnicodeError, UserError):
        return
    try:
        sections = convert.import_interface(parsed, "wg0")
    except (UserError, ValueError):
        return
    written = convert.format_sections(sections[0]).encode()
    uci.parse("wgembed", written)


def wg_file(data):
    """Whatever stands in a file for `wg setconf`: it is refused with a sentence, or understood.

    Bytes of the file.
    """
    said = io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stderr(said), contextlib.suppress(WgError):
        setconf._read(data.split(b"\n"), False)


def netlink(data):
    """Whatever the routing socket says: news are taken in, or passed over.

    Bytes of one datagram.
    """
    news = link.News.__new__(link.News)
    news.on_routes = lambda kind, message, start, end: None
    known = link.LINK_CHANGED | link.LINK_GONE | link.LINK_RENAMED | link.LINK_MOVED | link.LINK_FLAPPED
    for nsid in (None, 7):
        heard = link.Link.__new__(link.Link)
        heard.index, heard.mtu, heard.is_up, heard.nsid, heard._found = 1, 1420, True, nsid, 0
        heard.name, heard._kernel_name, heard._tun, heard._is_lost = "wg0", b"wg0", 1 << 20, False
        heard._was_down, heard._refresh = False, lambda: None
        heard._our_queue_length = link.QUEUE_LENGTH
        news._links = [heard]
        for where in (None, 7):
            with contextlib.suppress(OSError):  # it is cut
                news.handle(data, where)
            assert heard.settle() & ~known == 0


class _Kernel:
    """The routing socket of a kernel that sends these datagrams, whatever is asked; afterwards messages are lost."""

    fd, elsewhere_fd = 0, None

    def __init__(self, datagrams):
        self._datagrams = datagrams

    def send(self, message):
        pass

    def receive(self):
        if not self._datagrams:
            raise OSError(abi.ENOBUFS, "messages were lost")
        return self._datagrams.pop(0)


class _Served:
    """What a RouterInterface asks of its interface."""

    index = 5

    def uses_links(self):
        return False


def _following(watched):
    """A Router as `wgembed run` has it, with one interface, without a machine."""
    router = Router.__new__(Router)
    router.alarms, router.interfaces = alarms.Alarms(), []
    router.outside = OutsideRoutes(None)
    router.outside.watch(watched)
    one = RouterInterface.__new__(RouterInterface)
    one.interface, one._router, one.uses_links = _Served(), router, lambda: False
    one.network = Network(None, "", None)
    held = ("route", "10.0.0.0", 8, 5, "-", 0, 254)
    one.network._keep([held, ("route", "192.0.2.9", 32, 3, "192.0.2.1", 0, 254)])
    one.network._holders = {held: 3}
    router.router_interfaces = [one]
    return router


ENDPOINTS = (b"\xc0\0\2\x09", bytes((0x20, 1, 0x0D, 0xB8)) + bytes(11) + b"\x09")


def routing(data):
    """Whatever the kernel says of routes, rules, addresses and links: it is taken in, or is an OSError.

    Script: how datagrams are cut, lost and repeated, then their bytes. All of them are news, then answers to each request.
    """
    script, datagrams = Script(data), []
    while script and len(datagrams) < 16:
        fate, datagram = script.number(8), script.bytes(2000)
        datagrams += [[datagram], [datagram[:-4]], [], [datagram] * 2][fate if fate < 4 else 0]
    router = _following(ENDPOINTS)
    news = link.News.__new__(link.News)
    news._links, news.on_routes = [], router.on_routes
    news._here = _Kernel(list(datagrams))
    news.deliver()
    requests = rtnetlink.RtNetlink.__new__(rtnetlink.RtNetlink)
    for ask in (
        lambda: requests.routes(abi.AF_INET, router.outside._matters),
        lambda: requests.routes(abi.AF_INET6),
        lambda: requests.route_to(ENDPOINTS[0]),
        lambda: requests.rules(abi.AF_INET),
        lambda: requests.addresses(5),
        lambda: requests.link(5),
        lambda: sources.Sources(requests)._link_to(ENDPOINTS[0], b"", 0, 0),
        lambda: sources.Sources(requests)._link_to(ENDPOINTS[1], ENDPOINTS[1], 3, 7),
    ):
        requests._sequence, requests._netlink = 0, _Kernel(list(datagrams))
        with contextlib.suppress(OSError):
            ask()


def addresses(data):
    """Whatever text stands for an endpoint or a network: it is refused by a ValueError, or reads the same once written.

    Bytes of the text.
    """
    try:
        text = data.decode()
        found = address.parse_endpoint(text)
    except (ValueError, OSError):
        return
    assert address.parse_endpoint(address.format_endpoint(found)) == found


TARGETS = {
    function.__name__: function
    for function in (datagrams, packets, uapi, uci_file, uci_changes, quick_file, wg_file, netlink, routing, addresses)
}
