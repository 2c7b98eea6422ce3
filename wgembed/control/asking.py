"""Asking a daemon at its control socket, for programs that may wait."""

from ..runtime import system
from ..runtime.link import is_valid_name
from . import status
from .server import is_served, socket_path

# How long an answer may take to go on, in ms.
_PATIENCE = 10_000


class AskError(Exception):
    """There is no answer; the text says why."""


def interfaces():
    """Return the names of the interfaces that somebody serves, sorted."""
    try:
        entries = system.files.names(socket_path("").rpartition("/")[0])
    except OSError:
        return []
    names = sorted([entry[:-5] for entry in entries if entry[-5:] == ".sock"])
    return [name for name in names if is_served(name)]


def look(name):
    """Return the status.Interface of this name; AskError if nobody serves it or the answer makes no sense."""
    answer = _ask(name, b"status=1\n\n")
    if not answer:
        # A program that ends the connection does not know the question; all know this one.
        answer = _ask(name, b"get=1\n\n")
    lines = [tuple(line.split("=", 1)) for line in answer.split("\n") if line]
    if not lines or lines.pop() != ("errno", "0"):
        raise AskError("%s gives no answer" % name)
    try:
        return status.parse(name, lines)
    except (ValueError, IndexError):
        raise AskError("%s gives an answer that makes no sense" % name) from None


def _ask(name, question):
    if not is_valid_name(name):
        raise AskError("nobody serves the interface '%s'" % name)
    try:
        stream = system.local.connect(socket_path(name))
    except OSError:
        raise AskError("nobody serves the interface %s" % name) from None
    try:
        stream.send(question)
        return _read(stream, name).decode()
    except UnicodeError:
        return ""
    finally:
        stream.close()


def _read(stream, name):
    """Return what comes up to an empty line, or to the end."""
    poller = system.poll.Poller()
    poller.watch(stream.fd, system.poll.IN)
    parts = []
    while not parts or not parts[-1].endswith(b"\n\n"):
        if not list(poller.wait(_PATIENCE)):
            raise AskError("%s does not answer" % name)
        data = stream.receive(65536)
        if data == b"":
            break
        if data:
            # Pieces end between lines, but for the last one's two line feeds.
            parts.append(parts.pop() + data if parts and len(data) < 2 else data)
    return b"".join(parts)
