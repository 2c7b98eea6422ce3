"""A replacement for OpenWrt's network daemon, for interfaces with the protocol handler wireguard.sh, in a Router.

It follows proto-ext.c: a handler runs for setup, renewal and teardown; a process that the handler has started can end at any
time, and then teardown and setup follow at once, with the exit status in ERROR; a teardown of more than 5 s is killed. An
interface whose host no provider leads to is not available: it is taken down, and set up when a provider comes. When its
provider goes, it is set up again.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import net
from .patience import stretch

UPDATE, RUN, KILL, ERROR, BLOCK, HOST, FAILED = 0, 1, 2, 3, 4, 6, 7
TEARDOWN_S = 5


@dataclass
class Provider:
    """Another interface, with a static address, which leads to the internet."""

    device: str
    address: str
    gateway: str
    metric: int
    is_up: bool = False

    @property
    def way(self):
        """Words for `ip route`."""
        return ["via", self.gateway, "dev", self.device, "metric", str(self.metric)]


class Netifd:
    """Answers the calls of protocol handlers, and those of `ubus call network.interface.NAME METHOD`."""

    is_real = False

    def __init__(self, router, hosts_by=()):
        self.router = router
        self.hosts_by = list(hosts_by)  # the way to hosts if there are no providers: words for `ip route`
        self.providers = {}  # by name
        self.interfaces = {}
        router.procd.objects["network.interface"] = self._call

    def add(self, name):
        interface = self.interfaces[name] = Interface(self, name)
        self.router.procd.objects["network.interface." + name] = interface.call
        return interface

    def _call(self, method, told):
        interface = self.interfaces.get(told.get("interface"))
        if method != "notify_proto" or interface is None:
            return 4, ""
        interface.notified(told)
        return 0, ""

    def kill(self):
        """End as by SIGKILL: what was started goes on, and nobody looks after it."""
        for interface in self.interfaces.values():
            interface.abandon()

    def start(self):
        for interface in self.interfaces.values():
            interface.up()

    def provider(self, name, verb):
        """Take a provider "up" or "down"."""
        provider, ip = self.providers[name], self.router.namespace.ip
        provider.is_up = verb == "up"
        if provider.is_up:
            ip("link", "set", provider.device, "up")
            ip("address", "replace", provider.address, "dev", provider.device)
            ip("route", "replace", "default", *provider.way)
        else:
            ip("address", "flush", "dev", provider.device)
            ip("link", "set", provider.device, "down")
        for interface in self.interfaces.values():
            interface.follow(provider)

    def best_provider(self):
        """Return the provider that is up and has the lowest metric, or None."""
        found = [provider for provider in self.providers.values() if provider.is_up]
        return min(found, key=lambda provider: provider.metric, default=None)

    def close(self):
        for interface in self.interfaces.values():
            interface.down()


class Interface:
    """One interface. `errors` are those of the last setup, `starts` the times at which the process was started."""

    def __init__(self, netifd, name):
        self._netifd, self._router, self.name = netifd, netifd.router, name
        self._lock = threading.RLock()
        self._process = self._handler = None
        self.is_up = False
        self.autostart = False
        self.is_available = True
        self.errors, self.hosts, self.starts, self.prefixes = [], [], [], []
        self._providers = []  # those that lead to its hosts
        self._is_ending = False
        self._addresses, self._routes = [], []
        self._generation = 0

    # What people and scripts ask for

    def call(self, method, told):
        if method == "status":
            return 0, json.dumps({"up": self.is_up}) + "\n"
        {"up": self.up, "down": self.down, "renew": self.renew}[method]()
        return 0, ""

    def up(self):
        self.autostart = True
        self._setup()

    def down(self):
        self.autostart = False
        self._teardown(0)

    def renew(self):
        threading.Thread(target=self._script, args=("renew",), daemon=True).start()

    def abandon(self):
        with self._lock:
            self._generation += 1
            self._process = self._handler = None
            self._addresses, self._routes = [], []
            self.is_up = False

    @property
    def pid(self):
        return self._process.pid if self.running() else None

    @property
    def is_set_up(self):
        """Whether the handler has ended its setup, and did not fail."""
        return self.is_up and self._handler.poll() == 0

    def running(self):
        return self._process is not None and self._process.poll() is None

    # The state machine

    def _setup(self):
        with self._lock:
            self._generation += 1
            self.errors, self.hosts, self._providers = [], [], []
        threading.Thread(target=self._script, args=("setup",), daemon=True).start()

    def _script(self, action, timeout=None, **environment):
        call = 'cd /lib/netifd/proto && exec ./wireguard.sh wireguard "$@"'
        command = self._router.command("sh", "-c", call, "sh", action, self.name)
        with open(self._router.messages, "ab") as log:
            child = subprocess.Popen(
                command, env={**self._router.environment, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            if action == "setup":
                self._handler = child
            try:
                child.wait(timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _teardown(self, status):
        """Run the handler's teardown, end the process, and take the addresses away; then set up again, unless blocked."""
        with self._lock:
            self._generation += 1
            generation = self._generation
            self.is_up = False
            self._is_ending = True
        if self._handler is not None and self._handler.poll() is None:
            self._handler.terminate()  # netifd ends a setup before it calls the teardown
        self._script("teardown", TEARDOWN_S, **({"ERROR": str(status)} if status else {}))
        if self.running():
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._addresses, self._routes = [], []
            self._is_ending = False
            if generation != self._generation or not self.autostart or not self.is_available:
                return
        self._setup()

    def _wait(self, process, generation):
        status = process.wait()
        with self._lock:
            if process is not self._process or generation != self._generation:
                return
            self._process = None
        self._teardown(max(status, 0))  # a process that was killed has no exit status

    # The calls of the handler

    def notified(self, told):
        action = told["action"]
        if action == RUN:
            self._run(told)
        elif action == KILL and self.running():
            os.kill(self.pid, told.get("signal", signal.SIGTERM))
        elif action == UPDATE:
            self._update(told)
        elif action == ERROR:
            self.errors += told["error"]
        elif action == BLOCK:
            self.autostart = False
        elif action == HOST:
            self._add_host(told["host"])
        elif action == FAILED:
            if self._handler is not None:
                self._handler.terminate()
            self._tear_down_later(1)

    def _tear_down_later(self, status):
        """Tear it down in another thread, so that the call of the handler is answered first."""

        def tear_down(generation):
            with self._lock:
                if generation != self._generation:
                    return
            self._teardown(status)

        threading.Thread(target=tear_down, args=(self._generation,), daemon=True).start()

    def _run(self, told):
        environment = dict(word.split("=", 1) for word in told["env"])
        with open(self._router.messages, "ab") as log:
            self._process = subprocess.Popen(
                self._router.command(*told["command"]), env={**self._router.environment, **environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.starts.append(time.monotonic())
        threading.Thread(target=self._wait, args=(self._process, self._generation), daemon=True).start()

    def _update(self, told):
        ip = self._router.namespace.ip
        if self._router.namespace.run("ip", "link", "show", "dev", self.name, check=False)[0]:
            return
        for address in [one for one in told["addresses"] if one not in self._addresses]:
            ip("address", "replace", address, "dev", self.name)
        for address in [one for one in self._addresses if one not in told["addresses"]]:
            ip("address", "del", address, "dev", self.name)
        ip("link", "set", self.name, "up")
        for route in [one for one in told["routes"] if one not in self._routes]:
            ip("route", "replace", route, "dev", self.name)
        for route in [one for one in self._routes if one not in told["routes"]]:
            ip("route", "del", route, "dev", self.name)
        self._addresses, self._routes, self.prefixes = told["addresses"], told["routes"], told["prefixes"]
        self.is_up = True

    def _add_host(self, host):
        self.hosts.append(host)
        way = self._netifd.hosts_by
        if self._netifd.providers:
            provider = self._netifd.best_provider()
            if provider is None:
                self.is_available = False
                self._tear_down_later(0)
                return
            self._providers.append(provider)
            way = provider.way
        if way and re.fullmatch(r"[0-9.]+", host):
            self._router.namespace.ip("route", "replace", host, *way)

    def follow(self, provider):
        """A provider has come or gone."""
        with self._lock:
            if provider.is_up and not self.is_available:
                self.is_available = True
                if self.autostart and not self._is_ending:
                    self._setup()
            elif not provider.is_up and provider in self._providers:
                self._providers.remove(provider)
                self._tear_down_later(0)

    # Waiting

    def until_up(self, within=10):
        net.poll(lambda: self.is_up, within, what=f"{self.name} up")

    def until_error(self, pattern, within=10):
        net.poll(lambda: any(re.search(pattern, error) for error in self.errors), within, what=f"an error {pattern}")


def rest(seconds):
    time.sleep(stretch(seconds))


def netifd_of(router, hosts_by=()):
    """Return the real netifd if WGEMBED_OPENWRT names a root with one, otherwise the replacement."""
    is_there = (Path(os.environ.get("WGEMBED_OPENWRT", "/nowhere")) / "sbin/netifd").exists()
    return RealNetifd(router) if is_there else Netifd(router, hosts_by)


class RealNetifd:
    """The real netifd and ubusd, from the root that WGEMBED_OPENWRT names, in a Router; with the interface of Netifd.

    The root has usr/sbin/ubusd, usr/bin/ubus, usr/bin/jshn, sbin/uci, sbin/netifd, their libraries in usr/lib, and netifd's
    and libubox's files in lib/netifd, usr/share/libubox and lib/functions.sh. netifd of 25.12 and later also needs the
    modules of ucode in usr/lib/ucode, and does not start without them. With usr/bin/ucode, the router has this program, too;
    with sbin/fw4, usr/share/firewall4 and usr/share/ucode, the firewall.
    """

    is_real = True

    def __init__(self, router):
        self.router = router
        self.interfaces = {}
        built, root = Path(os.environ["WGEMBED_OPENWRT"]), router.root
        for name in ("usr/sbin/ubusd", "usr/bin/jshn", "sbin/uci", "sbin/netifd", "lib/functions.sh"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).unlink(missing_ok=True)
            shutil.copy(built / name, root / name)
        (root / "bin/ubus").unlink()
        shutil.copy(built / "usr/bin/ubus", root / "bin/ubus")
        for folder in ("lib/netifd", "usr/share/libubox"):
            shutil.copytree(built / folder, root / folder, dirs_exist_ok=True)
        programs = [built / name for name in ("usr/sbin/ubusd", "usr/bin/ubus", "usr/bin/jshn", "sbin/uci", "sbin/netifd")]
        modules = built / "usr/lib/ucode"
        if modules.is_dir():
            shutil.copytree(modules, root / "usr/lib/ucode", dirs_exist_ok=True)
            programs += modules.glob("*.so")
        if (built / "usr/bin/ucode").exists():
            shutil.copy(built / "usr/bin/ucode", root / "usr/bin")
            programs.append(built / "usr/bin/ucode")
            (root / "usr/bin/utpl").symlink_to("ucode")
        if (built / "sbin/fw4").exists():
            shutil.copy(built / "sbin/fw4", root / "sbin")
            shutil.copytree(built / "usr/share", root / "usr/share", dirs_exist_ok=True)
        environment = {**os.environ, "LD_LIBRARY_PATH": str(built / "usr/lib")}
        found = subprocess.run(["ldd", *programs], env=environment, capture_output=True, text=True, check=True).stdout
        (root / "usr/lib/real").mkdir()
        for path in set(re.findall(r"=> (/\S+)", found)):
            if not re.search(r"/lib(c|m|dl|pthread)\.so", path):
                shutil.copy(path, root / "usr/lib/real")
        (root / "tmp/run/ubus").mkdir(parents=True, exist_ok=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        router.environment = {**router.environment, "LD_LIBRARY_PATH": "/usr/lib/real", "LOG_LEVEL": "verbose"}
        self._children = [self._spawn("/usr/sbin/ubusd", "-s", "/var/run/ubus/ubus.sock")]
        net.poll(lambda: router.run("ubus", "list", check=False)[0] == 0, 5, what="ubusd")

    def _spawn(self, *argv):
        with open(self.router.messages, "ab") as log:
            command = self.router.command(*argv)
            return subprocess.Popen(command, env=self.router.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def ubusd(self):
        return self._children[0]

    def add(self, name):
        interface = self.interfaces[name] = RealInterface(self, name)
        return interface

    def provider(self, name, verb):
        self.router.run("ubus", "call", f"network.interface.{name}", verb)

    def service(self, verb):
        """The service of the package. There is no procd: call the functions of the script."""
        self.router.run("sh", "-c", f". /lib/functions.sh; . /etc/init.d/wgembed-netifd; {verb}_service")

    def changed(self, package):
        """As procd does when a file of /etc/config has changed."""
        if package == "network":
            self.router.run("ubus", "call", "network", "reload")
            self.service("reload")

    def start(self):
        """Start netifd, when the configuration is there."""
        if len(self._children) == 1:
            options = ("-s", "/var/run/ubus/ubus.sock", "-h", "/bin/true", "-r", "/tmp/resolv", "-S", "-l", "4")
            self._children.append(self._spawn("/sbin/netifd", *options))
            net.poll(lambda: "network.interface" in self.router.run("ubus", "list")[1], 5, what="netifd")

    def kill(self):
        """End netifd as the out-of-memory killer does."""
        child = self._children.pop()
        child.kill()
        child.wait(10)

    def close(self):
        for child in reversed(self._children):
            child.terminate()
            child.wait(10)


class RealInterface:
    """What Interface offers, of the real netifd."""

    def __init__(self, netifd, name):
        self._netifd, self._router, self.name = netifd, netifd.router, name

    def _ask(self, method):
        status, told = self._router.run("ubus", "call", f"network.interface.{self.name}", method, check=False)
        return json.loads(told) if not status and told.strip() else {}

    def up(self):
        if len(self._netifd._children) == 1:
            self._netifd.start()
        else:
            self._router.run("ubus", "call", "network", "reload")
            self._ask("up")

    def down(self):
        self._ask("down")
        net.poll(lambda: not self._ask("status").get("up"), 8, what="the interface down")
        rest(1)

    @property
    def is_up(self):
        return self._ask("status").get("up", False)

    @property
    def is_available(self):
        return self._ask("status").get("available", False)

    @property
    def errors(self):
        return [error["code"] for error in self._ask("status").get("errors", [])]

    @property
    def prefixes(self):
        return [f"{one['address']}/{one['mask']}" for one in self._ask("status").get("ipv6-prefix", [])]

    @property
    def starts(self):
        return re.findall(r"privileges dropped", self._router.logged())

    @property
    def pid(self):
        """The process of the interface, in this machine's process namespace."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                is_daemon = {b"--netifd", b"route"} & set(words) and self.name.encode() in words
                if is_daemon and os.readlink(process / "root") == str(self._router.root):
                    return int(process.name)
        return None

    until_up, until_error = Interface.until_up, Interface.until_error
