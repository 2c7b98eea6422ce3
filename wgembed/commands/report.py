"""`wgembed report`: all that helps to find a fault from a distance, as one text without secrets.

Two rules keep secrets out. Of configurations, only the values of listed options are printed. And of the whole text,
whatever can be a key, or a part of a hidden value, is cut: public keys as well, because a private key can be in their place.
"""

from ..config import options as config_module
from ..errors import UserError, cause
from ..runtime import folders, system, tool
from ..runtime.child import Child
from .output import print_text
from .run import config_directory

_PROGRAM_TIMEOUT_MS = 10_000
_HIDDEN = "(hidden)"
_BASE64 = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/="
# A key has 44 characters in base64, and 64 in hexadecimal. The first _SHOWN of them are printed.
_LIKE_A_KEY = 32
_LIKE_A_PART = 12
_RISES = 3  # capital letters after small ones
_SHOWN = 6
_LEAST_SECRET = 8

_KEYWORDS = ("config", "option", "list", "package")
# Options beside wgembed's that are printed, of /etc/config/network, and those of wg-quick
_PLAIN = (
    "device", "ifname", "ipaddr", "netmask", "gateway", "ip6addr", "ip6gw", "ip6prefix", "ip6assign", "peerdns", "dns",
    "name", "type", "ports", "table", "interface", "target", "lookup", "mark", "priority", "src", "dest", "in", "out",
    "heapsize", "gso", "gro", "tun_offload", "seccomp", "beside_kernel",
)  # fmt: skip
_PLAIN_QUICK = (
    "address", "dns", "mtu", "table", "listenport", "fwmark", "publickey", "allowedips", "endpoint", "persistentkeepalive",
    "saveconfig",
)  # fmt: skip
_SECRET = ("private_key", "preshared_key")
_PROGRAMS = (
    ("links", "ip", "ip -s link; ip addr"),
    ("rules", "ip", "ip rule; ip -6 rule"),
    ("routes", "ip", "ip route show table all | head -n 200; ip -6 route show table all | head -n 200"),
    ("log", "logread", "logread -e wgembed | tail -n 100"),
)


def report(program, arguments):
    """Print the report; return the exit status, 0. UsageError."""
    directory = config_directory(arguments)
    found = _Report()
    found.section("versions", lambda: _versions(program))
    found.section("kernel", _kernel)
    for name in (config_module.PACKAGE, "network"):
        found.file("%s/%s" % (directory, name), _is_plain_uci)
    for name in _names(folders.WG_QUICK):
        if name.endswith(".conf"):
            found.file("%s/%s" % (folders.WG_QUICK, name), _is_plain_quick)
    for title, words in (
        ("check", ["check"] + arguments[1:]), ("status", ["status"]),
        ("status --json", ["status", "--json", "--interval", "0"]), ("diagnose", ["diagnose"]), ("history", ["history"]),
    ):  # fmt: skip
        found.section("wgembed " + title, lambda words=words: _command(program, words))
    for title, needed, command in _PROGRAMS:
        found.section(title, lambda needed=needed, command=command: _program(needed, command))
    found.print()
    return 0


class _Report:
    def __init__(self):
        self._sections = []
        self._secrets = []  # words of hidden values, which messages about mistakes can repeat

    def section(self, title, text):
        """Add text(), or why it cannot be had."""
        try:
            body = text()
        except UserError as e:
            body = e.message()
        except OSError as e:
            body = "not available: %s" % cause(e)
        except Exception as e:  # a fault of one section must not hide the others
            body = "not available: %s %s" % (type(e).__name__, e)
        self._sections.append((title, body.strip("\n")))

    def file(self, path, is_plain):
        """Add the lines of a configuration, without comments. is_plain(line): whether it has no secret."""
        self.section(path, lambda: self._lines(path, is_plain))

    def _lines(self, path, is_plain):
        lines = []
        for line in tool.decode(system.files.read_file(path)).split("\n"):
            bare = line.strip()
            if not bare or bare[0] == "#":
                continue
            if is_plain(bare):
                lines.append(line)
                continue
            words = bare.replace("=", " = ", 1).split() if is_plain is _is_plain_quick else bare.split()
            count = 2 if words[0] in _KEYWORDS or words[1:2] == ["="] else 0
            self._secrets += ["".join([c for c in word if c not in "'\""]) for word in words[count:]]
            lines.append(" ".join(words[:count] + [_HIDDEN]))
        return "\n".join(lines)

    def print(self):
        secrets = [word for word in self._secrets if len(word) >= _LEAST_SECRET and not word.isalpha()]
        secrets = sorted(set(secrets), key=lambda word: -len(word))
        for title, body in self._sections:
            for word in secrets:
                body = body.replace(word, _HIDDEN)
            lines = [_without_keys(line) for line in ["== %s ==" % title] + body.split("\n")]
            print_text("\n".join(lines) + "\n\n")


def _without_keys(text):
    """Return the text with only the beginning of each word that can be a key or a part of one."""
    pieces, start = [], 0
    for end in range(len(text) + 1):
        if end < len(text) and text[end] in _BASE64:
            continue
        word = text[start:end]
        pieces.append(word[:_SHOWN] + "..." if _can_be_key(word) else word)
        pieces.append(text[end : end + 1])
        start = end + 1
    return "".join(pieces)


def _can_be_key(word):
    if len(word) >= _LIKE_A_KEY and any(c not in "=/" for c in word):
        return True
    if len(word) < _LIKE_A_PART or word.lower() == word or word.upper() == word:
        return False
    rises = sum([1 for i in range(1, len(word)) if word[i - 1].islower() and word[i].isupper()])
    return rises >= _RISES or any(c.isdigit() for c in word)


# Configurations


def _is_plain_uci(line):
    words = line.split(None, 2)
    if words[0] not in _KEYWORDS or len(words) < 2 or ";" in line:
        return False
    if words[0] in ("config", "package"):
        return True
    name = words[1].strip("'\"")
    known = any(name in config_module.known(kind) for kind in (b"interface", b"")) or name in _PLAIN
    return known and name not in _SECRET and (name == "public_key" or not _has_key(line))


def _is_plain_quick(line):
    key, equals, value = line.partition("=")
    key = key.strip().lower()
    if line[:1] == "[" and line.lower() in ("[interface]", "[peer]"):
        return True
    return bool(equals) and key in _PLAIN_QUICK and (key == "publickey" or not _has_key(value))


def _has_key(text):
    return _without_keys(text) != text


def _names(folder):
    try:
        return sorted(system.files.names(folder))
    except OSError:
        return []


# The machine


def _versions(program):
    text = _command(program, ["version"]) + _read("/proc/version")
    for path in ("/etc/openwrt_release", "/etc/os-release"):
        if system.files.exists(path):
            return text + _read(path)
    return text


def _kernel():
    facts = []
    for path, what in (("/dev/net/tun", "tunnel devices"), ("/sys/module/wireguard", "the kernel's own WireGuard")):
        facts.append("%s: %s" % (what, "yes" if system.files.exists(path) else "no"))
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter"):
        facts.append("%s: %s" % (name, _read("/proc/sys/" + name).strip()))
    facts += _read("/proc/meminfo").split("\n")[:3] + ["uptime in s: " + _read("/proc/uptime").split()[0]]
    return "\n".join(facts)


def _read(path):
    try:
        return tool.decode(system.files.read_file(path))
    except OSError as e:
        return "not available: %s\n" % cause(e)


def _command(program, words):
    """Return what the command of wgembed prints."""
    from .main import run

    printed = []
    write = system.files.write
    system.files.write = lambda fd, data: printed.append(bytes(data)) if fd == 1 else write(fd, data)
    try:
        run(program, words)
    finally:
        system.files.write = write
    return tool.decode(b"".join(printed))


def _program(needed, command):
    """Return what the command of the shell prints, if the program that it needs is there."""
    missing = "echo 'not available: this machine has no program %s'" % needed
    line = "exec 2>&1; if command -v %s >/dev/null; then %s; else %s; fi" % (needed, command, missing)
    child = Child(*system.process.spawn_program(["/bin/sh", "-c", line]))
    poller = system.poll.Poller()
    poller.watch(child.fd, system.poll.IN)
    end = system.clock.now() + _PROGRAM_TIMEOUT_MS
    while not child.advance() and system.clock.now() < end:
        for _ in poller.wait(max(0, end - system.clock.now())):
            pass
    return tool.decode(child.end())
