"""Big-endian and 32-bit machines: the unit tests there, and tunnels between them and this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wgembed.commands import verbs

from ..lab import foreign, micropython, wire
from ..lab.need import need
from ..lab.net import Process
from ..lab.patience import stretch

ROOT = Path(__file__).parents[2]
UNIT_TESTS = ["-m", "tests.unit.run"]
EXCHANGE = ["-m", "tests.foreign.exchange"]
# Two devices with all their buffers, twice
HEAP = ["-X", "heapsize=4M"]


@pytest.fixture(params=["s390x", "armhf"])
def architecture(request):
    return request.param


@pytest.fixture(params=["cpython", "micropython"])
def interpreter(request, architecture):
    if request.param == "cpython":
        return need(foreign.python, architecture)
    return [*need(foreign.micropython, architecture), *HEAP]


def test_unit_tests(interpreter):
    done = subprocess.run([*interpreter, *UNIT_TESTS], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    passed, failed = done.stdout.split()[-4::2]
    assert int(passed) > 200 and failed == "0"


@pytest.mark.parametrize("initiator", ["here", "there"])
def test_exchange(interpreter, initiator):
    """A handshake and packets of many sizes, both ways, between that machine and this one."""
    asking, echoing = [sys.executable], interpreter
    if initiator == "there":
        asking, echoing = echoing, asking
    keys = [wire.generate_private_key() for _ in range(2)]
    publics = [wire.public_key(key).hex() for key in keys]
    echo = Process(["env", "-C", str(ROOT), *echoing, *EXCHANGE, "echo", keys[0].hex(), publics[1]])
    try:
        port = echo.expect(r"(?m)^(\d+)$", 20)[1]
        command = [*asking, *EXCHANGE, "ask", keys[1].hex(), publics[0], port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr + echo.text()
    finally:
        echo.stop()


# What glibc calls mmap64 takes an offset of 64 bits, as the one mmap of musl does.
LIKE_MUSL = """
import ffi, sys
class Library:
    def __init__(self, opened):
        self.opened = opened
    def func(self, result, name, arguments):
        return self.opened.func(result, "mmap64" if name == "mmap" else name, arguments)
class Ffi:
    @staticmethod
    def open(name):
        return Library(ffi.open(name))
sys.modules["ffi"] = Ffi
sys.path.insert(0, sys.argv[1])
from wgembed.runtime import system
memory = system.files.alloc("B", 1 << 16)
memory[-1] = 7
print(len(memory), memory[0], memory[-1])
"""


def test_memory_with_the_offsets_of_musl(architecture, tmp_path):
    script = tmp_path / "memory.py"
    script.write_text(LIKE_MUSL)
    command = need(foreign.micropython, architecture)
    done = subprocess.run([*command, script, ROOT], capture_output=True, text=True, timeout=60)
    assert done.stdout == "65536 0 7\n", done.stdout + done.stderr


# The millisecond counter of MicroPython, and a machine where nothing ever happens.
AT_REST = """
import sys, time
DAY = 24 * 3600 * 1000
class Time:
    ticks = 5
    ticks_diff = staticmethod(time.ticks_diff)
    time_ns = staticmethod(time.time_ns)
    @staticmethod
    def ticks_ms():
        return Time.ticks & (1 << 30) - 1
sys.modules["time"] = Time
sys.path.insert(0, sys.argv[1])
from wgembed.runtime import system
from wgembed.runtime.loop import Loop
class Poller:
    def wait(self, timeout):
        Time.ticks += 9 * DAY if timeout is None else timeout
        if Time.ticks >= 9 * DAY:
            loop.stop()
        return ()
system.poll.Poller = Poller
loop = Loop(lambda: None)
before = system.clock.now()
loop.run()
print((system.clock.now() - before) // DAY)
"""


AN_HOUR = """
import sys
sys.path.insert(0, sys.argv[1])
import ffi
from wgembed.runtime import tool
ffi.open("libc.so.6").func("I", "alarm", "I")(1)
tool.sleep_us(3_600_000_000)
"""


def test_an_hour_between_two_looks(tmp_path):
    """In microseconds it is more than 31 bits hold. An alarm ends it."""
    script = tmp_path / "hour.py"
    script.write_text(AN_HOUR)
    done = subprocess.run([*need(foreign.micropython, "armhf"), script, ROOT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (-signal.SIGALRM, "")


def test_nine_days_at_rest(tmp_path):
    """MicroPython's counter takes six days at a time; timers must not find themselves in the past then."""
    script = tmp_path / "rest.py"
    script.write_text(AT_REST)
    done = subprocess.run([*need(foreign.micropython, "armhf"), script, ROOT], capture_output=True, text=True, timeout=60)
    assert done.stdout == "9\n", done.stdout + done.stderr


# It is called as the command is, but below a few more frames of the interpreter's stack.
DEEPER = """
import sys
from wgembed.__main__ import main
def call(frames, words):
    return call(frames - 1, words) if frames else main(words)
sys.exit(call(8, sys.argv[1:]))
"""


def test_commands_load(tmp_path):
    """The stack of MicroPython on 32-bit machines has 40 KB, and each import inside an import takes some of them."""
    script = tmp_path / "deeper.py"
    script.write_text(DEEPER)
    python = [*need(foreign.micropython, "armhf"), "-X", f"heapsize={micropython.HEAP}"]
    environment = {**os.environ, "MICROPYPATH": str(need(micropython.compiled, "armv7m"))}
    for verb in verbs():
        if verb != "demo":
            command = [*python, script, verb, "--nothing"]
            done = subprocess.run(command, input="", env=environment, capture_output=True, text=True, timeout=stretch(60))
            assert "RuntimeError" not in done.stdout + done.stderr and done.stdout + done.stderr, verb
