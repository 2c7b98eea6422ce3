"""The source address of packets to a peer: the address that the peer sends to, as long as its link leads to the peer.

Linux does the same (socket.c, send4 and send6), and checks the route for each packet. Here the route is checked when the
peer sends to another address, and after a change of routes or rules. There are two differences:

- If several links lead to the peer, the peer's packets may come by another link than the best one. Answers then leave by
  the same link. With Linux, they leave by the best link, with its address.
- If another link becomes the best one, the side that began the session uses that link, even if a rule for the old source
  address leads to the old link.
"""

from struct import pack, unpack_from

from . import abi, rtsocket, system
from .address import source_ip


def source_link(src):
    """Return the ifindex in `src`, a control message (struct in_pktinfo or in6_pktinfo)."""
    return unpack_from("i", src, 0 if len(src) == 12 else 16)[0]


class Sources:
    """Chooses source addresses. All requests for routes go through one routing socket."""

    def __init__(self, rtsocket):
        self._rtsocket = rtsocket

    def choose(self, peer, fwmark, is_new):
        """Return the source for packets to the peer: `peer.called_at`, or None, and the kernel chooses.

        is_new  True: the peer has just sent to `called_at`. False: routes or rules have changed

        `peer.best_link` holds the ifindex of the best link, to see a change.
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
        """Return the ifindex of the link on the route to a packed address, 0 if there is no route.

        source  the packed source address; b"": the kernel chooses
        link    use only this link; 0: any link
        """
        family = abi.FAMILIES[len(packed)]
        bits = 8 * len(packed)
        # Without this flag, the kernel takes any IPv4 address for a neighbour on the given link.
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
        if len(answer) < abi.RTMSG_SIZE or answer[7] not in (abi.RTN_UNICAST, abi.RTN_LOCAL):
            return 0
        if link:
            # Kernels before 4.13 do not know the flag, and give no usable answer.
            return 0 if len(packed) == 4 and unpack_from("I", answer, 8)[0] & abi.RTM_F_CLONED else link
        return rtsocket.number(rtsocket.attributes(answer, abi.RTMSG_SIZE, len(answer)), abi.RTA_OIF, 0)
