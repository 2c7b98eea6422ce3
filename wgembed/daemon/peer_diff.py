"""From one configuration of an interface's peers to the next: what did not change keeps its session.

A peer is known by its public key. Removed peers go, new ones come, and of those that stay only what differs between
the two configurations is touched: an endpoint learnt from the peer stays, and so does what `wg set` changed and the
configuration does not (but for preshared keys, which are always those of the configuration). Peers that only `wg set`
knows are left alone.
"""

from .. import crypto
from ..protocol import events, noise
from ..runtime.address import masked


def owners(peers):
    """Return who has which prefix, as (masked address, length) to public key: of several, the last one, as with `wg`."""
    found = {}
    for peer in peers:
        for packed, length in peer.allowed_ips:
            found[masked(packed, length), length] = peer.public_key
    return found


def sync_peers(device, old, new, now):
    """Bring the device from the peers `old` to the peers `new`, lists of PeerConfig; there must be room for them.

    Returns the public keys of those that were not there before.
    """
    kept = {peer.public_key: peer for peer in new}
    before = {peer.public_key: peer for peer in old}
    for key in before:
        peer = device.find(key)
        if key not in kept and peer is not None:
            device.remove_peer(peer)
    had, has = owners(old), owners(new)
    for (packed, length), key in had.items():
        peer = device.find(key)
        if has.get((packed, length)) != key and peer is not None:
            device.allowed.remove(packed, length, peer.number)
    fresh = [key for key in kept if device.find(key) is None]
    for config in new:
        peer = device.find(config.public_key) or device.add_peer(config.public_key)
        wanted = config.preshared_key or bytes(32)
        if not crypto.equal(wanted, peer.secret(noise.PRESHARED, 32)):
            device.set_preshared_key(peer, wanted)
        for packed, length in config.allowed_ips:
            prefix = masked(packed, length), length
            if has[prefix] != config.public_key:
                device.tables.events.note(peer.number, events.ALLOWED_IP_MOVED, now)
            elif had.get(prefix) != config.public_key or config.public_key in fresh:
                device.allow(peer, packed, length, now)
        was = before.get(config.public_key)
        if was is None or was.keepalive != config.keepalive or config.public_key in fresh:
            device.set_persistent_keepalive(peer, config.keepalive, now)
    return fresh
