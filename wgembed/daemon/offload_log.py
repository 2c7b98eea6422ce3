"""What the log says of offloads that fail. Loaded when the first one does, because the strings would waste memory."""

_JOIN_REFUSED = (
    "the kernel refuses joined packets for the tunnel device (Linux 6.6.44 has this fault): writing them one by one, next "
    "attempt in %d min; update the kernel, or set WGEMBED_TUN_OFFLOAD=0 (option tun_offload '0')"
)


def join_refused(log, retry_ms):
    """The kernel refused joined packets. They will be joined again after this time."""
    log.error(_JOIN_REFUSED % (retry_ms // 60000))
