"""Network namespaces, the veth pair between them, and commands that run inside.

The name of a namespace contains the id of the process that made it. So several test runs can share a machine, and a later
run can remove the namespaces of a killed one.
"""

import contextlib
import ctypes
import itertools
import os
import re
import socket
import subprocess
import tempfile
import threading
import time

from .leftovers import sweep_namespaces
from .need import NotInstalled
from .patience import stretch

PREFIX = "wgl"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class CommandFailed(AssertionError):
    """A command in a namespace or guest ended with an error."""


def unique(letter):
    """An interface name that no other test run uses: control sockets are shared by all namespaces."""
    return f"{letter}{os.getpid()}n{next(_numbers)}"


def poll(question, within, every=0.05, what="the condition"):
    """Call the function until its result is true, and return it. Fail after `within` seconds, of a quiet machine."""
    begin = time.monotonic()
    while True:
        answer = question()
        if answer:
            return answer
        # The machine can have become busy in the meantime.
        waited = time.monotonic() - begin
        if waited > within and waited > stretch(within):
            raise AssertionError(f"{what}: not within {within} s, {waited:.0f} s here")
        time.sleep(every)


class Background:
    """A running command. Its output can be read while it runs."""

    def wait(self, timeout):
        """The exit code."""
        raise NotImplementedError

    def text(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def running(self):
        raise NotImplementedError

    def expect(self, pattern, within):
        """Wait until the output has `pattern`."""

        def found():
            ended = not self.running()
            match = re.search(pattern, self.text())
            if ended and not match:
                raise CommandFailed(f"ended without {pattern!r}: {self.text()[-2000:]}")
            return match

        return poll(found, within, what=f"output {pattern!r}")

    def finish(self, timeout):
        """Return the output of a command that must end with status 0 within `timeout`."""
        code = self.wait(timeout)
        if code:
            raise CommandFailed(f"exit code {code}: {self.text()[-2000:]}")
        return self.text()


class Process(Background):
    """A child process of ours. Only this process is killed, by its pid."""

    def __init__(self, argv, env=None):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log)
        self.pid = self._child.pid

    def wait(self, timeout):
        return self._child.wait(stretch(timeout))

    def running(self):
        return self._child.poll() is None

    def text(self):
        if self._log.closed:
            return self._last
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def tell(self, line):
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()

    def stop(self):
        if self.running():
            self._child.terminate()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        self._last = self.text()
        self._log.close()


class Namespace:
    """A network namespace of this run."""

    def __init__(self):
        sweep_namespaces()
        self.name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self._children = []
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def close(self):
        with contextlib.ExitStack() as stack:
            stack.callback(_ip, "netns", "del", self.name)
            for child in self._children:
                stack.callback(child.stop)

    def command(self, *argv):
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv, input=None, timeout=20, check=True):
        """Run a command to its end; return (exit code, output)."""
        done = subprocess.run(
            self.command(*argv),
            input=input,
            text=True,
            timeout=stretch(timeout),
            stdin=None if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise CommandFailed(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}")
        return done.returncode, done.stdout

    def spawn(self, *argv, env=None, timeout=None):
        """Start a command. It ends with this namespace at the latest."""
        child = Process(self.command(*argv), env)
        self._children.append(child)
        return child

    def ip(self, *args):
        return _ip("-n", self.name, *args)

    def socket(self, family, kind, proto=0):
        """Return a socket in this namespace."""
        with self.entered():
            return socket.socket(family, kind, proto)

    @contextlib.contextmanager
    def entered(self):
        """Move the calling thread into the namespace."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _setns(there)
            yield
        finally:
            _setns(home)
            os.close(there)
            os.close(home)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*args):
    try:
        done = subprocess.run(["ip", *args], capture_output=True, text=True, timeout=stretch(20))
    except FileNotFoundError:
        raise NotInstalled("ip") from None
    if done.returncode:
        raise CommandFailed(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


class Site:
    """A machine on the outer network: where its commands run, its outer device, its outer addresses."""

    def __init__(self, place, device, number):
        self.place, self.device = place, device
        self.home = {4: f"192.0.2.{number}", 6: f"2001:db8::{number:x}"}
        self.outer = {}

    def settle(self):
        """Set the addresses with which this site starts."""
        self.outer.clear()
        self.place.ip("addr", "flush", "dev", self.device, "scope", "global")
        self.place.ip("link", "set", self.device, "up")
        for family in (4, 6):
            self.readdress(family, self.home[family])

    def readdress(self, family, address):
        """Replace the outer address of one family."""
        length = {4: 24, 6: 64}[family]
        if family in self.outer:
            self.place.run("ip", "addr", "del", f"{self.outer[family]}/{length}", "dev", self.device, check=False)
        nodad = ["nodad"] if family == 6 else []
        self.place.ip("addr", "replace", f"{address}/{length}", "dev", self.device, *nodad)
        self.outer[family] = address

    def endpoint(self, family, port):
        host = self.outer[family]
        return f"[{host}]:{port}" if family == 6 else f"{host}:{port}"

    def mac(self):
        return self.place.run("cat", f"/sys/class/net/{self.device}/address")[1].strip()


def veth(near, far, mtu=1500):
    """Connect two namespaces. Return their sites, with addresses."""
    size = ("mtu", str(mtu))
    near.ip("link", "add", "outer", *size, "type", "veth", "peer", "name", "outer", "netns", far.name, *size)
    sites = Site(near, "outer", 1), Site(far, "outer", 2)
    for site in sites:
        site.settle()
    return sites


class Stranger(Namespace):
    """A third machine, on a separate network behind `near`, which is its router."""

    ADDRESS = {4: "198.51.100.2", 6: "2001:db8:1::2"}
    ROUTER = {4: "198.51.100.1", 6: "2001:db8:1::1"}
    NETWORK = {4: "198.51.100.0/24", 6: "2001:db8:1::/64"}

    def __init__(self, near, far):
        super().__init__()
        device = unique("s")
        near.place.ip("link", "add", device, "type", "veth", "peer", "name", "outer", "netns", self.name)
        near.place.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        near.place.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        for family, length, nodad in ((4, 24, []), (6, 64, ["nodad"])):
            near.place.ip("addr", "add", f"{self.ROUTER[family]}/{length}", "dev", device, *nodad)
            self.ip("addr", "add", f"{self.ADDRESS[family]}/{length}", "dev", "outer", *nodad)
        near.place.ip("link", "set", device, "up")
        self.ip("link", "set", "outer", "up")
        for family in (4, 6):
            self.ip("route", "add", "default", "via", self.ROUTER[family])
            far.place.ip("route", "replace", self.NETWORK[family], "via", near.outer[family])
