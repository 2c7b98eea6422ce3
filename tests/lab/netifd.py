"""A replacement for OpenWrt's network daemon, for interfaces with the protocol handler wireguard.sh, in a Router.

It follows proto-ext.c: a handler runs for setup, renewal and teardown; a process that the handler has started can end at any
time, and then teardown and setup follow at once, with the exit status in ERROR; a teardown of more than 5 s is killed.
"""

import os
import re
import signal
import subprocess
import threading
import time

from . import net
from .patience import stretch

UPDATE, RUN, KILL, ERROR, BLOCK, HOST, FAILED = 0, 1, 2, 3, 4, 6, 7
TEARDOWN_S = 5


class Netifd:
    """Answers the calls of protocol handlers, and those of `ubus call network.interface.NAME METHOD`."""

    def __init__(self, router, hosts_by=()):
        self.router = router
        self.hosts_by = list(hosts_by)  # how the provider is reached: words for `ip route`
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

    def close(self):
        for interface in self.interfaces.values():
            interface.down()


class Interface:
    """One interface. `errors` are those of the last setup, `starts` the times at which the process was started."""

    def __init__(self, netifd, name):
        self._netifd, self._router, self.name = netifd, netifd.router, name
        self._lock = threading.RLock()
        self._process = None
        self.is_up = False
        self.autostart = False
        self.errors, self.hosts, self.starts, self.prefixes = [], [], [], []
        self._addresses, self._routes = [], []
        self._generation = 0

    # What people and scripts ask for

    def call(self, method, told):
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

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process is not None and self._process.poll() is None

    # The state machine

    def _setup(self):
        with self._lock:
            self._generation += 1
            self.errors, self.hosts = [], []
        threading.Thread(target=self._script, args=("setup",), daemon=True).start()

    def _script(self, action, timeout=None, **environment):
        call = 'cd /lib/netifd/proto && exec ./wireguard.sh wireguard "$@"'
        command = self._router.command("sh", "-c", call, "sh", action, self.name)
        with open(self._router.messages, "ab") as log:
            child = subprocess.Popen(
                command, env={**self._router.environment, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
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
        self._script("teardown", TEARDOWN_S, **({"ERROR": str(status)} if status else {}))
        if self.running():
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._addresses, self._routes = [], []
            if generation != self._generation or not self.autostart:
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
            generation = self._generation
            threading.Thread(target=self._fail, args=(generation,), daemon=True).start()

    def _fail(self, generation):
        with self._lock:
            if generation != self._generation:
                return
        self._teardown(1)

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
        if self._netifd.hosts_by and re.fullmatch(r"[0-9.]+", host):
            self._router.namespace.ip("route", "replace", host, *self._netifd.hosts_by)

    # Waiting

    def until_up(self, within=10):
        net.poll(lambda: self.is_up, within, what=f"{self.name} up")

    def until_error(self, pattern, within=10):
        net.poll(lambda: any(re.search(pattern, error) for error in self.errors), within, what=f"an error {pattern}")


def rest(seconds):
    time.sleep(stretch(seconds))
