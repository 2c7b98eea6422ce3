"""The forms of `wgembed status`, with names that nobody would choose, and the questions that go before."""

import json
import os
import re
import subprocess
import sys
import tempfile

import pytest

from wgembed.commands import diagnose, diagnosis, status_format, status_model
from wgembed.commands import status as status_command
from wgembed.errors import UsageError, UserError
from wgembed.uapi import client

from ..lab.need import need, privileges

KEY = "bb" * 32
NAMES = ['wg"0', "wg\\0", "wg\udcff", "wg\u00fc", "wg{}"]


def told(name, *lines):
    return status_model.parse(name, [("up", "1"), ("own_public_key", KEY), *lines])


@pytest.fixture
def served(monkeypatch):
    """Interfaces that are looked at, by name; an exception is what a look comes to."""
    served = {}

    def look(name):
        if isinstance(served[name], Exception):
            raise served[name]
        return served[name]

    monkeypatch.setattr(client, "list_interfaces", lambda: list(served))
    monkeypatch.setattr(status_model, "look", look)
    return served


@pytest.fixture
def printed(monkeypatch):
    """What was written, by descriptor."""
    printed = {1: b"", 2: b""}

    def write(fd, data):
        printed[fd] += data

    monkeypatch.setattr(status_command.system.files, "write", write)
    monkeypatch.setattr(status_model, "complain", lambda text: write(2, text.encode() + b"\n"))
    return printed


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["--json", "--prometheus", "--interval=0"])
def test_names_of_all_kinds(served, printed, name, form):
    served[name] = told(name, ("drop", "tx_no_peer,1"), ("public_key", KEY), ("rx_bytes", str(1 << 63)))
    assert status_command.show_status("wgembed", ["status", "--interval=0", form]) == 0
    if form == "--json":
        assert json.loads(printed[1])["interfaces"][0]["name"] == name
    elif form == "--prometheus":
        text = printed[1].decode(errors="surrogateescape")
        samples = [line for line in text.splitlines() if line[0] != "#"]
        assert len(samples) == 8
        for line in samples:
            label = re.fullmatch(r'\w+\{interface="((?:[^"\\]|\\["\\n])+)"(?:,\w+="[^"\\]+")?\} \d+', line)[1]
            assert label.replace('\\"', '"').replace("\\\\", "\\") == name
    else:
        assert printed[1].startswith(os.fsencode(name) + b": up")


def test_an_interface_that_may_not_be_asked(served, printed):
    served["wg0"] = told("wg0")
    served["wg1"] = UserError("wg1 gives no answer: Permission denied")
    served["wg2"] = status_model.NotServed("no program serves interface wg2")
    assert status_command.show_status("wgembed", ["status", "--interval=0"]) == 0
    assert printed[1].startswith(b"wg0: up") and printed[2] == b"wgembed: wg1 gives no answer: Permission denied\n"
    del served["wg0"]
    for command in (status_command.show_status, diagnose.show_diagnosis):
        with pytest.raises(UserError, match="wg1 gives no answer: Permission denied"):
            command("wgembed", ["status"])


def test_who_may_not_ask_is_told_so(tmp_path):
    need(privileges)
    # What is needed is loaded first: the interpreter may be one that only root can read.
    code = (
        "import os, socket, sys; from wgembed.__main__ import main; from wgembed.commands import status as status_command;"
        "from wgembed.runtime import tool;"
        "os.umask(0o077); socket.socket(socket.AF_UNIX).bind(sys.argv[1]); os.setuid(65534); sys.exit(main(['diagnose']))"
    )
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.is_relative_to(tempfile.gettempdir()) and folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o755)
    environment = {**os.environ, "WGEMBED_SOCKET_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(tmp_path / "wg0.sock")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "wgembed: wg0 does not answer: Permission denied (13)\n")


@pytest.mark.parametrize("text", ["\u00b2", "\u0665", "1.\u00b2", ".", "", "1e3", "-1", "1.2345", "3601"])
def test_lengths_of_time_that_are_none(served, text):
    with pytest.raises(UsageError):
        status_command.show_status("wgembed", ["status", "--interval", text])


# diagnose


def test_a_peer_of_an_interface_that_is_down(served, printed, monkeypatch):
    peer = [("public_key", KEY), ("allowed_ip", "10.7.0.2/32")]
    served["wg0"] = status_model.parse("wg0", [("up", "0"), ("own_public_key", KEY), *peer])
    for arguments in ([], ["wg0"], ["wg0", status_model.key_text(KEY)]):
        printed[1] = b""
        assert diagnose.show_diagnosis("wgembed", ["diagnose", *arguments]) == 1
        assert printed[1] == b"wg0: down\n  The interface is down. Run `ip link set wg0 up`.\n"
    with pytest.raises(UsageError):
        diagnose.show_diagnosis("wgembed", ["diagnose", "wg0", "AAAA"])


def test_questions_that_there_was_no_time_for(served, printed, monkeypatch):
    served["wg0"] = told("wg0", ("public_key", KEY), ("allowed_ip", "10.7.0.2/32"), ("endpoint", "192.0.2.1:7"))

    def about_peer(interface, peer, machine):
        machine.is_out_of_time = True
        return []

    monkeypatch.setattr(diagnosis, "about_peer", about_peer)
    assert diagnose.show_diagnosis("wgembed", ["diagnose"]) == 0
    assert printed[1].endswith(b"\nnot every peer was probed because it takes too long: name an interface and a peer\n")


def test_counters_go_on(served):
    lines = [("public_key", KEY), ("tx_bytes", "7")]
    before, after = (told("wg0", *lines, ("rx_bytes", str(count))) for count in (1 << 62, 1 << 63))
    assert status_format.Rates([before], 1).of(after, after.peers[0]) == (1 << 62, 0)
    assert status_format.Rates([after], 1).of(before, before.peers[0]) is None


@pytest.mark.parametrize("unanswered, words, planned", [
    ("3,4000", "", 4), ("25,42500", ", next attempt in 42 s", 42), ("25,", "", None),
])  # fmt: skip
def test_a_peer_that_is_called_less_often(served, printed, unanswered, words, planned):
    served["wg0"] = told("wg0", ("public_key", KEY), ("endpoint", "192.0.2.1:5"), ("unanswered", unanswered))
    assert status_command.show_status("wgembed", ["status", "--interval=0"]) == 0
    line = next(line for line in printed[1].decode().splitlines() if line.startswith("  u7"))
    assert ("next attempt" in line) == bool(words) and words in line
    printed[1] = b""
    status_command.show_status("wgembed", ["status", "--interval=0", "--json"])
    [peer] = json.loads(printed[1])["interfaces"][0]["peers"]
    assert (peer["unanswered"], peer["next_attempt_s"]) == (int(unanswered.split(",")[0]), planned)
    printed[1] = b""
    status_command.show_status("wgembed", ["status", "--interval=0", "--prometheus"])
    assert b"wireguard_peer_unanswered_initiations{" in printed[1]
