"""Faults put into the program on purpose, one at a time, to see that the default tests notice them.

    .venv/bin/python -m tests.mutations [--near] [NUMBER...]

as root, with all that the tests need; with numbers, these faults alone; with --near, only by the tests of the rooms nearby,
which takes half an hour and not several. They are such as a developer makes by mistake, were
chosen by reading the program and not its tests, and each is something that a user or an attacker would meet.

Each fault goes into a copy of this tree, as it stands, in a folder for temporary files. There pytest runs until the first
failure: what the default has of the rooms nearby, then all of the default. A line for each fault says what
caught it and how long that took. Number 0 is the tree without a fault, which comes first: if that fails, to be caught means
nothing. A run is ended after 15 minutes; a fault that lets tests hang is caught as well, and the line says `timeout`.

Exits with 1 if fewer than LEAST of all were caught, or one of those that were named was not. A copy is removed when it is
done with; what the tests have compiled of it stays in their cache.
"""

import ast
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LEAST = 36  # of all of them
TIMEOUT_S = 15 * 60
# It knows the tree without a fault by heart, and would catch them all.
IGNORED = "tests/test_mutations.py"
# The tests of the default that are most likely to notice a fault, in the order in which they run before the others.
NEAR = {
    "fastpath/": ["fastpath"],
    "wgembed/commands/": ["commands diagnose", "config luci router/test_check.py"],
    "wgembed/config/": ["config commands", "router/test_bad_config.py router/test_check.py openwrt"],
    "wgembed/daemon/": ["unit daemon", "router"],
    "wgembed/packets/": ["unit fastpath daemon", "runtime diagnose"],
    "wgembed/protocol/": ["unit property oracle", "sim daemon fastpath"],
    "wgembed/runtime/": ["runtime unit fastpath", "daemon router"],
    "wgembed/uapi/": ["uapi commands", "daemon"],
}
# How pytest ends: when it was stopped by a failure it may say either, by whether there are several processes.
PASSED, FAILED, INTERRUPTED = 0, 1, 2


class Fault(NamedTuple):
    """What goes wrong, and how it is made: `old`, which is in the file at `path` once, becomes `new`."""

    title: str
    path: str
    old: str
    new: str


FAULTS = [
    # protocol
    Fault(
        "the replay window is not cleared as it moves on: after 8192 packets, one that comes late is taken for a replay",
        "wgembed/protocol/replay.py",
        "    _clear(windows, base, keypair.top >> 3, last)\n",
        "",
    ),
    Fault(
        "a new private key leaves a session usable that is not confirmed yet: it goes on under the old identity",
        "wgembed/protocol/noise.py",
        "for keypair in (peer.current, peer.next):",
        "for keypair in (peer.current,):",
    ),
    Fault(
        "a cookie is used for five seconds longer than it is valid, not for five seconds less",
        "wgembed/protocol/cookie.py",
        "COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY",
        "COOKIE_SECRET_MAX_AGE + COOKIE_SECRET_LATENCY",
    ),
    Fault(
        "an initiation is taken again when somebody sends the very same one once more",
        "wgembed/protocol/device.py",
        "if bytes(timestamp) <= bytes(peer.secret(noise.TIMESTAMP, 12)):",
        "if bytes(timestamp) < bytes(peer.secret(noise.TIMESTAMP, 12)):",
    ),
    Fault(
        "the limit of handshakes goes by address and port: whoever floods us need only change his port",
        "wgembed/protocol/device.py",
        "self.tables.limiter.allow(address[:-2], now)",
        "self.tables.limiter.allow(address, now)",
    ),
    Fault(
        "a session is renewed just before its end once in a peer's life: after that, who only receives has gaps",
        "wgembed/protocol/timers.py",
        "        peer.sent_lastminute = False\n",
        "",
    ),
    Fault(
        "a branch between two longer prefixes hides the shorter one above it: packets go nowhere",
        "wgembed/protocol/allowedips.py",
        "owner = self._owner[node] or owner",
        "owner = self._owner[node]",
    ),
    Fault(
        "when an index is freed, one that belongs in its very place is not moved there: its session is not found any more",
        "wgembed/protocol/indices.py",
        "if (bucket - home) & mask >= (bucket - gap) & mask:",
        "if (bucket - home) & mask > (bucket - gap) & mask:",
    ),
    Fault(
        "what is kept of a removed peer is not wiped: the next one in its place has its preshared key and timestamp",
        "wgembed/protocol/peers.py",
        "        peer.wipe(0, noise.RECORD_SIZE)\n",
        "",
    ),
    Fault(
        "the end that answered the handshake begins a new one too when the session is two minutes old",
        "wgembed/protocol/device.py",
        "(keypair.initiator and now - keypair.birth >= REKEY_AFTER_TIME)",
        "now - keypair.birth >= REKEY_AFTER_TIME",
    ),
    # runtime: one of CPython's backend, two of MicroPython's, three of what both share
    Fault(
        "on CPython, a firewall mark can be changed but not taken off the sockets again",
        "wgembed/runtime/cpython/udp.py",
        'if fwmark or hasattr(self, "_marked"):',
        "if fwmark:",
    ),
    Fault(
        "on MicroPython, a packet leaves from the address that the last one left from, whatever its own should be",
        "wgembed/runtime/micropython/udp.py",
        "if src is self._control_src and tos == self._control_tos:",
        "if tos == self._control_tos:",
    ),
    Fault(
        "on MicroPython, files that are made for a key can be read by everybody",
        "wgembed/runtime/micropython/files.py",
        "libc.open_(path, flags | abi.O_CLOEXEC, 0o600)",
        "libc.open_(path, flags | abi.O_CLOEXEC, 0o644)",
    ),
    Fault(
        "a file takes the place of the old one before its content is on the disk: a power cut leaves an empty one",
        "wgembed/runtime/durable.py",
        "            system.files.sync(fd)\n",
        "",
    ),
    Fault(
        "whether an address is in a prefix is decided by the wrong bits of the byte in which the prefix ends",
        "wgembed/runtime/address.py",
        "(network[whole] ^ packed[whole]) >> (8 - rest) == 0",
        "(network[whole] ^ packed[whole]) >> rest == 0",
    ),
    Fault(
        "of several pieces of news about the link only the last one is heeded: that it went down may be overlooked",
        "wgembed/runtime/link.py",
        "self._found |= LINK_CHANGED | self._take_name(",
        "self._found = LINK_CHANGED | self._take_name(",
    ),
    # daemon and packets
    Fault(
        "of several ways to endpoints the widest decides the MTU: packets by the others must be cut up",
        "wgembed/daemon/network_plan.py",
        "min(max(min(found), least), MAX_MTU)",
        "min(max(max(found), least), MAX_MTU)",
    ),
    Fault(
        "a peer that `wg` removed comes back with a reload of the configuration, but without its allowed IPs",
        "wgembed/daemon/peer_diff.py",
        "elif had.get(prefix) != config.public_key or config.public_key in added:",
        "elif had.get(prefix) != config.public_key:",
    ),
    Fault(
        "the kernel's setting that was changed for a default route is not put back when the interface goes",
        "wgembed/daemon/network.py",
        'obj[0] in ("rule", "setting") or',
        'obj[0] == "rule" or',
    ),
    Fault(
        "a mark of the clock that could not be written counts as written: after a restart timestamps may go back",
        "wgembed/daemon/timestamps.py",
        "        self._high_water = before\n",
        "",
    ),
    Fault(
        "packets that are padded to the same size are all delivered with the length of the first one",
        "wgembed/packets/arena.py",
        "count = runs.common_run(view, packet, 4, stride, count)",
        "count = runs.common_run(view, packet, 2, stride, count)",
    ),
    Fault(
        "a message longer than those before it is sent together with them, and cut into pieces that nobody can open",
        "wgembed/packets/arena.py",
        "return stop + 1 if stop < end and lengths[stop] < lengths[first] else stop",
        "return stop + 1 if stop < end else stop",
    ),
    # config
    Fault(
        "a value that holds a key and another word is repeated in messages, and so in the log",
        "wgembed/config/options.py",
        "if any(len(word) >= _LIKE_A_KEY",
        "if all(len(word) >= _LIKE_A_KEY",
    ),
    Fault(
        "an MTU too small for IPv6 is refused where the addresses are of IPv4, and taken where they are of IPv6",
        "wgembed/config/options.py",
        "any(len(a) == 16 for a, _ in interface.addresses)",
        "any(len(a) == 4 for a, _ in interface.addresses)",
    ),
    Fault(
        "an option with one value loses it when a list of the same name goes on: an allowed network is gone",
        "wgembed/config/uci.py",
        "self.values = [] if self.value is None else [self.value]",
        "self.values = []",
    ),
    Fault(
        "a file with a semicolon in a section's type is written though it will not read back: the configuration is lost",
        "wgembed/config/uci_write.py",
        """return any(c in b"'\\"\\\\#;" for c in kind)""",
        """return any(c in b"'\\"\\\\#" for c in kind)""",
    ),
    Fault(
        "a file of wg-quick with a table of its own is imported without routes to its peers",
        "wgembed/config/convert.py",
        'routed = section.last("table", "auto") != "off"',
        'routed = section.last("table", "auto") == "auto"',
    ),
    Fault(
        "a key with a wrong last letter or with spaces in it is taken, and is another one than was meant",
        "wgembed/config/keys.py",
        "if len(key) != KEY_SIZE or encode(key) != bytes(text):",
        "if len(key) != KEY_SIZE:",
    ),
    # commands and uapi
    Fault(
        "a program that asks for a peer to be updated only if it is there gets it made",
        "wgembed/uapi/session.py",
        "            self._leave_peer()\n        self._pending = None\n",
        "            self._leave_peer()\n",
    ),
    Fault(
        "how long ago something happened to a peer is told in the wrong unit, as a thousand times longer",
        "wgembed/uapi/status_lines.py",
        "_age(time, now // 1000)",
        "_age(time, now)",
    ),
    Fault(
        "a client that is gone is still counted: after the sixteenth, nobody is let in to the control socket",
        "wgembed/uapi/server.py",
        "        self._stream.close()\n        self._gone(self)\n",
        "        self._stream.close()\n",
    ),
    Fault(
        "`wg set` with +PREFIX takes all other allowed IPs away from the peer",
        "wgembed/commands/wg/change.py",
        "            if sign:\n",
        '            if sign == b"-":\n',
    ),
    Fault(
        "`wg syncconf` leaves a preshared key in place that the file no longer has",
        "wgembed/commands/wg/setconf.py",
        "if has_preshared_key and peer.preshared_key is None:",
        "if not has_preshared_key and peer.preshared_key is None:",
    ),
    Fault(
        "`wgembed status` counts what went wrong before the last handshake that succeeded as if it still did",
        "wgembed/commands/status_model.py",
        "            if event.name in ends or event.age_s > within:\n                break\n",
        "            if event.name in ends or event.age_s > within:\n                continue\n",
    ),
    # the C library
    Fault(
        "packets of IPv6 leave with the ECN bits of the first one of their run: their own marks are lost",
        "fastpath/fastpath.c",
        "uint32_t ecn = ipv4 ? 0x03 : 0x30, where",
        "uint32_t ecn = 0x03, where",
    ),
    Fault(
        "when a large packet of TCP that ends a connection is split, its first piece ends it already",
        "fastpath/fastpath.c",
        "(uint8_t) ~(TCP_FIN | TCP_PSH);",
        "(uint8_t)~TCP_PSH;",
    ),
    Fault(
        "a datagram that follows a shorter one of its flow is joined to it: the receiver gets both with other lengths",
        "fastpath/fastpath.c",
        "if (is_pushed(p) || payload_of(p) < payload_of(&m->head))",
        "if (is_pushed(p))",
    ),
    Fault(
        "a packet that claims to be longer than what came is delivered, with foreign memory at its end",
        "fastpath/fastpath.c",
        "return header <= length && length <= size && memcmp",
        "return header <= length && memcmp",
    ),
    Fault(
        "a run whose counters jump or repeat counts as in order: a packet that was sent twice is delivered twice",
        "fastpath/fastpath.c",
        "if (is_right && in_order == taken && counters[taken] == counters[0] + taken)",
        "if (is_right && in_order == taken)",
    ),
    Fault(
        "datagrams of IPv6 from one address and port to different hosts are joined: all go to the first one's",
        "fastpath/fastpath.c",
        "return memcmp(a->at + IPV6_SOURCE, b->at + IPV6_SOURCE, 32) == 0;",
        "return memcmp(a->at + IPV6_SOURCE, b->at + IPV6_SOURCE, 16) == 0;",
    ),
]


def source(fault, root=ROOT):
    """The file as it is without the fault."""
    return (root / fault.path).read_text()


def wrong_with(fault, root=ROOT):
    """What makes the fault none in this tree, in words; "" if it is one."""
    text = source(fault, root)
    if text.count(fault.old) != 1:
        return f"what it changes is {text.count(fault.old)} times in {fault.path}"
    changed = text.replace(fault.old, fault.new)
    if fault.path.endswith(".py"):
        try:
            compile(changed, fault.path, "exec")
        except SyntaxError as error:
            return f"{fault.path} is no Python any more: {error}"
        same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(text))
    else:
        same = changed == text
    return "it changes nothing" if same else ""


def put_in(fault, root):
    path = root / fault.path
    path.write_text(source(fault, root).replace(fault.old, fault.new))


@contextlib.contextmanager
def copy_of_tree():
    """A copy of all files of this tree that Git knows or would take in."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix=f"mutation-{os.getpid()}-"))
    folder.chmod(0o755)  # as a tree has it: some tests become another user
    try:
        for name in listed.split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment_of(folder):
    """The environment in which it is the copy that is imported, also by what the tests start."""
    return {**os.environ, "PYTHONPATH": str(folder)}


def check_import(folder):
    """See that it is: an installation of this tree must not come before it."""
    command = [sys.executable, "-c", "import wgembed; print(wgembed.__file__)"]
    for place in (folder, "/"):
        told = subprocess.run(command, cwd=place, env=environment_of(folder), stdout=subprocess.PIPE, text=True, check=True)
        if Path(told.stdout.strip()).resolve().parent != (folder / "wgembed").resolve():
            sys.exit(f"the tests would not import the copy but {told.stdout.strip()}")


def first_failure(output):
    """The first test that pytest's summary names, or ""."""
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.M)
    return found[1] if found else ""


def run_tests(folder, *selection):
    """Run pytest in the copy up to the first failure; returns what failed, "" for nothing."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-rfE", "-p", "no:cacheprovider", f"--ignore={IGNORED}"]
    # Not a pipe: a daemon that a test has left behind would hold it open.
    with tempfile.TemporaryFile("w+", errors="replace") as told:
        child = subprocess.Popen(
            [*pytest, *selection], cwd=folder, env=environment_of(folder), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            status = child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"timeout of {' '.join(selection) or 'the default tests'}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        told.seek(0)
        output = told.read()
    if status == PASSED:
        return ""
    failed = first_failure(output)
    if status in (FAILED, INTERRUPTED) and failed:
        return failed
    if status < 0:
        return f"pytest itself, which ended by {signal.Signals(-status).name}"
    sys.exit(f"pytest did not come to the tests, exit code {status}:\n{output[-3000:]}")


def catch(fault, near_only=False):
    """Return what catches the fault, "" for nothing; None is no fault at all."""
    with copy_of_tree() as folder:
        if fault is not None:
            put_in(fault, folder)
        check_import(folder)
        for names in NEAR[next(room for room in NEAR if fault.path.startswith(room))] if fault else ():
            near = [f"tests/{name}" for name in names.split()]
            caught = run_tests(folder, *near, "-m", "not long", "-n", str(2 * (os.cpu_count() or 1)))
            if caught:
                return caught
        return "" if near_only else run_tests(folder)


def report(number, title, caught, begin):
    print(f"{number:2} {title}: {caught}, {time.monotonic() - begin:.0f} s", flush=True)


def main(arguments):
    near_only = "--near" in arguments
    arguments = [word for word in arguments if word != "--near"]
    numbers = [int(word) for word in arguments] or list(range(len(FAULTS) + 1))
    if not all(0 <= number <= len(FAULTS) for number in numbers):
        sys.exit(f"the faults have numbers from 1 to {len(FAULTS)}")
    wrong = [f"fault {number}: {wrong_with(fault)}" for number, fault in enumerate(FAULTS, 1) if wrong_with(fault)]
    if wrong:
        sys.exit("\n".join(wrong))
    count = 0
    for number in numbers:
        begin = time.monotonic()
        if not number:
            failed = catch(None)
            report(0, "without a fault", f"FAILS: {failed}" if failed else "nothing fails", begin)
            if failed:
                return 1
            continue
        failed = catch(FAULTS[number - 1], near_only)
        count += bool(failed)
        report(number, FAULTS[number - 1].title, f"caught by {failed}" if failed else "NOT CAUGHT", begin)
    tried = len([number for number in numbers if number])
    print(f"{count} of {tried} caught")
    return int(count < (tried if arguments else LEAST))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
