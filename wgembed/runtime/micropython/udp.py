"""The outer side of the packet path: datagrams in runs, with segmentation offload in both directions.

It works like the backend for CPython, but calls sendmsg and recvmsg with structures that are made once. A socket address
is a sockaddr, 16 or 28 bytes. A source is the body of a control message, in_pktinfo or in6_pktinfo.
"""

from struct import calcsize, pack, pack_into, unpack_from

import uctypes

from ...protocol.constants import SEND_BAD_SOURCE, SEND_LOST, SEND_OK
from .. import abi
from . import libc
from .inet import make_address

_WORD = calcsize("P")
_MSGHDR = "PIPLPLi"
_MSGHDR_SIZE = calcsize(_MSGHDR)
_NAMELEN = _WORD
_CONTROLLEN = 5 * _WORD
_CMSG_HEADER = (_WORD + 8 + _WORD - 1) // _WORD * _WORD
_CONTROL_SIZE = 128
_NAME_SIZE = 28
_BIG_ENDIAN = pack("H", 1) == b"\0\1"
_NAMELEN_BYTE = _NAMELEN + 3 if _BIG_ENDIAN else _NAMELEN
_CONTROLLEN_BYTE = _CONTROLLEN + _WORD - 1 if _BIG_ENDIAN else _CONTROLLEN

_errno = libc.errno
_sendmsg = libc.sendmsg
_recvmsg = libc.recvmsg
_memcmp = libc.memcmp


def _aligned(size):
    return (size + _WORD - 1) // _WORD * _WORD


def _put_cmsg(buf, at, level, kind, size):
    """Write the header of a control message with `size` bytes of data. Returns the offset of the data."""
    pack_into("Lii", buf, at, _CMSG_HEADER + size, level, kind)
    return at + _CMSG_HEADER


class UdpSocket:
    """The socket of one address family, bound to a port.

    After `receive`, `length`, `stride`, `addr`, `src` and `tos` describe the datagrams. See contract.py.
    """

    def __init__(self, ipv6, port, fwmark):
        """Bind to the port, 0 for any, and set the mark. OSError if the kernel refuses the port or the mark."""
        self.ipv6 = ipv6
        kind = abi.SOCK_DGRAM | abi.O_CLOEXEC | abi.O_NONBLOCK
        self.fd = libc.check(libc.socket(abi.AF_INET6 if ipv6 else abi.AF_INET, kind, 0))
        self._int = bytearray(4)
        self._name = bytearray(_NAME_SIZE)
        try:
            self._set_options()
            self.set_fwmark(fwmark)
            name = make_address(bytes(16 if ipv6 else 4), port, 0)
            libc.check(libc.bind(self.fd, name, len(name)))
            pack_into("I", self._int, 0, len(self._name))
            libc.check(libc.getsockname(self.fd, self._name, self._int))
        except OSError:
            libc.close(self.fd)
            raise
        self.port = self._name[2] << 8 | self._name[3]
        self._tos_taken = True
        self.errno = 0
        self.length = self.stride = self.tos = 0
        self.addr = self.src = None
        self._prepare()

    def _prepare(self):
        """Make the structures for sendmsg and recvmsg."""
        self._level = abi.SOL_IPV6 if self.ipv6 else abi.SOL_IP
        self._pktinfo = abi.IPV6_PKTINFO if self.ipv6 else abi.IP_PKTINFO
        self._tclass = abi.IPV6_TCLASS if self.ipv6 else abi.IP_TOS
        self._source_size = 20 if self.ipv6 else 12
        self._header = bytearray(_MSGHDR_SIZE)
        self._asking = bytearray(_MSGHDR_SIZE)  # the msghdr for recvmsg
        self._room = bytearray(2 * _WORD)
        self._room_at = -1
        self._vectors = bytearray(2 * _WORD * abi.GSO_SEGMENTS)
        self._control = bytearray(_CONTROL_SIZE)  # control messages for sendmsg
        self._heard = bytearray(_CONTROL_SIZE)  # control messages from recvmsg
        self._known = bytearray(_CONTROL_SIZE)  # the last control messages that were parsed
        self._known_end = -1
        self._known_stride = 0  # 0: they had no stride
        self._name_pointer = uctypes.addressof(self._name)
        self._vectors_pointer = uctypes.addressof(self._vectors)
        self._control_pointer = uctypes.addressof(self._control)
        self._heard_pointer = uctypes.addressof(self._heard)
        pack_into(
            _MSGHDR, self._asking, 0, self._name_pointer, _NAME_SIZE, uctypes.addressof(self._room), 1, self._heard_pointer,
            _CONTROL_SIZE, 0,
        )  # fmt: skip
        self._control_src = self._control_tos = None
        self._control_end = 0

    def _set_options(self):
        # Without this option the socket would take the port of IPv4, too.
        if self.ipv6 and not self._try_option(abi.SOL_IPV6, abi.IPV6_V6ONLY, 1):
            raise OSError(_errno())
        for level, name, value in abi.UDP_OPTIONS[self.ipv6]:
            self._try_option(level, name, value)
        self.gro = self._try_option(abi.SOL_UDP, abi.UDP_GRO, 1)
        self.gso_limit = self.gso_first = 65535 if self._try_option(abi.SOL_UDP, abi.UDP_SEGMENT, 0) else 0
        for force, name in abi.UDP_BUFFERS:
            if not self._try_option(abi.SOL_SOCKET, force, abi.UDP_BUFFER):
                self._try_option(abi.SOL_SOCKET, name, abi.UDP_BUFFER)
        libc.check(libc.getsockopt(self.fd, abi.SOL_SOCKET, abi.SO_SNDBUF, self._int, pack("I", 4)))
        self._replies = unpack_from("i", self._int)[0] // abi.UDP_REPLIES
        libc.check(libc.getsockopt(self.fd, abi.SOL_SOCKET, abi.SO_RCVBUF, self._int, pack("I", 4)))
        self.receive_room = unpack_from("i", self._int)[0]

    def _try_option(self, level, name, value):
        pack_into("I", self._int, 0, value)
        return libc.setsockopt(self.fd, level, name, self._int, 4) == 0

    def set_receive_room(self, size):
        """Set the size of the receive buffer, in bytes, as the kernel counts them."""
        for name in abi.RECEIVE_BUFFER:
            if self._try_option(abi.SOL_SOCKET, name, size >> 1):  # the kernel doubles it
                return

    def use_offloads(self, gso, gro):
        """Use segmented sends and joined datagrams, or do not, if the kernel has them."""
        self.gso_limit = self.gso_first if gso else 0
        self.gro = self._try_option(abi.SOL_UDP, abi.UDP_GRO, int(gro)) and gro

    def set_fwmark(self, fwmark):
        """Set the firewall mark of datagrams that are sent; 0 for none."""
        if not self._try_option(abi.SOL_SOCKET, abi.SO_MARK, fwmark) and fwmark:
            raise OSError(_errno())

    def bind_to(self, link):
        """Send only by the link of this name; "" for any link."""
        name = link.encode() + b"\0"
        libc.check(libc.setsockopt(self.fd, abi.SOL_SOCKET, abi.SO_BINDTODEVICE, name, len(name)))

    def close(self):
        libc.close(self.fd)

    def _set_control(self, src, tos):
        """Write the control messages for this source and TOS byte. The last ones are kept for the next call."""
        if src is self._control_src and tos == self._control_tos:
            return
        end = 0
        control = self._control
        if src is not None:
            at = _put_cmsg(control, 0, self._level, self._pktinfo, self._source_size)
            control[at : at + self._source_size] = src
            end = at + _aligned(self._source_size)
        if tos and self._tos_taken:
            at = _put_cmsg(control, end, self._level, self._tclass, 4)
            pack_into("i", control, at, tos)
            end = at + _aligned(4)
        self._control_src = src
        self._control_tos = tos
        self._control_end = end

    def _send(self, addr, vectors, end):
        """Send the data of the first `vectors` vectors, with the control messages up to `end`. True if it was sent."""
        pack_into(
            _MSGHDR, self._header, 0, uctypes.addressof(addr), len(addr), self._vectors_pointer, vectors,
            self._control_pointer if end else 0, end, 0,
        )  # fmt: skip
        return _sendmsg(self.fd, self._header, abi.MSG_DONTWAIT) >= 0

    def send(self, addr, src, buf, size, tos):
        """Send one datagram. Returns SEND_OK, SEND_LOST or SEND_BAD_SOURCE: see contract.py."""
        self._set_control(src, tos)
        pack_into("PL", self._vectors, 0, uctypes.addressof(buf), size)
        if self._send(addr, 1, self._control_end):
            return SEND_OK
        errno = _errno()
        if src is not None and errno in abi.BAD_SOURCE:
            return SEND_BAD_SOURCE
        if self._gives_up_tos(tos, errno):
            return self.send(addr, src, buf, size, 0)
        self.errno = errno
        return SEND_LOST

    def reply(self, addr, src, buf, size):
        """Send an answer to an address that no peer has. SEND_LOST if the queue is too full, as peers go first."""
        if not libc.ioctl(self.fd, abi.SIOCOUTQ, self._int) and unpack_from("i", self._int)[0] > self._replies:
            return SEND_LOST
        return self.send(addr, src, buf, size, 0)

    def _gives_up_tos(self, tos, errno):
        """Whether the error can come from the TOS byte, which kernels before 3.13 refuse. Then it is left out later."""
        if not tos or not self._tos_taken or errno != abi.EINVAL:
            return False
        self._tos_taken = False
        self._control_tos = -1
        return True

    def send_pair(self, addr, src, buf, size, tos):
        """Send the datagram twice, in one segmented send. If the kernel refuses that, send it once."""
        self._set_control(src, tos)
        pointer = uctypes.addressof(buf)
        pack_into("PLPL", self._vectors, 0, pointer, size, pointer, size)
        where = _put_cmsg(self._control, self._control_end, abi.SOL_UDP, abi.UDP_SEGMENT, 2)
        pack_into("H", self._control, where, size)
        if self._send(addr, 2, where + _aligned(2)):
            return SEND_OK
        return self.send(addr, src, buf, size, tos)

    def send_run(self, addr, src, arena, first, end, tos, segments=abi.GSO_SEGMENTS):
        """Send the messages in the arena's slots `first` to `end` - 1. One call sends messages of equal sizes."""
        self._set_control(src, tos)
        lengths = arena.lengths
        result = SEND_OK
        while first < end:
            size = lengths[first]
            stop = first + 1
            if size <= self.gso_limit:
                stop = arena.gso_group_end(first, min(end, first + min(segments, abi.GSO_BYTES // size or 1)))
            if not self._send_slots(addr, arena, first, stop, size):
                errno = _errno()
                if src is not None and errno in abi.BAD_SOURCE:
                    return SEND_BAD_SOURCE
                if src is None and self._gives_up_tos(tos, errno):
                    return self.send_run(addr, src, arena, first, end, 0, segments)
                if stop - first == 1 or errno not in abi.GSO_REFUSED:
                    self.errno = errno
                    result = SEND_LOST
                else:
                    self.gso_limit = 0 if errno == abi.EIO else size - 1
                    for slot in range(first, stop):
                        if not self._send_slots(addr, arena, slot, slot + 1, size):
                            self.errno = _errno()
                            result = SEND_LOST
            first = stop
        return result

    def _send_slots(self, addr, arena, first, stop, size):
        """Send the messages of the slots `first` to `stop` - 1 in one call. All but the last have `size` bytes."""
        pointer = arena.pointers[first] - 16
        lengths = arena.lengths
        stride = arena.stride
        vectors = self._vectors
        count = stop - first
        if size == stride:
            # There is no gap between the messages.
            pack_into("PL", vectors, 0, pointer, size * (count - 1) + lengths[stop - 1])
            used = 1
        else:
            at = 0
            for slot in range(first, stop):
                pack_into("PL", vectors, at, pointer, lengths[slot])
                at += 2 * _WORD
                pointer += stride
            used = count
        end = self._control_end
        if count > 1:
            where = _put_cmsg(self._control, end, abi.SOL_UDP, abi.UDP_SEGMENT, 2)
            pack_into("H", self._control, where, size)
            end = where + _aligned(2)
        return self._send(addr, used, end)

    def receive(self, inbox):
        """Receive the datagrams that the kernel has joined into the inbox. False if nothing waits."""
        asking = self._asking
        # The last recvmsg has overwritten the two sizes. Each is below 256, so one byte restores it.
        asking[_NAMELEN_BYTE] = _NAME_SIZE
        asking[_CONTROLLEN_BYTE] = _CONTROL_SIZE
        at = inbox.pointer + inbox.start
        if at != self._room_at:
            self._room_at = at
            pack_into("PL", self._room, 0, at, len(inbox.buffer) - inbox.start)
        length = _recvmsg(self.fd, asking, abi.MSG_DONTWAIT)
        if length < 0:
            if _errno() == abi.EAGAIN:
                return False
            # An ICMP error for a datagram that was sent earlier. Received datagrams can wait after it.
            self.length = 0
            return True
        self.length = length
        size = _small(asking, _NAMELEN, 4)
        if self.addr is None or _memcmp(self.addr, self._name, size):
            self.addr = bytes(memoryview(self._name)[:size])
        end = _small(asking, _CONTROLLEN, _WORD)
        # Most control messages are the same as the last ones.
        if end != self._known_end or _memcmp(self._known, self._heard, end):
            self._hear(end)
        self.stride = self._known_stride or length
        return True

    def _hear(self, end):
        """Parse the control messages that were received, up to the offset `end`."""
        heard = self._heard
        libc.memcpy(self._known, heard, end)
        self._known_end = end
        self._known_stride = 0
        at = 0
        while at + _CMSG_HEADER <= end:
            size = _small(heard, at, _WORD)
            level = _small(heard, at + _WORD, 4)
            kind = _small(heard, at + _WORD + 4, 4)
            data = at + _CMSG_HEADER
            if level == abi.SOL_UDP:
                self._known_stride = _small(heard, data, 4)
            elif kind == self._pktinfo:
                if self.src is None or _memcmp(self.src, self._heard_pointer + data, self._source_size):
                    self.src = bytes(memoryview(heard)[data : data + self._source_size])
            else:
                self.tos = heard[data] if size - _CMSG_HEADER == 1 else _small(heard, data, 4)
            at += _aligned(size)


def _small(buf, at, size):
    """Return an unsigned number below 65536 from a field of `size` bytes, in the byte order of the machine."""
    if _BIG_ENDIAN:
        return buf[at + size - 2] << 8 | buf[at + size - 1]
    return buf[at + 1] << 8 | buf[at]
