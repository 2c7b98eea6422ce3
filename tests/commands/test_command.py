"""What a command line does around wg's commands: what it is called by, terminals, pipes, what it loads."""

import os
import pty
import subprocess
import sys

import pytest

from .cli_cases import FULL
from .cli_harness import ALL, OURS, ROOT

# Names


def test_called_wgembed_it_says_so(command):
    for arguments, told in (
        (["show", "a", "b", "c"], b"Usage: wgembed show {"),
        (["set"], b"Usage: wgembed set <interface>"),
        (["setconf"], b"Usage: wgembed setconf <interface> <configuration filename>\n"),
        (["syncconf"], b"Usage: wgembed syncconf <interface> <configuration filename>\n"),
        (["showconf"], b"Usage: wgembed showconf <interface>\n"),
        (["genpsk", "x"], b"Usage: wgembed genpsk\n"),
        (["pubkey", "x"], b"Usage: wgembed pubkey\n"),
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=30)
        assert (done.returncode, done.stdout) == (1, b"") and done.stderr.startswith(told)


def test_called_wgembed_the_rest_is_its_own(command):
    for arguments in (["help"], ["--help"], ["-h"]):
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=30)
        assert done.returncode == 0 and done.stdout.startswith(b"usage: wgembed") and b"syncconf" in done.stdout


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("argument", ["-v", "--version", "version"])
def test_the_version_is_ours(inside, name, argument):
    real, done = inside("newest", argument), inside(name, argument)
    assert done.returncode == 0 and done.stdout.startswith(b"wgembed v") and not done.stderr
    # What looks for the version of wireguard-tools finds the one whose commands these are.
    version = real.stdout.split()[1].decode()
    assert f"wireguard-tools {version}\n".encode() in done.stdout


def test_a_link_called_wg_is_wg(tmp_path):
    """The console script that pip installs, under another name."""
    (tmp_path / "wgembed").write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from wgembed.__main__ import main\nsys.exit(main())\n"
    )
    (tmp_path / "wgembed").chmod(0o755)
    (tmp_path / "wg").symlink_to("wgembed")
    done = subprocess.run([tmp_path / "wg", "x"], capture_output=True, timeout=30)
    assert done.returncode == 1 and done.stderr.startswith(b"Invalid subcommand: `x'\nUsage: wg <cmd> [<args>]\n")
    done = subprocess.run([tmp_path / "wg", "help"], capture_output=True, timeout=30)
    assert done.returncode == 0 and done.stdout.startswith(b"Usage: wg <cmd> [<args>]\n") and not done.stderr


# Terminals and pipes


@pytest.mark.parametrize("mode", ["", "never"])
def test_colours_on_a_terminal(inside, serve, mode):
    serve("wg0", FULL.replace(b"@3661@", b"0").replace(b"@5@", b"0"))
    seen = {}
    for name in ALL:
        ours, theirs = pty.openpty()
        assert inside(name, "show", environment={"WG_COLOR_MODE": mode}, stdin=subprocess.DEVNULL, input=None, stdout=theirs,
                      stderr=subprocess.PIPE, capture_output=False).returncode == 0  # fmt: skip
        os.close(theirs)
        seen[name] = os.read(ours, 65536)
        os.close(ours)
    assert len(set(seen.values())) == 1 and (b"\x1b[1m" in seen["newest"]) == (mode == "")


@pytest.mark.parametrize("name", ALL)
def test_a_pipe_that_nobody_reads_ends_it(inside, serve, name):
    serve("wg0", FULL)
    read, write = os.pipe()
    os.close(read)
    done = inside(name, "show", stdout=write, stderr=subprocess.PIPE, capture_output=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (-13, b"")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("line", ["show", "show wg0 dump", "showconf wg0", "genpsk", "help"])
def test_what_cannot_be_written_is_told(inside, serve, name, line):
    serve("wg0", FULL)
    with open("/dev/full", "w") as full:
        done = inside(name, *line.split(), stdout=full, stderr=subprocess.PIPE, capture_output=False)
        real = inside("newest", *line.split(), stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (done.returncode, done.stderr) == (1, b"wg: No space left on device\n")
    assert (real.returncode, real.stderr) == (0, b""), "no difference is left"


# What it is made of


def test_show_loads_nothing_heavy():
    """Each costs as much time as all the rest."""
    script = (
        f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}; before = set(sys.modules)\n"
        "from wgembed.__main__ import main\n"
        "main(['show', 'none']); print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-s", "-c", script], capture_output=True, text=True, timeout=30)
    loaded = done.stdout.split()
    assert "wgembed.uapi.client" in loaded
    heavy = {"argparse", "socket", "re", "ipaddress", "typing", "logging", "subprocess", "hashlib", "enum", "base64"}
    assert heavy.isdisjoint(loaded) and not [name for name in loaded if name.startswith("wgembed.config.uci")]


def test_the_daemon_loads_none_of_it():
    script = (
        f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}\n"
        "import wgembed.daemon.single, wgembed.daemon.router; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-s", "-c", script], capture_output=True, text=True, timeout=30)
    loaded = done.stdout.split()
    assert "wgembed.uapi.server" in loaded, done.stderr
    ours = {f"wgembed.commands{name}" for name in ("", ".output", ".wg.main", ".wg.show", ".wg.change")}
    assert not (ours | {"wgembed.runtime.tool"}) & set(loaded)
