"""Our own datagrams that come back, because the machine's route to a peer's endpoint goes into the tunnel to that peer.

If they were sent again, they would loop for ever and grow each time. Linux detects the loop by the route (ELOOP). A program
in user space does not see the route. But the message in the datagram is ours if it has the index of a session or handshake
with the peer.
"""

from .constants import MESSAGE_INITIATION, MESSAGE_TRANSPORT
from .ip import IPV4_PROTOCOL, IPV6_HEADER, IPV6_NEXT, UDP, UDP_HEADER
from .messages import SENDER

_START = 8  # the first bytes of a message: its type and an index


def is_own(buf, packet, size, peer):
    """Whether the IP packet of `size` bytes at `buf[packet]`, which is routed to the peer, is our datagram to the peer."""
    if buf[packet] >> 4 == 4:
        at, protocol = packet + (buf[packet] & 15) * 4, buf[packet + IPV4_PROTOCOL]
    else:
        at, protocol = packet + IPV6_HEADER, buf[packet + IPV6_NEXT]
    at += UDP_HEADER
    if protocol != UDP or at + _START > packet + size:
        return False
    if buf[at] == MESSAGE_TRANSPORT:
        return _is_of_session(peer, bytes(buf[at : at + _START]))
    return buf[at] == MESSAGE_INITIATION and bytes(buf[at + SENDER : at + _START]) == peer.handshake_index


def _is_of_session(peer, start):
    return any(keypair.index is not None and keypair.header == start for keypair in peer.keypairs)
