"""`wgembed demo`, as its user runs it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/net/tun"), reason="needs root and /dev/net/tun"
)
COMMAND = [sys.executable, "-m", "wgembed", "demo"]


def all_gone(group):
    """Whether no process of the group is left. Namespaces without a name end with the last process that holds them."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def leftovers(folder):
    return list(folder.iterdir())


@needs_root
def test_demo(tmp_path):
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=dict(os.environ, TMPDIR=str(tmp_path)),
    )  # fmt: skip
    told, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert re.search(r"handshake +\d+\.\d ms", told)
    assert re.search(r"round trip +\d+\.\d+ ms IPv4, \d+\.\d+ ms IPv6", told)
    assert float(re.search(r"TCP +(\d+) Mbit/s", told)[1]) > 0
    assert len(re.findall(r"memory: +[\d.]+ MB resident", told)) == 2
    assert all_gone(process.pid) and leftovers(tmp_path) == []


@pytest.fixture
def running(tmp_path):
    """A demo that has begun, with its output in one file; it is waited for."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            COMMAND, stdout=output, stderr=output, start_new_session=True,
            env=dict(os.environ, TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1"),
        )  # fmt: skip
        while not os.fstat(output.fileno()).st_size:
            assert process.poll() is None
            time.sleep(0.001)
        yield process, output
        process.wait(20)


@needs_root
@pytest.mark.parametrize("after", [0, 0.01, 0.03, 0.1, 0.7, 1.6])
def test_interrupted(running, tmp_path, after):
    """Ctrl-C reaches the whole process group, as from a terminal."""
    process, output = running
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    output.seek(0)
    told = output.read()
    assert "Traceback" not in told and told.endswith("wgembed demo: interrupted\n")
    assert all_gone(process.pid) and leftovers(tmp_path) == []


@needs_root
def test_interrupt_ends_what_waits_in_a_namespace():
    """By itself: an exception that comes while a module loads can be lost, and the interpreter tells of it."""
    code = (
        "import signal; from wgembed.commands import demo; end = demo.End('left', 1)\n"
        "print(demo._inside(end, lambda: signal.getsignal(signal.SIGINT) == signal.SIG_DFL))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert result.stdout == "True\n", result.stderr


def test_not_root():
    code = "import os; os.geteuid = lambda: 1000\nfrom wgembed.__main__ import main\nraise SystemExit(main(['demo']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert result.returncode == 1 and "root is needed" in result.stderr and "Traceback" not in result.stderr
