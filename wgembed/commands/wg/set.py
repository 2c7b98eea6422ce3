"""`wg set`: a change on the command line."""

from ..output import WgError, to_bytes
from . import change as values

_USAGE = (
    "Usage: %s set <interface> [listen-port <port>] [fwmark <mark>] [private-key <file path>] [peer <base64 public key> "
    "[remove] [preshared-key <file path>] [endpoint <ip>:<port>] [persistent-keepalive <interval seconds>] "
    "[allowed-ips [+|-]<ip1>/<cidr1>[,[+|-]<ip2>/<cidr2>]...] ]..."
)


def set_(program, arguments):
    """Change the interface as the arguments say; return the exit status; WgError."""
    if len(arguments) < 3:
        raise WgError(_USAGE % program)
    values.apply(arguments[1], _read(arguments[2:]))
    return 0


def _read(words):
    """Return the Change; WgError."""
    change, peer = values.Change(), None
    at = 0
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else None
        if word == "remove" and peer is not None:
            peer.remove = True
            at += 1
            continue
        if word == "peer" and value is not None:
            peer = values.PeerChange(values.public_key(to_bytes(value)))
            change.peers.append(peer)
        elif value is None or not (_take(change, word, value) if peer is None else _take_of_peer(peer, word, value)):
            raise WgError("Invalid argument: %s" % word)
        at += 2
    return change


def _take(change, word, value):
    """Read a setting of the interface and its value; return whether the setting exists."""
    if word == "listen-port":
        change.listen_port = values.port(to_bytes(value))
    elif word == "fwmark":
        change.fwmark = values.fwmark(to_bytes(value))
    elif word == "private-key":
        change.private_key = values.secret_key_in(value)
    else:
        return False
    return True


def _take_of_peer(peer, word, value):
    """Read a setting of a peer and its value; return whether the setting exists."""
    if word == "endpoint":
        peer.endpoint = values.endpoint(to_bytes(value))
    elif word == "allowed-ips":
        peer.take_allowed_ips(b"".join(to_bytes(value).split()))
    elif word == "persistent-keepalive":
        peer.persistent_keepalive = values.persistent_keepalive(to_bytes(value))
    elif word == "preshared-key":
        peer.preshared_key = values.secret_key_in(value)
    else:
        return False
    return True
