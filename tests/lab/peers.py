"""WireGuard implementations with the same interface, configured with Debian's `wg`."""

import base64
import importlib.util
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from . import debian, fastpath, micropython, traffic, wire
from .need import NotInstalled, privileges, programs
from .net import CommandFailed, poll, unique

SOCKETS = Path("/var/run/wireguard")
START_WITHIN = 15


@dataclass
class Seen:
    """The state of a peer, from `wg show IF dump`."""

    endpoint: str
    allowed_ips: str
    latest_handshake: int
    received: int
    sent: int


def _base64(key):
    return base64.b64encode(key).decode()


class Peer:
    """One WireGuard interface at one site: `start` makes it, `load` sets its keys, `raise_` its addresses."""

    name = "?"
    wg = ["wg"]
    started = False  # since there is something to stop
    opponent = None  # the class of the near end, if it is not the usual wgembed

    @classmethod
    def prepare(cls):
        """Find the programs that this implementation needs, or raise Missing."""
        raise NotImplementedError

    def __init__(self, site, port, private=None):
        self.site, self.place, self.port = site, site.place, port
        self.private = private or wire.generate_private_key()
        self.public = wire.public_key(self.private)
        self.interface = unique("w")
        self.mtu = 1420
        self.addresses = []
        self._configuration = ""

    @property
    def key(self):
        return _base64(self.public)

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def log(self):
        return ""

    def end(self):
        """Stop, if it was started."""
        if self.started:
            self.stop()

    def restart(self):
        """Lose all state but the configuration."""
        self.stop()
        self.start()
        self.load(self._configuration)
        self.raise_()

    # -- configuration

    def tool(self, *args, input=None):
        return self.place.run(*self.wg, *args, input=input)[1]

    def load(self, configuration):
        self._configuration = configuration
        self.tool("setconf", self.interface, "/dev/stdin", input=configuration)

    def raise_(self):
        """Set the addresses and the MTU, and set the interface up."""
        for address in self.addresses:
            nodad = ["nodad"] if ":" in address else []
            self.place.ip("addr", "replace", address, "dev", self.interface, *nodad)
        self.place.ip("link", "set", self.interface, "mtu", str(self.mtu), "up")

    def set_mtu(self, mtu):
        self.mtu = mtu
        self.place.ip("link", "set", self.interface, "mtu", str(mtu))

    def set_endpoint(self, other, endpoint):
        self.tool("set", self.interface, "peer", other.key, "endpoint", endpoint)

    def set_port(self, port):
        self.port = port
        self.tool("set", self.interface, "listen-port", str(port))

    def show(self, other):
        for line in self.tool("show", self.interface, "dump").splitlines()[1:]:
            key, _, endpoint, allowed, handshake, received, sent, _ = line.split("\t")
            if key == other.key:
                return Seen(endpoint, allowed, int(handshake), int(received), int(sent))
        raise CommandFailed(f"{self.interface} has no peer {other.key}")


class Daemon(Peer):
    """An implementation in user space. `COMMAND IFNAME` runs in the foreground, with a control socket."""

    environment = {}

    @classmethod
    def command(cls):
        raise NotImplementedError

    @classmethod
    def prepare(cls):
        privileges()
        programs("wg", "ip", "ping", "iperf3", cls.command()[0])

    def start(self):
        self.started = True
        environment = {**os.environ, **self.environment}
        self._child = self.place.spawn(*self.command(), self.interface, env=environment)
        try:
            poll(self._answers, START_WITHIN, what=f"{self.name}'s control socket")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log()}") from None

    def _answers(self):
        if not self._child.running():
            raise AssertionError(f"{self.name} ended: {self.log()}")
        socket = SOCKETS / f"{self.interface}.sock"
        return socket.exists() and self.place.run(*self.wg, "show", self.interface, check=False)[0] == 0

    def stop(self):
        self._child.stop()
        poll(
            lambda: self.place.run("ip", "link", "show", self.interface, check=False)[0],
            5,
            what=f"the end of {self.interface}",
        )

    @property
    def pid(self):
        return self._child.pid

    def log(self):
        return self._child.text() if self.started else ""


class Wgembed(Daemon):
    """This project's daemon in pure Python, or the command in WGEMBED_COMMAND."""

    name = "wgembed"
    environment = {"WGEMBED_FASTPATH": "0"}

    @classmethod
    def command(cls):
        default = f"{Path(sys.executable).parent / 'wgembed'} -f"
        return shlex.split(os.environ.get("WGEMBED_COMMAND") or default)


class WgembedMicropython(Wgembed):
    """This project's daemon on MicroPython, compiled."""

    name = "wgembed-micropython"
    heap = micropython.HEAP

    @classmethod
    def command(cls):
        return [*micropython.command(cls.heap), "-f"]


class Fast:
    """With the C library for the packet path."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.environment = {**cls.environment, "WGEMBED_FASTPATH": fastpath.built()}


class WgembedFast(Fast, Wgembed):
    """This project's daemon with the C library for the packet path."""

    name = "wgembed-fastpath"


class WgembedMicropythonFast(Fast, WgembedMicropython):
    """The same on MicroPython."""

    name = "wgembed-micropython-fastpath"
    opponent = WgembedFast


class WireguardGo(Daemon):
    """The wireguard-go of this machine's Debian release."""

    name = "wireguard-go"
    environment = {"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1", "LOG_LEVEL": "verbose"}

    @classmethod
    def command(cls):
        return ["wireguard-go", "-f"]


class WireguardGoSid(WireguardGo):
    """The newest wireguard-go of Debian, with segmentation offloads."""

    name = "wireguard-go-sid"

    @classmethod
    def command(cls):
        return [*debian.wireguard_go_sid(), "-f"]


class WireguardGoFast(WireguardGoSid):
    """The newest wireguard-go against the C library."""

    name = "wireguard-go-sid-fastpath"
    opponent = WgembedFast


class WireguardGoMicropython(WireguardGo):
    """wireguard-go against MicroPython."""

    name = "wireguard-go-micropython"
    opponent = WgembedMicropython


class Linux(Peer):
    """The WireGuard of a Linux kernel, in a guest."""

    package = "?"

    @classmethod
    def prepare(cls):
        from . import qemu

        privileges()
        qemu.prepare(cls.package)

    def start(self):
        self.started = True
        self.place.ip("link", "add", self.interface, "type", "wireguard")

    def stop(self):
        self.place.ip("link", "del", self.interface)

    def log(self):
        return self.place.run("dmesg", check=False)[1]


class Linux61(Linux):
    name = "linux-6.1"
    package = "linux-image-cloud-amd64"


class Linux612(Linux):
    name = "linux-6.12"
    package = "linux-image-6.12-cloud-amd64"


class Boringtun(Peer):
    """boringtun in a child process that has TCP/IP itself. There is no interface, and `wg` does not work."""

    role = module = "?"

    @classmethod
    def prepare(cls):
        privileges()
        programs("wg", "ip", "ping")
        if not importlib.util.find_spec(cls.module):
            raise NotInstalled(cls.module)

    def start(self):
        """Start it with the configuration."""

    def load(self, configuration):
        self.started = True
        self._configuration = configuration
        program = Path(__file__).with_name("boringtun.py")
        self._child = self.place.spawn(sys.executable, str(program), self.role, configuration, *self._where())

    def raise_(self):
        self._child.expect("(?m)^ready$", START_WITHIN)

    def stop(self):
        self._child.stop()

    def log(self):
        return self._child.text() if self.started else ""


class BoringtunResponder(Boringtun):
    """As in mitmproxy. It has no preshared key, and sends no initiation before it has received one."""

    name = "boringtun-responder"
    role, module = "responder", "mitmproxy_rs"
    family = 4

    def _where(self):
        return [self.site.outer[self.family]]


class BoringtunInitiator(Boringtun):
    """As in wireguard-requests. It executes commands, and answers pings."""

    name = "boringtun-initiator"
    role, module = "initiator", "wireguard_requests"

    def _where(self):
        return [address.split("/")[0] for address in self.addresses]

    def ask(self, *words, within=30):
        """Send one command and return the answer."""
        before = self._child.text().count("answer")
        self._child.tell(" ".join(map(str, words)))
        self._child.expect(rf"(answer .*\s+){{{before + 1}}}", within)
        return json.loads(self._child.text().rpartition("answer")[2])


class Tunnel:
    """Two peers with each other's keys, and inner networks of a /24 and a /64. `near` is the peer under test."""

    INSIDE = {"near": ("10.77.0.1", "fd77::1"), "far": ("10.77.0.2", "fd77::2")}

    def __init__(self, near, far, psk=None, keepalive=0):
        self.near, self.far, self.psk, self.keepalive = near, far, psk, keepalive
        for peer, inside in ((near, self.INSIDE["near"]), (far, self.INSIDE["far"])):
            peer.addresses = [f"{inside[0]}/24", f"{inside[1]}/64"]

    def other(self, peer):
        return self.far if peer is self.near else self.near

    def inside(self, peer, family=4):
        v4, v6 = self.INSIDE["near" if peer is self.near else "far"]
        return v4 if family == 4 else v6

    def configuration(self, peer, family=None):
        """The file of `peer` for `wg setconf`. With a family, it has the endpoint of the other peer."""
        other = self.other(peer)
        v4, v6 = self.inside(other, 4), self.inside(other, 6)
        lines = [
            "[Interface]",
            f"PrivateKey = {_base64(peer.private)}",
            f"ListenPort = {peer.port}",
            "[Peer]",
            f"PublicKey = {other.key}",
            f"AllowedIPs = {v4}/32, {v6}/128",
        ]
        if self.psk:
            lines.append(f"PresharedKey = {_base64(self.psk)}")
        if family:
            lines.append(f"Endpoint = {other.site.endpoint(family, other.port)}")
        if self.keepalive:
            lines.append(f"PersistentKeepalive = {self.keepalive}")
        return "\n".join(lines) + "\n"

    def start(self, knowing, family=4):
        """Start both. Only the peers in `knowing` have the endpoint of the other."""
        for peer in (self.near, self.far):
            peer.start()
            peer.load(self.configuration(peer, family if peer in knowing else None))
            peer.raise_()

    def ping(self, peer, family=4, **options):
        """Let `peer` ping the other."""
        return traffic.ping(peer.place, self.inside(self.other(peer), family), **options)

    def reach(self, peer, within=15, family=4):
        traffic.reach(peer.place, self.inside(self.other(peer), family), within)
