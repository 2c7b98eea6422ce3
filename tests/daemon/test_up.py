"""`wgembed up` and `wgembed down` beside the real wg-quick: from the same file comes the same network, and nothing stays."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from ..lab import debian, micropython, net, peers
from ..lab.need import need, privileges, programs
from ..lab.net import poll
from ..lab.router import Keys

CPYTHON = [sys.executable, "-m", "wgembed"]


class Host:
    """A namespace with a way out, and a directory for files of wg-quick."""

    def __init__(self, folder, command):
        folder.mkdir()
        self.folder = folder
        self.command = command
        self.place = net.Namespace()
        self.place.ip("link", "add", "outer", "type", "veth", "peer", "name", "inner")
        for name in ("outer", "inner"):
            self.place.ip("link", "set", name, "up")
        self.place.ip("address", "add", "192.0.2.1/24", "dev", "outer")
        self.place.ip("route", "add", "default", "via", "192.0.2.2")
        self.name = net.unique("q")
        self.file = folder / f"{self.name}.conf"

    def write(self, text):
        self.file.write_text(text)
        self.file.chmod(0o600)

    def run(self, *arguments, environment=()):
        """Run a command here; returns exit status and what it printed."""
        settings = [f"WGEMBED_RUN_DIR={self.folder / 'run'}", *environment]
        return self.place.run("env", *settings, *self.command, *arguments, check=False, timeout=60)

    def seen(self):
        """What there is of addresses, routes, rules and settings, with `%i` for the interface."""
        lines = []
        for question in (
            ["-o", "address", "show"], ["-4", "route", "show", "table", "all"], ["-6", "route", "show", "table", "all"],
            ["-4", "rule"], ["-6", "rule"],
        ):  # fmt: skip
            lines += [line for line in self.place.ip(*question).splitlines() if "fe80" not in line and "ff00" not in line]
        lines.append("src_valid_mark " + self.place.run("cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark")[1].strip())
        lines = [re.sub(r"^\d+: (\S+ +inet)", r"\1", line) for line in lines]
        # Links come and go, and their numbers with them.
        return sorted(re.sub(r"\s+", " ", line).replace(self.name, "%i") for line in lines)

    def dump(self):
        code, text = self.place.run("wg", "show", self.name, "dump", check=False)
        return None if code else [line.split("\t") for line in text.splitlines()]

    def socket(self):
        """The control socket: another process would make another one."""
        return os.stat(f"/var/run/wireguard/{self.name}.sock").st_ino

    def close(self):
        if self.dump() is not None:
            self.run("down", str(self.file))
        self.place.close()


def wgembed(kind):
    return CPYTHON if kind == "cpython" else need(micropython.command, "1M")


@pytest.fixture(params=["cpython", "micropython"])
def host(request, tmp_path):
    need(privileges)
    need(programs, "wg", "ip")
    host = Host(tmp_path / "ours", wgembed(request.param))
    yield host
    host.close()


@pytest.fixture
def other(tmp_path):
    """A host like that, with the real wg-quick, and our daemon."""
    yield from other_host(tmp_path, "wg-quick")


@pytest.fixture
def newest(tmp_path):
    """The same with the wg-quick of Debian unstable."""
    script = shutil.copy(need(debian.wg_quick_sid), tmp_path)
    yield from other_host(tmp_path, str(script))


def other_host(tmp_path, wg_quick):
    need(programs, wg_quick, "wg", "bash")
    need(peers.Wgembed.prepare)
    daemon = f"WG_QUICK_USERSPACE_IMPLEMENTATION={peers.Wgembed.command()[0]}"
    # Its firewall rules, against packets that come in for the tunnel's address from elsewhere, are not ours to make.
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("nft", "iptables-restore", "ip6tables-restore"):
        (tools / name).write_text("#!/bin/sh\ncat >/dev/null\n")
        (tools / name).chmod(0o755)
    host = Host(tmp_path / "theirs", ["env", daemon, f"PATH={tools}:{os.environ['PATH']}", wg_quick])
    yield host
    host.close()


OURS, THEIRS, THIRD = Keys(), Keys(), Keys()
INTERFACE = f"[Interface]\nPrivateKey = {OURS.private}\nListenPort = 0\n"
PEER = f"[Peer]\nPublicKey = {THEIRS.public}\n"

FILES = {
    "plain": f"{INTERFACE}Address = 10.7.0.1/24, fd77::1/64\n{PEER}AllowedIPs = 10.7.0.0/24, 10.8.0.0/16, fd78::/64\n",
    "default": f"{INTERFACE}Address = 10.7.0.1/32\n{PEER}AllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.9:7\n",
    "defaults": f"{INTERFACE}Address=10.7.0.1/32, fd77::1/128\nMTU=1300\n{PEER}AllowedIPs=0.0.0.0/0, ::/0, 10.9.0.0/16\n",
    "mark": f"{INTERFACE}FwMark = 0x4d2\nAddress = 10.7.0.1/32\n{PEER}AllowedIPs = 0.0.0.0/0\n",
    "off": f"{INTERFACE}Address = 10.7.0.1/24\nTable = off\n{PEER}AllowedIPs = 0.0.0.0/0, 10.9.0.0/16\n",
    "table": f"{INTERFACE}Address = 10.7.0.1/24\nTable = 1234\n{PEER}AllowedIPs = 0.0.0.0/0, fd78::/64\n",
    "two peers": f"{INTERFACE}Address = 10.7.0.1\n{PEER}AllowedIPs = 10.8.0.1\n\n[Peer]\nPublicKey = {THIRD.public}\n"
    "AllowedIPs = 10.8.0.0/16\nPersistentKeepalive = 9\n",
    "no address": f"{INTERFACE}MTU = 1400\n{PEER}AllowedIPs = 10.8.0.1\n",
    "covered": f"{INTERFACE}Address = 10.7.0.1/24, fd77::1/64\n{PEER}AllowedIPs = 10.7.0.9, 10.7.0.128/25, 10.7.0.0/16, "
    "fd77::9, fd77::/48\n",
    "covered, in a table": f"{INTERFACE}Table = 77\nAddress = 10.7.0.1/24\n{PEER}AllowedIPs = 10.7.0.9, 10.7.0.0/16\n",
    "the own address": f"{INTERFACE}Address = 10.7.0.1/32, fd77::1/128\n{PEER}AllowedIPs = 10.7.0.1, fd77::1\n",
    "two addresses": f"{INTERFACE}Address = 10.7.0.0/31, fd77::1/127\n{PEER}AllowedIPs = 10.7.0.1, fd77::\n",
    "covered beside a default": f"{INTERFACE}Address = 10.7.0.1/8\n{PEER}AllowedIPs = 10.8.0.0/16, 0.0.0.0/0\n",
    "empty values": f"{INTERFACE}Address = 10.7.0.1/24\nTable =\nMTU =\nPostUp =\nAddress =\n{PEER}AllowedIPs=10.8.0.0/16\n",
    "main table": f"{INTERFACE}Address = 10.7.0.1/24\nTable = main\n{PEER}AllowedIPs = 10.7.0.9, 10.8.0.0/16\n",
    "table 0": f"{INTERFACE}Address = 10.7.0.1/24\nTable = 0\n{PEER}AllowedIPs = 10.8.0.0/16\n",
    "cases": f"[INTERFACE]\nprivatekey={OURS.private}\nADDRESS = 10.7.0.1/24 # x\nSaveConfig = True\nfwmark = OFF\n"
    f"mtu=0x500\n[peer]\nPUBLICKEY={THEIRS.public}\nALLOWEDIPS = 10.8.0.0/16 # y\nPersistentKeepalive = OFF\n",
    "spaces": f"{INTERFACE}\tAddress\t=\t10.7.0.1/24 ,  10.7.1.1/24\r\n  Address=10.7.2.1/24 10.7.3.1\n{PEER}"
    "Allowed IPs = 10.8.0.0/16 , 10.9.0.0/16\r\n",
    "netmask": f"{INTERFACE}Address = 10.7.0.1/255.255.240.0\n{PEER}AllowedIPs = 10.8.0.0/16\n",
    "no peer": f"{INTERFACE}Address = 10.7.0.1/24\n",
}


def settled(seen):
    """Without the notes that differ and mean nothing: who made a route, and in which order."""
    return [re.sub(r" (proto \S+|metric 1024|pref medium|src \S+|nodad)", "", line).strip() for line in seen]


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_as_wg_quick_does_it(host, other, text):
    for one in (host, other):
        one.write(text)
        one.before = one.seen()
        status, printed = one.run("up", str(one.file))
        assert status == 0, printed
    assert settled(host.seen()) == settled(other.seen())
    ours, theirs = host.dump(), other.dump()
    assert [line[:4] for line in ours[1:]] == [line[:4] for line in theirs[1:]]
    assert (ours[0][0], ours[0][3]) == (theirs[0][0], theirs[0][3])
    for one in (host, other):
        status, printed = one.run("down", str(one.file))
        assert status == 0, printed
        # src_valid_mark stays with wg-quick; we put it back.
        left = [line for line in one.seen() if one is host or "src_valid_mark" not in line]
        assert left == [line for line in one.before if one is host or "src_valid_mark" not in line]
        assert one.dump() is None


def test_mtu_by_the_way_to_the_endpoint(host):
    """Linux subtracts 80 for either family; over IPv4 there is room for 20 more."""
    host.write(FILES["default"])
    assert host.run("up", str(host.file))[0] == 0
    assert "mtu 1440" in host.place.ip("link", "show", host.name)


def test_hooks_come_in_order_and_know_the_name(host):
    log = host.folder / "log"
    hooks = [
        (when, f"test {'-e' if there else '! -e'} /sys/class/net/%i && echo {when} %i $((1 + 1)) >>{log}")
        for when, there in (("PreUp", False), ("PostUp", True), ("PreDown", True), ("PostDown", False))
    ]
    # In the middle, where wg-quick takes them as well.
    host.write(INTERFACE + "".join(f"{when} = {hook}\n" for when, hook in hooks) + PEER)
    assert host.run("up", str(host.file))[0] == 0
    assert host.run("down", str(host.file))[0] == 0
    assert log.read_text().split("\n") == [f"{when} {host.name} 2" for when, _ in hooks] + [""]


HOOKS = {
    "the first command": "false; echo on >>LOG",
    "a pipeline": "false | cat; echo on >>LOG",
    "in a function": "f() { false; echo on >>LOG; }; f",
    "the last command": "echo on >>LOG; false",
    "as a condition": "false || echo on >>LOG; if false; then :; fi; ! true; echo end >>LOG",
    "syntax": "echo on >>LOG; if",
    "variables": 'echo "$INTERFACE" "$CONFIG_FILE" "$MTU" "$TABLE" "$SAVE_CONFIG" "$ADDRESSES" "$DNS" "$LC_ALL" >>LOG',
    "lists": 'echo "${#ADDRESSES[@]} ${ADDRESSES[1]} ${#DNS[@]} ${DNS_SEARCH[0]}" >>LOG',
    "not exported": "sh -c 'echo x$INTERFACE' >>LOG",
    "patterns": "x=aab; echo ${x##*(a)} >>LOG",
    "comments": "echo 'a # b' c#d $# # e; false >>LOG",
    "quotes": "echo 'a  b' \"c  d\" $((1 + 2)) >>LOG",
    "an exit": "echo on >>LOG; exit 0; false",
    "a missing program": "echo on >>LOG; no-such-program --x; echo off >>LOG",
}


MOMENTS = [(when, "a pipeline") for when in ("PreUp", "PostUp", "PreDown", "PostDown")]
MOMENTS += [("PostUp", name) for name in HOOKS if name != "a pipeline"]


@pytest.mark.parametrize("when,name", MOMENTS)
def test_hooks_run_as_in_wg_quick(host, newest, when, name):
    """The same commands run, with the same variables, and the same interface is left behind by a hook that fails."""
    found = []
    for one in (host, newest):
        log = one.folder / "log"
        text = f"{INTERFACE}Address = 10.7.0.1/24, fd77::1/64\nMTU = 1400\nTable = 1234\n"
        second = f"{when} = echo second >>{log}\n"
        one.write(text + f"{when} = {HOOKS[name].replace('LOG', str(log))}\n{second}{PEER}AllowedIPs = 10.8.0.0/16\n")
        seen = [one.run("up", str(one.file))[0] == 0, one.dump() is None]
        if seen[0]:
            seen += [one.run("down", str(one.file))[0] == 0, one.dump() is None]
        seen.append(log.read_text() if log.exists() else "")
        found.append([str(value).replace(str(one.folder), "FOLDER").replace(one.name, "%i") for value in seen])
        if one.dump() is not None:
            one.write(text)
            assert one.run("down", str(one.file))[0] == 0
    assert found[0] == found[1]


def test_a_kill_switch_that_is_half_applied_is_noticed(host):
    log = host.folder / "log"
    host.write(FILES["no peer"] + f"PostUp = no-such-iptables -A x; echo ip6tables >>{log}\n")
    status, printed = host.run("up", str(host.file))
    assert status == 1 and "wgembed: the command failed: no-such-iptables" in printed
    assert not log.exists() and host.dump() is None


@pytest.mark.parametrize("when", ["PreUp", "PostUp"])
def test_a_hook_that_fails_undoes_everything(host, when):
    host.write(FILES["defaults"].replace("[Peer]", f"{when} = exit 3\n[Peer]"))
    before = host.seen()
    status, printed = host.run("up", str(host.file))
    assert status == 1 and printed.endswith("wgembed: the command failed: exit 3\n")
    assert host.seen() == before and host.dump() is None


def test_what_is_saved_is_what_wg_quick_saves(host, other):
    text = FILES["plain"].replace("[Peer]", "SaveConfig = true\nPostUp = true\nMTU = 1400\n[Peer]")
    for one in (host, other):
        one.write(text)
        assert one.run("up", str(one.file))[0] == 0
        one.place.run("wg", "set", one.name, "peer", THIRD.public, "allowed-ips", "10.9.0.1/32")
        port = one.dump()[0][2]
        assert one.run("down", str(one.file))[0] == 0
        one.saved = one.file.read_text().replace(port, "PORT").strip().split("\n")
        assert os.stat(one.file).st_mode & 0o777 == 0o600
    # The kernel makes the link's own address anew; wg-quick would add it to what it finds.
    assert sorted(host.saved) == sorted(line for line in other.saved if "fe80" not in line)
    assert [line for line in host.saved if line[:1] == "["] == ["[Interface]", "[Peer]", "[Peer]"]
    assert host.run("up", str(host.file))[0] == 0


def test_packets_pass(host, tmp_path):
    """Two hosts of the same kind, and a real tunnel."""
    far = Host(tmp_path / "far", host.command)
    try:
        host.place.ip("link", "del", "outer")
        far.place.ip("link", "del", "outer")
        near_site, far_site = net.veth(host.place, far.place)
        host.write(
            f"[Interface]\nPrivateKey = {OURS.private}\nListenPort = 51820\nAddress = 10.7.0.1/24\n{PEER}"
            f"AllowedIPs = 10.7.0.2\nEndpoint = {far_site.endpoint(4, 51821)}\n"
        )
        far.write(
            f"[Interface]\nPrivateKey = {THEIRS.private}\nListenPort = 51821\nAddress = 10.7.0.2/24\n"
            f"[Peer]\nPublicKey = {OURS.public}\nAllowedIPs = 10.7.0.1\n"
        )
        for one in (host, far):
            status, printed = one.run("up", str(one.file))
            assert status == 0, printed
        assert " 0% packet loss" in host.place.run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", "10.7.0.2")[1]
    finally:
        far.close()


def test_reload(host):
    """Keys and peers of the changed file are applied. What `up` chose and the file does not say stays."""
    text = f"[Interface]\nPrivateKey = {OURS.private}\nAddress = 10.7.0.1/32\n{PEER}AllowedIPs = 0.0.0.0/0\n"
    host.write(text + f"PersistentKeepalive = 9\n[Peer]\nPublicKey = {THIRD.public}\nAllowedIPs = 10.9.0.1\n")
    assert host.run("up", str(host.file))[0] == 0
    socket, before, seen = host.socket(), host.dump(), host.seen()
    assert before[0][3] != "off", "a default route has a mark"
    fourth = Keys()
    new = f"[Peer]\nPublicKey = {fourth.public}\nAllowedIPs = 10.9.0.0/24\n"
    host.write(text.replace(f"PrivateKey = {OURS.private}\n", "") + new)
    assert host.run("reload", str(host.file)) == (0, "")
    after = host.dump()
    assert after[0] == before[0] and host.seen() == seen and host.socket() == socket
    assert [(line[0], line[3], line[7]) for line in after[1:]] == [
        (THEIRS.public, "0.0.0.0/0", "off"), (fourth.public, "10.9.0.0/24", "off"),
    ]  # fmt: skip
    host.write(text.replace(OURS.private, THIRD.private).replace("[Interface]", "[Interface]\nListenPort = 4711"))
    assert host.run("reload", str(host.file)) == (0, "")
    after = host.dump()
    assert after[0][:3] == [THIRD.private, THIRD.public, "4711"] and len(after) == 2
    status, printed = host.run("reload", str(host.file), environment=["LC_ALL=C"])
    assert (status, printed) == (0, ""), "without a change"


def test_a_reload_that_is_refused_changes_nothing(host):
    host.write(FILES["plain"])
    assert host.run("reload", str(host.file)) == (1, f"wgembed: `{host.name}' is not a WireGuard interface\n")
    assert host.run("up", str(host.file))[0] == 0
    before = host.dump()
    for wrong in (FILES["plain"].replace("AllowedIPs", "AllowedIP"), "no file of wg-quick"):
        host.write(wrong)
        status, printed = host.run("reload", str(host.file))
        assert status == 1 and printed and host.dump() == before
    host.write(FILES["plain"])


def test_what_a_killed_daemon_left_behind_is_taken_away(host):
    host.write(FILES["defaults"])
    before = host.seen()
    for ask in ("up", "down"):
        assert host.run("up", str(host.file))[0] == 0
        pid = host.place.run("fuser", f"/var/run/wireguard/{host.name}.sock", check=False)[1].split()[-1]
        os.kill(int(pid), signal.SIGKILL)
        poll(lambda: f" {host.name}:" not in host.place.ip("link"), 5)
        assert host.seen() != before, "rules outlive the link"
        status, printed = host.run(ask, str(host.file))
        assert status == (ask == "down"), printed
        if ask == "up":
            assert host.run("down", str(host.file))[0] == 0
        assert host.seen() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_undoes_everything(host, number):
    host.write(FILES["defaults"].replace("[Peer]", "PostUp = sleep 30\n[Peer]"))
    before = host.seen()
    code = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"
    settings = ["env", f"WGEMBED_RUN_DIR={host.folder / 'run'}"]
    child = host.place.spawn(sys.executable, "-c", code, *settings, *host.command, "up", str(host.file))
    child.expect("sleep 30", 10)
    os.killpg(child.pid, number)
    poll(lambda: not child.running(), 10)
    assert host.seen() == before and host.dump() is None and "Traceback" not in child.text()


# What cannot be


def test_an_interface_that_is_somewhere_else(host, tmp_path):
    """Its socket is in the file system, which both see, and its link is in another namespace."""
    host.write(FILES["plain"].replace("[Peer]", "SaveConfig = true\n[Peer]"))
    assert host.run("up", str(host.file))[0] == 0
    text = host.file.read_text()
    elsewhere = Host(tmp_path / "elsewhere", host.command)
    try:
        said = f"wgembed: `{host.name}' is served, but not in this network namespace\n"
        assert elsewhere.run("down", str(host.file)) == (1, said)
    finally:
        elsewhere.place.close()
    assert host.file.read_text() == text and host.dump() is not None


def refused(host, text, *arguments, mode=0o600):
    """Bring the file up; returns what was said. Nothing may have changed."""
    host.file.write_text(text)
    host.file.chmod(mode)
    before = host.seen()
    status, printed = host.run(*(arguments or ("up", str(host.file))))
    assert status == 1 and "Traceback" not in printed
    assert host.seen() == before and host.dump() is None
    return printed


@pytest.mark.parametrize(
    "text,why",
    [
        (INTERFACE + "Address = 10.7.0.300\n", "[Interface] Address: '10.7.0.300' is not an IP address or network"),
        (INTERFACE + "MTU = 20\n", "[Interface] MTU: expected a number from 576 to"),
        (INTERFACE + "Table = nowhere\n", "[Interface] Table: expected a number from 1 to"),
        (INTERFACE + "FwMark = red\n", "[Interface] FwMark: expected a number from 0 to"),
        (INTERFACE + "Table = Off\n", "got 'Off'; or off, auto, or a name in /etc/iproute2/rt_tables"),
        (INTERFACE + "FwMark =\n", "[Interface] FwMark: expected a number from 0 to 4294967295, got ''"),
        (INTERFACE + "Address = 10.7/24\n", "[Interface] Address: '10.7/24' is not an IP address or network"),
        (INTERFACE + "Address = 10.7.0.1/255.0.255.0\n", "'10.7.0.1/255.0.255.0': the netmask must be ones, then zeros"),
        ("nonsense\n", "line 1: expected a section, or NAME = VALUE in a section"),
        (INTERFACE + "SaveConfig = perhaps\n", "`perhaps' is neither true nor false"),
        (INTERFACE + "Listen = 1\n", "Line unrecognized: `Listen=1'"),
        (INTERFACE + f"{PEER}AllowedIPs = x\n", "x"),
        (INTERFACE + f"{PEER}AllowedIPs = 10.8.0.8/28/32\n", "10.8.0.8/28/32"),
        (INTERFACE + f"{PEER}Endpoint = :58210\n", ":58210"),
        (INTERFACE + "[Peer]\nPublicKey =\n", "PublicKey"),
    ],
    ids=range(15),  # INTERFACE has a key of this process's own
)
def test_files_with_mistakes(host, text, why):
    printed = refused(host, text)
    assert why in printed and OURS.private not in printed


def test_files_that_are_not_there(host):
    assert refused(host, "", "up", "/nowhere/wg0.conf") == "wgembed: `/nowhere/wg0.conf' does not exist\n"
    assert refused(host, "", "up", "wgembed-none") == "wgembed: `/etc/wireguard/wgembed-none.conf' does not exist\n"
    said = "wgembed: The config file must be a valid interface name, followed by .conf\n"
    assert refused(host, "", "up", "/etc/passwd") == said


def test_an_interface_that_is_there_already(host):
    host.write(FILES["no peer"])
    assert host.run("up", str(host.file))[0] == 0
    before = host.seen()
    status, printed = host.run("up", str(host.file))
    assert (status, printed) == (1, f"wgembed: `{host.name}' already exists\n") and host.seen() == before


def test_an_interface_that_is_not_there(host):
    host.write(FILES["no peer"])
    assert host.run("down", str(host.file)) == (1, f"wgembed: `{host.name}' is not a WireGuard interface\n")


def test_a_file_that_others_can_read(host):
    host.write(FILES["no peer"])
    host.file.chmod(0o644)
    for folder in (host.folder, *host.folder.parents[:1]):
        os.chmod(folder, 0o755)
    status, printed = host.run("up", str(host.file))
    assert status == 0 and f"Warning: `{host.file}' is world accessible\n" in printed


@pytest.mark.parametrize("arguments", [["up"], ["up", "a", "b"], ["down"], ["down", "-f", "x"], ["reload"]])
def test_usage(arguments):
    done = subprocess.run([*CPYTHON, *arguments], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith(f"usage: wgembed {arguments[0]} ")
