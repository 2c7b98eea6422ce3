"""What bash offers for a line that is being typed."""

import subprocess
import sys

import pytest

from wgembed.commands import verbs

from ..lab.need import need, programs
from ..lab.uapi import UapiServer
from .cli_cases import KEY, PRIVATE, device, peer
from .cli_harness import ROOT

COMPLETION = ROOT / "package/files/completions/wgembed"
SCRIPT = """
source "$1"
compopt() { echo "compopt $*"; }
COMP_LINE=$2 COMP_POINT=${#2}
read -ra COMP_WORDS <<<"$2"
_wgembed
((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"
"""
COMMANDS = [*verbs("wg."), "help"]
OURS = [verb for verb in verbs() if verb not in COMMANDS and verb != "version"]
WORDS = ["private-key", "listen-port", "fwmark", "peer"]
PEER_WORDS = ["preshared-key", "endpoint", "allowed-ips", "persistent-keepalive", "remove", "peer"]
FILES = ["compopt -o default"]

CASES = [
    ("wg ", COMMANDS),
    ("wg s", ["show", "showconf", "set", "setconf", "syncconf"]),
    ("wg show", ["show", "showconf"]),
    ("wgembed ", [*COMMANDS, *OURS, "-f", "--foreground", "--version"]),
    ("wgembed d", ["diagnose", "down", "demo"]),
    ("wgembed status ", ["wg0", "--json", "--prometheus", "--watch", "--interval"]),
    ("wgembed status --json --w", ["--watch"]),
    ("wgembed diagnose ", ["wg0"]),
    ("wgembed report --", ["--config-dir"]),
    ("wgembed diagnose wg0 ", [KEY[1], KEY[2]]),
    ("wgembed up ", FILES),
    ("wgembed down /etc/", FILES),
    ("wgembed import ", FILES),
    ("wgembed import file --p", ["--peer-of"]),
    ("wgembed export wg0 phone --q", ["--qr"]),
    ("wgembed export --", ["--network"]),
    ("wgembed import --network --w", ["--write"]),
    ("wgembed -", ["-f", "--foreground", "--version"]),
    ("wg show ", ["wg0", "all", "interfaces"]),
    ("wg show w", ["wg0"]),
    ("wg show wg0 l", ["listen-port", "latest-handshakes"]),
    ("wg show all p", ["public-key", "private-key", "peers", "preshared-keys", "persistent-keepalive"]),
    ("wg show interfaces ", []),
    ("wg show wg0 dump ", []),
    ("wg showconf ", ["wg0"]),
    ("wgembed setconf ", ["wg0"]),
    ("wg setconf wg0 ", FILES),
    ("wg syncconf wg0 /etc/", FILES),
    ("wg setconf wg0 file ", []),
    ("wg set ", ["wg0"]),
    ("wg set wg0 ", WORDS),
    ("wg set wg0 fwmark ", []),
    ("wg set wg0 fwmark 1 ", ["private-key", "listen-port", "peer"]),
    ("wg set wg0 private-key ", FILES),
    ("wg set wg0 private-key /etc/k", FILES),
    ("wg set wg0 peer ", [KEY[1], KEY[2]]),
    ("wg set wg0 peer " + KEY[2][:3], [KEY[2]]),
    (f"wg set wg0 peer {KEY[1]} ", PEER_WORDS),
    (f"wg set wg0 peer {KEY[1]} e", ["endpoint"]),
    (f"wg set wg0 peer {KEY[1]} endpoint 192.0.2.1:5 ", [word for word in PEER_WORDS if word != "endpoint"]),
    (f"wg set wg0 peer {KEY[1]} endpoint 192.0.2.1:5 preshared-key ", FILES),
    (f"wg set wg0 peer {KEY[1]} remove ", [word for word in PEER_WORDS if word != "remove"]),
    (f"wg set wg0 peer {KEY[1]} remove peer {KEY[2]} ", PEER_WORDS),
    ("wg genkey ", []),
    ("wg x ", []),
    ("wgembed run ", ["--config-dir", "--netifd"]),
    ("wgembed check --config-dir ", FILES),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    need(programs, "bash")
    folder = tmp_path_factory.mktemp("completion")
    for name in ("wg", "wgembed"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m wgembed "$@"\n')
        (folder / name).chmod(0o755)
    server = UapiServer(folder / "wg0.sock", device(peer(1), peer(2)))
    yield {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "WGEMBED_SOCKET_DIR": str(folder)}
    server.close()


@pytest.mark.parametrize(("line", "offered"), CASES, ids=[line for line, _ in CASES])
def test_what_is_offered(environment, line, offered):
    argv = ["bash", "-c", SCRIPT, "bash", str(COMPLETION), line]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30)
    assert (done.stdout.splitlines(), done.stderr) == (offered, "")
    assert PRIVATE not in done.stdout
