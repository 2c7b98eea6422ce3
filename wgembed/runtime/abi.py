"""Numbers of the kernel's interface that differ between architectures, and other numbers that both backends need.

Most architectures of Linux have the same numbers. MIPS has others, and the number of EADDRINUSE shows whether this is MIPS.
"""

import errno

EPERM = 1
ENOENT = 2
EINTR = 4
EIO = 5
EAGAIN = 11
EACCES = 13
EBUSY = 16
EEXIST = 17
ENODEV = 19
EINVAL = 22
ENOSPC = 28
EROFS = 30
ENOTTY = 25
EADDRINUSE = errno.EADDRINUSE

MIPS = EADDRINUSE == 125

ENOSYS = 89 if MIPS else 38
EBADFD = 81 if MIPS else 77
EMSGSIZE = 97 if MIPS else 90
EOPNOTSUPP = 122 if MIPS else 95
EAFNOSUPPORT = 124 if MIPS else 97
EADDRNOTAVAIL = 126 if MIPS else 99
ENOBUFS = 132 if MIPS else 105
ENETUNREACH = 128 if MIPS else 101
ECONNABORTED = 130 if MIPS else 103
ECONNREFUSED = 146 if MIPS else 111
EHOSTUNREACH = 148 if MIPS else 113
EPROTO = 71
NOTHING_NOW = EAGAIN, EINTR  # errors that pass by themselves

# MIPS and PowerPC encode the direction of an ioctl in other bits. The caller tries both numbers.
TUNSETIFF = (0x400454CA, 0x800454CA)
TUNGETFEATURES = (0x800454CF, 0x400454CF)
TUNSETOFFLOAD = (0x400454D0, 0x800454D0)
TUNGETIFF = (0x800454D2, 0x400454D2)
TUNSETSNDBUF = (0x400454D4, 0x800454D4)
TUNSETVNETHDRSZ = (0x400454D8, 0x800454D8)
TUNSETVNETLE = (0x400454DC, 0x800454DC)
TUNSETVNETBE = (0x400454DE, 0x800454DE)
TUNSETSTEERINGEBPF = (0x800454E0, 0x400454E0)
TUNSETFILTEREBPF = (0x800454E1, 0x400454E1)
TUNSETCARRIER = (0x400454E2, 0x800454E2)
TUNGETDEVNETNS = (0x54E3, 0x200054E3)

# Socket options by level and name, in order: UDP, IP, IPv6, socket
SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
SOL_IP = 0
IP_TOS = 1
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IP_RECVTOS = 13
SOL_IPV6 = 41
IPV6_MTU_DISCOVER = 23
IPV6_RECVERR = 25
IPV6_V6ONLY = 26
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50
IPV6_RECVTCLASS = 66
IPV6_TCLASS = 67
PMTUDISC_DONT = 0
SOL_SOCKET = 0xFFFF if MIPS else 1
SO_SNDBUF = 0x1001 if MIPS else 7
SO_RCVBUF = 0x1002 if MIPS else 8
SO_SNDBUFFORCE = 31 if MIPS else 32
SO_RCVBUFFORCE = 33
SO_MARK = 36
SO_BINDTODEVICE = 25

# Errors for a source address or interface that the machine does not have any more
BAD_SOURCE = (EINVAL, ENODEV, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH)
# EIO: the driver cannot checksum. EINVAL, EMSGSIZE: the segment does not fit the link, or the kernel is too old.
GSO_REFUSED = (EIO, EINVAL, EMSGSIZE)
# Errors of a machine without IPv6, or without IPv4
NO_FAMILY = (EAFNOSUPPORT, EADDRNOTAVAIL)

# Options of a UDP socket: the network may fragment its datagrams, as in the kernel's WireGuard, and the kernel reports the
# destination address and the TOS byte of each datagram. If a kernel refuses an option, the tunnel works without sticky
# source addresses or without ECN.
UDP_OPTIONS = {
    False: ((SOL_IP, IP_MTU_DISCOVER, PMTUDISC_DONT), (SOL_IP, IP_PKTINFO, 1), (SOL_IP, IP_RECVTOS, 1)),
    True: (
        (SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT),
        (SOL_IPV6, IPV6_RECVPKTINFO, 1),
        (SOL_IPV6, IPV6_RECVTCLASS, 1),
    ),
}
# Option of a probe. Without it the kernel reports only permanent errors, and "host unreachable" is a temporary one.
RECVERR = {False: (SOL_IP, IP_RECVERR), True: (SOL_IPV6, IPV6_RECVERR)}
# The size of a socket's queues in bytes. With CAP_NET_ADMIN it can exceed the limit of the system.
UDP_BUFFER = 1 << 20
# Answers to addresses that no peer has use at most one half of the queue. With a forged address, the kernel looks for a
# neighbour and keeps the packet for seconds, and the packet counts in the socket's queue. The peers' packets need the rest.
UDP_REPLIES = 2  # one half
# The bytes that wait in the queue. PowerPC has another number, so replies are not limited there.
SIOCOUTQ = 0x7472 if MIPS else 0x5411
RECEIVE_BUFFER = (SO_RCVBUFFORCE, SO_RCVBUF)
UDP_BUFFERS = ((SO_SNDBUFFORCE, SO_SNDBUF), RECEIVE_BUFFER)

# The limits of one segmented send
GSO_BYTES = 65000
GSO_SEGMENTS = 64

O_RDONLY = 0
O_WRONLY = 1
O_RDWR = 2
O_CREAT = 0x100 if MIPS else 0o100
O_EXCL = 0x400 if MIPS else 0o200
O_TRUNC = 0o1000
O_CLOEXEC = 0o2000000
O_NONBLOCK = 0x80 if MIPS else 0o4000

AF_UNIX = 1
AF_INET = 2
AF_INET6 = 10
AF_NETLINK = 16
FAMILIES = {4: AF_INET, 16: AF_INET6}  # by the size of a packed address
SOCK_STREAM = 2 if MIPS else 1
SOCK_DGRAM = 1 if MIPS else 2
SOCK_RAW = 3
IPPROTO_ICMP = 1
IPPROTO_ICMPV6 = 58
MSG_DONTWAIT = 0x40
MSG_NOSIGNAL = 0x4000

SIGHUP = 1
SIGINT = 2
SIGTERM = 15
SIG_BLOCK = 1 if MIPS else 0

# inotify: events of the names in a directory
IN_CLOSE_WRITE = 8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_DELETE = 0x200
NAMES_GONE = IN_DELETE | IN_MOVED_FROM
FILES_CHANGED = IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM

# Messages of rtnetlink (Linux rtnetlink.h, if_link.h). Structs have their C names, and the format of `struct`.
# rtnetlink_abi.py has the numbers of requests.
NLMSGHDR = "IHHII"  # length, type, flags, sequence, port
NLMSGHDR_SIZE = 16
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 1
NLM_F_ACK = 4
NLM_F_DUMP_INTR = 0x10
RTATTR = "HH"  # length, type
RTATTR_SIZE = 4
IFINFOMSG = "BxHiII"  # family, type, index, flags, change
IFINFOMSG_SIZE = 16
RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26
RTM_NEWRULE = 32
RTM_DELRULE = 33
RTM_NEWNSID = 88
RTM_NEWNEXTHOP = 104
RTM_DELNEXTHOP = 105
RTM_GETNSID = 90
RTNLGRP_LINK = 1  # what RTMGRP_LINK is as the number of a group
RTMGRP_LINK = 1
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV4_ROUTE = 0x40
RTMGRP_IPV4_RULE = 0x80
RTMGRP_IPV6_IFADDR = 0x100
RTMGRP_IPV6_ROUTE = 0x400
RTMGRP_IPV6_RULE = 0x40000
RTMGRP_NEXTHOP = 0x80000000  # kernels before 5.3 ignore it
IFADDRMSG_SIZE = 8
IFF_UP = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_TXQLEN = 13
IFLA_AF_SPEC = 26
IFLA_NEW_NETNSID = 45
IFLA_TARGET_NETNSID = 46
IFLA_INET_CONF = 1
IPV4_DEVCONF_SEND_REDIRECTS = 6
IFLA_INET6_ADDR_GEN_MODE = 8
IN6_ADDR_GEN_MODE_NONE = 1
RTMSG = "BBBBBBBBI"  # family, length of destination, of source, TOS, table, protocol, scope, type, flags
RTMSG_SIZE = 12
RTM_F_CLONED = 0x200
RTM_F_FIB_MATCH = 0x2000
RTA_DST = 1
RTA_SRC = 2
RTA_OIF = 4
RTA_MARK = 16
RTN_UNICAST = 1
RTN_LOCAL = 2
RTGENMSG_SIZE = 4  # family, and three bytes without a meaning
NETNSA_NSID = 1
NETNSA_FD = 3
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_DROP_MEMBERSHIP = 2
NETLINK_LISTEN_ALL_NSID = 8

# The name of a link in an ioctl: struct ifreq
IFREQ_SIZE = 40
IFNAMSIZ = 16  # with the NUL at the end

# The file in which a process says how willingly the out-of-memory killer takes it: proc(5)
OOM_SCORE_ADJ = "/proc/self/oom_score_adj"
