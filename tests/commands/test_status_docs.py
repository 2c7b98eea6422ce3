"""docs/status.md has every name that a status has, and no other: whoever reads a status in a program has nothing else."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

from wgembed.commands import status_format, status_model
from wgembed.protocol import drops, events
from wgembed.uapi import status_lines as status
from wgembed.uapi.session import Session

PAGE = (Path(__file__).parents[2] / "docs/status.md").read_text()
KEY = "bb" * 32
LINES = [("up", "1"), ("own_public_key", KEY), ("drop", "tx_send,1")]
PEER = [("public_key", KEY), ("event", "roamed,1,2")]


def rows(header):
    """The rows of the table whose first column is called so: their cells."""
    table = re.search(r"^\| %s \|.*\n\|[-|]+\n((?:\|.*\n)+)" % re.escape(header), PAGE, re.M)
    return [line.split("|")[1:-1] for line in table[1].splitlines()]


def documented(header):
    """The names in the table's first column, sorted."""
    return sorted(name for row in rows(header) for name in re.findall(r"`([^`]+)`", row[0]))


def lines_of(function):
    """The names of the lines that the function makes: the first of each pair that begins with a text."""
    pairs = [node for node in ast.walk(ast.parse(inspect.getsource(function))) if isinstance(node, ast.Tuple)]
    return {pair.elts[0].value for pair in pairs if isinstance(pair.elts[0], ast.Constant)}


def interface():
    return status_model.parse("wg0", LINES + PEER)


def objects():
    """The objects in the JSON of an interface with one peer to which one thing happened."""
    whole = json.loads(status_format.as_json([interface()], status_format.Rates([], 0), 1_800_000_000))
    [about] = whole["interfaces"]
    [peer] = about["peers"]
    return {"field": whole, "field of an interface": about, "field of a peer": peer, "field of an event": peer["events"][0]}


def test_events():
    assert documented("event") == sorted(events.NAMES[1:])


def test_reasons_of_drops():
    assert documented("reason") == sorted(drops.NAMES)


def test_states():
    states = {value for name, value in vars(status_model).items() if name.isupper() and isinstance(value, str)}
    assert documented("state") == sorted(states)


def test_lines_of_the_interface():
    assert documented("line of the interface") == sorted(lines_of(status.tell_device) | lines_of(status._offload_lines))


def test_lines_of_a_peer():
    allowed = re.findall(r'"(\w+)=', inspect.getsource(Session._tell_allowed))
    assert documented("line of a peer") == sorted(
        [*lines_of(status.tell_peer), *lines_of(status._failover_lines), *lines_of(status._switch_lines), *allowed]
    )


def test_reasons_of_unmatched_handshakes():
    [row] = [row for row in rows("line of the interface") if "`unmatched_handshake`" in row[0]]
    assert set(re.findall(r"`([a-z_0-9]+)`", row[1])) == set(status._UNMATCHED.values())


SAMPLES = {
    "drop": "tx_send,1", "send_error": "1,4", "unmatched_handshake": f"unknown_peer,1,2000,192.0.2.1:7,{KEY}",
    "unroutable": "10.0.0.1,2000", "source_not_allowed": f"10.0.0.1,2000,{KEY}", "session": "5000,initiator",
    "gso": "None,1,1", "gro": "None,0,1", "tun": "None,0,102,0",
    "endpoint_time": "a:1,7", "ping": "10.0.0.1,2,", "unconfirmed_s": "7",
    "segments_lost": "3,600", "away": "1", "unanswered": "25,4000",
    "backup": f"standby,{KEY}", "failover": "1,2000,no_answer,300", "event": "roamed,1,2", "has_preshared_key": "1",
}  # fmt: skip


@pytest.mark.parametrize("header", ["line of the interface", "line of a peer"])
def test_every_line_is_read(header):
    before = [("public_key", KEY)] if "peer" in header else []
    for name in documented(header):
        without, read = (status_model.parse("wg0", lines) for lines in (before, [*before, (name, SAMPLES.get(name, "7"))]))
        if before:
            without, read = without.peers[-1], read.peers[-1]
        assert name == "public_key" or vars(read) != vars(without), name


@pytest.mark.parametrize("header", objects())
def test_json(header):
    assert documented(header) == sorted(objects()[header])


def test_prometheus():
    text = status_format.as_prometheus([interface()], 1_800_000_000)
    assert documented("metric") == sorted(re.findall(r"^# TYPE (\w+) ", text, re.M))
    for row in rows("metric"):
        for name in re.findall(r"`(\w+)`", row[0]):
            [labels] = re.findall(r"^%s\{(.*)\}" % name, text, re.M)
            assert re.findall(r'(\w+)="[^"]*"', labels) == row[1].strip().split(", "), name
