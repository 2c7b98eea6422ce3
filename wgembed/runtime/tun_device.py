"""The tunnel device: how to open it, how to undo the settings of others, and where its link is now (Linux tun.c)."""

from struct import pack, pack_into, unpack_from

from ..errors import UserError, cause
from . import abi, system

TUN_DEVICE = "/dev/net/tun"
NAME_MAX = abi.IFNAMSIZ - 1
_IFF_TUN = 1
_IFF_MULTI_QUEUE = 0x100
_IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
_VNET_HEADER_SIZE = 10
# Offloads that we can do for the kernel (TUN_F_*): checksums; segmentation of TCP over IPv4 and IPv6; of UDP since Linux 6.2
TSO = 0x01 | 0x06
USO = 0x60
_SNDBUF_UNLIMITED = 0x7FFFFFFF


def is_valid_name(name):
    """Whether the kernel accepts this name for an interface."""
    return 0 < len(name.encode()) <= NAME_MAX and name not in (".", "..") and not any(c in "/:" or c.isspace() for c in name)


def open_tun(name, flags=0):
    """Make the tunnel device, or open one that exists. Returns its descriptor. UserError if the kernel refuses it.

    flags  IFF_VNET_HDR for a virtio header before each packet
    """
    try:
        fd = system.files.open_device(TUN_DEVICE)
    except OSError as e:
        raise UserError("cannot open %s: %s; load the module tun, and run as root" % (TUN_DEVICE, cause(e))) from None
    error = _attach(fd, name, _IFF_TUN | _IFF_NO_PI | flags)
    if error is not None and error.errno == abi.EINVAL:
        # A device that was made with several queues needs the flag. This is then its only queue.
        error = _attach(fd, name, _IFF_TUN | _IFF_NO_PI | _IFF_MULTI_QUEUE | flags) and error
    if error is not None:
        system.files.close(fd)
        reason = _REASONS.get(error.errno) or cause(error)
        raise UserError("cannot make the interface %s: %s" % (name, reason))
    _reset(fd)
    return fd


_REASONS = {
    abi.EBUSY: "another program uses it",
    abi.EPERM: "only root can make interfaces",
    abi.EINVAL: "an interface of another kind has this name",
}


def _attach(fd, name, flags):
    """Bind the open TUN device to the interface, which is made if it does not exist. Returns the OSError, or None."""
    request = bytearray(abi.IFREQ_SIZE)
    encoded = name.encode()
    request[: len(encoded)] = encoded
    pack_into("H", request, abi.IFNAMSIZ, flags)
    return _ask_tun(system.files.ioctl, fd, abi.TUNSETIFF, request)


def _reset(fd):
    """Undo the settings that another program may have left on the device. Old kernels lack most of them."""
    number, buffer = system.files.ioctl_number, system.files.ioctl
    _ask_tun(number, fd, abi.TUNSETOFFLOAD, 0)
    for codes, value in (
        (abi.TUNSETSNDBUF, _SNDBUF_UNLIMITED),
        (abi.TUNSETVNETLE, 0),
        (abi.TUNSETVNETBE, 0),
        (abi.TUNSETSTEERINGEBPF, -1),
        (abi.TUNSETFILTEREBPF, -1),
        (abi.TUNSETCARRIER, 1),
    ):
        _ask_tun(buffer, fd, codes, bytearray(pack("i", value)))


def _ask_tun(ioctl, fd, codes, argument):
    """Call ioctl with each of the codes until the kernel accepts one. Returns None or an OSError, ENOTTY only if all are."""
    error = None
    for code in codes:
        try:
            ioctl(fd, code, argument)
            return None
        except OSError as e:
            if error is None or error.errno == abi.ENOTTY:
                error = e
    return error


def knows_vnet_header():
    """Whether tunnel devices of this kernel can have a virtio header before each packet."""
    try:
        fd = system.files.open_device(TUN_DEVICE)
    except OSError:
        return False
    features = bytearray(4)
    error = _ask_tun(system.files.ioctl, fd, abi.TUNGETFEATURES, features)
    system.files.close(fd)
    return error is None and bool(unpack_from("I", features)[0] & IFF_VNET_HDR)


def set_offload(fd, with_tso=True, with_uso=True):
    """Let the kernel leave segmentation and checksums to us. Returns the offloads that are set (TUN_F_*), 0 for none.

    with_tso  False: no offload at all
    with_uso  False: none for UDP

    The device has a virtio header before each packet. After this call it is the short one, of 10 bytes.
    """
    _ask_tun(system.files.ioctl, fd, abi.TUNSETVNETHDRSZ, bytearray(pack("i", _VNET_HEADER_SIZE)))
    for flags in (TSO | USO, TSO) if with_uso else (TSO,):
        if with_tso and _ask_tun(system.files.ioctl_number, fd, abi.TUNSETOFFLOAD, flags) is None:
            return flags
    _ask_tun(system.files.ioctl_number, fd, abi.TUNSETOFFLOAD, 0)
    return 0


def name_of(fd):
    """Return the current name of the device's link, as bytes, in whatever namespace it is. OSError if it was deleted."""
    request = bytearray(abi.IFREQ_SIZE)
    error = _ask_tun(system.files.ioctl, fd, abi.TUNGETIFF, request)
    if error is not None:
        raise error
    return bytes(request[: abi.IFNAMSIZ]).rstrip(b"\0")


def open_namespace_of(fd):
    """Return a descriptor of the network namespace of the link, None if the kernel does not give it (before 5.2)."""
    for code in abi.TUNGETDEVNETNS:
        try:
            return system.files.ioctl_number(fd, code, 0)
        except OSError:
            continue
    return None
