"""Options of a peer with several ways to it, which few routers need.

backup_of       another peer, which it replaces while that does not answer, with the same allowed IPs: `primary` is the
                public key of that, None without the option, and `has_backup` is set there
endpoint_order  `listed`, or `fastest`: see daemon/fastest.py
ping_check      an address that must answer pings through the tunnel: `ping`, packed, or None
ping_interval   in seconds, 0 for only with traffic: see daemon/ping_check.py
"""

from ..runtime import address
from . import keys


def resolve(interface, shown):
    """Set the attributes of the peers of the InterfaceConfig; return the mistakes: (PeerConfig, option, sentence) each.

    shown  a function that makes the text of an option fit for a message

    The allowed IPs of the other peer are taken out of those of the backup, because only one of them can have them.
    """
    peers, mistakes = interface.peers, []
    for peer in peers:
        if not peer.backup_of:
            continue
        named = [other for other in peers if other is not peer and peer.backup_of in _names(other)]
        if len(named) != 1:
            which = "several peers have" if named else "no other peer of the interface has"
            mistakes.append((peer, "backup_of", "%s the public key or description %s" % (which, shown(peer.backup_of))))
        elif named[0].backup_of:
            text = "%s is a backup itself; name the peer that it replaces" % named[0].where
            mistakes.append((peer, "backup_of", text))
        else:
            peer.primary = named[0].public_key
            named[0].has_backup = True
            shared = [masked(*prefix) for prefix in named[0].allowed_ips]
            peer.allowed_ips = [prefix for prefix in peer.allowed_ips if masked(*prefix) not in shared]
    for peer in peers:
        for option, sentence in _mistakes(interface, peer, shown):
            mistakes.append((peer, option, sentence))
    return mistakes


def _mistakes(interface, peer, shown):
    """Set `ping` of the peer to the packed address; yield (option, sentence) for each mistake."""
    if peer.order not in ("", "listed", "fastest"):
        yield "endpoint_order", "expected listed or fastest, got %s" % shown(peer.order)
    elif peer.order == "fastest" and not peer.hosts:
        yield "endpoint_order", "the peer has one endpoint; list several in endpoint_host"
    text, peer.ping = (peer.ping or "").strip(), None
    if not text:
        if peer.ping_interval:
            yield "ping_interval", "it needs ping_check"
        return
    try:
        packed = address.parse_ip(text)
    except ValueError:
        yield "ping_check", "%s is not an IP address" % shown(text)
        return
    if peer.backup_of:
        yield "ping_check", "set it at the peer that this one replaces"
    elif not peer.hosts and not peer.has_backup:
        yield "ping_check", "the peer has one endpoint and no backup, so there is no other way to use"
    elif not any(_is_in(packed, prefix) for prefix in peer.allowed_ips):
        yield "ping_check", "%s is not in the allowed_ips of the peer" % text
    elif not any(len(own) == len(packed) for own, _ in interface.addresses):
        yield "ping_check", "the interface has no address of IPv%d to ask from" % (4 if len(packed) == 4 else 6)
    else:
        peer.ping = packed


def _is_in(packed, prefix):
    return len(packed) == len(prefix[0]) and address.masked(packed, prefix[1]) == address.masked(*prefix)


def masked(packed, length):
    return address.masked(packed, length), length


def _names(peer):
    return keys.encode(peer.public_key).decode(), peer.description
