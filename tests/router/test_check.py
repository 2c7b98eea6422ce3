"""`wgembed check`: every finding made for real, in a sentence; a sane machine; and that nothing is changed or given away."""

import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path

import pytest

from wgembed.daemon import timestamps

from ..lab import debian, faketime, micropython, net
from ..lab.need import need
from ..lab.patience import stretch
from ..lab.router import Keys, interface, peer, with_folders

SANE = "no problem found"
NO_START = "note: with these mistakes, no interface can start"
SECRET = Keys()


def without_places(text):
    """Return the text without the file and the line before the names of sections: test_places shows those."""
    return re.sub(r"\S+/wgembed:\d+: (?=interface '|wireguard_\w+(\[| '))", "", text)


class Checked:
    """A router that is not running, its configuration, and what `wgembed check` says of both."""

    def __init__(self, harness):
        self.harness = harness
        self.pair = harness.pair()
        self.router = self.pair.router
        self.place = harness.near.place
        self.name = self.pair.name
        self.where = f"interface '{self.name}'"
        self.peer_where = f"wireguard_{self.name}[0]"
        self.begin()

    def begin(self):
        """All as it should be: what a router has set."""
        self.sysctl("net/ipv4/ip_forward", 1)
        self.sysctl("net/ipv6/conf/all/forwarding", 1)
        self.place.ip("route", "replace", "default", "via", "192.0.2.2")

    def sysctl(self, name, value):
        self.place.run("sh", "-c", f"echo {value} > /proc/sys/{name}")

    def write(self, *sections):
        self.router.write(*sections)

    def run(self, prefix=(), **environment):
        argv = [*prefix, *self.harness.command, "check", "--config-dir", str(self.router.config.parent)]
        return self.place.run(
            "env",
            *[f"{k}={v}" for k, v in {"WGEMBED_STATE_DIR": self.router.state, **environment}.items()],
            *argv,
            check=False,
        )

    def says(self, *lines, prefix=(), **environment):
        """The lines, in order, and the exit status that belongs to them; no key in them, and nothing changed."""
        before = self.machine()
        code, told = self.run(prefix, **environment)
        assert without_places(told).splitlines() == [without_places(line) for line in lines]
        assert code == (1 if any(line.startswith("error: ") for line in lines) else 0)
        assert SECRET.private not in told and self.pair.keys.private not in told
        assert self.machine() == before

    def machine(self):
        """What a check might change."""
        asked = (
            "link show",
            "addr show scope global",
            "rule show",
            "-6 rule show",
            "route show table all",
            "-6 route show table all",
        )
        # What the kernel does of its own accord comes when it likes.
        told = [line for words in asked for line in self.place.ip("-o", *words.split()).splitlines() if "fe80" not in line]
        files = [(str(p), p.lstat().st_mode, p.lstat().st_mtime_ns) for p in sorted(self.harness.folder.rglob("*"))]
        if self.router.log():  # the daemon writes its own
            files = [file for file in files if "/run" not in file[0] and "/state" not in file[0]]
        return (
            [line for line in told if "multicast" not in line],
            files,
            os.path.exists(f"/var/run/wireguard/{self.name}.sock"),
        )

    def at_rest(self):
        """Whether nothing changes for a while without us."""
        before = self.machine()
        time.sleep(0.5)
        return self.machine() == before


@pytest.fixture
def checked(harness):
    return Checked(harness)


@pytest.fixture
def usual(checked):
    """With the configuration written that most tests start from."""
    checked.write(checked.pair.interface(), checked.pair.peer())
    return checked


def link(usual, name):
    """A link of another program's."""
    usual.place.ip("link", "add", name, "type", "veth", "peer", "name", "end")
    for end in (name, "end"):
        usual.place.ip("link", "set", end, "up")


def in_mounts(*commands):
    """A prefix: the rest of the command has these mounts for itself."""
    return ["unshare", "-m", "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]


def test_a_sane_machine(usual):
    usual.says(SANE)


def test_notes_alone_are_no_error(usual):
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        usual.sysctl(name, 0)
    usual.write(usual.pair.interface(colour="red"), usual.pair.peer())
    usual.says(
        "note: this machine does not forward IPv4: only the machine itself can use the tunnels",
        "note: this machine does not forward IPv6: only the machine itself can use the tunnels",
        f"note: {usual.router.config}:6: {usual.where}, option colour: unknown option ignored",
    )


def test_no_interface(checked):
    checked.write(interface("x", disabled=1))
    checked.says(f"note: no interface is enabled in {checked.router.config}")


def test_no_tun_device(usual):
    usual.says(
        "error: /dev/net/tun does not exist: load the kernel module tun (on OpenWrt: install kmod-tun)",
        prefix=in_mounts("mount -t tmpfs none /dev/net"),
    )


def test_a_tun_device_that_cannot_be_opened(usual):
    prefix = in_mounts("mount -t tmpfs none /dev/net", "mkdir /dev/net/tun")
    code, told = usual.run(prefix)
    assert (
        code == 1
        and told.startswith("error: cannot open /dev/net/tun: Is a directory (21)")
        and told.endswith(". Run this command as root\n")
    )


def test_a_wrong_configuration(usual):
    usual.write(usual.pair.interface(mtu=100, listen_port="x"))
    file = usual.router.config
    usual.says(
        f"error: {file}:3: {usual.where}, option listen_port: expected a number from 0 to 65535, got 'x'",
        f"error: {file}:6: {usual.where}, option mtu: expected a number from 576 to 65455, got '100'",
        NO_START,
    )
    file.write_text("nonsense\n")
    usual.says(f"error: {file}:1: Parse error (invalid command) at line 1, byte 0", NO_START)
    usual.write(usual.pair.interface(), usual.pair.peer(), usual.pair.other_peer(1, endpoint_port="x"))
    usual.says(
        f"error: {file}:17: wireguard_{usual.name}[1], option endpoint_port: expected a number from 1 to 65535, got 'x'",
        "note: with these mistakes, a start uses its part without mistakes",
    )
    file.unlink()
    code, told = usual.run()
    assert code == 1 and told.startswith(f"error: cannot read {file}: No such file or directory (2)")


def test_a_hook_that_is_not_there(usual):
    options = "config globals\n\toption on_event '/none/hook'\n"
    usual.write(options, usual.pair.interface(), usual.pair.peer())
    assert "error: option on_event: there is no program /none/hook; correct the path\n" in usual.run()[1]
    usual.write(options.replace("/none/hook", "/bin/true"), usual.pair.interface(), usual.pair.peer())
    assert "on_event" not in usual.run()[1]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken(usual, family):
    with usual.place.socket(family, socket.SOCK_DGRAM) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("", 51820))
        code, told = usual.run()
    start = f"error: {usual.where}, option listen_port: cannot listen on 51820: Address already in use (98); choose another"
    # musl has other words for error 98.
    told = without_places(told).replace("Address in use", "Address already in use")
    assert code == 1 and told.startswith(start) and told.count("\n") == 1
    usual.says(SANE)


def test_a_name_that_is_taken(usual):
    link(usual, usual.name)
    usual.says(f"error: {usual.where}: another network interface already has this name")


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_configuration_that_others_can_read(usual, mode):
    file = usual.router.config
    file.chmod(mode)
    usual.says(f"error: other users can read {file}, which contains keys: run chmod 600 {file}")
    usual.write(interface(usual.name, private_key="generate"), usual.pair.peer(preshared_key=SECRET.private))
    file.chmod(mode)
    usual.says(f"error: other users can read {file}, which contains keys: run chmod 600 {file}")
    # Without keys it may be read by all.
    usual.write(interface(usual.name, private_key="generate"), usual.pair.peer())
    file.chmod(mode)
    usual.says(SANE)


def test_files_with_keys(usual):
    file = usual.harness.folder / "wg.key"
    usual.write(interface(usual.name, private_key_file=file), usual.pair.peer())
    usual.router.config.chmod(0o644)
    here = f"{usual.where}, option private_key_file: "
    usual.says(f"note: {here}{file} does not exist yet; the daemon creates it")
    file.write_text(SECRET.private + "\n")
    file.chmod(0o600)
    usual.says(SANE)
    file.chmod(0o644)
    usual.says(f"error: {here}other users can read {file}: run chmod 600 {file}")
    file.write_text("nonsense")
    usual.says(
        f"error: {usual.router.config}:2: {here}{file}: a key has 44 characters of base64, the last one is '='", NO_START
    )


def test_a_mtu_too_large_for_the_way(usual):
    usual.write(usual.pair.interface(mtu=1440), usual.pair.peer())
    usual.says(SANE)
    usual.write(usual.pair.interface(mtu=1441), usual.pair.peer())
    usual.says(f"error: {usual.where}, option mtu: 1441 is too large for the path to 192.0.2.2, the maximum is 1440")
    usual.write(usual.pair.interface(mtu=1440), usual.pair.peer(family=6))
    usual.says(f"error: {usual.where}, option mtu: 1440 is too large for the path to 2001:db8::2, the maximum is 1420")
    usual.place.ip("link", "set", "outer", "mtu", "1492")
    usual.write(usual.pair.interface(mtu=1420), usual.pair.peer(family=6))
    usual.says(f"error: {usual.where}, option mtu: 1420 is too large for the path to 2001:db8::2, the maximum is 1412")


def test_an_endpoint_inside_its_own_tunnel(usual):
    inside = {"allowed_ips": ["192.0.2.0/24"], "route_allowed_ips": 1}
    usual.write(usual.pair.interface(nohostroute=1), usual.pair.peer(**inside))
    why = "the route to 192.0.2.2 leads into a tunnel because nohostroute is set; delete that option"
    taken = f"{usual.where}: outer also has a route to 192.0.2.0/24, so packets do not go into the tunnel; give one of the "
    taken = "error: " + taken + "two networks another address, set route_allowed_ips '0', or a metric"
    usual.says(f"error: {usual.peer_where}, option endpoint_host: {why}", taken)
    for good, lines in (
        ({}, [taken]), ({"nohostroute": 1, "ip4table": 77}, [SANE]), ({"nohostroute": 1, "tunlink": "outer"}, [taken]),
        ({"metric": 9}, [SANE]),
    ):  # fmt: skip
        usual.write(usual.pair.interface(**good), usual.pair.peer(**inside))
        usual.says(*lines)
    # A default route with nohostroute has a table of its own.
    usual.write(usual.pair.interface(nohostroute=1), usual.pair.peer(allowed_ips=["0.0.0.0/0"], route_allowed_ips=1))
    usual.says(SANE)


def test_names(usual):
    names = usual.harness.names()
    names.set("far.test 192.0.2.2\n")
    hosts = ["far.test", *[f"dead{n}.test" for n in range(8)]]
    usual.write(usual.pair.interface(), *[usual.pair.other_peer(n, endpoint_host=host) for n, host in enumerate(hosts)])
    usual.says(*[f"error: cannot resolve endpoint_host 'dead{n}.test' now" for n in range(8)], prefix=names.prefix)
    usual.write(usual.pair.interface(mtu=1441), usual.pair.peer(endpoint_host="far.test"))
    usual.says(
        f"error: {usual.where}, option mtu: 1441 is too large for the path to 192.0.2.2, the maximum is 1440",
        prefix=names.prefix,
    )


def test_a_name_server_that_is_silent(usual):
    """It takes 10 s, however many names there are, and no more than six processes at once."""
    names = usual.harness.names()
    (usual.harness.folder / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:5 attempts:3\n")
    usual.write(usual.pair.interface(), *[usual.pair.other_peer(n, endpoint_host=f"dead{n}.test") for n in range(20)])
    begin = time.monotonic()
    child = usual.place.spawn(
        *names.prefix,
        *usual.harness.command,
        "check",
        "--config-dir",
        str(usual.router.config.parent),
        env=usual.router.environment,
    )
    most = 0
    while child.running():
        most = max(most, len(usual.place.run("ps", "-o", "pid=", "--ppid", str(child.pid), check=False)[1].split()))
        time.sleep(0.2)
    assert 9 < time.monotonic() - begin < stretch(15) and 1 < most <= 6
    assert child.text().splitlines() == [
        *[f"error: cannot resolve endpoint_host 'dead{n}.test' now" for n in range(6)],
        "note: 14 more names were not resolved because it takes too long",
    ]


def test_no_way_to_the_endpoint(usual):
    usual.write(usual.pair.interface(), usual.pair.peer(endpoint_host="198.51.100.7"))
    usual.says(SANE)
    usual.place.ip("route", "del", "default")
    usual.says(f"error: {usual.peer_where}, option endpoint_host: there is no route to 198.51.100.7")
    # Nor by the link that tunlink names.
    usual.begin()
    link(usual, "wan2")
    usual.write(usual.pair.interface(tunlink="wan2"), usual.pair.peer(endpoint_host="198.51.100.7"))
    usual.says(f"error: {usual.peer_where}, option endpoint_host: there is no route to 198.51.100.7")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"])
def test_an_endpoint_on_the_machine_itself(usual, host):
    """What hides the tunnel in something else, wstunnel or udp2raw, listens there."""
    usual.place.ip("route", "del", "default")
    usual.write(usual.pair.interface(), usual.pair.peer(endpoint_host=host))
    usual.says(SANE)


def test_a_tunlink_that_is_not_there(usual):
    usual.write(usual.pair.interface(tunlink="wan"), usual.pair.peer())
    usual.says(f"error: {usual.where}, option tunlink: link wan does not exist; {REMEDY}")


REMEDY = "bring the network up, or name another one"
NETWORKS = """
config interface 'wan'
	option device 'outer'
config interface 'outer'
	option proto 'pppoe'
config interface 'lte'
	option proto 'qmi'
	option device '/dev/cdc-wdm0'
config interface 'up'
	option proto 'modemmanager'
	option device '/sys/devices/platform/usb1'
config interface 'down'
	option proto 'ncm'
	option device '/dev/ttyUSB3'
config interface 'up_4'
	option proto 'dhcp'
	option device '@up'
config interface 'lte_6'
	option device '@lte'
config interface 'via_wan'
	option device '@wan'
config interface 'one'
	option device '@two'
config interface 'two'
	option device '@one'
config interface 'aftr'
	option proto 'dslite'
config interface 'clat'
	option proto '464xlat'
config device 'br'
	option type 'bridge'
config interface 'dsl'
	option proto 'pppoe'
config interface 'lan'
	option type 'bridge'
config interface 'space'
	option device ' '
config interface 'list'
	list device 'outer'
config interface 'latin'
	option ifname 'b\xfcro'
"""


# As netifd's hotplug script leaves it, for networks that came up since the boot
STATE = """network.up.up='1'
network.up.ifname='outer'
network.down.ifname='wwan7'
network.dsl.up='1'
"""


@pytest.mark.parametrize(
    "name,device",
    [
        ("wan", None),
        ("outer", "pppoe-outer"),
        ("lte", ""),
        ("lte_6", ""),
        ("up", None),
        ("up_4", None),
        ("via_wan", None),
        ("down", ""),
        ("one", ""),
        ("aftr", "ds-aftr"),
        ("clat", "464-clat"),
        ("br", "br"),
        ("dsl", "pppoe-dsl"),
        ("lan", "br-lan"),
        ("space", "space"),
        ("list", "list"),
        ("latin", "latin"),
        ("other", "other"),
    ],
)
def test_networks_of_openwrt(usual, name, device):
    folders = {path: usual.harness.folder / path[1:].replace("/", "-") for path in ("/etc/config", "/var/state")}
    for folder in folders.values():
        folder.mkdir()
    (folders["/etc/config"] / "network").write_bytes(NETWORKS.encode("latin-1"))
    (folders["/var/state"] / "network").write_text(STATE)
    prefix = with_folders(usual.harness.folder / "mounts", folders)
    usual.write(usual.pair.interface(tunlink=name), usual.pair.peer())
    what = f"network {name} has no link yet" if device == "" else f"link {device} does not exist"
    usual.says(f"error: {usual.where}, option tunlink: {what}; {REMEDY}" if device is not None else SANE, prefix=prefix)


@pytest.mark.parametrize("how", ["disabled", "absent"])
def test_no_ipv6(usual, how):
    prefix = []
    if how == "disabled":
        usual.sysctl("net/ipv6/conf/all/disable_ipv6", 1)
    else:
        prefix = in_mounts("mount -t tmpfs none /proc/sys/net/ipv6")
    usual.says(f"error: {usual.where}, option addresses: IPv6 is disabled on this machine", prefix=prefix)
    usual.write(usual.pair.interface(addresses="10.77.0.1/24"), usual.pair.peer())
    usual.says(SANE, prefix=prefix)


def test_peers_that_take_from_each_other(usual):
    second = Keys().public
    usual.write(
        usual.pair.interface(),
        usual.pair.peer(allowed_ips=["10.1.2.3/8", "10.9.0.0/16"]),
        peer(usual.name, public_key=second, allowed_ips=["10.0.0.0/8", "10.9.1.0/24"]),
        peer(usual.name, public_key=Keys().public),
    )
    usual.says(
        f"error: wireguard_{usual.name}[2]: the peer has no allowed_ips, so no packets can go to it or come from it",
        f"error: {usual.peer_where}, option allowed_ips: wireguard_{usual.name}[1] also has 10.1.2.3/8, "
        "and gets it; give each network to one peer",
    )


def test_one_route_into_two_tunnels(usual):
    second = net.unique("r")
    routed = {"allowed_ips": ["10.3.0.0/16"], "route_allowed_ips": 1}

    def write(**options):
        usual.write(
            usual.pair.interface(),
            usual.pair.peer(**routed),
            interface(second, private_key=SECRET.private, **options),
            peer(second, public_key=Keys().public, allowed_ips=["10.3.9.9/16"], route_allowed_ips=1),
        )

    write()
    usual.says(f"error: interface '{second}': {usual.where} also routes 10.3.9.9/16, with the same metric")
    for options in ({"metric": 5}, {"ip4table": 77}):
        write(**options)
        usual.says(SANE)


# The clock


def at(when):
    return need(faketime.environment, when)


def mark(usual, seconds):
    """As the daemon writes it."""
    stamp = bytearray((seconds + timestamps.TAI64_EPOCH).to_bytes(8, "big") + bytes(4))
    (usual.router.state / "clock").write_bytes(timestamps._encode(stamp))


def test_a_clock_that_was_never_set(usual):
    usual.says(
        "note: the clock was never set: handshakes still work, but certificates can fail", **at("@2000-01-01 00:00:00")
    )
    usual.says(SANE, **at("@2026-01-01 00:00:00"))


def test_a_clock_that_was_set_back(usual):
    now = int(time.time())
    sentence = f"note: the clock was set back: timestamps continue from the high-water mark in {usual.router.state}/clock"
    mark(usual, now + timestamps.AHEAD_S)
    usual.says(SANE)
    usual.says(SANE, **at("-300"))
    usual.says(sentence, **at("-1000"))
    mark(usual, now + 86400)
    usual.says(sentence)
    (usual.router.state / "clock").write_text("torn")
    usual.says(SANE, **at("-1000"))


# Beside the daemon


def test_a_running_daemon_is_not_complained_about(usual):
    routed = {"allowed_ips": ["10.77.0.2", "0.0.0.0/0", "::/0"], "route_allowed_ips": 1}
    usual.router.start(usual.pair.interface(), usual.pair.peer(**routed))
    net.poll(usual.at_rest, 10)
    usual.says(SANE)
    # Of another program's link it is.
    link(usual, "other0")
    usual.write(usual.pair.interface(), usual.pair.peer(**routed), interface("other0", private_key=SECRET.private))
    usual.says("error: interface 'other0': another network interface already has this name")
    assert usual.router.running()


# What is missing


def without_libsodium(harness, folder):
    """The command with a Python that has everything but libsodium, and what it says of it."""
    if harness.command[0] == sys.executable:
        (folder / "nacl").mkdir()
        (folder / "nacl/__init__.py").write_text("raise ImportError(\"No module named 'nacl'\")\n")
        paths = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
        return ["env", f"PYTHONPATH={paths}"], "No module named 'nacl'"
    kept = folder / "libraries"
    loader = need(debian.micropython_of_trixie)[0]
    shutil.copytree(Path(loader).parent, kept, ignore=shutil.ignore_patterns("libsodium*"))
    # A command in WGEMBED_MICROPYTHON can have a libsodium in another folder.
    others = [word.partition("=")[2] for word in harness.command if word.startswith("LD_LIBRARY_PATH=")]
    folders = [*Path("/usr/lib").glob("*"), *map(Path, others)]
    hidden = [f"mount --bind /dev/null {path}" for folder in folders for path in folder.glob("libsodium.so*")]
    return in_mounts(f"mount --bind {kept} {Path(loader).parent}", *hidden), "cannot load libsodium (libsodium.so.23"


@pytest.mark.parametrize("verb", ["check", "run", "genkey", "pubkey"])
def test_without_libsodium(usual, tmp_path, verb):
    prefix, sentence = without_libsodium(usual.harness, tmp_path)
    options = ["--config-dir", str(usual.router.config.parent)] if verb in ("check", "run") else []
    code, told = usual.place.run(*prefix, *usual.harness.command, verb, *options, check=False)
    assert code == 1 and told.startswith(f"wgembed: a Python module is missing: {sentence}") and told.count("\n") == 1


def test_the_module_is_compiled_and_not_the_source(command):
    assert command[0] == sys.executable or str(micropython.compiled()) in command


def test_places(usual):
    """Each sentence about a section names its file and line."""
    usual.write(usual.pair.interface(tunlink="nowhere"), usual.pair.peer(allowed_ips=[]))
    told = usual.run()[1]
    path = usual.router.config
    lines = path.read_text().split("\n")
    for start, sentence in (("config interface", f"{usual.where}, option tunlink"), ("config wireguard_", usual.peer_where)):
        number = next(n for n, line in enumerate(lines, 1) if line.startswith(start))
        assert f"{path}:{number}: {sentence}" in told
