"""Requests to the kernel by a routing socket, and the parts of its messages (Linux rtnetlink.h, netlink.h)."""

from struct import pack, unpack_from

from . import abi, pause, system

# The kernel answers at once. After this time, in ms, the answer is lost.
_ANSWER_TIMEOUT_MS = 1000
# So often a dump is repeated if the kernel's table has changed in the meantime.
_DUMPS = 5


class RtSocket:
    """A routing socket for requests. A call waits for the answer of the kernel, which comes at once."""

    def __init__(self):
        self._netlink = system.netlink.Netlink(0)
        self._sequence = 0
        self._is_torn = False  # the kernel's table changed during the last dump, so that entries can be missing

    def close(self):
        self._netlink.close()

    def request(self, kind, flags, body, handle=None):
        """Send a request. Returns a list with the bodies of the answers, bytes. OSError with the errno of the kernel.

        kind    RTM_...
        flags   NLM_F_..., beside NLM_F_REQUEST
        handle  handle(body) is called for each answer instead, and the list is empty. The body is valid until it returns.
                There are pauses, so this is not for the work on a packet
        """
        self._sequence += 1
        self._is_torn = False
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
                length, answer, marks, sequence, _ = unpack_from(abi.NLMSGHDR, message, at)
                if length < abi.NLMSGHDR_SIZE or at + length > len(message):
                    raise OSError(abi.EMSGSIZE, "answer to rtnetlink request %d is cut" % kind)
                if sequence == self._sequence:
                    self._is_torn = self._is_torn or bool(marks & abi.NLM_F_DUMP_INTR)
                    if answer == abi.NLMSG_ERROR:
                        has_errno = length >= abi.NLMSGHDR_SIZE + 4
                        errno = -unpack_from("i", message, at + abi.NLMSGHDR_SIZE)[0] if has_errno else abi.EPROTO
                        if errno:
                            raise OSError(errno, "rtnetlink request %d failed" % kind)
                        return found
                    if answer == abi.NLMSG_DONE:
                        return found
                    answer = message[at + abi.NLMSGHDR_SIZE : at + length]
                    if handle is None:
                        found.append(bytes(answer))
                    else:
                        handle(answer)
                at += length + 3 & ~3
            if handle is not None:
                pause.pause()

    def dump(self, request):
        """Return what request() returns, which reads a table of the kernel. It is called again if the table has changed."""
        for _ in range(_DUMPS):
            found = request()
            if not self._is_torn:
                break
        return found

    def change(self, kind, flags, body):
        """Send a request for a change. OSError if the kernel refuses it."""
        self.request(kind, abi.NLM_F_ACK | flags, body)

    def ask(self, kind, body):
        """Send a request that has one answer. Returns its body, b"" for a mere acknowledgement. OSError as above."""
        found = self.request(kind, abi.NLM_F_ACK, body)
        return found[0] if found else b""


def attribute(kind, data):
    """Return the attribute in the form that it has in a message; `data` is bytes."""
    return pack(abi.RTATTR, abi.RTATTR_SIZE + len(data), kind) + data + bytes(-len(data) & 3)


def attributes(message, at, end):
    """Return a dict of the attributes of a message from offset `at` to `end`: from the type to the data, bytes."""
    found = {}
    while at + abi.RTATTR_SIZE <= end:
        length, kind = unpack_from(abi.RTATTR, message, at)
        if length < abi.RTATTR_SIZE or at + length > end:
            break
        found[kind & 0x3FFF] = bytes(message[at + abi.RTATTR_SIZE : at + length])
        at += length + 3 & ~3
    return found


def number(found, kind, otherwise):
    """Return the attribute of this type as a signed number of 32 bits, or `otherwise` if it is missing or too short."""
    data = found.get(kind, b"")
    return unpack_from("i", data)[0] if len(data) >= 4 else otherwise
