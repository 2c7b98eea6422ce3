"""The tunnel device as a link: making it, its state, and the kernel's news of it (rtnetlink, tun)."""

from struct import pack, pack_into, unpack_from

from ..errors import UserError
from . import abi, system

TUN_DEVICE = "/dev/net/tun"
NAME_MAX = abi.IFNAMSIZ - 1
_IFF_TUN = 1
_IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
_VNET_HEADER_SIZE = 10
# What the kernel may leave to us: checksums; TCP, over IPv4 and IPv6; UDP likewise, since Linux 6.2
_OFFLOADS = (0x01 | 0x06 | 0x60, 0x01 | 0x06)


# What the news were
LINK_CHANGED = 1
LINK_GONE = 2
ROUTES_CHANGED = 4

# The default of 500 overflows before a busy single core is back at the device.
_QUEUE_LENGTH = 1000


def is_valid_name(name):
    """Whether the kernel takes this as the name of an interface."""
    return 0 < len(name.encode()) <= NAME_MAX and name not in (".", "..") and not any(c in "/:" or c.isspace() for c in name)


def _request(name):
    request = bytearray(abi.IFREQ_SIZE)
    encoded = name.encode()
    request[: len(encoded)] = encoded
    return request


def open_tun(name, flags=0):
    """Make the tunnel device, down; returns its descriptor. UserError if it cannot be.

    flags  IFF_VNET_HDR for a header before each packet
    """
    try:
        fd = system.files.open_device(TUN_DEVICE)
    except OSError as e:
        raise UserError("cannot open %s (%s): is the tun module loaded, and are you root?" % (TUN_DEVICE, e)) from None
    error = _attach(fd, name, _IFF_TUN | _IFF_NO_PI | flags)
    if error is not None:
        system.files.close(fd)
        reason = _REASONS.get(error.errno, str(error))
        raise UserError("cannot make the interface %s: %s" % (name, reason))
    return fd


_REASONS = {
    abi.EBUSY: "the interface is in use by another program",
    abi.EPERM: "making interfaces needs root",
    abi.EINVAL: "an interface of that name and another kind exists",
}


def _attach(fd, name, flags):
    """Bind the open TUN device to the interface, made if it is not there; returns the error or None."""
    request = _request(name)
    pack_into("H", request, 16, flags)
    return _ask_tun(system.files.ioctl, fd, abi.TUNSETIFF, request)


def _ask_tun(ioctl, fd, codes, argument):
    """Call ioctl with the first of the codes that the kernel knows; returns the error or None."""
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


def set_offload(fd):
    """Let the kernel leave segmentation and checksums to us; returns for what it does (TUN_F_*).

    The device has a virtio header before each packet: the short one, from here on.
    """
    _ask_tun(system.files.ioctl, fd, abi.TUNSETVNETHDRSZ, bytearray(pack("i", _VNET_HEADER_SIZE)))
    for flags in _OFFLOADS:
        if _ask_tun(system.files.ioctl_number, fd, abi.TUNSETOFFLOAD, flags) is None:
            return flags
    return 0


class Link:
    """State and news of the interface `name`, by a routing socket.

    index, mtu, is_up  as last heard
    fd                 to wait on for news
    """

    def __init__(self, name):
        self._name = name
        addresses = abi.RTMGRP_IPV4_IFADDR | abi.RTMGRP_IPV6_IFADDR
        routes = abi.RTMGRP_IPV4_ROUTE | abi.RTMGRP_IPV6_ROUTE | abi.RTMGRP_IPV4_RULE | abi.RTMGRP_IPV6_RULE
        self._netlink = system.netlink.Netlink(abi.RTMGRP_LINK | addresses | routes)
        self.fd = self._netlink.fd
        self.index = self._ask(abi.SIOCGIFINDEX)
        self.refresh()

    def _ask(self, request_code):
        request = _request(self._name)
        system.files.ioctl(self.fd, request_code, request)
        return unpack_from("i", request, 16)[0]

    def _tell(self, request_code, value):
        request = _request(self._name)
        pack_into("i", request, 16, value)
        system.files.ioctl(self.fd, request_code, request)

    def prepare(self, mtu):
        """Set the MTU and a queue that outlasts a busy moment."""
        self._tell(abi.SIOCSIFMTU, mtu)
        self._tell(abi.SIOCSIFTXQLEN, _QUEUE_LENGTH)
        self.mtu = mtu

    def refresh(self):
        """Ask for the present state; OSError when the interface is gone."""
        self.mtu = self._ask(abi.SIOCGIFMTU)
        self.is_up = bool(self._ask(abi.SIOCGIFFLAGS) & abi.IFF_UP)

    def news(self):
        """Take in what was heard; returns LINK_CHANGED, LINK_GONE and ROUTES_CHANGED or-ed together."""
        found = 0
        while True:
            try:
                message = self._netlink.receive()
            except OSError:
                return found | self._after_loss()
            if message is None:
                return found
            found |= self._parse(message)

    def _after_loss(self):
        try:
            self.refresh()
        except OSError:
            return LINK_GONE
        return LINK_CHANGED | ROUTES_CHANGED

    def _parse(self, message):
        found = start = 0
        while start + abi.NLMSGHDR_SIZE <= len(message):
            length, kind, _, _, _ = unpack_from(abi.NLMSGHDR, message, start)
            if length < abi.NLMSGHDR_SIZE or start + length > len(message):
                break
            if kind in (abi.RTM_NEWLINK, abi.RTM_DELLINK):
                found |= self._parse_link(message, start, start + length, kind)
            elif abi.RTM_NEWADDR <= kind <= abi.RTM_DELROUTE or kind in (abi.RTM_NEWRULE, abi.RTM_DELRULE):
                found |= ROUTES_CHANGED
            start += length + 3 & ~3
        return found

    def _parse_link(self, message, start, end, kind):
        body = start + abi.NLMSGHDR_SIZE
        at = body + abi.IFINFOMSG_SIZE
        if end < at:
            return 0
        _, _, index, flags, _ = unpack_from(abi.IFINFOMSG, message, body)
        if index != self.index:
            return 0
        if kind == abi.RTM_DELLINK:
            return LINK_GONE
        self.is_up = bool(flags & abi.IFF_UP)
        while at + abi.RTATTR_SIZE <= end:
            length, attribute = unpack_from(abi.RTATTR, message, at)
            if length < abi.RTATTR_SIZE or at + length > end:
                break
            if attribute == abi.IFLA_MTU and length >= abi.RTATTR_SIZE + 4:
                self.mtu = unpack_from("I", message, at + abi.RTATTR_SIZE)[0]
            at += length + 3 & ~3
        return LINK_CHANGED

    def close(self):
        self._netlink.close()
