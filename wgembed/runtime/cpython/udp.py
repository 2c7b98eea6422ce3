"""The outer side of the packet path: datagrams in runs, with segmentation offload in both directions.

The socket turns on GSO and GRO when it is made. On a kernel without them it uses plain calls. The kernel can also refuse
GSO for a run (EIO: the driver cannot checksum; EINVAL or EMSGSIZE: the segment does not fit the link). Then the run is sent
again, packet by packet, and segments of this size or larger are not used any more. Whether runs arrive that the kernel
accepts, protocol/segmentation.py finds out.
"""

from struct import pack, unpack

try:
    import _socket as socket
except ImportError:
    import socket

from ...protocol.constants import SEND_BAD_SOURCE, SEND_LOST, SEND_OK
from .. import abi
from . import files

_ANCILLARY = 128


class UdpSocket:
    """The socket of one address family, bound to a port.

    After `receive`, `length`, `stride`, `addr`, `src` and `tos` describe the datagrams. `src` is the control message with
    which an answer leaves from the address at which the datagram arrived. `errno` is of the last datagram that was lost.
    """

    def __init__(self, ipv6, port, fwmark):
        """Bind to the port, 0 for any, and set the mark. OSError if the kernel refuses the port or the mark."""
        self.ipv6 = ipv6
        self._socket = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)
            self._set_options()
            self.set_fwmark(fwmark)
            self._socket.bind(("::" if ipv6 else "0.0.0.0", port))
        except OSError:
            self._socket.close()
            raise
        self.fd = self._socket.fileno()
        self.port = self._socket.getsockname()[1]
        self._sendmsg = self._socket.sendmsg
        self._recvmsg_into = self._socket.recvmsg_into
        self._level, self._pktinfo = (abi.SOL_IPV6, abi.IPV6_PKTINFO) if ipv6 else (abi.SOL_IP, abi.IP_PKTINFO)
        self._control_for = None
        self._control = []
        self._tos_taken = True
        self.errno = 0
        self.length = self.stride = self.tos = 0
        self.addr = self.src = None

    def _set_options(self):
        if self.ipv6:
            # Without this option the socket would take the port of IPv4, too.
            self._socket.setsockopt(abi.SOL_IPV6, abi.IPV6_V6ONLY, 1)
        for level, name, value in abi.UDP_OPTIONS[self.ipv6]:
            self._try_option(level, name, value)
        self.gro = self._try_option(abi.SOL_UDP, abi.UDP_GRO, 1)
        self.gso_limit = self.gso_first = 65535 if self._try_option(abi.SOL_UDP, abi.UDP_SEGMENT, 0) else 0
        for force, name in abi.UDP_BUFFERS:
            if not self._try_option(abi.SOL_SOCKET, force, abi.UDP_BUFFER):
                self._try_option(abi.SOL_SOCKET, name, abi.UDP_BUFFER)
        self._replies = self._socket.getsockopt(abi.SOL_SOCKET, abi.SO_SNDBUF) // abi.UDP_REPLIES
        self.receive_room = self._socket.getsockopt(abi.SOL_SOCKET, abi.SO_RCVBUF)
        self._waiting = bytearray(4)

    def _try_option(self, level, name, value):
        try:
            self._socket.setsockopt(level, name, value)
        except OSError:
            return False
        return True

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
        if fwmark or hasattr(self, "_marked"):
            self._socket.setsockopt(abi.SOL_SOCKET, abi.SO_MARK, fwmark)
            self._marked = True

    def bind_to(self, link):
        """Send only by the link of this name; "" for any link."""
        self._socket.setsockopt(abi.SOL_SOCKET, abi.SO_BINDTODEVICE, link.encode() + b"\0")

    def close(self):
        self._socket.close()

    def _ancillary(self, src, tos):
        """Return the control messages for this source and TOS byte. The last ones are kept for the next call."""
        if self._control_for != (src, tos):
            self._control_for = (src, tos)
            self._control = []
            if src is not None:
                self._control.append((self._level, self._pktinfo, src))
            if tos and self._tos_taken:
                self._control.append((self._level, abi.IPV6_TCLASS if self.ipv6 else abi.IP_TOS, pack("i", tos)))
        return self._control

    def send(self, addr, src, buf, size, tos):
        """Send one datagram. Returns SEND_OK, SEND_LOST or SEND_BAD_SOURCE: see contract.py."""
        try:
            self._sendmsg((memoryview(buf)[:size],), self._ancillary(src, tos), 0, addr)
        except OSError as e:
            if src is not None and e.errno in abi.BAD_SOURCE:
                return SEND_BAD_SOURCE
            if self._gives_up_tos(tos, e.errno):
                return self.send(addr, src, buf, size, 0)
            self.errno = e.errno
            return SEND_LOST
        return SEND_OK

    def reply(self, addr, src, buf, size):
        """Send an answer to an address that no peer has. SEND_LOST if the queue is too full, as peers go first."""
        try:
            files.ioctl(self.fd, abi.SIOCOUTQ, self._waiting)
        except OSError:
            self._waiting[:] = bytes(4)  # unknown, so count nothing
        if unpack("i", self._waiting)[0] > self._replies:
            return SEND_LOST
        return self.send(addr, src, buf, size, 0)

    def _gives_up_tos(self, tos, errno):
        """Whether the error can come from the TOS byte, which kernels before 3.13 refuse. Then it is left out later."""
        if not tos or not self._tos_taken or errno != abi.EINVAL:
            return False
        self._tos_taken = False
        self._control_for = None
        return True

    def send_pair(self, addr, src, buf, size, tos):
        """Send the datagram twice, in one segmented send. If the kernel refuses that, send it once."""
        view = memoryview(buf)[:size]
        control = [*self._ancillary(src, tos), (abi.SOL_UDP, abi.UDP_SEGMENT, pack("H", size))]
        try:
            self._sendmsg((view, view), control, 0, addr)
        except OSError:
            return self.send(addr, src, buf, size, tos)
        return SEND_OK

    def send_run(self, addr, src, arena, first, end, tos, segments=abi.GSO_SEGMENTS):
        """Send the messages in the arena's slots `first` to `end` - 1. One call sends messages of equal sizes."""
        view, offsets, lengths = arena.view, arena.offsets, arena.lengths
        control = self._ancillary(src, tos)
        result = SEND_OK
        while first < end:
            size = lengths[first]
            stop = first + 1
            if size <= self.gso_limit:
                stop = arena.gso_group_end(first, min(end, first + min(segments, abi.GSO_BYTES // size or 1)))
            if size == arena.stride:
                run = (view[offsets[first] : offsets[stop - 1] + lengths[stop - 1]],)
            else:
                run = [view[offsets[i] : offsets[i] + lengths[i]] for i in range(first, stop)]
            try:
                if stop - first == 1:
                    self._sendmsg(run, control, 0, addr)
                else:
                    self._sendmsg(run, [*control, (abi.SOL_UDP, abi.UDP_SEGMENT, pack("H", size))], 0, addr)
            except OSError as e:
                if src is None and self._gives_up_tos(tos, e.errno):
                    return self.send_run(addr, src, arena, first, end, 0, segments)
                failure = self._send_again(arena, first, stop, control, addr, src, e.errno)
                if failure == SEND_BAD_SOURCE:
                    return failure
                result = failure or result
            first = stop
        return result

    def _send_again(self, arena, first, stop, control, addr, src, errno):
        """Handle the error of a run: return SEND_BAD_SOURCE or SEND_LOST, or send its packets one by one."""
        if src is not None and errno in abi.BAD_SOURCE:
            return SEND_BAD_SOURCE
        if stop - first == 1 or errno not in abi.GSO_REFUSED:
            self.errno = errno
            return SEND_LOST
        self.gso_limit = 0 if errno == abi.EIO else arena.lengths[first] - 1
        result = SEND_OK
        for slot in range(first, stop):
            start = arena.offsets[slot]
            try:
                self._sendmsg((arena.view[start : start + arena.lengths[slot]],), control, 0, addr)
            except OSError as e:
                self.errno = e.errno
                result = SEND_LOST
        return result

    def receive(self, inbox):
        """Receive the datagrams that the kernel has joined into the inbox. False if nothing waits."""
        view = inbox.view[inbox.start :] if inbox.start else inbox.view
        try:
            length, control, _, addr = self._recvmsg_into((view,), _ANCILLARY)
        except OSError as e:
            if e.errno != abi.EAGAIN:
                # An ICMP error for a datagram that was sent earlier. Received datagrams can wait after it.
                self.length = 0
                return True
            return False
        self.length = self.stride = length
        self.addr = addr
        for level, kind, data in control:
            if kind == self._pktinfo and level == self._level:
                self.src = data
            elif level == abi.SOL_UDP:
                self.stride = unpack("i", data)[0]
            else:
                self.tos = data[0] if len(data) == 1 else unpack("i", data)[0]
        return True
