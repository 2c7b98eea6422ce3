"""The link of a tunnel device: its state, and the kernel's messages about it (Linux rtnetlink.h, if_link.h).

The descriptor of the device and the ifindex identify the link. Others can change its name, and move it to another network
namespace and back. Sockets and routes stay in the namespace of the process. For a link in another namespace, Linux 4.15 and
later report the name, the MTU and whether it is up, if the process had CAP_NET_BROADCAST at its start. Without that, a link
in another namespace counts as up.
"""

from struct import pack, unpack_from

from . import abi, pause, rtsocket, system, tun_device

# Parameters of `on_news`, which can be combined
LINK_CHANGED = 1
LINK_GONE = 2
LINK_RENAMED = 4
LINK_MOVED = 8
LINK_FLAPPED = 16  # it was down, and is up again

# An nsid: the link is in another namespace, and it is not known in which one.
UNKNOWN = -1

# The default of 500 packets overflows before a busy single core reads the device again.
QUEUE_LENGTH = 1000
_SEND_REDIRECTS = "/proc/sys/net/ipv4/conf/all/send_redirects"
_OWN_NAMESPACE = "/proc/self/ns/net"
_OF_ROUTES = (
    abi.RTM_NEWLINK, abi.RTM_DELLINK,
    abi.RTM_NEWADDR, abi.RTM_DELADDR, abi.RTM_NEWROUTE, abi.RTM_DELROUTE, abi.RTM_NEWRULE, abi.RTM_DELRULE,
    abi.RTM_NEWNEXTHOP, abi.RTM_DELNEXTHOP,
)  # fmt: skip
# The most datagrams in one turn of the loop, because packets wait.
_DATAGRAMS = 32
# More datagrams than fit into the queue of a socket.
_QUEUED = 10_000


class News:
    """The kernel's messages about links, addresses, routes and rules. One object serves all links of the process.

    fd            readable when there are messages from the namespace of the process: call `deliver`
    elsewhere_fd  readable when there are messages from other namespaces: call `deliver_elsewhere`; None if the kernel
                  does not give them
    on_routes     on_routes(kind, message, start, end) is called for each message about a link, an address, a route, a rule
                  or a nexthop object: its type RTM_..., and its body from `start` to `end`. on_routes(0, b"", 0, 0) means
                  that messages were lost. It must not send requests to the kernel: the answer can overwrite the message
    """

    def __init__(self):
        """Open the sockets. Messages from other namespaces need CAP_NET_BROADCAST at this moment, and Linux 4.2."""
        addresses = abi.RTMGRP_IPV4_IFADDR | abi.RTMGRP_IPV6_IFADDR
        routes = abi.RTMGRP_IPV4_ROUTE | abi.RTMGRP_IPV6_ROUTE | abi.RTMGRP_IPV4_RULE | abi.RTMGRP_IPV6_RULE
        self._here = system.netlink.Netlink(abi.RTMGRP_LINK | abi.RTMGRP_NEXTHOP | addresses | routes)
        self.fd = self._here.fd
        self._elsewhere = system.netlink.Netlink(0)
        self.elsewhere_fd = self._elsewhere.fd
        try:
            self._elsewhere.hear_all_namespaces()
        except OSError:
            self._elsewhere.close()
            self.elsewhere_fd = None
        self._links = []
        self._is_listening = False  # to other namespaces
        self.on_routes = None

    def add(self, link):
        self._links.append(link)

    def remove(self, link):
        self._links.remove(link)

    def listen_elsewhere(self):
        """Receive messages from other namespaces while one of the links is in one. OSError if the kernel refuses it."""
        wanted = any(link.nsid not in (None, UNKNOWN) for link in self._links)
        if wanted == self._is_listening:
            return
        if self.elsewhere_fd is None:
            raise OSError(abi.EPERM)
        (self._elsewhere.join if wanted else self._elsewhere.leave)(abi.RTNLGRP_LINK)
        self._is_listening = wanted

    def deliver(self):
        """Handle the messages from the namespace of the process, and call `on_news` of the links."""
        try:
            for _ in range(_DATAGRAMS):
                message = self._here.receive()
                if message is None:
                    break
                self.handle(message, None)
        except OSError:
            _discard(self._here.receive)
            self._find_all_again()
            self.on_routes(0, b"", 0, 0)
        self._call()

    def deliver_elsewhere(self):
        """Handle the messages from other namespaces, and call `on_news` of the links."""
        try:
            for _ in range(_DATAGRAMS):
                message, nsid = self._elsewhere.receive_from()
                if message is None:
                    break
                # The other socket receives those of our namespace.
                if nsid is not None:
                    self.handle(message, nsid)
        except OSError:
            _discard(lambda: self._elsewhere.receive_from()[0])
            self._find_all_again()
        self._call()

    def _find_all_again(self):
        for link in self._links:
            link.find_again()

    def _call(self):
        for link in list(self._links):
            found = link.settle()
            if found:
                link.on_news(found)

    def handle(self, message, nsid):
        """Handle one datagram from the namespace `nsid`; None is that of the process. OSError if it is cut.

        A message that does not fit into the buffer is cut: a route with a thousand next hops.
        """
        start = 0
        while start + abi.NLMSGHDR_SIZE <= len(message):
            length, kind, _, _, _ = unpack_from(abi.NLMSGHDR, message, start)
            if length < abi.NLMSGHDR_SIZE or start + length > len(message):
                raise OSError(abi.EMSGSIZE, "rtnetlink message is cut")
            body, end = start + abi.NLMSGHDR_SIZE, start + length
            if kind in (abi.RTM_NEWLINK, abi.RTM_DELLINK):
                for link in self._links:
                    link.handle(kind, message, body, end, nsid)
            if nsid is None and kind in _OF_ROUTES:
                self.on_routes(kind, message, body, end)
            start += length + 3 & ~3


def _discard(receive):
    """Discard what waits in the queue, after messages were lost and before the current state is read.

    It is older than that state, and until the queue is empty, the kernel drops all new messages (netlink_rcv_wake).
    """
    for _ in range(_QUEUED):
        pause.pause()
        try:
            if receive() is None:
                return
        except OSError:  # more was lost, which the current state covers
            continue


class Link:
    """The state of the link of an open tunnel device.

    name, index, mtu, is_up  from the last message; the ifindex is 0 if it is not known
    nsid                     None if the link is in the network namespace of the process; else the id of its namespace, or
                             UNKNOWN
    """

    def __init__(self, tun, news, requests, on_news):
        """Read the current state. OSError if the link is gone.

        tun       the descriptor of the tunnel device
        news      the News of the process
        requests  its RtSocket
        on_news   on_news(found) is called after messages: a combination of LINK_...
        """
        self._tun = tun
        self._news = news
        self._rtsocket = requests
        self.on_news = on_news
        self._found = 0  # for `settle`: a combination of LINK_...
        self._was_down = False
        self._is_lost = False  # whether `settle` must find the link again
        self._otherwise = UNKNOWN  # its nsid if the kernel cannot say where it is
        self.nsid = None
        self.mtu = 0
        self._our_queue_length = QUEUE_LENGTH
        self._kernel_name = tun_device.name_of(tun)
        self.name = _text(self._kernel_name)
        self._refresh()
        news.add(self)

    def close(self):
        self._news.remove(self)
        try:
            self._news.listen_elsewhere()
        except OSError:
            return

    # Asking

    def _refresh(self):
        """Read the current state. OSError if no link has its name where it was last."""
        if self.nsid == UNKNOWN:
            self.index, self.is_up = 0, True
            return
        body = rtsocket.attribute(abi.IFLA_IFNAME, self._kernel_name + b"\0")
        if self.nsid is not None:
            body += rtsocket.attribute(abi.IFLA_TARGET_NETNSID, pack("i", self.nsid))
        answer = self._rtsocket.ask(abi.RTM_GETLINK, pack(abi.IFINFOMSG, 0, 0, 0, 0, 0) + body)
        _, _, self.index, flags, _ = unpack_from(abi.IFINFOMSG, answer)
        self._take(flags, rtsocket.attributes(answer, abi.IFINFOMSG_SIZE, len(answer)))

    def _take(self, flags, attributes):
        self.is_up = bool(flags & abi.IFF_UP)
        self.mtu = rtsocket.number(attributes, abi.IFLA_MTU, self.mtu)
        self._queue_length = rtsocket.number(attributes, abi.IFLA_TXQLEN, self._our_queue_length)

    def prepare(self, mtu):
        """Set the MTU, a queue that is long enough for a busy moment, and what Linux sets on its device (wg_open).

        The tunnel also works if the kernel refuses these.
        """
        self._set(rtsocket.attribute(abi.IFLA_MTU, pack("I", mtu)))
        self._set(rtsocket.attribute(abi.IFLA_TXQLEN, pack("I", QUEUE_LENGTH)))
        # The link gets no link-local address automatically: peers know only the configured addresses.
        mode = rtsocket.attribute(abi.IFLA_INET6_ADDR_GEN_MODE, bytes((abi.IN6_ADDR_GEN_MODE_NONE,)))
        self._set(rtsocket.attribute(abi.IFLA_AF_SPEC, rtsocket.attribute(abi.AF_INET6, mode)))
        self._refresh()

    def set_queue_length(self, length):
        """Set the length of the device's queue, in packets, unless somebody else has set one."""
        if self._queue_length == self._our_queue_length:
            self._our_queue_length = length
            self._set(rtsocket.attribute(abi.IFLA_TXQLEN, pack("I", length)))

    def send_no_redirects(self):
        """Switch off ICMP redirects into the tunnel, because peers have no other route to each other (wg_open)."""
        off = rtsocket.attribute(abi.IFLA_INET_CONF, rtsocket.attribute(abi.IPV4_DEVCONF_SEND_REDIRECTS, bytes(4)))
        self._set(rtsocket.attribute(abi.IFLA_AF_SPEC, rtsocket.attribute(abi.AF_INET, off)))
        try:
            system.files.write_file(_SEND_REDIRECTS, "0")
        except OSError:
            return

    def _set(self, attributes):
        try:
            self._rtsocket.ask(abi.RTM_NEWLINK, pack(abi.IFINFOMSG, 0, 0, self.index, 0, 0) + attributes)
        except OSError:
            return

    # News

    def find_again(self):
        """Messages were lost: `settle` reads the current state."""
        self._look(self.nsid)

    def _look(self, otherwise):
        self._is_lost = True
        self._otherwise = otherwise

    def handle(self, kind, message, body, end, nsid):
        """Handle a message about a link, from `body` to `end`, from the namespace `nsid`."""
        at = body + abi.IFINFOMSG_SIZE
        if end < at:
            return
        family, _, index, flags, _ = unpack_from(abi.IFINFOMSG, message, body)
        if family:
            return  # about a bridge port, for example
        if nsid != self.nsid:
            if nsid is None and kind == abi.RTM_NEWLINK and self._has_its_name(message, at, end):
                # It can also be another link with the same name: `_find` checks it if the kernel can say.
                self._look(None)
            return
        if index != self.index:
            return
        given = rtsocket.attributes(message, at, end)
        if kind == abi.RTM_DELLINK:
            # The id is one of the namespace that the link left.
            self._look(rtsocket.number(given, abi.IFLA_NEW_NETNSID, UNKNOWN) if nsid is None else UNKNOWN)
            return
        self._take(flags, given)
        self._was_down = self._was_down or not self.is_up
        self._found |= LINK_CHANGED | self._take_name(given.get(abi.IFLA_IFNAME, b"").rstrip(b"\0"))

    def _has_its_name(self, message, at, end):
        """Whether the message is about a link with the current name of this link."""
        try:
            name = tun_device.name_of(self._tun)
        except OSError as e:
            return e.errno == abi.EBADFD  # it was deleted
        return rtsocket.attributes(message, at, end).get(abi.IFLA_IFNAME, b"").rstrip(b"\0") == name

    def settle(self):
        """Return what happened since the last call: a combination of LINK_..."""
        if self._is_lost:
            self._is_lost = False
            self._found |= self._find(self._otherwise)
        if self._was_down:
            self._was_down = False
            self._see_whether_down()
        found, self._found = self._found, 0
        return found

    def _see_whether_down(self):
        """The link was down. If more messages wait, it can be up again, and packets can have been sent."""
        try:
            self._refresh()
        except OSError:
            return  # a message about that waits
        if self.is_up:
            self._found |= LINK_FLAPPED

    def _take_name(self, name):
        if not name or name == self._kernel_name:
            return 0
        self._kernel_name = name
        self.name = _text(name)
        return LINK_RENAMED

    def _find(self, otherwise):
        """Find the namespace and the name of the link. `otherwise` is its nsid if the kernel cannot say where it is.

        After an error that can pass, nothing changes, and the next message leads here again.
        """
        before = self.nsid
        try:
            found = self._take_name(tun_device.name_of(self._tun))
        except OSError as e:
            if e.errno == abi.EBADFD:
                return LINK_GONE
            self._look(otherwise)
            return 0
        try:
            self.nsid = self._find_nsid(otherwise)
            self._news.listen_elsewhere()
            self._refresh()
        except OSError as e:
            if e.errno not in (abi.ENODEV, abi.EPERM):
                self.nsid = before
                self._look(otherwise)
                return found
            self.nsid = UNKNOWN
            self._refresh()
        if self.nsid != before:
            found |= LINK_MOVED
        return found | LINK_CHANGED

    def _find_nsid(self, otherwise):
        """Return the nsid of the link's namespace, `otherwise` if the kernel cannot say where it is."""
        try:
            own = system.files.status(_OWN_NAMESPACE)[0]
        except OSError:
            return otherwise
        fd = tun_device.open_namespace_of(self._tun)
        if fd is None:
            return otherwise
        try:
            return None if system.files.status(fd)[0] == own else self._nsid_of(fd)
        finally:
            system.files.close(fd)

    def _nsid_of(self, fd):
        """Return the id of the namespace, which gets one if it has none. OSError before Linux 3.20."""
        namespace = bytes(abi.RTGENMSG_SIZE) + rtsocket.attribute(abi.NETNSA_FD, pack("I", fd))
        for _ in range(2):
            answer = self._rtsocket.ask(abi.RTM_GETNSID, namespace)
            number = rtsocket.number(rtsocket.attributes(answer, abi.RTGENMSG_SIZE, len(answer)), abi.NETNSA_NSID, UNKNOWN)
            if number >= 0:
                return number
            self._rtsocket.ask(abi.RTM_NEWNSID, namespace + rtsocket.attribute(abi.NETNSA_NSID, pack("i", -1)))
        return UNKNOWN


def _text(name):
    """Return the name of a link as text. If it is not UTF-8, bytes that are not ASCII become question marks."""
    try:
        return name.decode()
    except ValueError:
        return bytes([byte if byte < 128 else 63 for byte in name]).decode()
