"""The tunnel device as a link: making it, its state, and the kernel's news of it (rtnetlink, tun)."""

from struct import pack, pack_into, unpack_from

from . import abi, system

TUN_DEVICE = "/dev/net/tun"
NAME_MAX = 15
_IFF_TUN = 1
_IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
_VNET_HEADER_SIZE = 10
# What the kernel may leave to us: checksums; TCP, over IPv4 and IPv6; UDP likewise, since Linux 6.2
_OFFLOADS = (0x01 | 0x06 | 0x60, 0x01 | 0x06)

_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_SIOCSIFMTU = 0x8922
_SIOCGIFINDEX = 0x8933
_SIOCSIFTXQLEN = 0x8943
_IFREQ_SIZE = 40

_RTMGRP_LINK = 1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV4_ROUTE = 0x40
_RTMGRP_IPV6_IFADDR = 0x100
_RTMGRP_IPV6_ROUTE = 0x400
_RTMGRP_RULES = 0x80 | 0x40000  # of IPv4, of IPv6
_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_NEWADDR = 20
_RTM_DELROUTE = 25
_RTM_NEWRULE = 32
_RTM_DELRULE = 33
_IFLA_MTU = 4
_IFF_UP = 1

# What the news were
LINK_CHANGED = 1
LINK_GONE = 2
ROUTES_CHANGED = 4

# The default of 500 overflows before a busy single core is back at the device.
_QUEUE_LENGTH = 1000


class LinkError(Exception):
    """The tunnel device cannot be had; the text says why, for people."""


def is_valid_name(name):
    """Whether the kernel takes this as the name of an interface."""
    return 0 < len(name.encode()) <= NAME_MAX and name not in (".", "..") and not any(c in "/:" or c.isspace() for c in name)


def number_of(name):
    """Return the number of the link of this name, 0 if there is none."""
    try:
        return system.udp.link_index(name)
    except OSError:
        return 0


def _request(name):
    request = bytearray(_IFREQ_SIZE)
    encoded = name.encode()
    request[: len(encoded)] = encoded
    return request


def open_tun(name, flags=0):
    """Make the tunnel device, down; returns its descriptor. LinkError if it cannot be.

    flags  IFF_VNET_HDR for a header before each packet
    """
    try:
        fd = system.files.open_device(TUN_DEVICE)
    except OSError as e:
        raise LinkError("cannot open %s (%s): is the tun module loaded, and are you root?" % (TUN_DEVICE, e)) from None
    error = _attach(fd, name, _IFF_TUN | _IFF_NO_PI | flags)
    if error is not None:
        system.files.close(fd)
        reason = _REASONS.get(error.errno, str(error))
        raise LinkError("cannot make the interface %s: %s" % (name, reason))
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
        addresses = _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR
        routes = _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_ROUTE | _RTMGRP_RULES
        self._netlink = system.netlink.Netlink(_RTMGRP_LINK | addresses | routes)
        self.fd = self._netlink.fd
        self.index = self._ask(_SIOCGIFINDEX)
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
        self._tell(_SIOCSIFMTU, mtu)
        self._tell(_SIOCSIFTXQLEN, _QUEUE_LENGTH)
        self.mtu = mtu

    def refresh(self):
        """Ask for the present state; OSError when the interface is gone."""
        self.mtu = self._ask(_SIOCGIFMTU)
        self.is_up = bool(self._ask(_SIOCGIFFLAGS) & _IFF_UP)

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
        while start + 16 <= len(message):
            length, kind = unpack_from("IH", message, start)
            if length < 16 or start + length > len(message):
                break
            if kind in (_RTM_NEWLINK, _RTM_DELLINK):
                found |= self._parse_link(message, start, start + length, kind)
            elif _RTM_NEWADDR <= kind <= _RTM_DELROUTE or kind in (_RTM_NEWRULE, _RTM_DELRULE):
                found |= ROUTES_CHANGED
            start += length + 3 & ~3
        return found

    def _parse_link(self, message, start, end, kind):
        if end < start + 32:
            return 0
        index, flags = unpack_from("iI", message, start + 20)
        if index != self.index:
            return 0
        if kind == _RTM_DELLINK:
            return LINK_GONE
        self.is_up = bool(flags & _IFF_UP)
        at = start + 32
        while at + 4 <= end:
            length, attribute = unpack_from("HH", message, at)
            if length < 4 or at + length > end:
                break
            if attribute == _IFLA_MTU and length >= 8:
                self.mtu = unpack_from("I", message, at + 4)[0]
            at += length + 3 & ~3
        return LINK_CHANGED

    def close(self):
        self._netlink.close()

