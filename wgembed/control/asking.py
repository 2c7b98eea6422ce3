"""Asking a daemon at its control socket, for programs that may wait."""

from ..runtime import abi, system
from . import status
from .server import is_served, socket_path

_PATIENCE = 5000


def look(name):
    """Return the status.Interface of this name; OSError if nobody serves it or the answer is none."""
    answer = _ask(name, b"status=1\n\n")
    if not answer:
        answer = _ask(name, b"get=1\n\n")
    lines = [tuple(line.split("=", 1)) for line in answer.decode().split("\n") if line]
    if not lines or lines[-1] != ("errno", "0"):
        raise OSError(abi.EIO, "no answer of a daemon's")
    return status.parse(name, lines[:-1])


def _ask(name, question):
    stream = system.local.connect(socket_path(name))
    try:
        stream.send(question)
        answer = b""
        poller = system.poll.Poller()
        poller.watch(stream.fd, system.poll.IN)
        while not answer.endswith(b"\n\n"):
            if not list(poller.wait(_PATIENCE)):
                raise OSError(abi.EIO, "no answer")
            data = stream.receive(65536)
            if data == b"":
                break
            answer += data or b""
        return answer
    finally:
        stream.close()


def interfaces():
    """Return the names of the interfaces that somebody serves."""
    directory = socket_path("").rpartition("/")[0]
    return [name for name in sorted(_names(directory)) if is_served(name)]


def _names(directory):
    return [entry[:-5] for entry in system.files.list_directory(directory) if entry[-5:] == ".sock"]
