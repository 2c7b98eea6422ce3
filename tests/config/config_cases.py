"""Configurations with a mistake each, and the sentences about it: for either interpreter, and for a running daemon.

A case is (name, text, lines): of the lines, "! " begins a reason for refusal, "~ " a warning. In both, `@` stands for
the folder with FILES, and FILE: for the name of the file.
"""

from binascii import b2a_base64, unhexlify


def _base64(raw):
    return b2a_base64(raw).decode().strip()


# Two keys that belong together (RFC 7748), others, and one that must not be seen anywhere.
PRIVATE = _base64(unhexlify("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
PUBLIC = _base64(unhexlify("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
PEERS = [_base64(bytes([n]) * 32) for n in range(1, 5)]
SECRET = _base64(bytes(range(200, 232)))
ZEROS = _base64(bytes(32))

FILES = {
    "good.key": PRIVATE + "\n",
    "empty.key": "",
    "garbage.key": "nonsense",
    "short.key": PRIVATE[:-4] + "\n",
    "two.key": PRIVATE + "\n" + PRIVATE + "\n",
    "long.key": PRIVATE * 1000,
    "zero.key": ZEROS + "\n",
}

A_KEY = "a key has 44 characters of base64, the last one is '='"
NETWORK = "is not an IP address or network"


def interface(*lines, name="wg0"):
    """The section of an interface; the first of the lines is the second one of the text."""
    return "config interface '%s'\n%s" % (name, "".join(["\t%s\n" % line for line in lines]))


def peer(*lines, of="wg0", key=PEERS[0]):
    """The section of a peer, its public key in the second line."""
    return "config wireguard_%s\n\toption public_key '%s'\n%s" % (of, key, "".join(["\t%s\n" % line for line in lines]))


def option(name, value, sentence, title=None):
    """A wrong option of an interface."""
    text = interface("option %s '%s'" % (name, value))
    return (title or "%s %s" % (name, value)), text, ["! FILE:2: interface 'wg0', option %s: %s" % (name, sentence)]


def peer_option(name, value, sentence, title=None):
    """A wrong option of a peer, which is the first of its interface."""
    text = interface() + peer("option %s '%s'" % (name, value))
    return (title or "peer %s %s" % (name, value)), text, ["! FILE:4: wireguard_wg0[0], option %s: %s" % (name, sentence)]


def number(name, value, least, most, of=option):
    return of(name, value, "expected a number from %d to %d, got '%s'" % (least, most, value))


def refused(title, text, *lines):
    return title, text, ["! " + line for line in lines]


def warned(title, text, *lines):
    return title, text, ["~ " + line for line in lines]


def syntax(title, text, reason, line, byte):
    return refused(title, text, "FILE:%d: Parse error (%s) at line %d, byte %d" % (line, reason, line, byte))


def flat(*parts):
    """Return a list of cases, from cases and lists of them."""
    found = []
    for part in parts:
        found += part if isinstance(part, list) else [part]
    return found


WG0 = "FILE:2: interface 'wg0', option "
PEER0 = "FILE:4: wireguard_wg0[0], option "
INVALID = "expected a number from 0 to 65535, got "

# libuci does not count a line without line feed.
SYNTAX = [
    syntax("a word that is no command", "nonsense\n", "invalid command", 1, 0),
    syntax("a command of another case", interface() + "Option mtu 1400\n", "invalid command", 2, 0),
    syntax("a line feed behind the command", "config\n", "invalid command", 1, 0),
    syntax("config at the end", "config", "config without name", 0, 0),
    syntax("a byte order mark", "\ufeff" + interface(), "invalid command", 1, 0),
    syntax(
        "an option before any section",
        "option mtu 1400\n" + interface(),
        "option/list command found before the first section",
        1,
        0,
    ),
    syntax(
        "a list before any section", "list addresses 10.0.0.1\n", "option/list command found before the first section", 1, 0
    ),
    syntax("config without type", "config \n", "insufficient arguments", 1, 8),
    syntax("option without name", interface("option "), "insufficient arguments", 2, 9),
    syntax("option alone", interface("option")[:-1], "option without name", 1, 1),
    syntax("three words", interface("option mtu 1400 1500"), "too many arguments", 2, 22),
    syntax("words behind a section", "config interface wg0 wg1\n", "too many arguments", 1, 25),
    syntax("a dash in the name of a section", "config interface 'wg-0'\n", "invalid character in name field", 1, 24),
    syntax(
        "a dash in the name of an option", interface("option listen-port 51820"), "invalid character in name field", 2, 20
    ),
    syntax("a type with umlauts", "config wireguard_b\u00fcro\n", "invalid character in type field", 1, 23),
    syntax("an open quote", interface("option private_key '" + SECRET), "EOF with unterminated '", 2, 66),
    syntax("an open double quote", interface('option description "x', "option mtu 1400"), 'EOF with unterminated "', 3, 40),
    syntax(
        "one name, two types",
        interface() + "config globals 'wg0'\n",
        "section of different type overwrites prior section with same name",
        2,
        21,
    ),
]

SECTIONS = [
    refused(
        "an interface without name",
        "config interface\n\toption mtu 1400\n",
        "FILE:1: interface[0]: an interface section must have a name",
    ),
    refused(
        "a name too long",
        interface(name="wireguard_office"),
        "FILE:1: interface 'wireguard_office': the name of an interface must have at most 15 characters",
    ),
    refused(
        "one port for two",
        interface("option listen_port 51820") + interface("option mtu 1400", "option listen_port 51820", name="wg1"),
        "FILE:5: interface 'wg1', option listen_port: 51820 is already the port of interface 'wg0'",
    ),
    refused(
        "one key for two peers",
        interface() + peer() + peer("option endpoint_port 1"),
        "FILE:5: wireguard_wg0[1], option public_key: wireguard_wg0[0] has the same key",
    ),
    refused(
        "its own key for a peer",
        interface("option private_key '%s'" % PRIVATE) + peer(key=PUBLIC),
        "FILE:4: wireguard_wg0[0], option public_key: this is the public key of the interface itself; set that of the peer",
    ),
    refused(
        "its own key for a peer, from a file",
        interface("option private_key_file @/good.key") + peer(key=PUBLIC),
        "FILE:4: wireguard_wg0[0], option public_key: this is the public key of the interface itself; set that of the peer",
    ),
    refused(
        "a peer of zeros",
        interface() + peer(key=ZEROS),
        "FILE:3: wireguard_wg0[0], option public_key: the all-zero key is not valid",
    ),
    refused(
        "more peers than asked for",
        interface("option max_peers 1") + peer() + peer(key=PEERS[1]),
        "FILE:2: interface 'wg0', option max_peers: expected at least the number of peers, which is 2",
    ),
    refused(
        "a MTU that IPv6 cannot have",
        interface("list addresses 10.0.0.1/24", "list addresses fd00::1/64", "option mtu 1279"),
        "FILE:4: interface 'wg0', option mtu: IPv6 needs an MTU of at least 1280",
    ),
    refused(
        "a peer by its name",
        interface() + "config wireguard_wg0 'laptop'\n\toption public_key x\n",
        "FILE:3: wireguard_wg0 'laptop', option public_key: " + A_KEY,
    ),
    refused(
        "places are counted over disabled ones",
        interface() + peer("option disabled 1") + peer("option endpoint_port 0", key=PEERS[1]),
        "FILE:7: wireguard_wg0[1], option endpoint_port: expected a number from 1 to 65535, got '0'",
    ),
    refused(
        "many mistakes",
        interface("option mtu 1", "option listen_port x") + peer("option endpoint_host a_b-", key="x"),
        WG0 + "mtu: expected a number from 576 to 65455, got '1'",
        "FILE:3: interface 'wg0', option listen_port: " + INVALID + "'x'",
        "FILE:5: wireguard_wg0[0], option public_key: " + A_KEY,
        "FILE:6: wireguard_wg0[0], option endpoint_host: 'a_b-' is not a host name",
    ),
    refused(
        "a mistake hides no other",
        interface(
            "option private_key x", "option private_key_file @/good.key", "option mtu 1200", "option addresses 'fd00::1/64'"
        ),
        WG0 + "private_key: " + A_KEY,
        "FILE:4: interface 'wg0', option mtu: IPv6 needs an MTU of at least 1280",
    ),
    refused(
        "a list where a value belongs",
        interface("list listen_port 1", "list listen_port 2"),
        "FILE:3: interface 'wg0', option listen_port: expected one value, got a list",
    ),
    refused(
        "an option that became a list",
        interface("option mtu 1400", "list mtu 1420"),
        "FILE:3: interface 'wg0', option mtu: expected one value, got a list",
    ),
    refused(
        "a list for a switch",
        interface("list disabled 0", "list disabled 1"),
        "FILE:3: interface 'wg0', option disabled: expected one value, got a list",
    ),
]

KEYS = [
    option("private_key", "x", A_KEY),
    option("private_key", SECRET[:-1], A_KEY, "43 characters"),
    option("private_key", SECRET + "=", A_KEY, "45 characters"),
    option("private_key", SECRET[:-2] + "J=", A_KEY, "bits behind the key"),
    option("private_key", SECRET[:-2] + "!=", A_KEY, "a character that is not base64"),
    option("private_key", "\u00fc" * 22, A_KEY, "44 bytes that are not ASCII"),
    option("private_key", SECRET[:-1] + "\u00fc", A_KEY, "a key and an umlaut"),
    option("private_key", "c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7", A_KEY, "a key in hexadecimal"),
    option("private_key", "Generate", A_KEY),
    option("private_key", ZEROS, "the all-zero key is not valid", "a private key of zeros"),
    peer_option("preshared_key", SECRET[:-1], A_KEY, "a short preshared key"),
    peer_option("preshared_key", "generate", A_KEY),
    option("private_key_file", "wg.key", "expected an absolute path, got 'wg.key'"),
    option("private_key_file", SECRET, "expected an absolute path, got (hidden)", "a key for a file"),
    option("private_key_file", "@/empty.key", "@/empty.key: " + A_KEY),
    option("private_key_file", "@/garbage.key", "@/garbage.key: " + A_KEY),
    option("private_key_file", "@/short.key", "@/short.key: " + A_KEY),
    option("private_key_file", "@/two.key", "@/two.key: " + A_KEY),
    option("private_key_file", "@/long.key", "@/long.key: " + A_KEY),
    option("private_key_file", "@/bytes.key", "@/bytes.key: the value is not UTF-8 text"),
    option("private_key_file", "@/zero.key", "the all-zero key is not valid"),
    option("private_key_file", "@", "@: not a regular file"),
    option("private_key_file", "/dev/zero", "/dev/zero: not a regular file"),
    option("private_key_file", "@/pipe", "@/pipe: not a regular file"),
    refused(
        "a key and a file",
        interface("option private_key '%s'" % SECRET, "option private_key_file @/good.key"),
        "FILE:3: interface 'wg0', option private_key_file: private_key and private_key_file cannot both be set",
    ),
    refused(
        "a key and a file that is not there",
        interface("option private_key_file @/none.key", "option private_key '%s'" % SECRET),
        "FILE:2: interface 'wg0', option private_key_file: private_key and private_key_file cannot both be set",
    ),
    # Where a key may have slipped to
    option("listen_port", SECRET, "expected a number from 0 to 65535, got (hidden)", "a key for a port"),
    option("log_level", "error " + SECRET, "expected silent, error or verbose, got (hidden)", "a key for a level"),
    option("disabled", SECRET, "expected 1 or 0, got (hidden)", "a key for a switch"),
    peer_option("endpoint_host", SECRET, "(hidden) is not a host name", "a key for a host"),
    peer_option("allowed_ips", SECRET, "(hidden) is not an IP address or network", "a key for a network"),
    option("tunlink", SECRET, "(hidden) is not a valid name of a network or interface", "a key for a link"),
    refused(
        "a key for the heap",
        "config globals\n\toption heapsize '%s'\n" % SECRET,
        "FILE:2: globals[0], option heapsize: expected a number, perhaps with K or M at its end, got (hidden)",
    ),
    refused(
        "options of events",
        "config globals\n\toption on_event 'logger'\n\toption outage_minutes '0'\n\toption history 'some'\n",
        "FILE:2: globals[0], option on_event: expected an absolute path, got 'logger'",
        "FILE:3: globals[0], option outage_minutes: expected a number from 1 to 16383, got '0'",
        "FILE:4: globals[0], option history: expected 1 or 0, got 'some'",
    ),
]

NUMBERS = flat(
    [
        number("listen_port", value, 0, 65535)
        for value in (
            "soon",
            "-1",
            "65536",
            "5182O",
            "51820.0",
            "1e3",
            "51 820",
            "+1",
            "0x",
            "0X10",
            "0b1",
            "10000000000000000000000",
        )
    ],
    [number("mtu", value, 576, 65455) for value in ("575", "0", "65456", "auto")],
    [number("fwmark", value, 0, 4294967295) for value in ("0x100000000", "4294967296", "0xg", "on", "-0x1", "0x1/0xff")],
    [number("metric", value, 0, 4294967295) for value in ("-1", "low")],
    [number("max_peers", value, 1, 16383) for value in ("0", "16384", "all")],
    [
        number(name, value, 1, 4294967295)
        for name in ("ip4table", "ip6table")
        for value in ("0", "vpn", "unspec", "4294967296")
    ],
    [number("persistent_keepalive", value, 0, 65535, peer_option) for value in ("65536", "-1", "25s", "on")],
    [number("endpoint_port", value, 1, 65535, peer_option) for value in ("0", "65536", "wireguard")],
    option("listen_port", "\uff15", INVALID + "'\uff15'", "a wide digit"),
    option("listen_port", "\u00b2", INVALID + "'\u00b2'", "a raised digit"),
    option("listen_port", "9 " * 100, INVALID + "'" + "9 " * 40 + "...'", "a long text"),
    option("listen_port", "1\n\t2", INVALID + "'1  2'", "a text of two lines"),
    option("listen_port", "\x1b[2J\x9b2J\x07\x7f", INVALID + "' [2J 2J  '", "what a terminal would obey"),
)

WORDS = flat(
    [
        option(name, value, "expected 1 or 0, got '%s'" % value)
        for name in ("nohostroute", "kill_switch", "disabled", "auto")
        for value in ("maybe", "True", "2", "01", "y")
    ],
    [peer_option(name, "perhaps", "expected 1 or 0, got 'perhaps'") for name in ("route_allowed_ips", "disabled")],
    option("log_level", "info", "expected silent, error or verbose, got 'info'"),
    option("tunlink", "wan/1", "'wan/1' is not a valid name of a network or interface"),
    option("tunlink", "wan 1", "'wan 1' is not a valid name of a network or interface"),
    option("tunlink", "..", "'..' is not a valid name of a network or interface"),
    option("tunlink", "pppoe-provider-1", "'pppoe-provider-1' is not a valid name of a network or interface"),
)

ADDRESSES = flat(
    [
        option("addresses", value, "'%s' %s" % (value, NETWORK))
        for value in (
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1.1",
            "010.0.0.1",
            "10.0.0.0x1",
            "1",
            "wg",
            "fd00:::1",
            "fd00::1::2",
            "fd00::g",
            "::ffff:1.2.3",
            "fe80::1%eth0",
            "[fd00::1]",
            "/24",
            "10.0.0.1:80",
            "\u0661\u0660.0.0.1",
        )
    ],
    [
        option("addresses", value, "'%s': the prefix length must be a number from 0 to 32" % value)
        for value in (
            "10.0.0.1/33",
            "10.0.0.1/",
            "10.0.0.1/-1",
            "10.0.0.1/24/24",
            "10.0.0.1/\u00b2",
            "10.0.0.1/0x8",
            "10.0.0.1/0024",
        )
    ],
    [
        option("addresses", value, "'%s': the prefix length must be a number from 0 to 128" % value)
        for value in ("fd00::1/129", "::1/x")
    ],
    [
        option("addresses", "10.0.0.1/" + mask, "'10.0.0.1/-1': the prefix length must be a number from 0 to 32", mask)
        for mask in ("255.0.255.0", "0.0.0.255", "255.255.255.256", "255.255.255")
    ],
    option("addresses", "fd00::1/255.0.0.0", "'fd00::1/255.0.0.0': the prefix length must be a number from 0 to 128"),
    option("addresses", ",", "',' %s" % NETWORK),
    option("addresses", "10.0.0.1/24,x", "'x' %s" % NETWORK),
    # Netifd accepts a netmask, and wg(8) does not.
    peer_option(
        "allowed_ips", "10.0.0.0/255.0.0.0", "'10.0.0.0/255.0.0.0': the prefix length must be a number from 0 to 32"
    ),
    refused(
        "two wrong networks in a list",
        interface()
        + peer("list allowed_ips 10.0.0.0/33", "list allowed_ips 10.1.0.0/24", "list allowed_ips 'x fd00::/8 y'"),
        "FILE:6: wireguard_wg0[0], option allowed_ips: '10.0.0.0/33': the prefix length must be a number from 0 to 32",
        "FILE:6: wireguard_wg0[0], option allowed_ips: 'x' " + NETWORK,
        "FILE:6: wireguard_wg0[0], option allowed_ips: 'y' " + NETWORK,
    ),
)

LISTS_OF_HOSTS = flat(
    [
        refused(
            "endpoint %s in a list" % value,
            interface() + peer("list endpoint_host 'good.example'", "list endpoint_host '%s'" % value),
            "FILE:5: wireguard_wg0[0], option endpoint_host: " + sentence,
        )
        for value, sentence in (
            ("a.example:0", "expected a number from 1 to 65535, got '0'"),
            ("a.example:70000", "expected a number from 1 to 65535, got '70000'"),
            ("[1.2.3.4]:5", "'[1.2.3.4]' is not a host name"),
            ("1.2.3:5", "'1.2.3' is not an IP address"),
            ("a-:5", "'a-' is not a host name"),
            ("", "'' is not an IP address"),
        )
    ],
    [
        peer_option("failback_time", value, "expected a number from 0 to 86400, got '%s'" % value)
        for value in ("-1", "86401", "x")
    ],
)

HOSTS = flat(
    [
        peer_option("endpoint_host", value, "'%s' is not an IP address" % value)
        for value in (
            "1.2.3",
            "1.2.3.4.",
            "300.1.1.1",
            "1",
            "..",
            "[1.2.3.4:51820]",
            "::1::",
            ":1",
            "a:b",
        )
    ],
    [
        peer_option("endpoint_host", value, "'%s' has a port: set endpoint_port '51820' instead" % value)
        for value in ("vpn.example.org:51820", "1.2.3.4:51820", "[::1]:51820", "[]:51820")
    ],
    [
        peer_option("endpoint_host", value, "'%s' is not a host name" % value)
        for value in (
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a b",
            "vpn.example.org/",
            "a,b",
            "[vpn]",
            "1.2.3.4%eth0",
            "m\u00fcnchen.example",
            "a\u00b2",
            "*.b",
        )
    ],
    peer_option("endpoint_host", "http://vpn.example.org", "'http://vpn.example.org' is not an IP address"),
    peer_option(
        "endpoint_host", "a." * 127 + "org", "'" + "a." * 40 + "...' is not a host name", "a name of 257 characters"
    ),
    peer_option("endpoint_host", "a" * 64 + ".org", "'" + "a" * 64 + ".org' is not a host name", "a label of 64 characters"),
    [
        peer_option("endpoint_host", value, "'%s': expected the name of an interface after %%" % value)
        for value in (
            "fe80::1%",
            "[fe80::1%]",
            "fe80::1%eth 0",
            "fe80::1%a/b",
            "fe80::1%interface-too-long",
            "1.2.3.4%eth0:",
        )
    ],
)

# Texts with bytes that are no text: Latin-1
BYTES = [
    refused(
        "a description in Latin-1",
        interface() + peer("option description 'B\xfcro'"),
        PEER0 + "description: the value is not UTF-8 text",
    ),
    refused(
        "a host in Latin-1",
        interface() + peer("option endpoint_host 'b\xfcro'"),
        PEER0 + "endpoint_host: the value is not UTF-8 text",
    ),
    refused(
        "a list with one in Latin-1",
        interface("list addresses 10.0.0.1", "list addresses '\xff'", "list addresses x"),
        "FILE:4: interface 'wg0', option addresses: the value is not UTF-8 text",
        "FILE:4: interface 'wg0', option addresses: 'x' " + NETWORK,
    ),
    refused("a switch in Latin-1", interface("option disabled '\xff'"), WG0 + "disabled: the value is not UTF-8 text"),
]

BLANKS = "blanks in the value ignored"
COMMAS = "commas read as blanks; use a list entry for each network"
ODD = flat(
    [
        warned("blanks, %s %s" % (name, value), interface("option %s '%s'" % (name, value)), WG0 + name + ": " + BLANKS)
        for name, value in (
            ("listen_port", "51820 "),
            ("mtu", "\t1400"),
            ("fwmark", "0x10\n"),
            ("nohostroute", " 1"),
            ("tunlink", "wan "),
            ("disabled", "0 "),
            ("private_key", SECRET[:20] + " " + SECRET[20:]),
            ("private_key", SECRET[:21] + "\n" + SECRET[21:] + "\t"),
        )
    ],
    [
        warned("blanks, peer " + name, interface() + peer("option %s '%s'" % (name, value)), PEER0 + name + ": " + BLANKS)
        for name, value in (
            ("endpoint_host", "vpn.example.org\t"),
            ("endpoint_port", " 1"),
            ("persistent_keepalive", "25 "),
            ("route_allowed_ips", "1 "),
            ("preshared_key", SECRET + " "),
        )
    ],
    warned("commas between addresses", interface("option addresses '10.0.0.1/24,fd00::1'"), WG0 + "addresses: " + COMMAS),
    [
        warned(value, interface() + peer("option allowed_ips '%s'" % value), PEER0 + "allowed_ips: " + COMMAS)
        for value in ("10.255.1.1/32,172.16.1.0/24", "0.0.0.0/0, ::/0", "10.0.0.0/24 , 10.1.0.0/24,")
    ],
    warned(
        "a netmask",
        interface("option addresses '10.0.0.1/255.255.255.0'"),
        WG0 + "addresses: netmask read as the prefix length 24",
    ),
    warned("an unknown option", interface("option listenport 1"), WG0 + "listenport: unknown option ignored"),
    warned(
        "a list that is unknown",
        interface("list dsn 1.1.1.1", "list dsn 2.2.2.2"),
        "FILE:3: interface 'wg0', option dsn: unknown option ignored",
    ),
    warned(
        "an unknown option of a peer", interface() + peer("option endpoint x"), PEER0 + "endpoint: unknown option ignored"
    ),
    [
        warned(name, interface("option %s x" % name), WG0 + name + ": no effect in wgembed, option ignored")
        for name in (
            "ip6prefix",
            "peerdns",
            "dns",
            "dns_metric",
            "dns_search",
            "ip6assign",
            "ip6hint",
            "ip6ifaceid",
            "ip6class",
        )
    ],
    warned(
        "an unknown type",
        "config interfaces 'wg0'\n",
        "FILE:1: interfaces 'wg0': section of the unknown type 'interfaces' ignored",
    ),
    warned(
        "an unknown type without name",
        "config device\n",
        "FILE:1: device[0]: section of the unknown type 'device' ignored",
    ),
    warned("a peer of nobody", peer(of="wg9"), "FILE:1: wireguard_wg9[0]: there is no interface 'wg9', section ignored"),
    warned("a peer of the empty name", peer(of=""), "FILE:1: wireguard_[0]: there is no interface '', section ignored"),
    warned(
        "a peer without key",
        interface() + "config wireguard_wg0\n\toption description x\n",
        "FILE:2: wireguard_wg0[0]: peer without public_key ignored",
    ),
    warned(
        "a peer with an empty key",
        interface() + "config wireguard_wg0\n\tlist public_key ''\n",
        "FILE:2: wireguard_wg0[0]: peer without public_key ignored",
    ),
    [
        warned(
            title,
            interface(*lines),
            "FILE:%d: interface 'wg0', option proto: only wireguard is supported, section ignored" % at,
        )
        for title, lines, at in (
            ("another protocol", ["option proto static"], 2),
            ("two protocols", ["list proto wireguard", "list proto static"], 3),
            ("a protocol in Latin-1", ["option proto '\xff'"], 2),
        )
    ],
)


def _raw(text):
    return bytes([ord(c) for c in text])


WRONG = [
    (title, text.encode(), lines)
    for title, text, lines in SYNTAX + SECTIONS + KEYS + NUMBERS + WORDS + ADDRESSES + HOSTS + LISTS_OF_HOSTS
]
WRONG += [(title, _raw(text), lines) for title, text, lines in BYTES]
CASES = WRONG + [(title, _raw(text), lines) for title, text, lines in ODD]
