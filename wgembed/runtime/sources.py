"""Where answers leave from: whether the address and the link that a peer speaks to still lead to it.

Linux keeps the address that a datagram came to as the source of what it sends back, as long as the route to the peer goes
out by the link that the datagram came in by (socket.c, send4 and send6). Here the routes are asked when the peer speaks to
another address, and when a route or a rule has changed, not for each packet. Two things are different:

- Of several links that lead to the peer, a datagram may have come by another than the best. The answer takes the same
  link, where Linux takes the best one, with its address.
- When another link becomes the best one, the side that began the session takes that, even if a rule for the old source
  address leads to the old one.
"""

from struct import pack, unpack_from

from . import abi, rtsocket, system
from .address import source_ip


def source_link(src):
    """Return the ifindex in the control message (struct in_pktinfo or in6_pktinfo) that `src` is."""
    return unpack_from("i", src, 0 if len(src) == 12 else 16)[0]


class Sources:
    """Asks for routes to peers by one routing socket."""

    def __init__(self, rtsocket):
        self._rtsocket = rtsocket

    def choose(self, peer, fwmark, is_new):
        """Return the source for what is sent to the peer, or None: the kernel chooses. It is called_at, or none.

        is_new  the peer has just spoken to `called_at`; False: routes or rules have changed

        What is needed to see a change is kept in peer.best_link.
        """
        src = peer.called_at
        packed, _, scope = system.inet.split_address(peer.addr)
        link = source_link(src)
        if scope:
            return src if scope == link else None
        best = self._link_to(packed, b"", 0, fwmark)
        before, peer.best_link = peer.best_link, best
        if best == link:
            return src
        address = source_ip(src)
        if not is_new:
            if peer.src is None:
                return None
            if best != before:
                began = peer.current is not None and peer.current.initiator
                return src if not began and self._link_to(packed, address, 0, fwmark) == link else None
        return src if self._link_to(packed, address, link, fwmark) == link else None

    def _link_to(self, packed, source, link, fwmark):
        """Return the ifindex of the link that a packet from `source` leaves by, 0 if there is no route.

        link  by this link alone, 0 for any
        """
        family = abi.AF_INET if len(packed) == 4 else abi.AF_INET6
        bits = 8 * len(packed)
        # An IPv4 address counts as being on a given link if no route says so: with this flag it does not.
        flags = abi.RTM_F_FIB_MATCH if link else 0
        body = pack(abi.RTMSG, family, bits, 8 * len(source), 0, 0, 0, 0, 0, flags) + rtsocket.attribute(abi.RTA_DST, packed)
        if source:
            body += rtsocket.attribute(abi.RTA_SRC, source)
        for kind, value in ((abi.RTA_OIF, link), (abi.RTA_MARK, fwmark)):
            if value:
                body += rtsocket.attribute(kind, pack("I", value))
        try:
            answer = self._rtsocket.ask(abi.RTM_GETROUTE, body)
        except OSError:
            return 0
        if answer[7] not in (abi.RTN_UNICAST, abi.RTN_LOCAL):
            return 0
        if link:
            # A kernel before 4.13 does not know the flag. Then the best link must do.
            return 0 if len(packed) == 4 and unpack_from("I", answer, 8)[0] & abi.RTM_F_CLONED else link
        return rtsocket.number(rtsocket.attributes(answer, abi.RTMSG_SIZE, len(answer)), abi.RTA_OIF, 0)
