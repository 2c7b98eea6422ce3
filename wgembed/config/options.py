"""The meaning of the sections in /etc/config/wgembed.

The names are those of OpenWrt for `proto wireguard` in /etc/config/network, so that sections can be copied unchanged:
`config interface 'wg0'`, and `config wireguard_wg0` for each peer. package/files/wgembed.config explains every option.

A configuration is accepted or rejected as a whole. ConfigError lists every mistake, each in a sentence with file, line,
section and option. Things that look wrong but do no harm are warnings.
"""

from .. import crypto
from ..errors import UserError, cause
from ..protocol.allowedips import MAX_PREFIXES
from ..protocol.constants import IPV4_MIN_MTU, IPV6_MIN_MTU, MAX_MTU, MAX_PEERS
from ..runtime import log, pause, system
from ..runtime.address import parse_ip
from ..runtime.modes import OWNER
from ..runtime.tun_device import NAME_MAX, is_valid_name
from . import keys, route_tables, uci, uci_write

PACKAGE = "wgembed"
DEFAULT_PORT, FAILBACK_S, OUTAGE_MINUTES = 51820, 300, 5
PEER_TYPE = "wireguard_"

TRUE = ("1", "on", "true", "yes", "enabled")
_PROTOCOLS = ([b"wireguard"], [b"wgembed"], [b""])
FALSE = ("0", "off", "false", "no", "disabled")
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE64 = _LETTERS + _DIGITS + "+/="
_BLANKS = " \t\n\v\f\r"
# A word of this length can be a key. A message shows this much of a text.
_LIKE_A_KEY, _SHOWN = 40, 80


class ConfigError(UserError):
    """The configuration is rejected. `problems` are sentences. `sections` are the uci.Sections with mistakes."""

    def __init__(self, problems, sections=()):
        super().__init__("\n".join(problems))
        self.problems = problems
        self.sections = sections


class InterfaceConfig:
    """The configuration of one interface. `where` names its section in messages.

    private_key  32 bytes, or None if the key is in `key_file`, or not generated yet
    key_file     the file with the private key, "" for none
    listen_port, fwmark, metric, mtu, max_peers  numbers; 0 means that wgembed chooses
    addresses    pairs of packed address and prefix length
    table4, table6  the routing tables for its routes, 0 for the main one
    table_rules     whether rules lead packets to these tables, and the networks of the addresses are there as well
    defaultroute    whether default routes of its peers are added
    peers        PeerConfig each
    """

    __slots__ = (
        "addresses", "defaultroute", "fwmark", "key_file", "kill_switch", "line", "listen_port", "log_level", "max_peers",
        "metric", "mtu", "name", "nohostroute", "peers", "private_key", "section", "table4", "table6", "table_rules",
        "tunlink", "where",
    )  # fmt: skip

    def __init__(self, name, where, section, line):
        self.name = name
        self.where = where
        self.section = section
        self.line = line
        self.private_key = None
        self.key_file = self.tunlink = ""
        self.listen_port = self.fwmark = self.metric = self.mtu = self.max_peers = self.table4 = self.table6 = 0
        self.log_level = None
        self.nohostroute = self.kill_switch = False
        self.defaultroute = self.table_rules = True
        self.addresses = []
        self.peers = []

    def is_like(self, other):
        """Whether the other configuration is the same, except for secrets and the places in the file."""
        return _compared(self) == _compared(other)

    def forget_secrets(self):
        """Overwrite the keys, after the device has them."""
        for key in [self.private_key] + [peer.preshared_key for peer in self.peers]:
            if key is not None:
                crypto.memzero(key)
        self.private_key = None


_COMPARED = (
    "addresses", "defaultroute", "fwmark", "key_file", "kill_switch", "listen_port", "metric", "mtu", "name", "nohostroute",
    "table4", "table6", "tunlink",
)  # fmt: skip
_PEER_COMPARED = (
    "allowed_ips", "primary", "failback", "host", "hosts", "keepalive", "order", "ping", "ping_interval", "port",
    "public_key", "route",
)  # fmt: skip


def _compared(config):
    own = [getattr(config, name) for name in _COMPARED]
    return own, [[getattr(peer, name) for name in _PEER_COMPARED] for peer in config.peers]


class PeerConfig:
    """One peer. `host` is a name or an address, "" for none. `allowed_ips` are pairs of packed address and prefix length.

    hosts     the endpoints (host, port) of a peer with several, the preferred one first; otherwise empty
    failback  how long the preferred endpoint or peer must be well before it is used again, in seconds; 0 for never
    backup_of, primary, order, ping, ping_interval, has_backup  see backups.py
    """

    __slots__ = (
        "allowed_ips", "backup_of", "description", "failback", "has_backup", "host", "hosts", "keepalive", "line",
        "order", "ping", "ping_interval", "port", "preshared_key", "primary", "public_key", "route", "where",
    )  # fmt: skip

    def __init__(self, where, line):
        self.where = where
        self.line = line
        self.public_key = self.preshared_key = self.primary = self.ping = None
        self.host = self.description = self.backup_of = self.order = ""
        self.port = DEFAULT_PORT
        self.keepalive = self.ping_interval = 0
        self.failback = FAILBACK_S
        self.hosts = []
        self.route = self.has_backup = False
        self.allowed_ips = []

    @property
    def all_hosts(self):
        """The hosts of its endpoints."""
        return [host for host, _ in self.hosts] or ([self.host] if self.host else [])


class Config:
    """The enabled interfaces, and the warnings, which are sentences.

    `log_level`, `gso`, `gro` and `tun_offload` are None if the option is not set.
    """

    def __init__(self):
        self.log_level = self.gso = self.gro = self.tun_offload = None
        self.heapsize = self.on_event = ""
        self.outage_minutes, self.history = OUTAGE_MINUTES, True
        self.interfaces = []
        self.warnings = []


# Values: each function takes the text of an option and returns the value, or raises ValueError with a sentence.


def shown(text):
    """Return the text for a message: short, in one line, and hidden if it can be a key in the wrong place."""
    if any(len(word) >= _LIKE_A_KEY and all(c in _BASE64 for c in word) for word in text.split()):
        return "(hidden)"
    cut = text[:_SHOWN] + "..." if len(text) > _SHOWN else text
    return "'%s'" % "".join([" " if c < " " or "\x7f" <= c < "\xa0" else c for c in cut])


def boolean(text):
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError("expected 1 or 0, got %s" % shown(text))


def _is_decimal(text):
    return bool(text) and all(c in _DIGITS for c in text)


def _number(text, least, most):
    digits = text[2:] if text[:2] == "0x" else text
    base = 16 if text[:2] == "0x" else 10
    allowed = _DIGITS + "abcdefABCDEF" if base == 16 else _DIGITS
    if not digits or len(digits) > 10 or not all(c in allowed for c in digits) or not least <= int(digits, base) <= most:
        raise ValueError("expected a number from %d to %d, got %s" % (least, most, shown(text)))
    return int(digits, base)


def port(text):
    return _number(text, 0, 65535)


def endpoint_port(text):
    return _number(text, 1, 65535)


def fwmark(text):
    return 0 if text.lower() == "off" else _number(text, 0, 0xFFFFFFFF)


def keepalive(text):
    return 0 if text.lower() == "off" else _number(text, 0, 65535)


def mtu(text):
    return _number(text, IPV4_MIN_MTU, MAX_MTU)


def metric(text):
    return _number(text, 0, 0xFFFFFFFF)


def peers(text):
    return _number(text, 1, MAX_PEERS)


def table(text):
    """A routing table, by number or by its name in /etc/iproute2/rt_tables or a file of its folder rt_tables.d."""
    number = route_tables.number_of(text)
    return number or _number(text, 1, 0xFFFFFFFF)


def key(text):
    """32 bytes of base64, canonical. The value is not repeated in the error, which can be a mistyped secret."""
    return keys.parse(text.encode())


def private_key(text):
    return None if text == "generate" else key(text)


def network(text):
    """An address with or without prefix length."""
    where, slash, bits = text.partition("/")
    try:
        packed = parse_ip(where)
    except ValueError:
        raise ValueError("%s is not an IP address or network" % shown(text)) from None
    most = len(packed) * 8
    if not slash:
        return packed, most
    if not _is_decimal(bits) or len(bits) > 3 or int(bits) > most:
        raise ValueError("%s: the prefix length must be a number from 0 to %d" % (shown(text), most))
    return packed, int(bits)


def own_address(text):
    """An address of the interface, as `network`. Netifd also accepts a netmask."""
    where, _, mask = text.partition("/")
    return network("%s/%d" % (where, _length_of(mask)) if "." in mask and "." in where else text)


def _length_of(mask):
    """Return the prefix length of a netmask, or -1."""
    try:
        bits = int.from_bytes(parse_ip(mask), "big")
    except ValueError:
        return -1
    for length in range(33):
        if bits == 0xFFFFFFFF ^ 0xFFFFFFFF >> length:
            return length
    return -1


def host(text):
    """A host name or an address. An IPv6 address can have brackets, and the name of an interface after %."""
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" and ":" in text else text
    if ":" in bare or not bare.strip("0123456789."):
        where, percent, scope = bare.partition("%")
        try:
            parse_ip(where)
        except ValueError:
            name, _, number = text.rpartition(":")
            is_pair = _is_decimal(number) and (":" not in name or name[-1:] == "]")
            if is_pair and name:
                raise ValueError("%s has a port: set endpoint_port '%s' instead" % (shown(text), number)) from None
            raise ValueError("%s is not an IP address" % shown(text)) from None
        if percent and not is_valid_name(scope):
            raise ValueError("%s: expected the name of an interface after %%" % shown(text))
        return bare
    labels = (text[:-1] if text[-1:] == "." else text).split(".")
    if len(text) > 253 or not all(_is_label(label) for label in labels):
        raise ValueError("%s is not a host name" % shown(text))
    return text


def host_and_port(text):
    """A host, perhaps with a port: (host, 0) without one."""
    name, _, number = text.rpartition(":")
    if name and _is_decimal(number) and (":" not in name or name[-1:] == "]"):
        return host(name), endpoint_port(number)
    return host(text), 0


def failback(text):
    """A time in seconds, 0 for never."""
    return _number(text, 0, 86400)


def _is_label(text):
    if not 0 < len(text) < 64 or text[0] == "-" or text[-1] == "-":
        return False
    return all(c in _LETTERS or c in _DIGITS or c in "-_" for c in text)


def link(text):
    if not is_valid_name(text):
        raise ValueError("%s is not a valid name of a network or interface" % shown(text))
    return text


def path(text):
    if text[:1] != "/":
        raise ValueError("expected an absolute path, got %s" % shown(text))
    return text


def level(text):
    if text not in log.LEVELS:
        raise ValueError("expected silent, error or verbose, got %s" % shown(text))
    return log.level_from(text)


def heapsize(text):
    """The maximum size of MicroPython's heap. The init script uses it, before it starts the interpreter."""
    if not text.rstrip("KM").isdigit() or len(text) - len(text.rstrip("KM")) > 1:
        raise ValueError("expected a number, perhaps with K or M at its end, got %s" % shown(text))
    return text


def line_of_text(text):
    return text


# Options by name: the attribute that they set, and the function for the value. Networks are added to a list. None: other
# code reads the option, or the option has no meaning here and needs no warning.
_INTERFACE_OPTIONS = {
    "private_key": ("private_key", private_key),
    "private_key_file": ("key_file", path),
    "listen_port": ("listen_port", port),
    "addresses": ("addresses", own_address),
    "mtu": ("mtu", mtu),
    "fwmark": ("fwmark", fwmark),
    "metric": ("metric", metric),
    "ip4table": ("table4", table),
    "ip6table": ("table6", table),
    "nohostroute": ("nohostroute", boolean),
    "kill_switch": ("kill_switch", boolean),
    "tunlink": ("tunlink", link),
    "max_peers": ("max_peers", peers),
    "log_level": ("log_level", level),
    "proto": None,
    "disabled": None,
    "auto": None,
    "delegate": None,
    "force_link": None,
    "defaultroute": ("defaultroute", boolean),
}
_GLOBAL_OPTIONS = {
    "log_level": ("log_level", level),
    "heapsize": ("heapsize", heapsize),
    "gso": ("gso", boolean),
    "gro": ("gro", boolean),
    "tun_offload": ("tun_offload", boolean),
    "on_event": ("on_event", path),
    "outage_minutes": ("outage_minutes", peers),  # any number from 1
    "history": ("history", boolean),
    "seccomp": None,  # the init script's
    "beside_kernel": None,  # the protocol handler's
    "ula_prefix": None,
    "packet_steering": None,
}
_PEER_OPTIONS = {
    "public_key": ("public_key", key),
    "preshared_key": ("preshared_key", key),
    "allowed_ips": ("allowed_ips", network),
    "route_allowed_ips": ("route", boolean),
    "endpoint_host": ("host", host),
    "endpoint_port": ("port", endpoint_port),
    "failback_time": ("failback", failback),
    "backup_of": ("backup_of", line_of_text),
    "endpoint_order": ("order", line_of_text),
    "ping_check": ("ping", line_of_text),
    "ping_interval": ("ping_interval", failback),
    "persistent_keepalive": ("keepalive", keepalive),
    "description": ("description", line_of_text),
    "disabled": None,
    # The private key of the peer, which LuCI stores for the QR code.
    "private_key": None,
}
# Options of OpenWrt's network daemon that have no meaning here.
WITHOUT_EFFECT = (
    "ip6prefix", "peerdns", "dns", "dns_metric", "dns_search", "ip6assign", "ip6hint", "ip6ifaceid", "ip6class", "ip6weight",
    "zone", "tags", "renew", "carrier_loss_delay", "host_device", "jail", "jail_device", "jail_ifname", "device", "ifname",
    "type",
)  # fmt: skip


def known(kind):
    """Return the options by name, of a section of the type `kind`: interface, or that of peers."""
    return _INTERFACE_OPTIONS if kind == b"interface" else _PEER_OPTIONS


class _Reader:
    """Reads a package once."""

    def __init__(self, package, filename):
        self._package = package
        self._filename = filename
        self._problems = []
        self._broken = set()  # of what `where` says
        self._counts = {}
        self._sections = {}  # by what `where` says
        self._disabled = []
        self.config = Config()

    def read(self):
        orphans = []
        for section in self._package.sections:
            kind = section.kind.decode()
            where = self._where(section, kind)
            self._sections[where] = section
            if kind == "interface":
                self._read_interface(section, where)
            elif kind.startswith(PEER_TYPE):
                orphans.append((section, kind[len(PEER_TYPE) :], where))
            elif kind == "globals":
                self._read_options(section, where, _GLOBAL_OPTIONS, self.config)
            else:
                self._warn(section.line, where, "section of the unknown type '%s' ignored" % kind)
        for section, name, where in orphans:
            self._read_peer(section, name, where)
        for interface in self.config.interfaces:
            self._check_interface(interface)
        if self._problems:
            for interface in self.config.interfaces:
                interface.forget_secrets()
            raise ConfigError(self._problems, [self._sections[where] for where in self._broken])
        return self.config

    def _where(self, section, kind):
        """Return how messages name the section: by its name, or by its index among those of its type."""
        place = self._counts[kind] = self._counts.get(kind, -1) + 1
        return "%s[%d]" % (kind, place) if section.anonymous else "%s '%s'" % (kind, section.name.decode())

    def _at(self, line, where):
        return "%s%s: %s" % (self._filename, ":%d" % line if line else " (uncommitted)", where)

    def _refuse(self, line, where, sentence):
        self._problems.append("%s: %s" % (self._at(line, where), sentence))
        self._broken.add(where.partition(", option ")[0])

    def _refuse_option(self, where, name, sentence):
        """Report an option whose value is valid, but not together with other options."""
        option = self._sections[where].find(name.encode())
        self._refuse(option.line, "%s, option %s" % (where, name), sentence)

    def _warn(self, line, where, sentence):
        self.config.warnings.append("%s: %s" % (self._at(line, where), sentence))

    # Options

    def _switch(self, section, name, where, otherwise):
        """Return the boolean option, or `otherwise` if it is missing or wrong."""
        option = section.find(name.encode())
        if option is None:
            return otherwise
        try:
            text = self._bare(option, "%s, option %s" % (where, name), boolean)
            return boolean(text) if text else otherwise
        except ValueError as e:
            self._refuse(option.line, "%s, option %s" % (where, name), str(e))
            return otherwise

    def _read_options(self, section, where, options, target):
        for option in section.options:
            name = option.name.decode()
            here = "%s, option %s" % (where, name)
            if name not in options:
                why = "no effect in wgembed, option ignored" if name in WITHOUT_EFFECT else "unknown option ignored"
                self._warn(option.line, here, why)
            elif options[name] is not None:
                attribute, parse = options[name]
                if parse in (network, own_address):
                    self._read_networks(option, here, getattr(target, attribute), parse)
                elif parse is host and option.values is not None:
                    self._read_hosts(option, here, target.hosts)
                else:
                    self._read_option(option, here, target, attribute, parse)

    def _read_option(self, option, here, target, attribute, parse):
        try:
            text = self._bare(option, here, parse)
            if text:
                setattr(target, attribute, parse(text))
        except ValueError as e:
            self._refuse(option.line, here, str(e))

    def _bare(self, option, here, parse):
        """Return the option's one value as text, without the blanks that wg(8) ignores."""
        text = _text(option)
        bare = text
        if parse in (key, private_key):
            bare = "".join([c for c in text if c not in _BLANKS])
        elif parse not in (line_of_text, path):
            bare = text.strip(_BLANKS)
        if bare != text:
            self._warn(option.line, here, "blanks in the value ignored")
        return bare

    def _read_networks(self, option, here, found, parse):
        """Add the networks of a list, or of a text, to `found`."""
        known = set(found)
        for value in option.values if option.values is not None else [option.value]:
            pause.pause()
            try:
                text = _decoded(value)
            except ValueError as e:
                self._refuse(option.line, here, str(e))
                continue
            words = text.replace(",", " ").split()
            if "," in text and words:
                self._warn(option.line, here, "commas read as blanks; use a list entry for each network")
            for word in words or text.split():
                try:
                    one = parse(word)
                except ValueError as e:
                    self._refuse(option.line, here, str(e))
                    continue
                if "." in word.partition("/")[2]:
                    self._warn(option.line, here, "netmask read as the prefix length %d" % one[1])
                if one not in known:
                    known.add(one)
                    found.append(one)

    def _read_hosts(self, option, here, found):
        """Add the endpoints of a list to `found`."""
        for value in option.values:
            try:
                one = host_and_port(_decoded(value).strip(_BLANKS))
            except ValueError as e:
                self._refuse(option.line, here, str(e))
                continue
            if one not in found:
                found.append(one)

    # Sections

    def _read_interface(self, section, where):
        name = section.name.decode()
        if self._switch(section, "disabled", where, False) or not self._switch(section, "auto", where, True):
            self._disabled.append(name)
            return
        proto = section.find(b"proto")
        if proto is not None and proto.value not in (b"wireguard", b"wgembed") and proto.values not in _PROTOCOLS:
            self._warn(proto.line, "%s, option proto" % where, "only wireguard is supported, section ignored")
            self._disabled.append(name)
            return
        if section.anonymous:
            self._refuse(section.line, where, "an interface section must have a name")
            return
        if not is_valid_name(name):
            self._refuse(section.line, where, "the name of an interface must have at most %d characters" % NAME_MAX)
        interface = InterfaceConfig(name, where, section.name, section.line)
        self._read_options(section, where, _INTERFACE_OPTIONS, interface)
        self.config.interfaces.append(interface)

    def _read_peer(self, section, name, where):
        if name in self._disabled or self._switch(section, "disabled", where, False):
            return
        interface = self._find(name)
        if interface is None:
            self._warn(section.line, where, "there is no interface '%s', section ignored" % name)
            return
        peer = PeerConfig(where, section.line)
        self._read_options(section, where, _PEER_OPTIONS, peer)
        if peer.hosts:
            peer.hosts = [(name, number or peer.port) for name, number in peer.hosts]
            peer.host, peer.port = peer.hosts[0]
            if len(peer.hosts) == 1:
                peer.hosts = []
        if peer.public_key is not None:
            peer.public_key = bytes(peer.public_key)
            interface.peers.append(peer)
        elif _is_empty(section.find(b"public_key")):
            self._warn(section.line, where, "peer without public_key ignored")

    def _find(self, name):
        for interface in self.config.interfaces:
            if interface.name == name:
                return interface
        return None

    # Options that depend on each other

    def _check_interface(self, interface):
        where = interface.where
        if interface.private_key is not None and interface.key_file:
            self._refuse_option(where, "private_key_file", "private_key and private_key_file cannot both be set")
        elif interface.key_file and system.files.exists(interface.key_file):
            self._read_key_file(interface)
        if interface.private_key is not None and not any(interface.private_key):
            self._refuse_option(
                where, "private_key_file" if interface.key_file else "private_key", "the all-zero key is not valid"
            )
        if interface.mtu and interface.mtu < IPV6_MIN_MTU and any(len(a) == 16 for a, _ in interface.addresses):
            self._refuse_option(where, "mtu", "IPv6 needs an MTU of at least %d" % IPV6_MIN_MTU)
        for other in self.config.interfaces:
            if other is interface:
                break
            if interface.listen_port and interface.listen_port == other.listen_port:
                self._refuse_option(
                    where, "listen_port", "%d is already the port of %s" % (interface.listen_port, other.where)
                )
        self._check_capacity(interface)
        self._check_keys(interface)
        if any(peer.backup_of or peer.order or peer.ping or peer.ping_interval for peer in interface.peers):
            from . import backups  # few routers need it

            for peer, option, sentence in backups.resolve(interface, shown):
                self._refuse_option(peer.where, option, sentence)

    def _read_key_file(self, interface):
        """Read the private key from its file, which exists."""
        try:
            interface.private_key = keys.read_file(interface.key_file)
        except (OSError, ValueError) as e:
            why = cause(e) if isinstance(e, OSError) else e
            self._refuse_option(interface.where, "private_key_file", "%s: %s" % (interface.key_file, why))

    def _check_capacity(self, interface):
        """Check that there are not more peers and prefixes than the maximum."""
        count = len(interface.peers)
        if interface.max_peers and count > interface.max_peers:
            self._refuse_option(interface.where, "max_peers", "expected at least the number of peers, which is %d" % count)
        if count > MAX_PEERS:
            self._refuse(interface.line, interface.where, "%d peers are too many, the maximum is %d" % (count, MAX_PEERS))
        for size, family in ((4, 4), (16, 6)):
            count = len([1 for peer in interface.peers for packed, _ in peer.allowed_ips if len(packed) == size])
            if count > MAX_PREFIXES:
                self._refuse(
                    interface.line, interface.where,
                    "%d allowed IPs of IPv%d are too many, the maximum is %d" % (count, family, MAX_PREFIXES),
                )  # fmt: skip

    def _check_keys(self, interface):
        own = keys.public_key(interface.private_key) if interface.private_key is not None else b""
        seen = {}
        for peer in interface.peers:
            wrong = ""
            if peer.public_key == own:
                wrong = "this is the public key of the interface itself; set that of the peer"
            elif peer.public_key in seen:
                wrong = "%s has the same key" % seen[peer.public_key]
            elif not any(peer.public_key):
                wrong = "the all-zero key is not valid"
            if wrong:
                self._refuse_option(peer.where, "public_key", wrong)
            seen[peer.public_key] = peer.where


def _is_empty(option):
    return option is None or not option.value and not any(option.values or ())


def _decoded(value):
    try:
        return value.decode()
    except UnicodeError:
        raise ValueError("the value is not UTF-8 text") from None


def _text(option):
    """Return the option's one value as text."""
    if option.values is not None:
        if len(option.values) != 1:
            raise ValueError("expected one value, got a list")
        return _decoded(option.values[0])
    return _decoded(option.value)


def read(package, filename):
    """Return the Config in a uci.Package; ConfigError if anything in it is wrong.

    filename  the name of the file in messages
    """
    return _Reader(package, filename).read()


def load(directory=uci.CONFIG_DIRECTORY):
    """Read the configuration in the directory, with uncommitted changes; ConfigError if it is missing or wrong."""
    filename = "%s/%s" % (directory, PACKAGE)
    try:
        return read(uci.load(PACKAGE, True, directory), filename)
    except uci.ParseError as e:
        raise ConfigError(["%s:%d: %s" % (filename, e.line, e)]) from None
    except OSError as e:
        raise ConfigError(["cannot read %s: %s" % (filename, cause(e))]) from None
    except MemoryError:
        raise ConfigError(["cannot read %s: out of memory" % filename]) from None


def store_key(interface, text, directory, package=PACKAGE):
    """Write the private key, in base64, into the section of the interface; UserError or OSError."""
    try:
        uci_write.store(package, interface.section, b"private_key", text, directory, mode=OWNER)
    except UserError as e:
        raise UserError("cannot store the private key of %s: %s" % (interface.where, e)) from None
