"""The steps of handshakes, as lines of the log. Loaded only if a log has the level verbose.

It replaces the rings of events (protocol/events.py): it keeps every event as the rings do, and also writes the event to the
log of the interface (`peer.device.host.verbose`). Peers are named as in wireguard-go.
"""

from binascii import b2a_base64

from ..errors import cause
from ..protocol.events import HANDSHAKE_TIMEOUT, INITIATION_SENT, SEND_FAILED, Rings
from ..runtime import system
from ..runtime.address import format_endpoint

# By event; %s is the endpoint of the peer. None: not part of a handshake. An exclamation mark: strangers can cause this
# event at any rate, so it is logged once a second at most, or they could fill the log.
_TEXTS = (
    None,
    "sending initiation to %s",
    "initiation received, sending response, keypair created",
    "!replayed initiation: its timestamp is not newer than that of the last one",
    "response received, keypair created",
    "!invalid response: the preshared keys differ, or the peer did not send it",
    "keypair confirmed",
    "handshake did not complete after %d attempts, giving up",
    "retrying handshake: stopped hearing back after 15 seconds",
    "!cookie received: the peer is under load",
    "!sending to %s failed",
    None,
    "!roamed to %s",
    None,
)
_RETRY = "handshake did not complete in time, retrying (try %d)"


class HandshakeLog(Rings):
    """The rings of these tables, over the same memory."""

    def __init__(self, tables):
        self._buf = tables.events._buf
        self._tables = tables

    def note(self, number, event, now):
        before = self.read(number)
        Rings.note(self, number, event, now)
        text = _TEXTS[event]
        if text is None:
            return
        if text[0] == "!":
            if (event, now // 1000) in [(entry[0], entry[2]) for entry in before]:
                return
            text = text[1:]
        peer = self._tables.peer(number)
        if "%d" in text:
            text %= peer.attempts + 1
        if "%s" in text:
            text %= format_endpoint(peer.addr)
        if event == INITIATION_SENT and _is_retry(peer, before):
            _tell(peer, _RETRY % (peer.attempts + 1))
        _tell(peer, text + _reason(peer) if event == SEND_FAILED else text)


def _is_retry(peer, before):
    """Whether the initiation is sent because the last one had no answer in time, and not because the endpoint changed."""
    return peer.attempts and not peer.retransmit_at and before and before[-1][0] != HANDSHAKE_TIMEOUT


def _reason(peer):
    family = 6 if system.inet.is_ipv6(peer.addr) else 4
    for errno, of in peer.device.host.send_errors():
        if of == family:
            return ": " + cause(OSError(errno))
    return ""


def _tell(peer, text):
    peer.device.host.verbose("%s: %s" % (name_of(peer.public_key), text))


def name_of(public_key):
    """Return the short name of a peer: the first and the last characters of its key."""
    text = b2a_base64(public_key).decode()
    return "peer(%s…%s)" % (text[:4], text[39:43])
