"""A replacement for OpenWrt's service manager: it applies the ubus calls of an init script in a Router."""

import contextlib
import fnmatch
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_FOUND, INVALID = 4, 2
TERM_TIMEOUT = 5


class Instance:
    """A command that is restarted when it ends, as its `config` says."""

    def __init__(self, router, config):
        self.config = config
        self.starts = []  # the time when it was started
        self._router = router
        self._stopping = threading.Event()
        self._child = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def running(self):
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self):
        return self._child.pid

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        self._stopping.set()
        if self.running:
            self._child.terminate()
        self._thread.join(self.config.get("term_timeout", TERM_TIMEOUT))
        if self.running:
            self._router.log("daemon.info: procd: not stopped on SIGTERM, sending SIGKILL instead")
            self._child.kill()
            self._thread.join()

    def _run(self):
        _, delay, retry = map(int, self.config["respawn"])
        while True:
            self._start()
            self._child.wait()
            if self._stopping.is_set() or (0 < retry < len(self.starts)) or self._stopping.wait(delay):
                return

    def _start(self):
        command = self.config["command"]
        jailed = "jail" in self.config and (self._router.root / "sbin/ujail").exists()
        with open(self._router.messages, "ab") as log:
            argv = self._router.jailed(self.config, command) if jailed else self._router.command(*command)
            self._child = subprocess.Popen(
                argv, env={**self._router.environment, **self.config.get("env", {})}, stdin=subprocess.DEVNULL,
                stdout=log if self.config.get("stdout") else subprocess.DEVNULL,
                stderr=log if self.config.get("stderr") else subprocess.DEVNULL,
            )  # fmt: skip
        self.starts.append(time.monotonic())


class Procd:
    """Answers the `ubus` program in the root. `services` are the services: {name: {"instances": ..., "triggers": ...}}."""

    def __init__(self, router):
        self._router = router
        self.services = {}
        self.objects = {}  # other objects of ubus: functions that are called with the method and the message
        folder = router.root / "tmp/ubus"
        folder.mkdir(parents=True)
        os.mkfifo(folder / "calls")
        # The pipe is open for reading and writing, so that it never ends.
        self._calls = os.fdopen(os.open(folder / "calls", os.O_RDWR), "r")
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        for service in self.services.values():
            for instance in service["instances"].values():
                instance.stop()

    def instance(self, name="wgembed"):
        """Return the only instance of the service, or None."""
        return next(iter(self.services.get(name, {"instances": {}})["instances"].values()), None)

    def event(self, name, **about):
        """Trigger an event: run the commands for it, without their delays. Returns these commands."""
        ran = []
        for service in list(self.services.values()):
            for pattern, rule, _ in service["triggers"]:
                for command in self._wanted(rule, about) if fnmatch.fnmatch(name, pattern) else ():
                    ran.append(command)
                    self._router.run(*command)
        return ran

    def _wanted(self, rule, about):
        if rule[0] == "if":
            (_, key, value), then = rule[1], rule[2]
            return self._wanted(then, about) if about.get(key) == value else []
        if rule[0] == "run_script":
            return [rule[1:]]
        return [command for part in rule for command in self._wanted(part, about)]

    def _serve(self):
        for line in self._calls:
            answer, kind, method, message = line.rstrip("\n").split("\t")
            threading.Thread(target=self._answer, args=(answer, kind, method, message), daemon=True).start()

    def _answer(self, answer, kind, method, message):
        told = json.loads(message or "{}")
        status, said = INVALID, ""
        if kind == "service" and hasattr(self, "_on_" + method):
            status, said = getattr(self, "_on_" + method)(told)
        elif kind in self.objects:
            status, said = self.objects[kind](method, told)
        with contextlib.suppress(OSError):
            Path(f"{self._router.root}{answer}").write_text(f"{status}\n{said}")

    def _on_set(self, told):
        service = self.services.setdefault(told["name"], {"instances": {}})
        service["triggers"] = told.get("triggers", [])
        wanted, there = told["instances"], service["instances"]
        for name in list(there):
            if name not in wanted:
                there.pop(name).stop()
        for name, config in wanted.items():
            if name in there and there[name].running and "reload_signal" in config:
                if there[name].config != config:
                    there[name].signal(config["reload_signal"])
                continue
            if name in there:
                there[name].stop()
            there[name] = Instance(self._router, config)
        return 0, ""

    def _on_delete(self, told):
        service = self.services.pop(told["name"], None)
        if service is None:
            return NOT_FOUND, ""
        for instance in service["instances"].values():
            instance.stop()
        return 0, ""

    def _on_signal(self, told):
        service = self.services.get(told["name"])
        if service is None:
            return NOT_FOUND, ""
        for instance in service["instances"].values():
            instance.signal(told.get("signal", signal.SIGHUP))
        return 0, ""

    def _on_list(self, told):
        found = {}
        for name in {told["name"]} & set(self.services):
            instances = {key: {"running": value.running} for key, value in self.services[name]["instances"].items()}
            found[name] = {"instances": instances} if instances else {}
        return 0, json.dumps(found) + "\n"


def jailed(holder, config, command):
    """Return the command that runs `command` with jail.py, in the namespaces of the process `holder`."""
    # As a module, because it imports the modules beside it. It leaves this folder again.
    python = ["env", "-C", str(ROOT), sys.executable, "-E", "-s", "-S"]
    return [*python, "-m", "tests.lab.jail", str(holder), json.dumps(config), *command]
