"""A trial: a handshake through another endpoint of a peer, to see whether that answers. The session of the peer goes on.

Nothing else may use the handshake of the peer meanwhile: an initiation of ours or of the peer ends the trial. If both
endpoints lead to the same machine, the trial makes that send from the other address, until it gets our next packet. So we
do not follow packets from there, and send a packet at once. `peer.trial` is the other address, or None.

After a move to an endpoint that works, the one before can be another machine with the same key, which does not know of the
move. `peer.left` is its address, or None: packets and initiations from there do not lead back to it.
"""

from . import cookie, noise
from .constants import HANDSHAKE_DSCP, INITIATION_SIZE, REKEY_TIMEOUT


def begin(device, peer, addr, now):
    """Send an initiation to `addr`. Returns False if it cannot leave now, because of another handshake."""
    if not device.is_up or peer.retransmit_at or now - peer.last_sent_handshake < REKEY_TIMEOUT:
        return False
    message = bytearray(INITIATION_SIZE)
    timestamp = device.timestamps.make(*device.host.realtime())
    if not noise.create_initiation(device.identity, peer, message, timestamp):
        return False
    cookie.add_macs(peer, message, now)
    peer.trial = addr
    peer.last_sent_handshake = now
    peer.tx_bytes += INITIATION_SIZE
    device.host.send(addr, None, message, INITIATION_SIZE, HANDSHAKE_DSCP)
    return True


def answered(device, peer, now):
    """The endpoint answered. Returns whether the new session is used: then the peer moves to the endpoint."""
    if device.host.trial_answered(peer, now):
        peer.trial = None
        return True
    peer.drop_handshake()
    if noise.may_send(peer.current, 1, now):
        device.send_keepalive(peer, now)
    return False


def end(peer):
    """End the trial of the peer, if there is one."""
    if peer.trial is not None:
        peer.trial = None
        peer.drop_handshake()
