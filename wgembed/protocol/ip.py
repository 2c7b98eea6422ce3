"""The offsets of fields in IP headers, and the sizes of headers, in bytes (RFC 791, 8200, 768); named as in fastpath.c."""

IPV4_HEADER = 20  # without options
IPV4_TOS = 1
IPV4_LENGTH = 2
IPV4_FRAGMENT = 6
IPV4_PROTOCOL = 9
IPV4_CHECKSUM = 10
IPV4_SOURCE = 12
IPV4_DESTINATION = 16

IPV6_HEADER = 40
IPV6_LENGTH = 4
IPV6_NEXT = 6
IPV6_SOURCE = 8
IPV6_DESTINATION = 24

ICMP = 1
UDP = 17
ICMPV6 = 58
UDP_HEADER = 8
