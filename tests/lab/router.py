"""`wgembed run` as on a router: with a UCI configuration, and separate directories for state and run."""

import base64
import os
import re
import signal
import time
from pathlib import Path

from . import wire
from .net import poll, unique

DONE = r"configuration applied|configuration rejected|cannot apply the configuration"


def interface(name, **options):
    return section("interface", name, options)


def peer(of, **options):
    return section(f"wireguard_{of}", None, options)


def section(kind, name, options):
    """Return a section of UCI. A list or tuple of values becomes a `list`."""
    lines = [f"config {kind}" + (f" '{name}'" if name else "")]
    for option, value in options.items():
        if isinstance(value, (list, tuple)):
            lines += [f"\tlist {option} '{item}'" for item in value]
        else:
            lines.append(f"\toption {option} '{value}'")
    return "\n".join(lines) + "\n"


def with_folders(scratch, folders):
    """Return a command that runs another one where these paths of the root are these folders. `scratch` is a free path."""
    scratch.mkdir()
    lines = [f"mount -t tmpfs none {scratch}"]
    for number, (path, folder) in enumerate(folders.items()):
        parent, _, name = path.rpartition("/")
        upper, work = f"{scratch}/{number}", f"{scratch}/work{number}"
        lines += [
            f"mkdir -p {upper}/{name} {work}",
            f"mount -t overlay none -o lowerdir={parent},upperdir={upper},workdir={work} {parent}",
            f"mount --bind {folder} {path}",
        ]
    return ["unshare", "-m", "sh", "-c", " && ".join([*lines, 'exec "$@"']), "sh"]


class Keys:
    """A key pair; `private` and `public` are base64, `raw` and `raw_public` bytes."""

    def __init__(self):
        self.raw = wire.generate_private_key()
        self.raw_public = wire.public_key(self.raw)
        self.private = base64.b64encode(self.raw).decode()
        self.public = base64.b64encode(self.raw_public).decode()


class Router:
    """One daemon. `command` is the command `wgembed`; `folder` is the folder of the test.

    prefix  a command that starts the daemon
    """

    def __init__(self, place, folder, command, prefix=(), **environment):
        self.place = place
        self.folder = Path(folder)
        self.config = self.folder / "config/wgembed"
        self.state = self.folder / "state"
        self.run_directory = self.folder / "run"
        for directory in (self.config.parent, self.state, self.run_directory):
            directory.mkdir(parents=True, exist_ok=True)
        self.command = command
        self._command = [*prefix, *command, "run", "--config-dir", str(self.config.parent)]
        self.environment = {
            **os.environ, "LOG_LEVEL": "verbose", "WGEMBED_RUN_DIR": str(self.run_directory),
            "WGEMBED_STATE_DIR": str(self.state), **environment,
        }  # fmt: skip
        self._child = None

    def write(self, *sections):
        """Replace the configuration, as `uci commit` does."""
        fresh = self.config.with_name(".new")
        fresh.write_text("\n".join(sections))
        fresh.chmod(0o600)
        fresh.rename(self.config)

    def start(self, *sections, within=10):
        if sections:
            self.write(*sections)
        self._child = self.place.spawn(*self._command, env=self.environment)
        self._child.expect(r"\(run\) ready", within)

    @property
    def pid(self):
        return self._child.pid

    def log(self):
        return self._child.text() if self._child else ""

    def running(self):
        return self._child.running()

    def reload(self, *sections, within=5):
        """Reload by signal, and wait for its end. Returns what the daemon logged in the meantime."""
        before = len(self.log())
        if sections:
            self.write(*sections)
        os.kill(self.pid, signal.SIGHUP)
        poll(lambda: re.search(DONE, self.log()[before:]), within, what="the end of a reload")
        return self.log()[before:]

    def expect(self, pattern, within):
        self._child.expect(pattern, within)

    def stop(self):
        self._child.stop()

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self._child.wait(5)

    # The view from outside

    def dump(self, name):
        """The lines of `wg show NAME dump`, split into fields."""
        return [line.split("\t") for line in self.place.run("wg", "show", name, "dump")[1].splitlines()]

    def handshake(self, name, key):
        """The time of the last handshake with the peer, in seconds since 1970; 0 if there was no handshake."""
        return {line[0]: int(line[4]) for line in self.dump(name)[1:]}.get(key)

    def mtu(self, name):
        return int(self.place.run("cat", f"/sys/class/net/{name}/mtu")[1])

    def switches(self):
        """The number of times that the process went to sleep."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])

    def memory(self):
        """Resident memory in KB."""
        return int(Path(f"/proc/{self.pid}/status").read_text().split("VmRSS:")[1].split()[0])


class Pair:
    """A router and a peer of another implementation, with each other's keys, and functions for their configuration.

    far  a lab.peers.Peer, started by `start_far`
    """

    INSIDE = {"near": ("10.77.0.1", "fd77::1"), "far": ("10.77.0.2", "fd77::2")}

    def __init__(self, router, site, far):
        self.router, self.site, self.far = router, site, far
        self.keys = Keys()
        self.name = unique("r")

    def start_far(self, *allowed, endpoint=None, keepalive=0):
        v4, v6 = self.INSIDE["near"]
        lines = ["[Interface]", f"PrivateKey = {base64.b64encode(self.far.private).decode()}",
                 f"ListenPort = {self.far.port}", "[Peer]", f"PublicKey = {self.keys.public}",
                 "AllowedIPs = " + ", ".join([f"{v4}/32", f"{v6}/128", *allowed])]  # fmt: skip
        if endpoint:
            lines.append(f"Endpoint = {endpoint}")
        if keepalive:
            lines.append(f"PersistentKeepalive = {keepalive}")
        self.far.addresses = [f"{self.INSIDE['far'][0]}/24", f"{self.INSIDE['far'][1]}/64"]
        self.far.start()
        self.far.load("\n".join(lines) + "\n")
        self.far.raise_()

    def interface(self, **options):
        v4, v6 = self.INSIDE["near"]
        given = {"private_key": self.keys.private, "listen_port": 51820, "addresses": [f"{v4}/24", f"{v6}/64"]}
        return interface(self.name, **{**given, **options})

    def peer(self, family=4, **options):
        v4, v6 = self.INSIDE["far"]
        given = {"public_key": self.far.key, "allowed_ips": [f"{v4}/32", f"{v6}/128"]}
        if family:
            given |= {"endpoint_host": self.far.site.outer[family], "endpoint_port": self.far.port}
        return peer(self.name, **{**given, **options})

    def other_peer(self, number, **options):
        """A section for another peer, which does not exist."""
        given = {"public_key": Keys().public, "allowed_ips": [f"10.{78 + (number >> 8)}.{number & 255}.0/24"]}
        return peer(self.name, **{**given, **options})

    def handshake(self):
        return self.router.handshake(self.name, self.far.key)


def rest(seconds):
    """Sleep, where a test expects that nothing happens."""
    time.sleep(seconds)
