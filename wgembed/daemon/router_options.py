"""Options of a router's configuration that depend on the kernel: firewall marks and offloads."""

from .interface import bind_pair


def use_offloads(process, config):
    """Set the switches of the offloads to those of the configuration, or of the environment if it has none."""
    offloads = process.offloads
    usual = offloads.usual
    offloads.gso = usual[0] if config.gso is None else config.gso
    offloads.gro = usual[1] if config.gro is None else config.gro
    offloads.tun = usual[2] if config.tun_offload is None else config.tun_offload
    for interface in process.interfaces:
        interface.use_offloads()


def do_without_marks(config):
    """If the kernel cannot mark packets, use host routes instead; return a sentence for each interface concerned."""
    told = []
    for interface in config.interfaces:
        if _wants_mark(interface) and not _can_mark():
            told.append("%s: fwmark and nohostroute have no effect because the kernel cannot mark packets" % interface.where)
            interface.fwmark = 0
            interface.nohostroute = False
    return told


def _wants_mark(interface):
    if interface.fwmark:
        return True
    return interface.nohostroute and any(not n for peer in interface.peers if peer.route for _, n in peer.allowed_ips)


def _can_mark():
    try:
        sockets = bind_pair(0, 1)
    except OSError:
        return False
    for socket in sockets:
        socket.close()
    return True
