"""Requests to the kernel's routing socket, and the pieces that its messages are made of (Linux rtnetlink.h, netlink.h)."""

from struct import pack, unpack_from

from . import abi, system

# The kernel answers at once, or what it said was lost, in ms.
_ANSWER_TIMEOUT_MS = 1000


class RtSocket:
    """A routing socket for requests. Blocks for the kernel's answer, which comes at once."""

    def __init__(self):
        self._netlink = system.netlink.Netlink(0)
        self._sequence = 0

    def close(self):
        self._netlink.close()

    def request(self, kind, flags, body):
        """Send a request and return the bodies of the messages that answer it. OSError with the kernel's errno.

        kind   RTM_...
        flags  NLM_F_..., beside NLM_F_REQUEST
        """
        self._sequence += 1
        length = abi.NLMSGHDR_SIZE + len(body)
        self._netlink.send(pack(abi.NLMSGHDR, length, kind, abi.NLM_F_REQUEST | flags, self._sequence, 0) + body)
        found = []
        end = system.clock.now() + _ANSWER_TIMEOUT_MS
        while True:
            message = self._netlink.receive()
            if message is None:
                if system.clock.now() > end:
                    raise OSError(abi.EIO, "rtnetlink request %d got no answer" % kind)
                continue
            at = 0
            while at + abi.NLMSGHDR_SIZE <= len(message):
                length, answer, _, sequence, _ = unpack_from(abi.NLMSGHDR, message, at)
                if length < abi.NLMSGHDR_SIZE:
                    break
                if sequence == self._sequence:
                    if answer == abi.NLMSG_ERROR:
                        errno = -unpack_from("i", message, at + abi.NLMSGHDR_SIZE)[0]
                        if errno:
                            raise OSError(errno, "rtnetlink request %d failed" % kind)
                        return found
                    if answer == abi.NLMSG_DONE:
                        return found
                    found.append(bytes(message[at + abi.NLMSGHDR_SIZE : at + length]))
                at += length + 3 & ~3

    def change(self, kind, flags, body):
        """Send a request that is answered by yes or no; OSError if that is no."""
        self.request(kind, abi.NLM_F_ACK | flags, body)

    def ask(self, kind, body):
        """Send a request for one thing; return the body of the answer, b"" if there is none. OSError as `request`."""
        found = self.request(kind, abi.NLM_F_ACK, body)
        return found[0] if found else b""


def attribute(kind, data):
    """Return the attribute as it stands in a message."""
    return pack(abi.RTATTR, abi.RTATTR_SIZE + len(data), kind) + data + bytes(-len(data) & 3)


def attributes(message, at, end):
    """Return the attributes that stand in a message from `at` to `end`: {kind: data}. What is cut off is left out."""
    found = {}
    while at + abi.RTATTR_SIZE <= end:
        length, kind = unpack_from(abi.RTATTR, message, at)
        if length < abi.RTATTR_SIZE or at + length > end:
            break
        found[kind & 0x3FFF] = bytes(message[at + abi.RTATTR_SIZE : at + length])
        at += length + 3 & ~3
    return found


def number(found, kind, otherwise):
    """Return the number of 32 bits in one of the attributes, or `otherwise` if it is not there or too short."""
    data = found.get(kind, b"")
    return unpack_from("i", data)[0] if len(data) >= 4 else otherwise
