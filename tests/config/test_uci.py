"""UCI files: the real libuci's answers to 3,000 of them, and what they do not cover."""

import fcntl
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgembed.config import uci, uci_write

from ..lab import debian
from ..lab.need import need


def golden(name):
    with gzip.open(Path(__file__).parent / name, "rt") as lines:
        return [json.loads(line) for line in lines]


# text, what changes it (delta, not committed), and what the library shows in either mode
GOLDEN = golden("uci-golden.jsonl.gz")
# also: a file in the override directory (over), the lines that are skipped with a message, and the export, both in lenient
# mode. Where `committed` it was checked that `uci commit` leaves the same file.
MORE = golden("uci-golden-2.jsonl.gz")


def answer(text, delta, strict):
    """What the reader says, in the form of the golden file: every character of a string is a byte."""
    try:
        package = uci.parse(b"t", text.encode("latin-1"), strict)
    except uci.ParseError as e:
        return {"error": str(e)}
    if delta is not None:
        uci.apply_changes(package, delta.encode("latin-1"))
    return {"show": package.show().decode("latin-1")}


def test_golden_files_are_all_here():
    assert len(GOLDEN) == 1500 and sum("delta" in case for case in GOLDEN) > 100
    assert len(MORE) == 1490 and sum("over" in case for case in MORE) > 50
    assert sum("delta" in case for case in MORE) > 800 and sum("committed" in case for case in MORE) > 350


@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_as_libuci(mode):
    wrong = [case for case in GOLDEN if answer(case["text"], case.get("delta"), mode == "strict") != case[mode]]
    assert wrong == []


@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_more_as_libuci(mode, tmp_path):
    wrong = [case for case in MORE if loaded(case, mode == "strict", tmp_path) != case[mode]]
    assert wrong == []


def loaded(case, strict, folder):
    """As `answer`, but from files."""
    directories = []
    for part in ("text", "delta", "over"):
        directory = folder / part
        directory.mkdir(exist_ok=True)
        directories.append(str(directory))
        (directory / "t").unlink(missing_ok=True)
        if part in case:
            (directory / "t").write_bytes(case[part].encode("latin-1"))
    try:
        return {"show": uci.load("t", strict, *directories).show().decode("latin-1")}
    except uci.ParseError as e:
        return {"error": str(e)}


def test_what_is_written_reads_back():
    """All but a type that needs quotes, which libuci does not give it."""
    again = 0
    for case in MORE:
        package = uci.parse(b"t", case.get("over", case["text"]).encode("latin-1"), strict=False)
        if not any(uci_write._has_mark(section.kind) for section in package.sections):
            text = uci_write.export(package)
            assert uci_write.export(uci.parse(b"t", text)) == text
            again += 1
    assert again > 1200


def test_skipped_and_exported_as_libuci():
    wrong = []
    for case in MORE:
        package = uci.parse(b"t", case.get("over", case["text"]).encode("latin-1"), strict=False)
        uci.apply_changes(package, case.get("delta", "").encode("latin-1"))
        if (package.skipped, uci_write.export(package).decode("latin-1")) != (case["skipped"], case["export"]):
            wrong.append(case)
    assert wrong == []


def test_names_that_are_made_up():
    package = uci.parse(b"n", b"config system\n" + b"config x\n" * 3 + b"config wireguard_wg0\n")
    assert package.sections[0].name == b"cfg01e48a" and package.sections[4].name == b"cfg0596fc"


def test_byte_order_mark():
    with pytest.raises(uci.ParseError, match="invalid command.* at line 1, byte 0"):
        uci.parse(b"n", b"\xef\xbb\xbfconfig a\n")


def lines(package):
    """Every section and option with its line, as `name:line`."""
    return " ".join(
        "%s:%d" % (thing.name.decode(), thing.line) for section in package.sections for thing in [section, *section.options]
    )


LINES = [
    (b"config a a\n\toption x 1\n\n# no\n\tlist y 1\n\tlist y 2\nconfig b b", "a:1 x:2 y:6 b:7"),
    (b"config a a\noption x 1\nconfig b b\nconfig a a\noption x 2\noption z 1", "a:1 x:5 z:6 b:3"),
    (b"config a a ; option x 1\noption y 'on\ntwo' ; option z 1\noption w 1", "a:1 x:1 y:2 z:3 w:4"),
    (b'config \\\na a\noption x \\\n\\\n1 ; list y "\n"; option z 1\n', "a:1 x:3 y:5 z:6"),
    (b"config a a\noption x 1\noption x ''\nlist x 2\noption x 3\noption y\n", "a:1 x:5"),
    (b"config a a\noption x 1\0 hidden\noption y 1\noption z 1\n", "a:1 x:2 z:4"),
    (b"config a a\r\nbad\r\nconfig b a\r\noption x 1\r\n", "a:3 x:4"),
]


@pytest.mark.parametrize("text, expected", LINES)
def test_lines(text, expected):
    assert lines(uci.parse(b"t", text, False)) == expected


def test_lines_of_changes():
    """What an uncommitted change has set stands in no line of the file."""
    package = uci.parse(b"t", b"config a a\noption x 1\nlist y 1\noption z 1\nconfig b b\n")
    uci.apply_changes(package, b"t.a.x='2'\n|t.a.y='2'\n@t.a.z='w'\nt.c='c'\nt.b.q='1'\n^t.b='0'\nt.a='a'\n")
    assert lines(package) == "b:5 q:0 a:1 x:0 y:0 w:4 c:0"
    uci.apply_changes(package, b"t.b='other'\n")
    assert lines(package)[:3] == "b:0"


@given(st.binary(max_size=300))
def test_any_bytes(text):
    """Lenient refuses nothing; strict refuses with a reason or says the same."""
    lenient = uci.parse(b"t", text, strict=False).show()
    try:
        assert uci.parse(b"t", text).show() == lenient
    except uci.ParseError as e:
        assert 0 <= e.line <= text.count(b"\n") + 1


WORD = st.sampled_from(
    ["t", "a", "b", "cfg013511", "x", "'v'", "'it'\\''s'", "''", "=", ".", "'1'", "-", "+", "@", "^", "|", "~"]
)


@given(st.lists(st.lists(WORD, max_size=8).map("".join), max_size=6).map("\n".join))
def test_any_changes(delta):
    package = uci.parse(b"t", b"config a a\n\toption x 'v'\n\tlist b 1\n\tlist b 2\nconfig peer\n")
    uci.apply_changes(package, delta.encode())
    shown = package.show()
    assert all(line.startswith(b"t.") for line in shown.split(b"\n")[:-1])


def command(tmp_path, *arguments):
    directories = ["-c", str(tmp_path), "-C", str(tmp_path / "over"), "-t", str(tmp_path / "saved")]
    done = subprocess.run(
        [sys.executable, "-m", "wgembed.config.uci", *directories, *arguments], capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stdout, done.stderr


def test_command(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "over").mkdir()
    (tmp_path / "net").write_text("config interface wg0\n\toption mtu 1420\n\tlist addresses 'a b'\n")
    (tmp_path / "bad").write_text("config interface wg0\n\tmtu 1420\n")
    assert command(tmp_path, "show", "net") == (0, "net.wg0=interface\nnet.wg0.mtu='1420'\nnet.wg0.addresses='a b'\n", "")
    (tmp_path / "saved" / "net").write_text("net.wg0.mtu='1400'\n-net.wg0.addresses\n")
    assert command(tmp_path, "show", "net") == (0, "net.wg0=interface\nnet.wg0.mtu='1400'\n", "")
    assert command(tmp_path, "show", "bad") == (1, "", "uci: Parse error (invalid command) at line 2, byte 1\n")
    skipped = "Parse error (invalid command) at line 2, byte 1\n"
    assert command(tmp_path, "-S", "show", "bad") == (0, "bad.wg0=interface\n", skipped)
    assert command(tmp_path, "show", "none") == (1, "", "uci: Entry not found\n")
    assert command(tmp_path, "set")[0] == 1
    (tmp_path / "over" / "net").write_text("config interface wg0\n\toption mtu 1280\n")
    assert command(tmp_path, "show", "net") == (0, "net.wg0=interface\nnet.wg0.mtu='1400'\n", "")
    (tmp_path / "saved" / "net").unlink()
    assert command(tmp_path, "show", "net") == (0, "net.wg0=interface\nnet.wg0.mtu='1280'\n", "")
    (tmp_path / "over" / "only").write_text("config a b\n")
    assert command(tmp_path, "show", "only") == (0, "only.b=a\n", "")
    # It takes the other's place whatever it is; only one that leads nowhere does not.
    (tmp_path / "over" / "net").unlink()
    (tmp_path / "over" / "net").mkdir()
    assert command(tmp_path, "show", "net") == (1, "", "uci: Entry not found\n")
    (tmp_path / "over" / "net").rmdir()
    (tmp_path / "over" / "net").symlink_to("nowhere")
    assert command(tmp_path, "show", "net") == (0, "net.wg0=interface\nnet.wg0.mtu='1420'\nnet.wg0.addresses='a b'\n", "")
    # An empty name is no directory.
    (tmp_path / "over" / "net").unlink()
    (tmp_path / "over" / "net").write_text("config other\n")
    assert command(tmp_path, "-C", "", "show", "net")[1].startswith("net.wg0=interface\n")


def test_the_override_directory(tmp_path):
    for name in ("config", "over"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t").write_text(f"config a {name}\n")
    package = uci.load("t", directory=str(tmp_path / "config"), saved=str(tmp_path), override=str(tmp_path / "over"))
    assert [section.name for section in package.sections] == [b"over"]
    package = uci.load("t", directory=str(tmp_path / "config"), saved=str(tmp_path), override="")
    assert [section.name for section in package.sections] == [b"config"]


def test_usual_changes_come_first(tmp_path, monkeypatch, capfdbinary):
    """-t names one more directory of changes."""
    monkeypatch.setattr(uci, "SAVE_DIRECTORY", str(tmp_path / "usual"))
    for name in ("usual", "saved"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t").write_text(f"|t.b.x='{name}'\n")
    (tmp_path / "t").write_text("config a b\n")
    assert uci.main(["-c", str(tmp_path), "-C", "", "show", "t"]) == 0
    assert uci.main(["-c", str(tmp_path), "-C", "", "-t", str(tmp_path / "saved"), "show", "t"]) == 0
    assert capfdbinary.readouterr().out == b"t.b=a\nt.b.x='usual'\nt.b=a\nt.b.x='usual' 'saved'\n"


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "t")
    with pytest.raises(OSError):
        uci.load("t", directory=str(tmp_path), override="")


def test_nobody_writes_a_pipe(tmp_path):
    """Opening one would wait for whoever does."""
    os.mkfifo(tmp_path / "p")
    assert not uci.is_being_written("p", str(tmp_path), str(tmp_path))


def test_as_libuci_under_micropython(tmp_path):
    """The same 3,000 files in either mode."""
    micropython = need(debian.micropython)
    cases = [(case, mode) for case in GOLDEN + MORE for mode in ("strict", "lenient")]
    with open(tmp_path / "cases", "w") as file:
        for case, mode in cases:
            text, delta = (
                part.encode("latin-1").hex() for part in (case.get("over", case["text"]), case.get("delta") or "")
            )
            print(mode[0], text, delta, sep=",", file=file)
    command = [*micropython, "-m", "tests.config.uci_runner", "answers", tmp_path / "cases"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(cases)
    for line, (case, mode) in zip(lines, cases, strict=True):
        shown, exported = (bytes.fromhex(part).decode("latin-1") for part in line.split(","))
        assert shown == case[mode].get("show", case[mode].get("error")), case
        assert mode == "strict" or exported == case.get("export", exported), case


def test_a_commit_while_it_is_read(tmp_path, monkeypatch):
    """libuci takes the changes away first, and renames the file last: between the two there is nothing to be had."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "t").write_text("config a b\n")
    (tmp_path / "saved" / "t").write_text("t.b.x='1'\n")
    read = uci.read_all

    def late(fd):
        text = read(fd)
        if (tmp_path / "saved" / "t").stat().st_size:
            (tmp_path / "saved" / "t").write_text("")
            (tmp_path / "new").write_text("config a b\n\toption x 1\n")
            (tmp_path / "new").rename(tmp_path / "t")
        return text

    monkeypatch.setattr(uci, "read_all", late)
    package = uci.load("t", directory=str(tmp_path), override="", saved=str(tmp_path / "saved"))
    assert package.show() == b"t.b=a\nt.b.x='1'\n"


def test_it_waits_for_who_commits(tmp_path):
    (tmp_path / "t").write_text("config a b\n")
    with open(tmp_path / "t") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert uci.load("t", directory=str(tmp_path), override="").find(b"b")
        fcntl.flock(held, fcntl.LOCK_EX)
        directories = ["-c", str(tmp_path), "-C", "", "-t", str(tmp_path)]
        arguments = [sys.executable, "-m", "wgembed.config.uci", *directories, "show", "t"]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    assert process.communicate(timeout=20)[0] == b"t.b=a\n"
