"""What the log says of offloads that fail. Loaded when the first one does, because the strings would waste memory."""

from ..protocol import segmentation
from ..runtime import address

_SEGMENTS_LOST = (
    "segmented sends (UDP GSO) to %s do not arrive, single datagrams do: sending without UDP GSO. "
    "The kernel, or the driver of a link, damages them; update it, or set WGEMBED_GSO=0 (option gso '0')"
)
_SEGMENTS_ARRIVE = "segmented sends (UDP GSO) to %s arrive again: using UDP GSO"
_JOIN_REFUSED = (
    "the kernel refuses joined packets for the tunnel device (Linux 6.6.44 has this fault): writing them one by one, next "
    "attempt in %d min; update the kernel, or set WGEMBED_TUN_OFFLOAD=0 (option tun_offload '0')"
)


def segments_changed(log, peer):
    """Tests show that segmented sends to the peer are lost, or arrive again."""
    text = _SEGMENTS_LOST if segmentation.is_lost(peer) else _SEGMENTS_ARRIVE
    log.error(text % address.format_endpoint(peer.addr))


def join_refused(log, retry_ms):
    """The kernel refused joined packets. They will be joined again after this time."""
    log.error(_JOIN_REFUSED % (retry_ms // 60000))
