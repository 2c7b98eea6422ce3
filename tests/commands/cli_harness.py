"""Where `wg`, real and ours, is asked the same: a mount and network namespace whose control sockets are the test's."""

import ctypes
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..lab import debian, micropython
from ..lab.need import need, privileges, programs
from ..lab.uapi import DONE, UapiServer

ALL = ("newest", "debian", "cpython", "micropython")
OURS = ("cpython", "micropython")
ROOT = Path(__file__).parents[2]
CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x20000, 0x40000000
TRIES = 3  # a second may end between the answers to two programs
HOSTS = "127.0.0.1 localhost\n192.0.2.7 seven.test\n2001:db8::8 eight.test\n"
RESOLV = "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"
MAKE = """
mount --bind "$1/sockets" /run/wireguard && mount --bind "$1/hosts" /etc/hosts &&
mount --bind "$1/resolv.conf" /etc/resolv.conf && ip link set lo up && echo ready && exec cat
"""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Case:
    """A command line, and what surrounds it.

    answers   of the interfaces that are there, by name: to `get`
    to_set    their answer to `set`
    files     in the working directory: content by name
    as_newest whether Debian 12's wg does as the newest does
    ours      where we differ: what comes of it here, in place of what comes of the newest wg
    note      what it is about
    """

    arguments: list
    answers: dict = field(default_factory=dict)
    to_set: bytes | None = DONE
    files: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    stdin: bytes = b""
    as_newest: bool = True
    ours: tuple | None = None
    note: str = ""

    def __str__(self):
        text = " ".join([*self.arguments, *([f"({self.note})"] if self.note else [])])
        return "".join(c if c.isprintable() and c.isascii() else "?" for c in text)[:80]


@dataclass
class Result:
    status: int
    stdout: bytes
    stderr: bytes
    requests: list

    def __str__(self):
        return "\n".join(f"{name}: {value!r}" for name, value in vars(self).items())


def find_programs(folder):
    """Return (argv, environment) of each wg by name; all are called `wg`."""
    need(privileges)
    need(programs, "wg", "ip", "unshare", "mount")
    loader, *rest = need(debian.wg_sid)
    # As the launcher of the OpenWrt packages starts it: by the name of a file.
    script = folder / "wg"
    shutil.copy(ROOT / "package/files/start.py", script)
    return {
        "newest": ([loader, "--argv0", "wg", *rest], {}),
        "debian": (["wg"], {}),
        "cpython": ([sys.executable, str(script)], {"PYTHONPATH": str(ROOT)}),
        "micropython": (
            [*need(debian.micropython), "-X", "heapsize=1M", str(script)],
            {"MICROPYPATH": str(need(micropython.compiled))},
        ),
    }


class Place:
    """The namespaces, and a working directory."""

    def __init__(self, folder):
        self.sockets, self.work = folder / "sockets", folder / "work"
        for directory in (self.sockets, self.work):
            directory.mkdir(parents=True)
        (folder / "hosts").write_text(HOSTS)
        (folder / "resolv.conf").write_text(RESOLV)
        os.makedirs("/run/wireguard", exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "-m", "-n", "sh", "-c", MAKE, "sh", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout.readline() == b"ready\n"
        # What is started by this thread alone is there.
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)

    def _enter(self):
        namespaces = [os.open(f"/proc/{self._holder.pid}/ns/{name}", os.O_RDONLY) for name in ("mnt", "net")]
        if _libc.unshare(CLONE_FS):
            raise OSError(ctypes.get_errno(), "unshare")
        for fd, kind in zip(namespaces, (CLONE_NEWNS, CLONE_NEWNET), strict=True):
            if _libc.setns(fd, kind):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(fd)

    def close(self):
        self._thread.shutdown()
        self._holder.stdin.close()
        self._holder.wait(5)

    def submit(self, function, *arguments):
        """Have the function called in here; returns the future of what it returns."""
        return self._thread.submit(function, *arguments)

    def execute(self, argv, case, **how):
        """Run a command line in the case's surroundings; to be called in here."""
        usual = {"PATH": os.environ["PATH"], "HOME": "/", "WG_ENDPOINT_RESOLUTION_RETRIES": "0"}
        environment = {**usual, **case.environment, **how.pop("environment", {})}
        options = {"input": case.stdin, "capture_output": True, "cwd": self.work, "timeout": 60, **how}
        return subprocess.run([*argv, *case.arguments], env=environment, **options)

    def run(self, case, wgs):
        """Return each program's Result by name; to be called in here."""
        for name, content in case.files.items():
            (self.work / name).write_bytes(content)
        servers = {
            name: UapiServer(self.sockets / f"{name}.sock", answer, case.to_set) for name, answer in case.answers.items()
        }
        try:
            return {name: self._result(case, servers, *wg) for name, wg in wgs.items()}
        finally:
            for server in servers.values():
                server.close()
            for path in [*self.sockets.iterdir(), *self.work.iterdir()]:
                path.unlink()

    def _result(self, case, servers, argv, environment):
        done = self.execute(argv, case, environment=environment)
        requests = [(name, request) for name, server in servers.items() for request in server.take()]
        return Result(done.returncode, done.stdout, done.stderr, requests)


def mistakes(case, results):
    """Return what is not as it should be, as text; empty if all is."""
    wanted = Result(*case.ours) if case.ours else results["newest"]
    wrong = {name: result for name, result in results.items() if name in OURS and result != wanted}
    if (results["debian"] == results["newest"]) != case.as_newest:
        wrong["debian"] = results["debian"]
    if case.ours and results["newest"] == wanted:
        return "no difference is left"
    return "\n\n".join(f"-- {name}\n{result}" for name, result in [*wrong.items(), ("wanted", wanted)]) if wrong else ""


def check(place, case, wgs):
    """Return the case's mistakes; to be called in the place."""
    for _ in range(TRIES):
        found = mistakes(case, place.run(case, wgs))
        if not found:
            break
    return found
