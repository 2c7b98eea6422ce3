"""Applies a new configuration of an interface's peers. Peers that do not change keep their sessions.

A peer is known by its public key. For a peer that stays, only the differences between the two configurations are applied.
So an endpoint that was learnt from the peer stays, and so do changes by `wg set`. Preshared keys are an exception: they
are always those of the configuration. Peers that exist only by `wg set` are not changed.
"""

from .. import crypto
from ..protocol import events, noise
from ..runtime.address import masked
from ..runtime.pause import through


def owners(peers):
    """Return {(masked address, length): public key}. If several peers have a prefix, the last one gets it, as with `wg`."""
    found = {}
    for peer in through(peers):
        for packed, length in through(peer.allowed_ips):
            found[masked(packed, length), length] = peer.public_key
    return found


def sync_peers(device, old, new, now):
    """Change the device from the peers `old` to the peers `new`, lists of PeerConfig. There must be places for them.

    Return the public keys of the peers that did not exist before.
    """
    kept = {peer.public_key: peer for peer in through(new)}
    before = {peer.public_key: peer for peer in through(old)}
    for key in through(before):
        peer = device.find(key)
        if key not in kept and peer is not None:
            device.remove_peer(peer)
    had, has = owners(old), owners(new)
    for (packed, length), key in through(had.items()):
        peer = device.find(key)
        if has.get((packed, length)) != key and peer is not None:
            device.allowed.remove(packed, length, peer.number)
    fresh = [key for key in through(kept) if device.find(key) is None]
    added = set(fresh)
    for config in through(new):
        peer = device.find(config.public_key) or device.add_peer(config.public_key)
        wanted = config.preshared_key or bytes(32)
        if not crypto.equal(wanted, peer.secret(noise.PRESHARED, 32)):
            device.set_preshared_key(peer, wanted)
        for packed, length in through(config.allowed_ips):
            prefix = masked(packed, length), length
            if has[prefix] != config.public_key:
                device.tables.events.note(peer.number, events.ALLOWED_IP_MOVED, now)
            elif had.get(prefix) != config.public_key or config.public_key in added:
                device.allow(peer, packed, length, now)
        was = before.get(config.public_key)
        if was is None or was.keepalive != config.keepalive or config.public_key in added:
            device.set_persistent_keepalive(peer, config.keepalive, now)
    return fresh
