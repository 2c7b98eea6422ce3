"""Write the first inputs of the corpus, from what the other tests have.

    python -m tests.fuzz.samples

What a fuzzer found to be worth keeping stands beside them, under names of its own.
"""

from pathlib import Path
from struct import pack

from wgembed.runtime import abi
from wgembed.runtime.rtsocket import attribute

from ..config.config_cases import CASES, PRIVATE, PUBLIC
from .targets import A4, A6, B4, B6

KEY = "aa" * 32
CORPUS = Path(__file__).parent / "corpus"
IPV4 = b"\x45\0\0\x20\0\0\0\0\x40\x11\0\0" + A4 + B4 + bytes(12)
IPV6 = b"\x60\0\0\0\0\x08\x11\x40" + A6 + B6 + bytes(8)


def scripts():
    """Steps on single datagrams of every kind, runs of them, and time between."""
    yield "whole", b"".join(bytes((0, 0, 0, 0, place)) for place in range(16))
    yield "backwards", b"".join(bytes((0, 0, 0, 0, place)) for place in range(16, -1, -1))
    yield "kinds", b"".join(bytes((0, 1, 1, kind, 3, 1, 2, 3, 4)) for kind in range(9))
    yield "joined", b"\x04\0\0\x07" + bytes(range(8)) + b"\x07\x07" + b"\x04\0\x03\x07" + bytes(range(8))
    yield "under load", b"\x06\x05\x20" + b"".join(bytes((0, 0, 0, 0, place)) for place in range(16))
    yield "late", b"\x07\x08" + bytes((0, 0, 0, 0, 4)) + b"\x07\x07" + bytes((0, 0, 0, 0, 5))


def sayings():
    """What clients say, in pieces of one byte, of some, or whole."""
    peer = f"public_key={KEY}\n"
    interface = f"private_key={KEY}\nlisten_port=5\nfwmark=16\nreplace_peers=true\n"
    rest = "endpoint=1.2.3.4:5\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\n"
    networks = "allowed_ip=10.0.0.0/8\nallowed_ip=-10.0.0.0/8\nallowed_ip=fd00::/64\n"
    for name, text in (
        ("get", "get=1\n\n"),
        ("status", "status=1\n\n"),
        ("set", f"set=1\n{interface}{peer}preshared_key={KEY}\n{rest}{networks}\nget=1\n\n"),
        ("remove", f"set=1\n{peer}remove=true\n\nset=1\n{peer}update_only=true\n\n"),
        ("versions", f"set=1\n{peer}protocol_version=1\nendpoint=[fe80::1%1]:5\n\n"),
    ):
        for step in (0, 7, 255):
            yield f"{name} {step}", bytes((step,)) + text.encode()


def files():
    """Configurations: those of the tests of sentences about them, and good ones."""
    for number, (_, text, _) in enumerate(CASES[::7]):
        yield f"case {number:02}", text if isinstance(text, bytes) else text.encode()
    yield "strings", b"package wgembed\n\nconfig 'interface' \"wg\\\"0\"\n\toption a 'b'\\''c'\n\tlist l \"d\ne\"\n# end"


def quick_files():
    interface = f"[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.0.0.2/24, fd00::2/64\nDNS = 1.1.1.1, lan\nMTU = 1400\n"
    peer = f"[Peer]\nPublicKey = {PUBLIC}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.net:51820\n"
    yield "full", (interface + "Table = off\nFwMark = 0x10\nPostUp = iptables -A\nSaveConfig = true\n" + peer).encode()
    yield "comments", b"\xef\xbb\xbf# caf\xe9\n[interface]#\n" + interface.encode() + peer.encode()
    yield "wrong", b"[Interface\n[Peer] x\nA=B\nendpoint\n=\n"


def packets():
    for name, data in (("ipv4", IPV4), ("ipv6", IPV6)):
        yield name, b"".join(b"\0" + len(part).to_bytes(2, "big") + part for part in (data, data[:10], data + data))
    yield "made", b"".join(bytes((kind, 0, 40)) + bytes(range(40)) for kind in range(4))


def networks():
    link = b"\x38\0\0\0\x10\0" + bytes(10) + bytes(4) + b"\x01\0\0\0\x41" + bytes(7) + b"\x08\0\x04\0\0\x05\0\0" + bytes(16)
    yield "link", link
    yield "gone", b"\x20\0\0\0\x11\0" + bytes(14) + b"\x01\0\0\0" + bytes(8)
    yield "short", b"\x20\0\0\0\x11\0" + bytes(18)
    yield "cut", link[:-12]
    yield "two", b"\x14\0\0\0\x18\0" + bytes(14) + link


def _message(kind, body):
    """A message of rtnetlink, with the number of the first request."""
    return pack(abi.NLMSGHDR, abi.NLMSGHDR_SIZE + len(body), kind, 2, 1, 0) + body


def _route(family, length, kind, *attributes):
    body = pack(abi.RTMSG, family, length, 0, 0, 254, 4, 0, abi.RTN_UNICAST, 0)
    return _message(kind, body + b"".join(attribute(number, data) for number, data in attributes))


def _datagrams(*datagrams, fate=0):
    return b"".join(bytes((fate,)) + len(data).to_bytes(2, "big") + data for data in datagrams)


def routes():
    """Dumps and news: routes of both families with all their attributes, rules, addresses, a link, an error, the end."""
    link, gateway, done = (abi.RTA_OIF, pack("I", 3)), (5, b"\xc0\0\2\1"), _message(abi.NLMSG_DONE, bytes(4))
    default = _route(2, 0, 24, (15, pack("I", 254)), link, gateway, (6, pack("I", 10)), (7, b"\xc0\0\2\2"))
    host = _route(2, 32, 25, (1, b"\xc0\0\2\x09"), link, gateway, (8, attribute(2, pack("I", 1400))))
    hops = pack("HBBi", 16, 0, 0, 3) + attribute(5, b"\xc0\0\2\1") + pack("HBBi", 8, 17, 0, 4)
    several = _route(2, 0, 24, (9, hops))
    other = _route(2, 0, 24, link, (18, pack("H", 10) + b"\xfe\x80" + bytes(13) + b"\1"), (30, pack("I", 7)))
    six = _route(10, 0, 24, link, (5, b"\xfe\x80" + bytes(13) + b"\1"), (6, pack("I", 1024)))
    inside = _route(2, 8, 25, (1, b"\x0a\0\0\0"), (4, pack("I", 5)))
    rule = _message(32, pack("BBBBBBBBI", 2, 0, 32, 0, 254, 0, 0, 1, 2) + attribute(2, A4) + attribute(10, b"\1\0\0\0"))
    iif = _message(32, pack("BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0) + attribute(3, b"lo\0") + attribute(14, b"\0\0\0\0"))
    address = _message(20, pack("BBBBI", 2, 24, 0, 0, 5) + attribute(1, A4) + attribute(2, A4))
    device = _message(16, pack("BxHiII", 0, 1, 5, 0x41, 0) + attribute(3, b"wg0\0") + attribute(4, pack("I", 1420)))
    refused = _message(abi.NLMSG_ERROR, pack("i", -101) + bytes(16))
    for name, messages in (
        ("default", (default,)), ("host", (host,)), ("several", (several,)), ("other", (other,)), ("six", (six,)),
        ("inside", (inside,)), ("rule", (rule, iif)), ("address", (address,)), ("device", (device,)),
        ("refused", (refused,)),
    ):  # fmt: skip
        yield name, _datagrams(b"".join(messages), done)
        yield f"{name} cut", _datagrams(b"".join(messages), fate=1)
    yield "all", _datagrams(default + host + several + other, six + inside + rule, address + device, done)
    yield "repeated", _datagrams(default, host, six, fate=3)


SAMPLES = {
    "datagrams": scripts,
    "packets": packets,
    "uapi": sayings,
    "uci_file": files,
    "uci_changes": lambda: [("all", b"wgembed.wg0=interface\n-wgembed.wg0.x\n+wgembed.a=b\n@wgembed.wg0='c'\n"
                                    b"^wgembed.wg0='1'\n|wgembed.wg0.addresses='x'\n~wgembed.wg0.addresses='x'\n")],
    "quick_file": quick_files,
    "wg_file": quick_files,
    "netlink": networks,
    "routing": routes,
    "addresses": lambda: [("v4", b"192.0.2.1:51820"), ("v6", b"[fe80::1%2]:1"), ("none", b"[1.2.3.4]:0")],
}  # fmt: skip


def main():
    for target, samples in SAMPLES.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in samples():
            (folder / name.replace(" ", "-")).write_bytes(data)


if __name__ == "__main__":
    main()
