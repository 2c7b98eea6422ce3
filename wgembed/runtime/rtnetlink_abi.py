"""The kernel's numbers for requests by rtnetlink (Linux rtnetlink.h, if_link.h, if_addr.h, fib_rules.h, netlink.h).

Structs have their C names, and the format of `struct`. abi.py has the numbers for messages about links.
"""

IFADDRMSG = "BBBBI"  # family, prefix length, flags, scope, index
FIB_RULE_HDR = "BBBBBBBBI"  # family, length of destination, of source, TOS, table, two reserved, action, flags
FIB_RULE_HDR_SIZE = 12
RTNEXTHOP = "HBBi"  # length, flags, hops, index
RTNEXTHOP_SIZE = 8
NHMSG_SIZE = 8
NEXTHOP_GRP_SIZE = 8  # of an element of NHA_GROUP, which begins with the number of an object

NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

RTM_GETADDR = 22
RTM_GETRULE = 34
RTM_GETNEXTHOP = 106

IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_FLAGS = 8
IFA_F_NODAD = 2
IFA_F_NOPREFIXROUTE = 0x200

RTA_GATEWAY = 5
RTA_PRIORITY = 6
RTA_PREFSRC = 7
RTA_METRICS = 8
RTA_MULTIPATH = 9
RTA_TABLE = 15
RTA_VIA = 18
RTA_NH_ID = 30
RTAX_MTU = 2
RTN_UNREACHABLE = 7
RTNH_F_DEAD = 1
RTNH_F_ONLINK = 4
RTNH_F_LINKDOWN = 16
RTPROT_STATIC = 4
RTPROT_KILL_SWITCH = 87  # not in the kernel's list, nor in that of iproute2
RT_SCOPE_UNIVERSE = 0
RT_SCOPE_LINK = 253
RT_TABLE_UNSPEC = 0
RT_TABLE_DEFAULT = 253
RT_TABLE_MAIN = 254
RT_TABLE_LOCAL = 255

NHA_ID = 1
NHA_GROUP = 2
NHA_OIF = 5
NHA_GATEWAY = 6

FRA_DST = 1
FRA_SRC = 2
FRA_IIFNAME = 3
FRA_PRIORITY = 6
FRA_FWMARK = 10
FRA_SUPPRESS_PREFIXLEN = 14
FRA_TABLE = 15
FIB_RULE_INVERT = 2
FR_ACT_TO_TBL = 1
NO_SUPPRESS_PREFIXLEN = 0xFFFFFFFF
