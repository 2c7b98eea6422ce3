"""The daemon and the library, on both runtimes: where it is looked for, and what comes of one that does not fit."""

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

import pytest

from wgembed.runtime import abi

from ..lab import debian, fastpath, micropython, net, peers
from ..lab.need import need, privileges, programs
from ..lab.router import Keys
from . import fastlib

IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 1, 0x1000, 0x4000

pytestmark = pytest.mark.skipif(fastlib.GIVEN in os.environ, reason="these tests look at the daemon")


@pytest.fixture
def namespace():
    need(privileges)
    need(programs, "ip", "wg")
    namespace = net.Namespace()
    yield namespace
    namespace.close()


@pytest.fixture(params=["cpython", "micropython"])
def installed(request, tmp_path):
    """A copy of the package, and the command that runs it."""
    if request.param == "cpython":
        shutil.copytree(fastlib.ROOT / "wgembed", tmp_path / "wgembed", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        command = ["env", f"PYTHONPATH={tmp_path}", sys.executable, "-m", "wgembed"]
    else:
        shutil.copytree(need(micropython.compiled) / "wgembed", tmp_path / "wgembed")
        command = [*need(debian.micropython), "-X", f"heapsize={micropython.HEAP}", "-m", "wgembed"]
    return tmp_path / "wgembed", ["env", "-C", tmp_path, *command]


def log(namespace, command, fastpath=""):
    """Return what a daemon says until it is ready."""
    name = net.unique("f")
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose", WGEMBED_FASTPATH=fastpath))
    child.expect(r"\) ready", 10)
    child.stop()
    return child.text()


def test_beside_the_modules(namespace, installed, library):
    folder, command = installed
    assert "packet path" not in log(namespace, command) and "without" not in log(namespace, command)
    shutil.copy(library, folder / "fastpath.so")
    for wish in ("", "1"):
        assert re.search(r"DEBUG: .* using the C library \S*wgembed/fastpath\.so\n", log(namespace, command, wish))
    assert "packet path" not in log(namespace, command, "0")


def test_where_it_is_said_to_be(namespace, installed, library):
    assert f"using the C library {library}\n" in log(namespace, installed[1], str(library))


def changed(folder, old, new):
    """Compile the library from a source in which something is different."""
    source = folder / "changed.c"
    text = fastpath.SOURCE.read_text()
    assert text.count(old) == 1
    source.write_text(text.replace(old, new))
    path = folder / "changed.so"
    subprocess.run(
        [fastpath.compiler(), "-std=c11", "-O1", "-fPIC", "-shared", f"-I{fastpath.SOURCE.parent}", "-o", path, source],
        check=True,
    )
    return path


@pytest.mark.parametrize(
    "old, new",
    [
        ("ABI_VERSION = 6", "ABI_VERSION = 5"),
        ("return (uint16_t)sum;\n}", "return (uint16_t)(sum ^ 1);\n}"),
        ("return is_hash_right() ? 0 : 6;", "return 9;"),
        ("uint32_t wgembed_abi(void)\n{", "uint32_t wgembed_other(void)\n{"),
        ("hkdf(out, out_size, key, key_size, data, data_size);\n    return", "(void)data, (void)data_size;\n    return"),
    ],
    ids=["version", "checksum", "test", "name", "hash"],
)
def test_one_that_does_not_fit(namespace, installed, tmp_path, old, new):
    """The daemon says why, and does without."""
    need(fastpath.compiler)
    path = changed(tmp_path, old, new)
    said = log(namespace, installed[1], str(path))
    assert re.search(r"ERROR: .* cannot use the C library, running in pure Python: .*", said), said
    assert "served" not in said


def test_what_is_no_library(namespace, installed, tmp_path):
    path = tmp_path / "text.so"
    path.write_text("no library")
    for given in (path, tmp_path / "missing.so"):
        assert "cannot use the C library, running in pure Python: " in log(namespace, installed[1], str(given))


@pytest.mark.parametrize("flags", [[], ["vnet_hdr"]], ids=["none", "vnet_hdr"])
@pytest.mark.parametrize("kind", [peers.WgembedFast, peers.WgembedMicropythonFast], ids=lambda kind: kind.name)
def test_a_device_that_was_there(namespace, kind, flags):
    """A device that somebody made for good, with a header of another size or none, is read as it should be."""
    need(kind.prepare)
    name = net.unique("f")
    namespace.run("ip", "tuntap", "add", "dev", name, "mode", "tun", *flags)
    if flags:
        with namespace.entered(), open("/dev/net/tun", "r+b", buffering=0) as device:
            fcntl.ioctl(device, abi.TUNSETIFF[0], struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
            fcntl.ioctl(device, abi.TUNSETVNETHDRSZ[0], struct.pack("i", 12))
    child = namespace.spawn(*kind.command(), name, env={**os.environ, **kind.environment, "LOG_LEVEL": "verbose"})
    child.expect(r"\) ready", 10)
    assert "using the C library" in child.text()
    namespace.ip("link", "set", "lo", "up")
    namespace.ip("address", "add", "10.77.0.1/24", "dev", name)
    namespace.ip("link", "set", name, "up")
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        end.settimeout(5)
        port = str(end.getsockname()[1])
        peer = ["peer", Keys().public, "endpoint", f"127.0.0.1:{port}", "allowed-ips", "10.77.0.2/32"]
        namespace.run("wg", "set", name, "private-key", "/dev/stdin", *peer, input=Keys().private + "\n")
        namespace.run("ping", "-c", "1", "-W", "1", "10.77.0.2", check=False)
        assert len(end.recv(2000)) == 148, "the packet leads to the peer, which is sent an initiation"
