"""However a daemon's loop ends, what it made is taken away; the exit status and the log say how it was."""

import os
import socket

import pytest

from wgembed.daemon.process import run_to_end

from ..unit.support import Log


class Process:
    """Its loop ends by the exception, or well."""

    def __init__(self, error=None):
        self.error, self.log, self.closed = error, Log(), 0

    def run(self):
        if self.error:
            raise self.error

    def close(self):
        self.closed += 1


def end(process, ready=lambda room: None):
    return run_to_end(process, 1, ready)


def test_it_ends_well():
    process = Process()
    assert end(process) == 0 and process.closed == 1 and process.log.lines == []


@pytest.mark.parametrize("error, said", [(OSError("no route"), "no route"), (MemoryError(), "out of memory")])
def test_what_nobody_dealt_with_is_a_sentence(error, said):
    process = Process(error)
    assert end(process) == 1 and process.closed == 1
    assert process.log.lines == ["cannot continue: " + said]


def test_a_mistake_of_ours_leaves_nothing_behind_either():
    process = Process(ValueError("a mistake"))
    with pytest.raises(ValueError):
        end(process)
    assert process.closed == 1


@pytest.mark.parametrize("error", [OSError("gone"), MemoryError()])
def test_a_start_that_fails_is_told_by_who_started(error):
    def ready(room):
        raise error

    process = Process()
    with pytest.raises(type(error)):
        end(process, ready)
    assert process.closed == 1 and process.log.lines == []


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_end_of_the_start_is_reported_to_systemd(is_abstract, tmp_path, monkeypatch):
    name = f"@wgembed-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    order = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if is_abstract else name)
        manager.settimeout(0)
        process = Process()
        process.run = lambda: order.append(manager.recv(100))
        assert end(process, lambda room: order.append("ready")) == 0
    assert order == ["ready", b"READY=1"] and process.log.lines == []


def test_a_service_manager_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    process = Process()
    assert end(process) == 0 and process.closed == 1
    path = tmp_path / "gone"
    assert process.log.lines == [f"cannot report to the service manager at {path}: No such file or directory (2)"]
