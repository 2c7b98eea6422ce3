"""The daemon under MicroPython where something is missing or scarce: one sentence and an exit status, and no surprise."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ..lab import debian, micropython, net
from ..lab.need import need
from .test_daemon import ask, path
from .test_scale import configuration

SONAMES = ("libsodium.so.23", "libsodium.so.26", "libsodium.so.30", "libsodium.so")


@pytest.fixture
def name():
    return net.unique("m")


@pytest.fixture
def interpreter(tmp_path):
    """A copy of the interpreter and its libraries, to take something out of: the folder, and the command."""
    loader, _, libraries, program = need(debian.micropython_of_trixie)
    copy = tmp_path / "lib"
    copy.mkdir()
    for file in Path(libraries).glob("*.so*"):
        (copy / file.name).symlink_to(file)
    (copy / "micropython").write_bytes(Path(program).read_bytes())
    (copy / "micropython").chmod(0o755)
    folder = str(need(micropython.compiled))
    command = ["env", "-C", folder, loader, "--library-path", str(copy), str(copy / "micropython")]
    return copy, [*command, "-X", "heapsize=512K", "-m", "wgembed"]


def sentence(namespace, *argv):
    """What the daemon says that cannot start: a line on the standard error, nothing else."""
    done = subprocess.run(namespace.command(*argv), capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("wgembed: ") and done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
    return done.stderr


@pytest.mark.parametrize("mode", [["-f"], []], ids=["foreground", "background"])
@pytest.mark.parametrize("heap", ["64K", "128K", "192K", "256K", "288K", "320K"])
def test_too_small_a_heap(namespace, name, heap, mode):
    """Too small to load, to lay out the tables, or to have something left for the work: told at the start."""
    told = sentence(namespace, *need(lambda: micropython.command(heap)), *mode, name)
    assert "out of memory" in told and "heapsize" in told
    assert not path(name).exists()


def test_the_heap_that_the_sentence_names_is_enough(namespace, name):
    """512K are enough for 32 peers, and not for these."""
    with_peers = ["env", "WGEMBED_MAX_PEERS=256"]
    told = sentence(namespace, *with_peers, *need(lambda: micropython.command("512K")), name)
    heap = re.search(r"heapsize, for example (\w+)$", told)[1]
    child = namespace.spawn(*with_peers, *need(lambda: micropython.command(heap)), "-f", name)
    net.poll(lambda: path(name).exists(), 10)
    assert child.running()


def test_a_heap_that_is_accepted_carries_a_full_table(namespace, name):
    """The smallest for the usual 32 peers, and a page for luck; told of them all, again and again."""
    child = namespace.spawn(*need(lambda: micropython.command("456K")), "-f", name)
    net.poll(lambda: path(name).exists(), 10)
    namespace.ip("link", "set", name, "up")
    text = configuration(32)
    for _ in range(10):
        namespace.run("wg", "setconf", name, "/dev/stdin", input=text)
        told = ask(name, "get=1\n\n")
        assert told.count("public_key=") == told.count("allowed_ip=10.") == 32
    assert child.running()


@pytest.mark.parametrize("machine", [micropython.command, micropython.command32], ids=["micropython", "micropython32"])
def test_large_tables_take_no_time(namespace, name, machine):
    """A table that grew item by item took 5 s at this size."""
    command = need(lambda: machine("32M"))
    child = namespace.spawn("env", "WGEMBED_MAX_PREFIXES=65536", *command, "-f", name)
    net.poll(lambda: path(name).exists(), 2)
    key = "00" * 31 + "01"
    prefixes = "".join([f"allowed_ip=10.{n >> 8}.{n & 255}.0/24\n" for n in range(600)])
    assert ask(name, f"set=1\npublic_key={key}\n{prefixes}\n") == "errno=0\n\n"
    assert ask(name, "get=1\n\n").count("allowed_ip=") == 600
    assert child.running()


def test_no_memory_for_the_tables(namespace, name):
    """The machine has none left: the tables that stand outside the heap cannot be mapped."""
    limited = f'ulimit -v 40000 && exec "$@" -f {name}'
    command = ["env", "WGEMBED_MAX_PEERS=16383", *need(lambda: micropython.command("16M"))]
    assert "out of memory" in sentence(namespace, "sh", "-c", limited, "sh", *command)


def test_without_libsodium(namespace, interpreter, name):
    libraries, command = interpreter
    for soname in SONAMES:
        # A file in the way, for the machine's own may be found behind the folder.
        (libraries / soname).unlink(missing_ok=True)
        (libraries / soname).write_bytes(b"")
    assert "libsodium.so.23" in sentence(namespace, *command, "-f", name)


def test_without_ffi(namespace, interpreter, name):
    """A MicroPython whose module has another name has none of this one."""
    libraries, command = interpreter
    program = libraries / "micropython"
    program.write_bytes(program.read_bytes().replace(b"\0ffi\0", b"\0xxi\0"))
    assert "ffi" in sentence(namespace, *command, "-f", name)


def test_what_only_cpython_can(namespace):
    assert "wgembed.commands.demo" in sentence(namespace, *need(micropython.command), "demo")


def resident(pid, field):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"\n{field}:")[1].split()[0])


def test_memory_follows_the_need_and_not_the_heap(namespace, name):
    """Of a heap of 16 MB only what is in use is resident, however much garbage there was in the meantime."""
    child = namespace.spawn(*need(lambda: micropython.command("16M")), "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    child.expect("ready", 10)
    for _ in range(500):
        assert ask(name, "set=1\npublic_key=" + "11" * 32 + "\nallowed_ip=10.0.0.0/8\n\nget=1\n\n").endswith("errno=0\n\n")
    assert resident(child.pid, "RssAnon") < 1024


def test_what_only_the_start_needed_is_not_resident(namespace, name):
    """Code, and the constants and symbols of the libraries."""
    child = namespace.spawn(*need(micropython.command), "-f", name)
    net.poll(lambda: path(name).exists() and resident(child.pid, "VmRSS") < 2500, 5, what="less than 2500 kB")


RECEIVE = """
import gc
from wgembed.runtime import system
netlink = system.netlink.Netlink(0)
listener = system.local.Listener("%s")
system.local.is_answered("%s")
stream = listener.accept()
received = system.files.reserve(4096)
gc.collect()
gc.disable()
before = gc.mem_alloc()
for _ in range(10):
    assert netlink.receive() is None
    assert stream.receive_into(received) == 0
print(gc.mem_alloc() - before)
"""


def test_receiving_needs_no_large_piece_of_the_heap(namespace, tmp_path):
    """A heap in long use has room, but not in one piece."""
    command = need(micropython.command)
    code = RECEIVE % ((tmp_path / "socket",) * 2)
    _, told = namespace.run(*command[: command.index("-m")], "-c", code)
    assert int(told) < 4096


# Where frames would come to lie: what is too large for the small gaps between what was loaded.
HEAP_SCRIPT = """
from wgembed.runtime import system
import gc
import uctypes
from wgembed.daemon import single
place = lambda: uctypes.addressof(bytearray(2000))
kept = place()
system.heap.release()
first = place()
assert first < kept, "frames go behind everything"
staying = []
for number in range(50):
    system.heap.reserve()
    staying += [bytearray(2000), bytearray(3), (number, 1), bytearray(40), [number] * 5]
    if number % 2:
        system.heap.reserve()
        system.heap.release()
        assert place() >= first + 8192, "given while another keeps it"
    system.heap.release()
    assert 0 <= place() - first < 4096, "what stays took the room"
staying.append(bytearray(500))
system.heap.reserve()
staying += [bytearray(2000) for _ in range(8)]
system.heap.release()
assert 0 <= place() - first < 4096, "one thing in the room, and the rest of it is gone"
system.heap.reserve()
rest = []
try:
    while True:
        rest.append(bytearray(4000))
except MemoryError:
    pass
system.heap.release()
rest.append(bytearray(2000))
system.heap.reserve()
"""


TURN_SCRIPT = """
from wgembed.runtime import system
import gc
poller = system.poll.Poller()
read, write = system.process.pipe()
poller.watch(write, system.poll.OUT)

def turn():
    for fd, events in poller.wait(0):
        system.clock.now()
    system.clock.now()

def turns():
    before = gc.mem_alloc()
    for _ in range(1000):
        turn()
    return gc.mem_alloc() - before

turns()
gc.disable()
print(turns())
"""


def test_a_turn_leaves_no_garbage():
    """A few bytes each would soon be all over the room for frames."""
    command = ["env", "-C", str(need(micropython.compiled)), *need(debian.micropython), "-c", TURN_SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.stdout == "0\n", done.stdout + done.stderr


def test_frames_have_room_at_the_beginning_of_the_heap():
    """Behind everything, each call of a larger function would be a search through all that is kept."""
    interpreter = [*need(debian.micropython), "-X", "heapsize=512K"]
    command = ["env", "-C", str(need(micropython.compiled)), *interpreter, "-c", HEAP_SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
