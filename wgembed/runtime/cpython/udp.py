"""The packet path's outer side: datagrams in runs, with segmentation offload both ways.

GSO and GRO, and the control messages for them, are asked for when the socket is made; a kernel without them gets
plain calls. GSO may also be refused when a run is sent (EIO: the driver cannot checksum; EINVAL or EMSGSIZE: the
segment does not fit the link): the run is then sent again packet by packet, and segments of that size never again.
"""

from struct import pack, unpack

try:
    import _socket as socket
except ImportError:
    import socket

from ...protocol.constants import SEND_BAD_SOURCE, SEND_LOST, SEND_OK

_SOL_UDP = 17
_UDP_SEGMENT = 103
_UDP_GRO = 104
_SOL_IP = 0
_IP_TOS = 1
_IP_PKTINFO = 8
_IP_MTU_DISCOVER = 10
_IP_RECVTOS = 13
_SOL_IPV6 = 41
_IPV6_MTU_DISCOVER = 23
_IPV6_V6ONLY = 26
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_IPV6_RECVTCLASS = 66
_IPV6_TCLASS = 67
_PMTUDISC_DONT = 0
_SO_MARK = 36
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33

_EIO = 5
_EAGAIN = 11
_EINVAL = 22
_EMSGSIZE = 90
# A source address or interface that is no longer ours: EINVAL, ENODEV, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH
_BAD_SOURCE = (_EINVAL, 19, 99, 101, 113)
_GSO_REFUSED = (_EIO, _EINVAL, _EMSGSIZE)

_BUFFER = 1 << 20
_GSO_BYTES = 65000
_GSO_SEGMENTS = 64
_ANCILLARY = 128


class UdpSocket:
    """The socket of one address family, bound to a port.

    After `receive`, `length`, `stride`, `addr`, `src` and `tos` describe what came. `src` is the control message
    that makes an answer leave from where the packet came to.
    """

    def __init__(self, ipv6, port, mark):
        """Bind to the port, 0 for any. OSError if that cannot be."""
        self.ipv6 = ipv6
        self._socket = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)
            self._set_options()
            self.set_mark(mark)
            self._socket.bind(("::" if ipv6 else "0.0.0.0", port))
        except OSError:
            self._socket.close()
            raise
        self.fd = self._socket.fileno()
        self.port = self._socket.getsockname()[1]
        self._sendmsg = self._socket.sendmsg
        self._recvmsg_into = self._socket.recvmsg_into
        self._level, self._pktinfo = (_SOL_IPV6, _IPV6_PKTINFO) if ipv6 else (_SOL_IP, _IP_PKTINFO)
        self._control_for = None
        self._control = []
        self.length = self.stride = self.tos = 0
        self.addr = self.src = None

    def _set_options(self):
        if self.ipv6:
            options = ((_SOL_IPV6, _IPV6_V6ONLY, 1), (_SOL_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT),
                       (_SOL_IPV6, _IPV6_RECVPKTINFO, 1), (_SOL_IPV6, _IPV6_RECVTCLASS, 1))  # fmt: skip
        else:
            options = ((_SOL_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT), (_SOL_IP, _IP_PKTINFO, 1), (_SOL_IP, _IP_RECVTOS, 1))
        for level, name, value in options:
            self._socket.setsockopt(level, name, value)
        self._try_option(_SOL_UDP, _UDP_GRO, 1)
        self._gso_limit = 65535 if self._try_option(_SOL_UDP, _UDP_SEGMENT, 0) else 0
        for force, name in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
            if not self._try_option(socket.SOL_SOCKET, force, _BUFFER):
                self._try_option(socket.SOL_SOCKET, name, _BUFFER)

    def _try_option(self, level, name, value):
        try:
            self._socket.setsockopt(level, name, value)
        except OSError:
            return False
        return True

    def set_mark(self, mark):
        """Mark what leaves with the firewall mark; 0 is none."""
        if mark or hasattr(self, "_marked"):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
            self._marked = True

    def close(self):
        self._socket.close()

    def _ancillary(self, src, tos):
        """Return the control messages for this source and TOS byte; the last ones are kept."""
        if self._control_for != (src, tos):
            self._control_for = (src, tos)
            self._control = []
            if src is not None:
                self._control.append((self._level, self._pktinfo, src))
            if tos:
                self._control.append((self._level, _IPV6_TCLASS if self.ipv6 else _IP_TOS, pack("i", tos)))
        return self._control

    def send(self, addr, src, buf, size, tos):
        """Send one datagram; see `Device` for what is returned."""
        try:
            self._sendmsg((memoryview(buf)[:size],), self._ancillary(src, tos), 0, addr)
        except OSError as e:
            return SEND_BAD_SOURCE if src is not None and e.errno in _BAD_SOURCE else SEND_LOST
        return SEND_OK

    def send_run(self, addr, src, arena, first, end, tos):
        """Send the messages in the arena's slots `first` to `end`, equal sizes together."""
        view, offsets, lengths = arena.view, arena.offsets, arena.lengths
        control = self._ancillary(src, tos)
        result = SEND_OK
        while first < end:
            size = lengths[first]
            stop = first + 1
            if size <= self._gso_limit:
                most = min(end, first + min(_GSO_SEGMENTS, _GSO_BYTES // size))
                while stop < most and lengths[stop] == size:
                    stop += 1
                if stop < most and lengths[stop] < size:
                    stop += 1
            run = [view[offsets[i] : offsets[i] + lengths[i]] for i in range(first, stop)]
            first = stop
            try:
                if len(run) == 1:
                    self._sendmsg(run, control, 0, addr)
                else:
                    self._sendmsg(run, [*control, (_SOL_UDP, _UDP_SEGMENT, pack("H", size))], 0, addr)
            except OSError as e:
                failure = self._send_again(run, control, addr, src, size, e.errno)
                if failure == SEND_BAD_SOURCE:
                    return failure
                result = failure or result
        return result

    def _send_again(self, run, control, addr, src, size, errno):
        """Deal with the failure of a run: tell what was wrong, or send it in single packets."""
        if src is not None and errno in _BAD_SOURCE:
            return SEND_BAD_SOURCE
        if len(run) == 1 or errno not in _GSO_REFUSED:
            return SEND_LOST
        self._gso_limit = 0 if errno == _EIO else size - 1
        result = SEND_OK
        for packet in run:
            try:
                self._sendmsg((packet,), control, 0, addr)
            except OSError:
                result = SEND_LOST
        return result

    def receive(self, inbox):
        """Receive into the inbox as many datagrams as the kernel has joined; False when there is none."""
        try:
            length, control, _, addr = self._recvmsg_into((inbox.view,), _ANCILLARY)
        except OSError as e:
            if e.errno != _EAGAIN:
                # An ICMP error for something sent earlier; the datagrams behind it are still there.
                self.length = 0
                return True
            return False
        self.length = self.stride = length
        self.addr = addr
        for level, kind, data in control:
            if kind == self._pktinfo and level == self._level:
                self.src = data
            elif level == _SOL_UDP:
                self.stride = unpack("i", data)[0]
            else:
                self.tos = data[0] if len(data) == 1 else unpack("i", data)[0]
        return True


def address_bytes(addr):
    """Return a socket address as bytes: the IP address, then the port, in network order."""
    family = socket.AF_INET if len(addr) == 2 else socket.AF_INET6
    return socket.inet_pton(family, addr[0]) + pack(">H", addr[1])


def is_ipv6(addr):
    return len(addr) != 2


def parse_endpoint(text):
    """Return the socket address for `ip:port` or `[ipv6%scope]:port`; ValueError if it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("no port in the endpoint")
    try:
        if host[:1] == "[" and host[-1:] == "]":
            host, percent, scope = host[1:-1].partition("%")
            number = (int(scope) if scope.isdigit() else socket.if_nametoindex(scope)) if percent else 0
            packed = socket.inet_pton(socket.AF_INET6, host)
            return (socket.inet_ntop(socket.AF_INET6, packed), int(port), 0, number)
        return (socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, host)), int(port))
    except OSError:
        raise ValueError("no IP address in the endpoint") from None


def format_endpoint(addr):
    """Undo `parse_endpoint`."""
    if len(addr) == 2:
        return "%s:%d" % addr
    scope = "%%%d" % addr[3] if addr[3] else ""
    return "[%s%s]:%d" % (addr[0].partition("%")[0], scope, addr[1])


def parse_ip(text):
    """Return the 4 or 16 bytes of an IP address; ValueError if it is none."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError:
        raise ValueError("not an IP address") from None


def format_ip(packed):
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
