"""Command lines and files for `wg`, good and bad, and answers of control sockets."""

import base64

from ..lab.uapi import DONE, GET
from .cli_harness import Case

FIELDS = [
    "public-key", "private-key", "listen-port", "fwmark", "peers", "preshared-keys", "endpoints", "allowed-ips",
    "latest-handshakes", "transfer", "persistent-keepalive", "dump",
]  # fmt: skip

RAW = [bytes([n]) * 32 for n in range(1, 9)]
HEX = [raw.hex().encode() for raw in RAW]
KEY = [base64.b64encode(raw).decode() for raw in RAW]
PRIVATE = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PRIVATE_HEX = base64.b64decode(PRIVATE).hex().encode()
ZERO = b"0" * 64


def lines(*texts, end="errno=0\n\n"):
    return b"".join(text if isinstance(text, bytes) else text.encode() + b"\n" for text in texts) + end.encode()


def peer(number, *texts):
    return b"public_key=" + HEX[number] + b"\n" + lines(*texts, end="")


def device(*texts, end="errno=0\n\n"):
    return lines(b"private_key=" + PRIVATE_HEX + b"\n", "listen_port=51820", *texts, end=end)


# What control sockets answer to get

FULL = device(
    "fwmark=51820",
    peer(
        1, b"preshared_key=" + HEX[5] + b"\n", "protocol_version=1", "endpoint=192.0.2.1:51820",
        "last_handshake_time_sec=@3661@", "last_handshake_time_nsec=17", "tx_bytes=1000", "rx_bytes=123456789",
        "persistent_keepalive_interval=25", "allowed_ip=10.0.0.0/8", "allowed_ip=fd00::/64",
    ),
    peer(2, "endpoint=[2001:db8::1]:1", "last_handshake_time_sec=0", "allowed_ip=0.0.0.0/0"),
    peer(
        3, b"preshared_key=" + ZERO + b"\n", "endpoint=[fe80::1%lo]:65535", "last_handshake_time_sec=@5@",
        "persistent_keepalive_interval=65535", "tx_bytes=1",
    ),
)  # fmt: skip

TIMES = [
    0, 1, 2, 59, 60, 61, 119, 120, 3599, 3600, 3661, 7322, 86399, 86400, 90061, 172800, 31535999, 31536000, 63072061,
    -100, 400000000,
]  # fmt: skip
AMOUNTS = [
    1, 1023, 1024, 1029, 1034, 1035, 1536, 10240, 1048575, 1048576, 1048581, 5 * 1024**2 + 5242, 1073741823, 1024**3,
    1024**3 + 5368709, 1024**4 - 1, 1024**4, 2**53, 2**63, 2**64 - 1,
]  # fmt: skip

GOOD_ANSWERS = {
    "full": FULL,
    "nothing": lines(),
    "port": lines("listen_port=1"),
    "no private key": lines("listen_port=7", peer(1)),
    "private key of zeros": lines(b"private_key=" + ZERO + b"\n"),
    "private key not clamped": lines(b"private_key=" + b"ff" * 32 + b"\n"),
    "upper case": lines(b"private_key=" + PRIVATE_HEX.upper() + b"\n", b"public_key=" + b"AB" * 32 + b"\n"),
    "fwmark": device("fwmark=4294967295"),
    "fwmark of zero": device("fwmark=0"),
    "unknown words": device("colour=red", peer(1, "shape=round", "=", "=x", "empty="), "weight=3"),
    "leading zeros": device("fwmark=000000000000000000000000000000000016", peer(1, "rx_bytes=0001")),
    "interface's words at a peer": device(peer(1, "listen_port=5", "fwmark=7", b"private_key=" + HEX[2] + b"\n")),
    "peer's words at the interface": device("endpoint=192.0.2.1:5", "allowed_ip=10.0.0.0/8", "rx_bytes=x"),
    "twice": device("listen_port=2", peer(1, "endpoint=192.0.2.1:5", "endpoint=192.0.2.2:6", "rx_bytes=1", "rx_bytes=2")),
    "same peer twice": device(peer(1, "rx_bytes=1"), peer(1, "rx_bytes=2")),
    "errno first": lines("errno=0", "listen_port=5", peer(1), end="\n"),
    "more behind the end": lines("listen_port=5") + b"listen_port=6\nerrno=5\n\n",
    "beyond 64 bits": device(peer(1, "rx_bytes=" + "9" * 30, "tx_bytes=18446744073709551616")),
    "names in endpoints": device(peer(1, "endpoint=seven.test:domain"), peer(2, "endpoint=[eight.test]:5")),
    "odd endpoints": device(
        peer(1, "endpoint=1.2:3"),
        peer(2, "endpoint=192.0.2.1:70000"),
        peer(3, "endpoint=[192.0.2.1]:05"),
        peer(4, "endpoint=[::ffff:192.0.2.1]:5"),
        peer(5, "endpoint=::1:5"),
        peer(6, "endpoint=[fe80::1%1]:5"),
        peer(7, "endpoint=[2001:DB8:0::1]:5"),
    ),  # fmt: skip
    "odd prefixes": device(
        peer(1, "allowed_ip=10.1.2.3/8", "allowed_ip=10.1.2.3/032", "allowed_ip=FD00:0::0:1/7", "allowed_ip=::/0"),
        peer(2, "allowed_ip=::ffff:1.2.3.4/128"),
    ),
    "no time but nanoseconds": device(
        peer(1, "last_handshake_time_nsec=5"),
        peer(2),
        peer(3, "last_handshake_time_nsec=9"),
        peer(4, "last_handshake_time_sec=@9@", "last_handshake_time_nsec=1"),
        peer(5, "last_handshake_time_sec=@9@", "last_handshake_time_nsec=2"),
    ),  # fmt: skip
    "times": device(
        *[lines(b"public_key=%064x\n" % (n + 1), f"last_handshake_time_sec=@{t}@", end="") for n, t in enumerate(TIMES)]
    ),
    "amounts": device(
        *[
            lines(b"public_key=%064x\n" % (n + 1), f"rx_bytes={a}", f"tx_bytes={AMOUNTS[-n]}", end="")
            for n, a in enumerate(AMOUNTS)
        ]
    ),
    "intervals": device(
        *[
            lines(b"public_key=%064x\n" % (n + 1), f"persistent_keepalive_interval={t}", end="")
            for n, t in enumerate([0, 1, 60, 61, 3600, 65535])
        ]
    ),
}
BAD_ANSWERS = {
    "nothing at all": b"",
    "an empty line": b"\n",
    "no errno": lines("listen_port=5", end="\n"),
    "no end": lines("listen_port=5", end=""),
    "half a line": b"listen_port=5\nerrno=0",
    "errno": lines("errno=5", end="\n"),
    "errno behind": lines("listen_port=5", end="errno=98\n\n"),
    "large errno": lines("errno=2147483647", end="\n"),
    "too large errno": lines("errno=2147483648", end="\n"),
    "negative errno": lines("errno=-5", end="\n"),
    "errno of words": lines("errno=none", end="\n"),
    "empty errno": lines("errno=", end="\n"),
    "no equals sign": lines("listen_port"),
    "nul": lines(b"listen_port=5\0\n"),
    "carriage returns": b"listen_port=5\r\nerrno=0\r\n\r\n",
    "port too large": lines("listen_port=65536"),
    "port signed": lines("listen_port=+5"),
    "port with a space": lines("listen_port= 5"),
    "port in hexadecimal": lines("listen_port=0x5"),
    "port empty": lines("listen_port="),
    "mark too large": lines("fwmark=4294967296"),
    "private key short": lines("private_key=00"),
    "private key no hexadecimal": lines(b"private_key=" + b"g" * 64 + b"\n"),
    "private key long": lines(b"private_key=" + b"0" * 66 + b"\n"),
    "private key with a space": lines(b"private_key=" + PRIVATE_HEX[:20] + b"\t" + PRIVATE_HEX[20:] + b"\n"),
    "private key with a space for a digit": lines(b"private_key=" + PRIVATE_HEX[:63] + b" \n"),
    "public key empty": device("public_key="),
    "preshared key short": device(peer(1, "preshared_key=00")),
    "interval too large": device(peer(1, "persistent_keepalive_interval=65536")),
    "time negative": device(peer(1, "last_handshake_time_sec=-1")),
    "time too large": device(peer(1, "last_handshake_time_sec=9223372036854775808")),
    "bytes of words": device(peer(1, "rx_bytes=many")),
    "endpoint empty": device(peer(1, "endpoint=")),
    "endpoint without a port": device(peer(1, "endpoint=192.0.2.1")),
    "endpoint with an empty port": device(peer(1, "endpoint=192.0.2.1:")),
    "endpoint without brace": device(peer(1, "endpoint=[::1:5")),
    "endpoint behind brace": device(peer(1, "endpoint=[::1]5")),
    "endpoint with an empty port behind brace": device(peer(1, "endpoint=[::1]:")),
    "prefix without length": device(peer(1, "allowed_ip=10.0.0.0")),
    "prefix with empty length": device(peer(1, "allowed_ip=10.0.0.0/")),
    "prefix too long": device(peer(1, "allowed_ip=10.0.0.0/33")),
    "prefix of IPv6 too long": device(peer(1, "allowed_ip=fd00::/129")),
    "prefix no address": device(peer(1, "allowed_ip=10.0.0/8")),
    "prefix empty": device(peer(1, "allowed_ip=")),
    "prefix of a family mistaken": device(peer(1, "allowed_ip=fd00/8")),
    "good, then bad": FULL.replace(b"persistent_keepalive_interval=65535", b"persistent_keepalive_interval=65536"),
}


def show_cases():
    yield from (Case(["show", "wg0", field], {"wg0": FULL}) for field in FIELDS)
    yield from (Case(["show", "wg0", field], {"wg0": device()}) for field in FIELDS)
    for field in FIELDS:
        # The name was left out once.
        yield Case(["show", "all", field], {"wg0": FULL, "wg1": device()}, as_newest=field != "endpoints")
    for name, answer in GOOD_ANSWERS.items():
        for arguments in (["show", "wg0"], ["show", "wg0", "dump"], ["showconf", "wg0"]):
            yield Case(arguments, {"wg0": answer}, note=name)
    for name, answer in BAD_ANSWERS.items():
        yield Case(["show", "wg0", "dump"], {"wg0": answer}, note=name)
        yield Case(["showconf", "wg0"], {"wg0": answer}, note=name)
        yield Case(["show"], {"wg0": answer}, note=name)
    unreachable = (1, b"", b"Unable to access interface: Network is unreachable\n", [("wg0", GET)])
    for endpoint in ("none.test:5", "192.0.2.1:none", ":5", "[]:5", "[fe80::1%none]:5", "192.0.2.1.2:5"):
        for arguments in (["show", "wg0"], ["showconf", "wg0"]):
            yield Case(arguments, {"wg0": device(peer(1, f"endpoint={endpoint}"))}, ours=unreachable)
    no_answer = (1, b"", b"Unable to access interface: Protocol error\n", [("wg0", GET)])
    yield Case(["show", "wg0"], {"wg0": device(peer(1, "allowed_ip=10.0.0.0/256"))}, ours=no_answer)
    with_none = device(peer(1, b"preshared_key=" + HEX[5] + b"\n", b"preshared_key=" + ZERO + b"\n"))
    shown = (0, f"{KEY[1]}\t(none)\n".encode(), b"", [("wg0", GET)])
    yield Case(["show", "wg0", "preshared-keys"], {"wg0": with_none}, ours=shown)
    coloured = {"WG_COLOR_MODE": "always"}
    for name in ("full", "times", "amounts", "intervals", "nothing", "odd prefixes"):
        yield Case(["show"], {"wg0": GOOD_ANSWERS[name]}, environment=coloured)
    for mode in ("never", "auto", "", "ALWAYS"):
        yield Case(["show"], {"wg0": FULL}, environment={"WG_COLOR_MODE": mode})
    for mode in ("never", "always", "", "Never"):
        for field in ([], ["dump"], ["private-key"]):
            yield Case(["show", "wg0", *field], {"wg0": FULL}, environment={"WG_HIDE_KEYS": mode})
    several = {"wg0": FULL, "wg1": device(), "wg2": lines()}
    for arguments in ([], ["show"], ["show", "all"], ["show", "interfaces"], ["show", "all", "dump"], ["show", "wg1"]):
        yield Case(arguments, several)
        if "wg1" not in arguments:
            yield Case(arguments)
            yield Case(arguments, {"wg0": lines()})
        for bad in (0, 1, 2):
            yield Case(arguments, {**several, f"wg{bad}": lines("errno=1", end="\n")})
    yield Case(["show"], {f"wg{n}": lines("errno=1", end="\n") for n in range(3)})
    yield Case(["show", "all", "peers"], {f"wg{n}": b"" for n in range(3)})
    for arguments in (
        ["show", "-h"], ["show", "--help"], ["show", "help"], ["show", "wg0", "x"],
        ["show", "wg0", ""], ["show", "all", "x"], ["show", "all", ""], ["show", "all", "all"], ["show", "interfaces", "x"],
        ["show", "wg0", "dump", "x"], ["show", "all", "dump", "x"], ["show", "interfaces", "x", "y"],
        ["show", "wg0", "PEERS"], ["show", "wg0", "peers "], ["showconf"], ["showconf", "wg0", "x"], ["showconf", "-x", "y"],
    ):  # fmt: skip
        yield Case(arguments, several)
    yield Case(["show", "all", "x"])
    yield Case(["show", "wg0", "x"], {"wg0": b""})
    yield Case(["show", "wg0", "listen-port"], {"wg0": b"listen_port=5\n"})


# Change

GOOD_SETS = [
    "listen-port 0", "listen-port 51820", "listen-port 65535", "listen-port domain", "listen-port 007", "listen-port 65536",
    "listen-port 70000", "listen-port -1", "listen-port +5", "fwmark 0", "fwmark off", "fwmark OFF", "fwmark 1",
    "fwmark 0x1", "fwmark 0xFf", "fwmark 4294967295", "fwmark 0xffffffff", "fwmark 010", "fwmark 0x00000000000000000001",
    "private-key key", "private-key spaced", "private-key /dev/null", "private-key empty", "private-key zero",
    "private-key unclamped", "listen-port 1 listen-port 2", "fwmark 1 private-key key listen-port 5",
    "peer P1", "peer P1 remove", "peer P1 remove remove", "peer P1 peer P2 remove peer P3",
    "peer P1 remove endpoint 192.0.2.1:5", "peer P1 endpoint 192.0.2.1:51820", "peer P1 endpoint 192.0.2.1:domain",
    "peer P1 endpoint 192.0.2.1:70000", "peer P1 endpoint [2001:db8::1]:5", "peer P1 endpoint [2001:DB8:0::1]:5",
    "peer P1 endpoint 2001:db8::1:5", "peer P1 endpoint [192.0.2.1]:5", "peer P1 endpoint 1.2:3", "peer P1 endpoint 5:6",
    "peer P1 endpoint 0x7f.1:6", "peer P1 endpoint [fe80::1%lo]:5", "peer P1 endpoint [fe80::1%1]:5",
    "peer P1 endpoint fe80::1%lo:5", "peer P1 endpoint seven.test:5", "peer P1 endpoint [eight.test]:5",
    "peer P1 endpoint localhost:5", "peer P1 endpoint [::ffff:192.0.2.1]:5", "peer P1 endpoint 192.0.2.1:+5",
    "peer P1 endpoint 192.0.2.1:5 endpoint 192.0.2.2:6", "peer P1 persistent-keepalive 25", "peer P1 persistent-keepalive 0",
    "peer P1 persistent-keepalive off", "peer P1 persistent-keepalive Off", "peer P1 persistent-keepalive 65535",
    "peer P1 persistent-keepalive 00025", "peer P1 preshared-key key", "peer P1 preshared-key /dev/null",
    "peer P1 preshared-key empty", "peer P1 allowed-ips 10.0.0.0/8", "peer P1 allowed-ips 10.0.0.0/8,fd00::/64",
    "peer P1 allowed-ips 10.0.0.1", "peer P1 allowed-ips fd00::1", "peer P1 allowed-ips 10.0.0.1/8",
    "peer P1 allowed-ips fd00::1/64", "peer P1 allowed-ips 0.0.0.0/0,::/0", "peer P1 allowed-ips 1.2.3.4/0",
    "peer P1 allowed-ips 10.0.0.0/008", "peer P1 allowed-ips 10.0.0.0/8 allowed-ips 11.0.0.0/8",
    "peer P1 allowed-ips FD00:0:0::/64", "peer P1 allowed-ips ::ffff:1.2.3.4", "peer P1 allowed-ips 10.0.0.0/8,10.0.0.0/8",
    "peer P1 allowed-ips 10.128.0.0/8", "peer P1 allowed-ips fd00::8000:0:0:0/65", "peer P1 allowed-ips fd00::8000:0:0:0/64",
    "peer P1 allowed-ips 255.255.255.255/31", "peer P1 allowed-ips ffff:ffff:ffff::/33",
    "peer P1 allowed-ips a:b:c:d:e:f::/97",
    "peer P1 endpoint 192.0.2.1:5 persistent-keepalive 1 allowed-ips 10.0.0.0/8 preshared-key key peer P2 remove",
]  # fmt: skip
NEW_SETS = [
    "peer P1 allowed-ips +10.0.0.0/8", "peer P1 allowed-ips -10.0.0.0/8", "peer P1 allowed-ips +10.0.0.0/8,-11.0.0.0/8",
    "peer P1 allowed-ips 10.0.0.0/8,+11.0.0.0/8", "peer P1 allowed-ips +10.0.0.0/8,11.0.0.0/8",
    "peer P1 allowed-ips +10.0.0.0/8 allowed-ips 11.0.0.0/8", "peer P1 allowed-ips 10.0.0.0/8 allowed-ips -11.0.0.0/8",
    "peer P1 allowed-ips -fd00::1", "peer P1 allowed-ips ++10.0.0.0/8", "peer P1 allowed-ips +", "peer P1 allowed-ips -,+",
    "peer P1 allowed-ips +10.0.0.1/33", "peer P1 allowed-ips -10.0.0.1/8",
]  # fmt: skip
BAD_SETS = [
    "x", "peer", "peer P1 x", "peer P1 peer", "remove", "remove x", "listen-port", "listen-port x", "listen-port 5x",
    "listen-port 0x5", "fwmark", "fwmark x", "fwmark -1", "fwmark 0x", "fwmark 0xg", "fwmark 0X1", "fwmark 4294967296",
    "fwmark 0x100000000", "fwmark 1x", "fwmark +1", "fwmark 99999999999999999999999999", "private-key", "private-key none",
    "private-key .", "private-key short", "private-key trailing", "private-key inner", "peer P1 listen-port 5",
    "peer P1 fwmark 5", "peer P1 private-key key", "endpoint 192.0.2.1:5", "allowed-ips 10.0.0.0/8",
    "persistent-keepalive 5", "preshared-key key", "peer x", "peer P1x", "peer -", "LISTEN-PORT 5", "peer P1 remove x",
    "peer P1 endpoint", "peer P1 endpoint x", "peer P1 endpoint 192.0.2.1", "peer P1 endpoint 192.0.2.1:",
    "peer P1 endpoint [::1", "peer P1 endpoint [::1]", "peer P1 endpoint [::1]5", "peer P1 endpoint [::1]:",
    "peer P1 endpoint :5", "peer P1 endpoint []:5", "peer P1 endpoint 192.0.2.1:x", "peer P1 endpoint [::1]:x",
    "peer P1 endpoint 192.0.2.1:5x", "peer P1 endpoint [fe80::1%none]:5", "peer P1 persistent-keepalive",
    "peer P1 persistent-keepalive x", "peer P1 persistent-keepalive -1", "peer P1 persistent-keepalive 65536",
    "peer P1 persistent-keepalive 1x", "peer P1 persistent-keepalive 0x1", "peer P1 preshared-key none",
    "peer P1 preshared-key short", "peer P1 preshared-key trailing", "peer P1 allowed-ips", "peer P1 allowed-ips x",
    "peer P1 allowed-ips ,", "peer P1 allowed-ips 10.0.0.0/8,", "peer P1 allowed-ips ,10.0.0.0/8",
    "peer P1 allowed-ips 10.0.0.0/", "peer P1 allowed-ips 10.0.0.0/33", "peer P1 allowed-ips fd00::/129",
    "peer P1 allowed-ips 10.0.0.0/x", "peer P1 allowed-ips 10.0.0.0/8x", "peer P1 allowed-ips 10.0.0.0/+8",
    "peer P1 allowed-ips 10.0.0.0/8/8", "peer P1 allowed-ips 10.0.0/8", "peer P1 allowed-ips 10.0.0.256",
    "peer P1 allowed-ips fd00:::/8", "peer P1 allowed-ips seven.test/32", "peer P1 allowed-ips 10.0.0.1/8,x",
    "peer P1 allowed-ips 10.0.0.0/99999999999999999999999", "peer P1 allowed-ips /8", "peer P1 allowed-ips fe80::1%lo/64",
]  # fmt: skip
ODD_SETS = [
    ["listen-port", ""], ["fwmark", ""], ["peer", ""], ["peer", KEY[1], "endpoint", ""], ["peer", KEY[1], "allowed-ips", ""],
    ["peer", KEY[1], "allowed-ips", " 10.0.0.0/8 ,\tfd00::/8\n"], ["peer", KEY[1], "allowed-ips", " "],
    ["peer", KEY[1], "persistent-keepalive", ""], ["peer", KEY[1], "persistent-keepalive", " 5"], ["private-key", ""],
    ["fwmark", " 5"], ["fwmark", "5 "], ["listen-port", " 5"], ["listen-port", "5 "], ["", ""], [""],
    ["peer", KEY[1] + " "], ["peer", " " + KEY[1]], ["peer", KEY[1][:-2] + "F="], ["peer", KEY[1][:-1]],
    ["peer", KEY[1] + "="],
    ["peer", "=" * 44], ["peer", "A" * 44], ["peer", "-" * 43 + "="], ["peer", KEY[1][:20] + "\n" + KEY[1][21:]],
    ["\u00fc", "1"], ["fwmark", "\u00fc"], ["peer", "\u00fc" * 22], ["peer", KEY[1], "endpoint", "\u00fc:5"],
    ["peer", KEY[1], "allowed-ips", "\u00fc"], ["peer", KEY[1], "allowed-ips", "\u0661.2.3.4"],
    ["peer", KEY[1], "allowed-ips", "1.2.3.4/\u0661"], ["peer", KEY[1], "endpoint", " 192.0.2.1:5"],
    ["peer", KEY[1], "endpoint", "192.0.2.1: 5"], ["peer", KEY[1], "endpoint", "%s:5"], ["%s", "%d"],
    ["peer", KEY[1], "allowed-ips", "%n"], ["fwmark", "9" * 250], ["listen-port", "5" * 200],
]  # fmt: skip
KEY_FILES = {
    "key": PRIVATE.encode() + b"\n",
    "spaced": PRIVATE.encode() + b"\n \t\r\n\n" + b" " * 9000,
    "empty": b"",
    "zero": base64.b64encode(bytes(32)),
    "unclamped": base64.b64encode(b"\xff" * 32),
    "short": PRIVATE.encode()[:-1],
    "trailing": PRIVATE.encode() + b"\nx",
    "inner": b" " + PRIVATE.encode(),
}
NO_KEY = b"Key is not the correct length or format: `(hidden)'\n"
# Keys that wg repeats
BAD_KEYS = {
    "not canonical": PRIVATE[:-2] + "l=",
    "no base64": "!" + PRIVATE[1:],
    "no padding": PRIVATE[:-1] + "A",
    "nul": PRIVATE[:20] + "\0" + PRIVATE[21:],
}
SET_ANSWERS = {
    "good": DONE,
    "refused": b"errno=-22\n\n",
    "refused, positive": b"errno=22\n\n",
    "no space": b"errno=-28\n\n",
    "unknown errno": b"errno=-9999\n\n",
    "errno with words": b"errno=x\n\n",
    "errno too large": b"errno=2147483648\n\n",
    "errno empty": b"errno=\n\n",
    "errno signed twice": b"errno=--1\n\n",
    "errno plus": b"errno=+1\n\n",
    "no errno": b"\n",
    "other words": b"a=b\nerrno=0\nc=\n\n",
    "no equals sign": b"errno\n\n",
    "no end": b"errno=0\n",
    "half a line": b"errno=0",
    "twice": b"errno=-5\nerrno=0\n\n",
    "hung up": None,
    "carriage returns": b"errno=0\r\n\r\n",
}


def words(text):
    return [KEY[int(word[1])] if word[0] == "P" and len(word) == 2 else word.replace("P1", KEY[1]) for word in text.split()]


def set_cases():
    for text in GOOD_SETS + BAD_SETS:
        yield Case(["set", "wg0", *words(text)], {"wg0": device()}, files=KEY_FILES)
    for text in NEW_SETS:
        yield Case(["set", "wg0", *words(text)], {"wg0": device()}, as_newest=False)
    for arguments in ODD_SETS:
        yield Case(["set", "wg0", *arguments], {"wg0": device()}, files=KEY_FILES)
    for name, key in BAD_KEYS.items():
        for where in (["private-key"], ["peer", KEY[1], "preshared-key"]):
            yield Case(
                ["set", "wg0", *where, "key"], {"wg0": device()}, files={"key": key.encode()}, note=name,
                ours=(1, b"", NO_KEY, []),
            )  # fmt: skip
    for name, answer in SET_ANSWERS.items():
        yield Case(["set", "wg0", "listen-port", "5"], {"wg0": device()}, answer, note=name)
    yield Case(["set", "abcdefghijklmnopq", "fwmark", "1"], {"abcdefghijklmno": device()})
    for text in ("set", "set wg0", "set --help", "set wg0 --help", "set -h x"):
        # The usage has grown.
        yield Case(text.split(), {"wg0": device()}, as_newest=len(text.split()) > 2)
    yield Case(["set", "wg0", "private-key", "/dev/stdin"], {"wg0": device()}, stdin=PRIVATE.encode())
    yield Case(["set", "wg0", "private-key", "/dev/stdin"], {"wg0": device()})
    for retries in ("0", "00", "+0", "x", "-1", "-0", "5x", "2147483648", "9" * 40, " 0"):
        yield Case(
            ["set", "wg0", "peer", KEY[1], "endpoint", "none.test:5"], {"wg0": device()},
            environment={"WG_ENDPOINT_RESOLUTION_RETRIES": retries},
        )  # fmt: skip
    yield Case(
        ["set", "wg0", "peer", KEY[1], "endpoint", "none.test:5"], {"wg0": device()},
        environment={"WG_ENDPOINT_RESOLUTION_RETRIES": "1"},
    )  # fmt: skip


# Files

PEER = f"[Peer]\nPublicKey = {KEY[1]}\n"
CONFIGS = [
    "",
    "\n",
    "# nothing\n",
    "[Interface]\n",
    "[interface]",
    "[INTERFACE]\n[PEER]\npublickey=" + KEY[1],
    f"[Interface]\nPrivateKey = {PRIVATE}\nListenPort = 51820\nFwMark = 0x10\n\n{PEER}AllowedIPs = 10.0.0.0/8, fd00::/64\n",
    f"  [ Inter face ]  # a comment\n\tPrivate Key={PRIVATE}#\n",
    f"[Interface]\r\nPrivateKey = {PRIVATE}\r\nListenPort = 5\r\n",
    PEER,
    PEER.strip(),
    PEER * 3,
    f"{PEER}[Interface]\nListenPort=5\n[Peer]\nPublicKey={KEY[2]}\n",
    f"[Interface]\nListenPort=1\n[Interface]\nListenPort=2\n{PEER}",
    f"[Peer]\nPublicKey={KEY[1]}\nPublicKey={KEY[2]}\n",
    PEER + "PresharedKey=" + KEY[5] + "\n",
    PEER + "PersistentKeepalive = 25\n",
    PEER + "PersistentKeepalive = off\n",
    PEER + "Endpoint = 192.0.2.1:5\nEndpoint = seven.test:6\n",
    PEER + "Endpoint = [2001:db8::1]:domain\n",
    PEER + "Endpoint = 192.0.2.1 : 5\n",
    PEER + "AllowedIPs = 10.0.0.0/8\nAllowedIPs = 11.0.0.1/8\n",
    PEER + "AllowedIPs = 10.0.0.0/8 , 1 1.0.0.0/8\n",
    "[Interface]\nFwMark = off\n",
    "[Interface]\nListenPort = domain\n",
    f"[Interface]\n{'#' * 10000}\nListenPort = 5{' ' * 9000}\n",
    f"[Interface]\nListenPort = 5\0rubbish\n{PEER}",
    "\0[Rubbish\n[Interface]\n",
    "[Interface]\n\v\f\nListenPort\v=\f5\n",
    f"{PEER}AllowedIPs = {', '.join(f'10.{n >> 8}.{n & 255}.0/24' for n in range(500))}\n",
    "".join(f"[Peer]\nPublicKey={base64.b64encode(b'%032d' % n).decode()}\n" for n in range(200)),
]  # fmt: skip
NEW_CONFIGS = [
    PEER + "AllowedIPs = +10.0.0.0/8\n",
    PEER + "AllowedIPs = -10.0.0.0/8, 11.0.0.0/8\n",
    PEER + "AllowedIPs = +10.0.0.0/8\nAllowedIPs = 11.0.0.0/8\n",
]
BAD_CONFIGS = [
    "x\n",
    "[x]\n",
    "[Interface\n",
    "[Peer] x\n",
    "ListenPort = 5\n",
    "[Interface]\nx\n",
    "[Interface]\nx=y\n",
    "[Interface]\nListenPort\n",
    "[Interface]\nListenPort=\n",
    "[Interface]\nListenPort=x\n",
    "[Interface]\nListenPort=5 # x\nFwMark=x\n",
    "[Interface]\nPrivateKey=\n",
    "[Interface]\nAddress=10.0.0.1/8\n",
    f"[Interface]\nPublicKey={KEY[1]}\n",
    "[Interface]\n=5\n",
    "[Interface]\n=\n",
    "[Interface]\nListenPort==5\n",
    "[Interface]\nListenPortx=5\n",
    "[Interface]\nEndpoint=192.0.2.1:5\n",
    "[Peer]\n",
    f"[Peer]\nAllowedIPs=10.0.0.0/8\n{PEER}",
    f"{PEER}[Peer]\n",
    "[Peer]\nPublicKey=x\n",
    f"[Peer]\nPublicKey={KEY[1]}x\n",
    PEER + "ListenPort=5\n",
    PEER + "AllowedIPs=\n",
    PEER + "AllowedIPs=x\n",
    PEER + "AllowedIPs=10.0.0.1/8,10.0.0.0/33\n",
    PEER + "Endpoint=x\n",
    PEER + "Endpoint=\n",
    PEER + "Endpoint=none.test:5\n",
    PEER + "PersistentKeepalive=x\n",
    PEER + "PersistentKeepalive=\n",
    PEER + "PersistentKeepalive=65536\n",
    PEER + "PreSharedKeys=x\n",
    PEER + "\u00fc=5\n",
    "\ufeff[Interface]\n",
    "[Interface]\nListenPort=\u0665\n",
    "[Interface]\nListenPort=%s\n%n=%d\n",
    f"[Interface]\nListenPort = 5\n{PEER}x",
]
# A typing error with a key: in wg's words, but for the key
SECRETS = [
    (f"[Interface]\nPrivateKey={PRIVATE[:-1]}\n", NO_KEY),
    (f"[Interface]\nPrivateKey = {PRIVATE}x\n", NO_KEY),
    ("[Interface]\nPrivateKey=x\n", NO_KEY),
    (PEER + f"PresharedKey={PRIVATE[1:]}\n", NO_KEY),
    (f"[Interface]\nPrivatKey = {PRIVATE}\n", b"Line unrecognized: `PrivatKey=(hidden)'\n"),
    (f"PrivateKey = {PRIVATE}\n", b"Line unrecognized: `PrivateKey=(hidden)'\n"),
    (PEER + f"PreshardKey = {PRIVATE[:-1]}\n", b"Line unrecognized: `PreshardKey=(hidden)'\n"),
]
# The interface's peers, for syncconf
RUNNING = {
    "none": device(),
    "another": device(peer(4)),
    "many": device(*[peer(n) for n in (7, 2, 5, 1, 3, 6)]),
    "same": device(peer(1, "endpoint=192.0.2.1:5")),
    "unreachable": lines("errno=1", end="\n"),
}
RUNNING_WITH_MORE = {
    "preshared key": device(peer(1, b"preshared_key=" + HEX[5] + b"\n"), peer(2)),
    "keepalive": device(peer(1, "persistent_keepalive_interval=25"), peer(3)),
    "both": device(peer(1, b"preshared_key=" + HEX[5] + b"\n", "persistent_keepalive_interval=25")),
}


def config_cases():
    for text in CONFIGS + BAD_CONFIGS:
        yield Case(["setconf", "wg0", "conf"], {"wg0": device()}, files={"conf": text.encode()})
    for text in CONFIGS[::3] + BAD_CONFIGS[::5]:
        yield Case(["addconf", "wg0", "conf"], {"wg0": device()}, files={"conf": text.encode()})
    for text in NEW_CONFIGS:
        yield Case(["setconf", "wg0", "conf"], {"wg0": device()}, files={"conf": text.encode()}, as_newest=False)
    for text, told in SECRETS:
        yield Case(
            ["setconf", "wg0", "conf"], {"wg0": device()}, files={"conf": text.encode()},
            ours=(1, b"", told + b"Configuration parsing error\n", []),
        )  # fmt: skip
    of_another = "[Interface]\nListenPort=5\n" + PEER.replace(KEY[1], KEY[6])
    for answer in RUNNING.values():
        for text in ("", PEER, PEER * 2, PEER + "PersistentKeepalive=5\n", of_another):
            yield Case(["syncconf", "wg0", "conf"], {"wg0": answer}, files={"conf": text.encode()})
    for answer in RUNNING_WITH_MORE.values():
        for text in (PEER, PEER * 2, PEER + f"PresharedKey={KEY[5]}\nPersistentKeepalive=off\n"):
            # What the file no longer says is taken back since 1.0.20250521.
            newer = "PresharedKey" in text
            yield Case(["syncconf", "wg0", "conf"], {"wg0": answer}, files={"conf": text.encode()}, as_newest=newer)
    yield Case(["syncconf", "wg0", "conf"], {"wg0": RUNNING["many"]}, b"errno=-22\n\n", {"conf": PEER.encode()})
    kept = b"set=1\nprivate_key=%s\nlisten_port=0\nfwmark=0\npublic_key=%s\nreplace_allowed_ips=true\n\n" % (ZERO, HEX[1])
    yield Case(
        ["syncconf", "wg0", "conf"], {"wg0": device(peer(1), peer(1))}, files={"conf": PEER.encode()},
        ours=(0, b"", b"", [("wg0", GET), ("wg0", kept)]),
    )  # fmt: skip
    yield Case(["setconf", "wg0", "/dev/stdin"], {"wg0": device()}, stdin=CONFIGS[6].encode())
    yield Case(["setconf", "wg0", "/dev/stdin"], {"wg0": device()}, stdin=b"[Interface]\nListenPort = \xff\xfe\n")
    yield Case(["setconf", "wg0", "none"], {"wg0": device()})
    yield Case(["setconf", "wg0", ""], {"wg0": device()})
    yield Case(["setconf", "abcdefghijklmnopq", "/dev/null"], {"abcdefghijklmno": device()})
    yield Case(["setconf", "wg0", "."], {"wg0": device()}, ours=(1, b"", b"fopen: Is a directory\n", []))
    for verb in ("setconf", "addconf", "syncconf"):
        for rest in ([], ["wg0"], ["--help"], ["wg0", "conf", "x"]):
            yield Case([verb, *rest], {"wg0": device()})


# All the rest

NO_DEVICE = b"No such device\n"


def other_cases():
    for text in (
        "help", "--help", "-h", "help x", "x", "x y", "SHOW", "-x", "--version x", "genkey x", "genkey --help", "genpsk x",
        "pubkey x", "pubkey --help",
    ):  # fmt: skip
        yield Case(text.split())
    yield Case([""])
    yield Case(["\u00fc"])
    # Without a module in the kernel, wg finds no protocol to ask by.
    yield Case(["show", "none"], ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["show", "none", "x"], ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["show", "/etc"], ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["show", ""], ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["show", "--help", "x"], ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["show", "x" * 200], as_newest=False, ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["showconf", "--help"], ours=(1, b"", b"Unable to access interface: " + NO_DEVICE, []))
    yield Case(["set", "none", "fwmark", "1"], ours=(1, b"", b"Unable to modify interface: " + NO_DEVICE, []))
    yield Case(["setconf", "none", "/dev/null"], ours=(1, b"", b"Unable to modify interface: " + NO_DEVICE, []))
    yield Case(
        ["syncconf", "none", "conf"], files={"conf": PEER.encode()},
        ours=(1, b"", b"Unable to retrieve current interface configuration: " + NO_DEVICE, []),
    )  # fmt: skip


CASES = [*show_cases(), *set_cases(), *config_cases(), *other_cases()]
