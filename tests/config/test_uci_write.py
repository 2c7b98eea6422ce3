"""UCI files written: as libuci writes them, one at a time, and never half. On both interpreters."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wgembed.config import uci, uci_write
from wgembed.errors import UserError

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]
SECRET = "QkFEIEtFWSBCQUQgS0VZIEJBRCBLRVkgQkFEIEtFWSE="
OLD = b"# made by hand\nconfig interface wg0\n\toption private_key generate\n\tlist addresses 10.0.0.1/24\nconfig peer\n"
NEW = f"""
config interface 'wg0'
\toption private_key '{SECRET}'
\tlist addresses '10.0.0.1/24'

config peer

""".encode()


@pytest.fixture(params=["cpython", "micropython"])
def runner(request):
    """The command that either interpreter runs the runner with."""
    interpreter = [sys.executable] if request.param == "cpython" else need(debian.micropython)
    return ["env", "-C", str(ROOT), *interpreter, "-m", "tests.config.uci_runner"]


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "t").write_bytes(OLD)
    (tmp_path / "t").chmod(0o644)
    return tmp_path


def run(runner, *arguments):
    return subprocess.run([*runner, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def store(runner, directory, *change, override=""):
    return run(runner, "store", directory, override, *change)


def test_export():
    package = uci.parse(b"t", b"config a\nconfig b c\noption d \"it's\"\nlist e 1\nlist e '2\n'\n")
    text = b"\nconfig a\n\nconfig b 'c'\n\toption d 'it'\\''s'\n\tlist e '1'\n\tlist e '2\n'\n\n"
    assert uci_write.export(package) == text
    assert uci_write.export(package, header=True) == b"package t\n" + text
    assert uci_write.export(uci.Package(b"t")) == b"\n"


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o400])
def test_mode_and_owner_stay(runner, directory, mode):
    (directory / "t").chmod(mode)
    if os.getuid() == 0:
        os.chown(directory / "t", 1234, 567)
    before = (directory / "t").stat()
    done = store(runner, directory, "t", "wg0", "private_key", SECRET)
    assert done.returncode == 0, done.stderr
    after = (directory / "t").stat()
    assert (directory / "t").read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino and os.listdir(directory) == ["t"]


def test_new_option_and_removal(runner, directory):
    store(runner, directory, "t", "cfg023511", "description", "it's")
    assert (directory / "t").read_bytes().endswith(b"\nconfig peer\n\toption description 'it'\\''s'\n\n")
    store(runner, directory, "t", "wg0", "addresses", "one")
    store(runner, directory, "t", "wg0", "private_key", "")
    assert (directory / "t").read_bytes().startswith(b"\nconfig interface 'wg0'\n\toption addresses 'one'\n\nconfig")


def test_nothing_to_change(runner, directory):
    """A file in which it stands already is not written: comments stay, and so does the flash."""

    def written():
        status = (directory / "t").stat()
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns

    before = written()
    assert store(runner, directory, "t", "wg0", "private_key", "generate").returncode == 0
    assert (directory / "t").read_bytes() == OLD and written() == before


REFUSED = [
    (OLD, ("t", "wg1", "x", "1"), "UserError: the file has no section wg1"),
    (OLD, ("t", "wg0", "a-b", "1"), "UserError: cannot write wg0.?"),
    (OLD, ("t", "wg0", "x", "\x01"), "UserError: cannot write wg0.x"),
    (OLD, ("none", "wg0", "x", "1"), "Error"),
    (OLD + b"bad\n", ("t", "wg0", "x", "1"), "ParseError: Parse error (invalid command) at line 6, byte 0"),
    (OLD + b'config "a#"\n', ("t", "wg0", "x", "1"), "UserError: cannot write the file: UCI cannot store the type"),
    (OLD + b'config "it\'s"\n', ("t", "wg0", "x", "1"), "UserError: cannot write the file: UCI cannot store the type"),
]


@pytest.mark.parametrize("text, change, error", REFUSED)
def test_refused(runner, directory, text, change, error):
    (directory / "t").write_bytes(text)
    done = store(runner, directory, *change)
    assert done.returncode == 1 and error in done.stderr
    assert (directory / "t").read_bytes() == text and os.listdir(directory) == ["t"]


def test_what_is_no_file(runner, directory):
    os.mkfifo(directory / "pipe")
    done = store(runner, directory, "pipe", "wg0", "x", "1")
    assert done.returncode == 1 and " is not a regular file" in done.stderr


def test_a_link_stays_one(runner, directory):
    (directory / "real").mkdir()
    (directory / "t").rename(directory / "real" / "u")
    (directory / "t").symlink_to("real/u")
    assert store(runner, directory, "t", "wg0", "private_key", SECRET).returncode == 0
    assert os.readlink(directory / "t") == "real/u" and (directory / "real" / "u").read_bytes() == NEW
    assert os.listdir(directory / "real") == ["u"]


def test_the_override_is_what_is_changed(runner, directory):
    (directory / "over").mkdir()
    (directory / "over" / "t").write_bytes(OLD)
    done = store(runner, directory, "t", "wg0", "private_key", SECRET, override=directory / "over")
    assert done.returncode == 0, done.stderr
    assert (directory / "over" / "t").read_bytes() == NEW and (directory / "t").read_bytes() == OLD


def test_a_stale_temporary_file(runner, directory):
    """Power cuts leave one, and a process number comes again."""
    command = ["sh", "-c", 'echo stale >"$0/.t.uci-$$"; exec "$@"', directory, *runner, "store", directory, ""]
    done = subprocess.run([*command, "t", "wg0", "private_key", SECRET], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (directory / "t").read_bytes() == NEW and os.listdir(directory) == ["t"]


def waits_for_lock(process):
    """Whether the process comes to wait for a lock within some seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(f" {process.pid} " in line and "->" in line for line in Path("/proc/locks").read_text().splitlines()):
            return True
        assert process.poll() is None
        time.sleep(0.01)
    return False


def started(runner, directory, option, value):
    return subprocess.Popen([*runner, "store", directory, "", "t", "wg0", option, value], stderr=subprocess.PIPE)


def test_it_waits_for_the_lock(runner, directory):
    """While libuci holds the file nothing happens; what libuci has put there meanwhile is what is changed."""
    with open(directory / "t", "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = started(runner, directory, "private_key", SECRET)
        assert waits_for_lock(process)
        assert (directory / "t").read_bytes() == OLD
        # As libuci commits: another file by that name, and then the lock is let go.
        (directory / "new").write_bytes(OLD + b"config committed meanwhile\n")
        (directory / "new").rename(directory / "t")
    assert process.wait(20) == 0, process.stderr.read()
    assert (directory / "t").read_bytes() == NEW + b"config committed 'meanwhile'\n\n"


def test_a_reader_with_the_lock(runner, directory):
    with open(directory / "t", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        process = started(runner, directory, "x", "1")
        assert waits_for_lock(process)
    assert process.wait(20) == 0


def test_many_at_once(runner, directory):
    """None of the changes is lost."""
    processes = [started(runner, directory, f"x{n}", str(n)) for n in range(12)]
    assert [process.wait(60) for process in processes] == [0] * 12
    section = uci.parse(b"t", (directory / "t").read_bytes()).find(b"wg0")
    assert {option.name: option.value for option in section.options if option.name[:1] == b"x"} == {
        b"x%d" % n: b"%d" % n for n in range(12)
    }
    assert os.listdir(directory) == ["t"]


def test_replaced_at_the_last_moment(directory, monkeypatch):
    """libuci renames after it has let go of the lock."""
    write = uci_write.system.files.write
    others = [b"config first\nconfig interface wg0\n", b"config second\nconfig interface wg0\n"]

    def late(fd, text):
        write(fd, text)
        if others:
            (directory / "new").write_bytes(others.pop(0))
            (directory / "new").rename(directory / "t")

    monkeypatch.setattr(uci_write.system.files, "write", late)
    uci_write.store("t", b"wg0", b"x", b"1", str(directory), "")
    assert (directory / "t").read_bytes() == b"\nconfig second\n\nconfig interface 'wg0'\n\toption x '1'\n\n"
    assert os.listdir(directory) == ["t"]


def test_who_waits_sees_it(runner, directory):
    """libuci goes on with the file that it has opened, once it has the lock."""
    with open(directory / "t", "rb") as waiting:
        store(runner, directory, "t", "wg0", "private_key", SECRET)
        assert waiting.read() == NEW
    os.link(directory / "t", directory / "copy")
    store(runner, directory, "t", "wg0", "private_key", "other")
    assert (directory / "copy").read_bytes() == NEW


def test_a_file_that_is_never_the_same(directory, monkeypatch):
    """As on a file system that makes up its inode numbers."""
    monkeypatch.setattr(uci, "is_at", lambda fd, path: False)
    with pytest.raises(UserError, match="keeps replacing"):
        uci_write.store("t", b"wg0", b"x", b"1", str(directory), "")
    assert (directory / "t").read_bytes() == OLD and os.listdir(directory) == ["t"]
    assert uci.load("t", directory=str(directory), override="", saved="").find(b"wg0")


def steps(runner, directory, number, how):
    (directory / "t").unlink()
    (directory / "t").write_bytes(OLD)
    (directory / "t").chmod(0o600)
    done = run(runner, "steps", directory, SECRET, number, how)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_order_of_things(runner, directory):
    """What makes it safe: the content is on the disk before the name, and the name before we say so."""
    verdict, *calls = steps(runner, directory, 0, "raise")
    assert verdict == "done" and (directory / "t").read_bytes() == NEW
    before, _, after = " ".join(calls).partition(" create ")
    assert before == "real_path open_for_change lock status status status read read status"
    assert after == "write set_owner set_mode sync close status status rename status write_over write sync_directory close"


def test_every_call_may_fail(runner, directory):
    """The old file is whole, and nothing lies beside it; once it has the name the new one is."""
    calls = steps(runner, directory, 0, "raise")[1:]
    for number, expected in enumerate(calls, 1):
        renamed = number > calls.index("rename") + 1
        verdict, *details = steps(runner, directory, number, "raise")
        if calls[number - 1] in ("status", "write_over", "write") and renamed:
            assert verdict == "done"
        else:
            assert (verdict, *details) == ("failed", expected, "False")
        assert (directory / "t").read_bytes() == (NEW if renamed else OLD), expected
        assert os.listdir(directory) == ["t"], expected


def test_it_may_end_at_any_call(runner, directory):
    """As in a power cut. What it leaves beside the file is no package to libuci, and readable for the owner alone."""
    calls = steps(runner, directory, 0, "raise")[1:]
    for number, expected in enumerate(calls, 1):
        assert steps(runner, directory, number, "exit") == ["exit", expected]
        renamed = number > calls.index("rename") + 1
        assert (directory / "t").read_bytes() == (NEW if renamed else OLD), expected
        for left in directory.glob(".t.uci-*"):
            assert left.stat().st_mode & 0o777 == 0o600
            left.unlink()
